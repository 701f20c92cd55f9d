"""`agora brief`: one task per document, a progress bar while agents work, and a table of what came of it.

Each document becomes an artifact and a task that asks for its brief. The tasks' course is followed on the feed, from
the position at which the command began, so nothing that happens meanwhile is missed.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import ObjectReceiveStream, ObjectSendStream, TaskGroup
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from actors.commands import briefing, documents
from actors.commands.briefing import Course, Row
from actors.commands.connection import fields_of, joined_or_own, start_of, time_us_of
from actors.commands.console import ExitCode, Shell
from bus.errors import AgoraError
from bus.messages.base import TaskId
from web.client import AgoraClient
from web.live_feed import LiveFeed
from web.wire import WireEvent

HEARD_MAX = 100
"""Events between the feed and who follows it; a feed that is not read holds the server's back, no more."""
POSTING_MAX = 8
"""Documents that are read and posted at once."""
MONEY_PATIENCE_S = 3.0
"""How long nothing may happen, once agents wait for money, before the rest is left."""
DOCUMENT_WIDTH = 28

Advance = Callable[[Row], None]
"""Told of each document that is done."""


async def brief(shell: Shell, paths: Sequence[Path], *, reward_msat: int, sentences: int) -> ExitCode:
    """Brief all documents that the paths name.

    Raises:
        BadUsage: there is no document.
        AgoraError: the society could not be reached.
    """
    found = await anyio.to_thread.run_sync(documents.found, tuple(paths))
    course = Course(found)
    started_s = time.monotonic()
    async with joined_or_own(shell) as agora:
        with _progress(shell, len(found)) as advance:
            one = _Brief(agora, course, advance, reward_msat=reward_msat, sentences=sentences)
            await one.run()
        await _fetch_briefs(agora, course.rows)
    _report(shell, course, time.monotonic() - started_s)
    return ExitCode.FAILED if any(row.has_failed for row in course.rows) else ExitCode.DONE


class _Brief:
    """One run of the command."""

    def __init__(
        self, agora: AgoraClient, course: Course, advance: Advance, *, reward_msat: int, sentences: int
    ) -> None:
        self._agora = agora
        self._course = course
        self._advance = advance
        self._reward_msat = reward_msat
        self._sentences = sentences
        self._run = secrets.token_hex(8)
        self._limit = anyio.CapacityLimiter(POSTING_MAX)
        self._posting = len(course.rows)

    async def run(self) -> None:
        """Post all, and follow until all is done or waits for money."""
        feed = self._agora.feed(briefing.TOPICS, after=await start_of(self._agora))
        # A stream between them: the wait for an event can be given up without breaking the feed.
        heard, received = anyio.create_memory_object_stream[WireEvent](HEARD_MAX)
        async with heard, received, anyio.create_task_group() as tasks:
            tasks.start_soon(_listen, feed, heard)
            tasks.start_soon(self._follow, received, tasks)
            for index in range(len(self._course.rows)):
                tasks.start_soon(self._post, index, tasks)

    async def _post(self, index: int, tasks: TaskGroup) -> None:
        row = self._course.rows[index]
        async with self._limit:
            document = await anyio.to_thread.run_sync(documents.read, Path(row.path))
            self._course.read(index, document)
            if document.problem:
                self._advance(row)
            else:
                await self._post_task(index, document)
        self._posting -= 1
        if self._is_over:
            tasks.cancel_scope.cancel()

    async def _post_task(self, index: int, document: documents.Document) -> None:
        key = f"brief/{self._run}/{index}"
        try:
            artifact = await self._agora.write_artifact(
                document.name, document.text, media_type=document.media_type, key=key
            )
            spec = briefing.spec_of(
                document, artifact.artifact, sentences=self._sentences, reward_msat=self._reward_msat
            )
            posted_us = time.time_ns() // 1_000
            accepted = await self._agora.create_task(spec, key=key)
        except AgoraError as error:
            self._course.refuse(index, str(error))
            self._advance(self._course.rows[index])
            return
        if (ended := self._course.post(index, TaskId(accepted.task), posted_us)) is not None:
            self._advance(ended)

    async def _follow(self, feed: ObjectReceiveStream[WireEvent], tasks: TaskGroup) -> None:
        while not self._is_over:
            with anyio.move_on_after(MONEY_PATIENCE_S) as silence:
                heard = await feed.receive()
                ended = self._course.hear(heard.type, fields_of(heard), time_us_of(heard))
                if ended is not None:
                    self._advance(ended)
            if silence.cancelled_caught and self._course.waits_for_money and not self._posting:
                self._course.leave_the_rest()
        tasks.cancel_scope.cancel()

    @property
    def _is_over(self) -> bool:
        return not self._posting and self._course.is_over


async def _listen(feed: LiveFeed, heard: ObjectSendStream[WireEvent]) -> None:
    async with aclosing(aiter(feed)) as events:
        async for event in events:
            await heard.send(event)


async def _fetch_briefs(agora: AgoraClient, rows: Sequence[Row]) -> None:
    limit = anyio.CapacityLimiter(POSTING_MAX)

    async def fetch(row: Row) -> None:
        async with limit:
            try:
                row.brief = await agora.artifact_text(row.artifact)
            except AgoraError as error:
                row.problem = f"the brief could not be read: {error}"

    async with anyio.create_task_group() as tasks:
        for row in rows:
            if row.artifact:
                tasks.start_soon(fetch, row)


@contextmanager
def _progress(shell: Shell, total: int) -> Iterator[Advance]:
    """A bar on stderr while the block runs, where somebody looks at it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=shell.err, transient=True, disable=not shell.err.is_terminal) as progress:
        bar = progress.add_task("Briefing", total=total)

        def advance(row: Row) -> None:
            progress.update(bar, advance=1, description=f"Briefing: {row.document[:40]}")

        yield advance


def _report(shell: Shell, course: Course, seconds: float) -> None:
    rows = course.rows
    failed = sum(row.has_failed for row in rows)
    paid_msat = sum(row.price_msat for row in rows)
    if shell.is_json:
        summary = {"documents": rows, "briefed": len(rows) - failed, "failed": failed}
        shell.print_json(summary | {"paid_msat": paid_msat, "seconds": round(seconds, 3)})
    else:
        table = Table(show_lines=True, expand=True)
        table.add_column("document", overflow="fold", max_width=DOCUMENT_WIDTH)
        table.add_column("brief", overflow="fold", ratio=1)
        for name in ("agent", "provider", "price", "time"):
            table.add_column(name, no_wrap=True)
        for row in rows:
            table.add_row(*(escape(cell) for cell in _cells(row)))
        shell.print_table(table)
        shell.say(f"{len(rows) - failed} briefed, {failed} not, {paid_msat} msat paid, {seconds:.1f} s")
    if any(row.state == "waiting" for row in rows):
        shell.err.print(
            "The budget is spent: no new call was made. Raise router.budget_run_usd_micros; the same tasks go on.",
            markup=False,
        )


def _cells(row: Row) -> tuple[str, ...]:
    if row.has_failed:
        return row.document, row.problem, row.agent, row.provider, "", ""
    return row.document, row.brief, row.agent, row.provider, f"{row.price_msat} msat", f"{row.seconds:.2f} s"
