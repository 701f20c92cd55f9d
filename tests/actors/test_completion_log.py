"""The completion log over a real file, fed by a real router."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from actors.completion_log import DAY_US, PRUNE_S, CompletionLog, CompletionLogOptions, PruneDue, Store
from actors.providers.settings import RouterOptions
from actors.purse import Neighbours
from actors.rules.redaction import MARK, Redactor
from actors.runtime import ActorSystem, ChildSpec
from actors.runtime.simulation import MemoryJournal
from actors.runtime.virtual_time import Simulation, simulate
from bus.clock import VirtualClock
from bus.errors import StorageError
from bus.messages.base import AgentId, CompletionId, Microseconds, RunId, TaskId
from bus.messages.completions import ROUTER, StreamCompletion
from bus.messages.system import SystemWarning
from bus.messages.transcripts import (
    COMPLETION_LOG,
    ListTranscripts,
    ReadTranscript,
    Transcript,
    TranscriptPage,
    TranscriptRow,
)
from bus.refusals import InvalidField, NotFound, RequestRejected
from storage.transcripts import TranscriptStore
from tests.support.fault_server import TEXT, FaultServer, Sickness
from tests.support.routing import FIRST, Routing, behind, request, routing

KEY = "a-very-secret-key-of-mine"
LOGGED = Neighbours(log=COMPLETION_LOG)
M1 = CompletionId("m-1")


@asynccontextmanager
async def logging(
    server: FaultServer,
    store: Store,
    options: CompletionLogOptions | None = None,
    *,
    clock: VirtualClock | None = None,
    router: RouterOptions | None = None,
) -> AsyncIterator[Routing]:
    redactor = Redactor((), (), (KEY,))
    log = ChildSpec(
        COMPLETION_LOG, lambda: CompletionLog(store, options or CompletionLogOptions(), redactor, RunId("main"))
    )
    providers = behind(server.url), behind(server.url, "second")
    async with routing(*providers, neighbours=LOGGED, others=[log], clock=clock, options=router) as running:
        yield running


async def read(router: Routing, completion: CompletionId = M1) -> Transcript:
    return await router.system.ask(COMPLETION_LOG, ReadTranscript(completion))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def listed(router: Routing, **wish: str) -> TranscriptPage:
    return await router.system.ask(COMPLETION_LOG, msgspec.structs.replace(ListTranscripts(), **wish))


async def test_a_completion_is_kept_with_its_prompt_its_attempts_and_its_answer(tmp_path: Path) -> None:
    async with FaultServer(Sickness.SERVER_ERROR) as server, TranscriptStore.open(tmp_path) as store:
        server.text = f"My key is {KEY}."
        async with logging(server, store) as router:
            asked = asyncio.create_task(router.system.ask(ROUTER, request(f"Use {KEY}.")))
            await server.called(1)
            server.sickness = Sickness.HEALTHY
            answer = await asked
            transcript = await read(router)
            assert transcript.request is not None
            assert transcript.request.messages[0].content == f"Use {MARK}."
            assert (transcript.ending, transcript.provider, transcript.run) == ("answered", answer.provider, "main")
            first, last = transcript.attempts[0], transcript.attempts[-1]
            assert (first.provider, first.outcome, first.answer) == (FIRST, "server", None)
            assert last.answer is not None
            assert (last.outcome, last.answer["text"]) == ("ok", f"My key is {MARK}.")
            assert first.ended_s <= last.began_s <= last.ended_s <= transcript.elapsed_s
            (summary,) = (await listed(router)).transcripts
            assert (summary.completion, summary.attempts) == (M1, len(transcript.attempts))
            assert await read(router) == transcript
        assert KEY.encode() not in (await store.read(M1) or b"")


async def test_a_streamed_attempt_tells_when_its_first_words_came(tmp_path: Path) -> None:
    async with FaultServer() as server, TranscriptStore.open(tmp_path) as store, logging(server, store) as router:
        await router.stream(request())
        (attempt,) = (await read(router)).attempts
        assert attempt.first_s is not None
        assert attempt.began_s <= attempt.first_s <= attempt.ended_s


async def test_a_stream_that_is_cancelled_is_kept_as_such(tmp_path: Path) -> None:
    quick = RouterOptions(reader_gone_s=0.5)
    async with (
        FaultServer(Sickness.HANGS) as server,
        TranscriptStore.open(tmp_path) as store,
        logging(server, store, router=quick) as router,
    ):
        await router.system.ask(ROUTER, StreamCompletion(request()))
        await server.called(1)
        await server.all_closed()
        transcript = await read(router)
        assert (transcript.ending, [one.outcome for one in transcript.attempts]) == ("cancelled", ["cancelled"])


async def test_what_waits_for_the_disk_is_written_before_the_end(tmp_path: Path) -> None:
    async with FaultServer() as server, TranscriptStore.open(tmp_path) as store:
        async with logging(server, store) as router:
            for _ in range(3):
                await router.complete()
        assert [await store.read(f"m-{number}") is not None for number in (1, 2, 3)] == [True] * 3


async def test_summaries_are_found_by_agent_and_a_page_has_a_bound(tmp_path: Path) -> None:
    async with FaultServer() as server, TranscriptStore.open(tmp_path) as store, logging(server, store) as router:
        for agent in ("scout", "editor", "scout"):
            await router.complete(agent=agent)
        assert [one.agent for one in (await listed(router, agent="scout")).transcripts] == [AgentId("scout")] * 2
        with pytest.raises(InvalidField, match="limit"):
            await router.system.ask(COMPLETION_LOG, ListTranscripts(limit=0))
        with pytest.raises(NotFound, match="m-9"):
            await read(router, CompletionId("m-9"))


async def test_a_summary_that_is_damaged_is_said_and_the_log_goes_on(tmp_path: Path) -> None:
    async with FaultServer() as server, TranscriptStore.open(tmp_path) as store, logging(server, store) as router:
        await store.add([TranscriptRow(CompletionId("m-0"), 1, AgentId("gone"), TaskId(""), b"{torn", b"")])
        with pytest.raises(StorageError, match="summary cannot be read"):
            await listed(router, agent="gone")
        await router.complete(agent="scout")
        assert len((await listed(router, agent="scout")).transcripts) == 1


async def test_where_the_log_is_off_nothing_is_kept(tmp_path: Path) -> None:
    async with FaultServer() as server, TranscriptStore.open(tmp_path) as store:
        options = CompletionLogOptions(keeps="off")
        async with logging(server, store, options, router=RouterOptions(log="off")) as router:
            await router.complete()
            assert await listed(router) == TranscriptPage((), "off", 0)


async def test_readable_files_stand_by_run_agent_and_day_and_go_with_the_days(tmp_path: Path) -> None:
    clock = VirtualClock()
    options = CompletionLogOptions(directory=str(tmp_path / "read"), days=2.0)
    async with (
        FaultServer() as server,
        TranscriptStore.open(tmp_path) as store,
        logging(server, store, options, clock=clock) as router,
    ):
        await router.complete()
        await listed(router)
        (file,) = (tmp_path / "read" / "main" / "scout").glob("*.md")
        assert TEXT in file.read_text(encoding="utf-8")
        clock.advance(4 * DAY_US / 1e6)
        router.system.tell(COMPLETION_LOG, PruneDue())
        async with asyncio.timeout(30.0):
            while file.exists():  # noqa: ASYNC110  # turns of the loop
                await asyncio.sleep(0)
        with pytest.raises(NotFound):
            await read(router)


async def test_no_file_on_the_disk_holds_a_secret_or_a_word_of_a_local_request(tmp_path: Path) -> None:
    options = CompletionLogOptions(directory=str(tmp_path / "read"))
    asked = request(f"The key is {KEY}. Now go on.")
    local = msgspec.structs.replace(request("The blue heron sits on pier nine."), privacy="local")
    async with FaultServer() as server:
        server.text = f"I have read {KEY} as well."
        async with TranscriptStore.open(tmp_path) as store, logging(server, store, options) as router:
            for one in (asked, local):
                await router.system.ask(ROUTER, one)
                await router.stream(one)
            server.sickness, server.words = Sickness.BAD_REQUEST, f"not with {KEY}"
            with pytest.raises(RequestRejected):
                await router.complete()
            assert (await listed(router)).missed == 0
    written = contents(tmp_path)
    assert [path for path, content in written.items() if KEY.encode() in content or b"blue heron" in content] == []
    (page,) = (content.decode() for path, content in written.items() if path.suffix == ".md")
    assert page.count(MARK) == 6
    assert page.count("The words are not kept: it was marked local") == 2


class Full:
    """A store on a full disk."""

    async def add(self, rows: Sequence[TranscriptRow]) -> None:
        raise StorageError("the disk is full")

    async def read(self, completion: str) -> bytes | None:
        return b"{"

    async def page(self, agent: str, task: str, before_us: Microseconds, limit: int) -> list[bytes]:
        return []

    async def prune(self, before_us: Microseconds, bytes_max: int) -> int:
        raise StorageError("the disk is full")


async def test_what_the_disk_does_not_take_is_counted_and_told_once_and_costs_no_completion() -> None:
    async with FaultServer() as server, logging(server, Full()) as router:
        for _ in range(3):
            assert (await router.complete()).text == TEXT
        assert (await listed(router)).missed == 3
        assert len(router.events(SystemWarning)) == 1
        with pytest.raises(StorageError, match="cannot be read"):
            await read(router)


class Aging(Full):
    """A store that notes before when it is asked to forget."""

    def __init__(self) -> None:
        self.asked: list[Microseconds] = []

    async def prune(self, before_us: Microseconds, bytes_max: int) -> int:
        self.asked.append(before_us)
        return 0


def test_what_is_too_old_is_looked_for_again_and_again() -> None:
    store = simulate(1, _grown_old)
    assert len(store.asked) == 3
    assert [later - before for before, later in pairwise(store.asked)] == [int(PRUNE_S * 1e6)] * 2


async def _grown_old(simulation: Simulation) -> Aging:
    store, journal = Aging(), MemoryJournal(clock=simulation.clock)
    async with ActorSystem(log=journal.log, history=journal, clock=simulation.clock, dice=simulation.dice) as system:
        log = CompletionLog(store, CompletionLogOptions(days=2.0), Redactor((), (), ()), RunId("main"))
        await system.start(ChildSpec(COMPLETION_LOG, lambda: log))
        await simulation.pass_time(2.5 * PRUNE_S)
    return store
