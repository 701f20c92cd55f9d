"""The artifacts' shell, on a journal in memory, with a scripted journal actor behind it."""

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, TypeVar

import pytest

from actors.artifacts import READS_MAX, Artifacts, ArtifactsOptions
from actors.runtime import Actor, ActorSystem, ChildSpec, Deferred
from actors.runtime.simulation import MemoryJournal
from bus.errors import DeadlinePassed, StorageError
from bus.messages.artifacts import (
    ARTIFACTS,
    ArtifactView,
    ListArtifacts,
    ReadArtifact,
    ReadArtifactContent,
    WriteArtifact,
)
from bus.messages.base import ArtifactId, Message, Request
from bus.messages.system import JOURNAL, Blob, ReadBlob
from bus.refusals import IdempotencyConflict, InvalidField, NotFound, Overloaded

R = TypeVar("R", bound=Message)


class ScriptedJournal(Actor):
    """Reads blobs from the memory journal; silent or damaged when told to be."""

    def __init__(self, shelf: "Shelf") -> None:
        self._shelf = shelf
        self._silent: list[Deferred[Blob]] = []

    def on_read_blob(self, query: ReadBlob) -> Blob | None:
        self._shelf.reads += 1
        if self._shelf.is_silent:
            self._silent.append(self.defer())
            return None
        content = self._shelf.journal.blobs.get(query.blob)
        if content is None:
            raise NotFound("blob", query.blob)
        return Blob(query.blob, b"something else" if self._shelf.is_damaged else content)


class Shelf:
    """Open it with `async with`; a second one on the same journal is a restart."""

    def __init__(self, journal: MemoryJournal | None = None, read_timeout_s: float = 5.0) -> None:
        self.journal = journal or MemoryJournal()
        self.is_silent = False
        self.is_damaged = False
        self.reads = 0
        self._options = ArtifactsOptions(read_timeout_s=read_timeout_s)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._system = await self._stack.enter_async_context(ActorSystem(log=self.journal.log, history=self.journal))
        await self._system.start(
            ChildSpec(JOURNAL, lambda: ScriptedJournal(self)),
            ChildSpec(ARTIFACTS, lambda: Artifacts(self._options)),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def ask(self, request: Request[R]) -> R:
        return await self._system.ask(ARTIFACTS, request)

    async def write(self, text: str, key: str = "") -> ArtifactView:
        return await self.ask(WriteArtifact("brief of anyio", text, idempotency_key=key))

    async def read(self, artifact: ArtifactId) -> str:
        return (await self.ask(ReadArtifactContent(artifact))).text


async def test_what_was_written_is_read_back() -> None:
    async with Shelf() as shelf:
        view = await shelf.write("Größe, <b>bold</b> and 🙂")
        assert await shelf.read(view.artifact) == "Größe, <b>bold</b> and 🙂"
        assert await shelf.ask(ReadArtifact(view.artifact)) == view


async def test_an_empty_text_can_be_written_and_read() -> None:
    async with Shelf() as shelf:
        assert await shelf.read((await shelf.write("")).artifact) == ""


async def test_artifacts_survive_a_restart() -> None:
    async with Shelf() as shelf:
        view = await shelf.write("It is good.", "k")
    async with Shelf(shelf.journal) as again:
        assert await again.read(view.artifact) == "It is good."
        assert await again.write("It is good.", "k") == view


async def test_a_repeated_key_gives_the_same_artifact_and_another_text_is_a_conflict() -> None:
    async with Shelf() as shelf:
        view = await shelf.write("It is good.", "k")
        assert await shelf.write("It is good.", "k") == view
        with pytest.raises(IdempotencyConflict):
            await shelf.write("It is bad.", "k")
        assert len(shelf.journal.stored) == 1


async def test_the_content_is_a_blob_and_not_in_the_event() -> None:
    async with Shelf() as shelf:
        view = await shelf.write("x" * 100_000)
        assert shelf.journal.blobs[view.blob] == b"x" * 100_000
        assert len(shelf.journal.stored[0].data) < 1_000


async def test_artifacts_are_listed_newest_first() -> None:
    async with Shelf() as shelf:
        await shelf.write("one")
        await shelf.write("two")
        page = await shelf.ask(ListArtifacts())
        assert [view.artifact for view in page.artifacts] == ["a-2", "a-1"]


async def test_refused_texts_leave_no_trace() -> None:
    async with Shelf() as shelf:
        with pytest.raises(InvalidField, match="text"):
            await shelf.write("\ud800")
        with pytest.raises(InvalidField, match="name"):
            await shelf.ask(WriteArtifact(" ", "text"))
        assert shelf.journal.stored == []


async def test_an_artifact_that_nobody_wrote_is_not_found() -> None:
    async with Shelf() as shelf:
        for query in (ReadArtifact(ArtifactId("a-7")), ReadArtifactContent(ArtifactId("a-7"))):
            with pytest.raises(NotFound, match="no artifact is called 'a-7'"):
                await shelf.ask(query)


async def test_a_content_that_is_not_what_was_written_is_an_error_and_never_shown() -> None:
    async with Shelf() as shelf:
        view = await shelf.write("It is good.")
        shelf.is_damaged = True
        with pytest.raises(StorageError, match="is not what was written"):
            await shelf.read(view.artifact)


async def test_a_content_that_is_gone_is_not_found() -> None:
    async with Shelf() as shelf:
        view = await shelf.write("It is good.")
        del shelf.journal.blobs[view.blob]
        with pytest.raises(NotFound, match="no blob is called"):
            await shelf.read(view.artifact)


async def test_a_journal_that_does_not_answer_is_given_up_on() -> None:
    async with Shelf(read_timeout_s=0.5) as shelf:
        view = await shelf.write("It is good.")
        shelf.is_silent = True
        with pytest.raises(DeadlinePassed, match="journal"):
            await shelf.read(view.artifact)
        shelf.is_silent = False
        assert await shelf.read(view.artifact) == "It is good."


async def test_reads_beyond_the_bound_are_refused_with_a_time_to_come_back() -> None:
    async with Shelf(read_timeout_s=0.5) as shelf:
        view = await shelf.write("It is good.")
        shelf.is_silent = True
        refusals: list[type[Exception]] = []

        async def read() -> None:
            try:
                await shelf.read(view.artifact)
            except (Overloaded, DeadlinePassed) as error:
                refusals.append(type(error))

        async with asyncio.TaskGroup() as group:
            for _ in range(READS_MAX + 3):
                group.create_task(read())
        assert refusals.count(Overloaded) == 3
        assert refusals.count(DeadlinePassed) == READS_MAX
