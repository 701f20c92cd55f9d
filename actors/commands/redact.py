"""`agora redact`: what a person has said is made unreadable for good, and the journal still proves itself.

It works on a directory that no server uses: states in memory would say it again. What was copied elsewhere is named,
as far as it can be known.
"""

import anyio
import msgspec

from actors.commands.console import ExitCode, Shell
from bus.clock import SystemClock
from bus.codec import Catalogue
from bus.errors import BadUsage
from bus.messages.base import MAIN_RUN, AgentId, Position, RunId, TaskId
from bus.messages.catalogue import EVENTS
from bus.messages.system import ReadEvents, TextRedacted
from bus.refusals import NotFound
from storage.checkpoints import CheckpointStore
from storage.events import EventStore
from storage.migration import JOURNAL_NAME
from storage.redaction import Redacted, Redaction
from storage.transcripts import forget


class Target(msgspec.Struct, frozen=True):
    """Whose words: all that is given has to match."""

    task: str = ""
    agent: str = ""
    run: str = ""
    correlation: str = ""
    position: int = 0

    @property
    def query(self) -> ReadEvents:
        """The events that are meant. Raises BadUsage where that would be all of them."""
        if not (self.task or self.agent or self.run or self.correlation or self.position):
            raise BadUsage("say whose words: --task, --agent, --run, --correlation or --position")
        after, before = (self.position - 1, self.position + 1) if self.position else (0, 0)
        query = ReadEvents(
            task=self.task,
            agent=self.agent,
            run=self.run,
            correlation=self.correlation,
            after=Position(after),
            before=Position(before),
        )
        return query.within(MAIN_RUN)


async def redact(shell: Shell, target: Target, *, reason: str, by: str) -> ExitCode:
    """Redact and say what went. Raises NotFound, BadUsage, DirectoryInUse beside a server, StorageError."""
    query = target.query
    path = shell.data / JOURNAL_NAME
    if not await anyio.Path(path).is_file():
        raise NotFound("journal", str(path))

    def told(events: int, blobs: int) -> TextRedacted:
        return TextRedacted(
            events=events,
            blobs=blobs,
            by=by,
            reason=reason,
            task=TaskId(target.task),
            agent=AgentId(target.agent),
            run=RunId(target.run),
            correlation=target.correlation,
            position=Position(target.position),
        )

    options, catalogue = shell.config.journal, Catalogue(EVENTS)
    async with (
        EventStore.open(shell.data, catalogue, SystemClock(), options.segments) as events,
        CheckpointStore.open(options.checkpoints_in(shell.data)) as checkpoints,
    ):
        redaction = Redaction(events, checkpoints, catalogue)
        done = await redaction.run(query, told, options.mirror)
        # A completion has words of more than one event: all that an agent or a task has said to models goes whole.
        completions = await forget(shell.data, {*redaction.subjects, target.task, target.agent})
    copies = [str(one) async for one in anyio.Path(shell.data.parent).glob(f"{shell.data.name}.before-*")]
    _tell(shell, done, completions, copies)
    return ExitCode.DONE


def _tell(shell: Shell, done: Redacted, completions: int, copies: list[str]) -> None:
    if shell.is_json:
        shell.print_json({**msgspec.structs.asdict(done), "completions": completions, "copies": copies})
        return
    before = f" ({done.already} were redacted before)" if done.already else ""
    shell.say(f"{done.events} events are redacted for good{before}, and {done.blobs} contents with them")
    if completions:
        shell.say(f"  {completions} completions are gone from their log")
    if shell.config.router.log_dir:
        shell.say(f"  not reached: the files below {shell.config.router.log_dir}")
    if done.checkpoints:
        shell.say(f"  gone with it: {', '.join(done.checkpoints)}; the next start folds the journal")
    if done.scrubbed:
        shell.say(f"  {done.scrubbed} stands for pruned events: it was gone through, and stays")
    shell.say("  not reached: backups, forks and exports that were made before")
    for copy in copies:
        shell.say(f"  not reached: {copy}")
