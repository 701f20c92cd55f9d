"""Answers from the past, where nothing runs: what a society would have answered at the last event of its journal.

Rules: what asks is answered, from the journal and from states that are folded from it; what would change something is
refused, and so is what only a running society knows. Folding begins at nothing, so a journal alone suffices; where its
beginning was pruned, at the newest checkpoint that stands for that.
"""

from pathlib import Path
from typing import Protocol

import anyio
import msgspec

from actors.commands.folding import Folded
from actors.config import Config
from actors.rules.overview import Overview
from actors.rules.overview_items import OverviewState
from actors.rules.recall import Facts
from actors.rules.recollection import Recollection
from bus.address import Address
from bus.clock import Clock
from bus.envelope import Answer
from bus.errors import DeadlinePassed, NoSuchActor, StorageError
from bus.messages.agents import ReadAgent
from bus.messages.approvals import ListProposals, ReadProposal
from bus.messages.artifacts import (
    ARTIFACTS,
    ArtifactContent,
    ArtifactView,
    ListArtifacts,
    ReadArtifact,
    ReadArtifactContent,
)
from bus.messages.base import MAIN_RUN, Message, Microseconds, Position, R, Request
from bus.messages.ledger import CheckConservation, ReadBalances, ReadTransfer
from bus.messages.memory import MEMORY, FactPage, ListFacts, ReadFact, Recall
from bus.messages.schedules import ListSchedules
from bus.messages.system import (
    BROADCASTER,
    JOURNAL,
    Blob,
    CheckpointPage,
    JournalView,
    ListCheckpoints,
    ReadBlob,
    ReadChain,
    ReadEvents,
    ReadHistogram,
    ReadJournal,
    SearchEvents,
    SummariseEvents,
)
from bus.messages.tasks import ListTasks, ReadTask
from bus.messages.triggers import ListTriggers
from bus.refusals import NotFound, NotPermitted
from storage.checkpoints import CheckpointStore
from storage.forks import standing_for, stands_on
from storage.past import Past

OF_STATES = (
    ListTasks,
    ReadTask,
    ListArtifacts,
    ReadArtifact,
    ReadBalances,
    ReadTransfer,
    CheckConservation,
    ReadAgent,
    ReadFact,
    ListProposals,
    ReadProposal,
    ListSchedules,
    ListTriggers,
)
"""Queries whose answer is in a state and in nothing else."""


class Step(Protocol):
    """Hears how far the fold has come."""

    def __call__(self, done: int, of: int, /) -> None: ...


class Lookout:
    """The door to the past; what the web takes for its gateway."""

    def __init__(self, past: Past, config: Config, texts: Path, clock: Clock) -> None:
        """`texts` is a directory for what a search makes."""
        self._past = past
        self._clock = clock
        self._texts = texts
        self._checkpoints = config.journal.checkpoints_in(Path(config.data))
        self._folded = Folded(config)
        self._router = config.router
        self.overview = self._overview(None)
        self.last_us: Microseconds = 0
        """When the last event was recorded; 0 where none was read."""

    async def fold(self, step: Step) -> None:
        """Read the whole journal, or what follows a checkpoint where its beginning was pruned. Raises StorageError."""
        after = Position(0)
        if (checkpoint := await standing_for(self._past, self._checkpoints, self._past.head)) is not None:
            after = stands_on(checkpoint)
            self._folded.begin_with(checkpoint.actors)
            if (shown := checkpoint.actors.get(BROADCASTER)) is not None:
                self.overview = self._overview(msgspec.json.decode(shown.state, type=OverviewState))
                after = min(after, shown.position)
        async for batch in self._past.facts(("#",), None, after, self._past.head):
            for record in batch:
                self._folded.apply(record)
                if record.position > self.overview.position:
                    self.overview.apply(record)
            self.last_us = batch[-1].time_us
            step(batch[-1].position, self._past.head)

    @property
    def position(self) -> Position:
        """Where the overview stands."""
        return self.overview.position

    def view(self) -> dict[str, object]:
        """The overview, which says that it is of the past, and of when."""
        return self.overview.view() | self._standing()

    def patch(self, after: Position) -> dict[str, object] | None:
        """As the overview's."""
        patch = self.overview.patch(after)
        return None if patch is None else patch | self._standing()

    def _standing(self) -> dict[str, object]:
        return {"status": "past", "last_us": self.last_us}

    async def exchange(self, to: Address, request: Request[R], *, timeout_s: float) -> Answer[R]:
        """The answer as of the last event. Raises NotPermitted for what would change or needs somebody who runs."""
        try:
            with anyio.fail_after(timeout_s):
                reply: Message = await (self._of_journal(request) if to == JOURNAL else self._of_state(to, request))
        except TimeoutError as error:
            raise DeadlinePassed(str(to), timeout_s) from error
        answer: Answer[R] = Answer(reply, Position(0), self._past.head)  # type: ignore[arg-type]  # the request's type parameter is the contract of its handler
        return answer

    def tell(self, to: Address, message: Message) -> None:
        """Nobody listens."""

    async def _of_journal(self, request: Request[R]) -> Message:  # noqa: PLR0911  # a table
        match request:
            case ReadEvents():
                return await self._past.read(request.within(MAIN_RUN))
            case SearchEvents():
                return await self._past.search(request, self._texts)
            case ReadChain():
                return await self._past.chain(request)
            case SummariseEvents():
                return await self._past.summarise(request.minutes)
            case ReadHistogram():
                return await self._past.histogram(request.buckets)
            case ReadBlob():
                return Blob(request.blob, await self._past.blob(request.blob))
            case ListCheckpoints():
                return await self._list_checkpoints()
            case ReadJournal():
                return self._journal()
            case _:
                raise _refusal(request)

    async def _of_state(self, to: Address, request: Request[R]) -> Message:
        if to == ARTIFACTS and isinstance(request, ReadArtifactContent):
            view = self._answer(to, ReadArtifact(request.artifact))
            assert isinstance(view, ArtifactView), "the contract of that query"
            return ArtifactContent(view, (await self._past.blob(view.blob)).decode())
        if to == MEMORY and isinstance(request, ListFacts | Recall):
            return self._recalled(request)
        if not isinstance(request, OF_STATES):
            raise _refusal(request)
        return self._answer(to, request)

    def _recalled(self, query: ListFacts | Recall) -> FactPage:
        actor = self._folded.actor(MEMORY)
        assert actor is not None, "there is a memory in every society"
        assert isinstance(actor.state, Facts), "that is its state"
        recollection = Recollection(actor.state)
        recollection.follow()
        now_us = self._clock.now_us()
        return recollection.recall(query, now_us) if isinstance(query, Recall) else recollection.page(query, now_us)

    def _answer(self, to: Address, query: Message) -> Message:
        actor = self._folded.actor(to)
        if actor is None:
            raise NoSuchActor(to)
        handler = actor.handlers().synchronous.get(type(query))
        if handler is None:
            raise _refusal(query)
        reply = handler(actor, query)
        assert isinstance(reply, Message), "these are answered at once"
        return reply

    async def _list_checkpoints(self) -> CheckpointPage:
        try:
            async with CheckpointStore.inspect(self._checkpoints) as store:
                return await store.page()
        except (NotFound, StorageError):  # a mirror has none, and those of a journal may be damaged: it stands alone
            return CheckpointPage(())

    def _overview(self, state: OverviewState | None) -> Overview:
        providers = tuple(provider.name for provider in self._router.providers)
        return Overview(
            state,
            providers=providers,
            budget_run_usd_micros=self._router.budget_run_usd_micros,
            budget_day_usd_micros=self._router.budget_day_usd_micros,
        )

    def _journal(self) -> JournalView:
        past = self._past
        return JournalView(
            epoch=past.epoch,
            head=past.head,
            watermark=past.head,
            oldest=past.oldest,
            buffered=0,
            size_bytes=0,
            commits=0,
            commit_p99_ms=0.0,
            watermark_age_ms=0.0,
            step=self.overview.state.step,
        )


def _refusal(request: Message) -> NotPermitted:
    return NotPermitted(f"nothing runs here, the past is only shown: {request.wire_name} needs a running society")
