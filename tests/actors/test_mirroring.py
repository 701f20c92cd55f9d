"""The mirror of a running journal; tests/storage/test_mirror.py tests the file itself."""

import asyncio
from pathlib import Path

import msgspec

from actors.mirroring import keep_mirror
from actors.runtime import Actor, ActorSystem, ChildSpec, GroupCommitLog
from actors.runtime.simulation import MemoryJournal
from bus.address import Address
from bus.clock import SystemClock
from bus.messages.system import JOURNAL, EventPage, ReadEvents, ReadJournal
from storage.errors import DatabaseFailed
from storage.events import EventStore
from tests.actors.test_journal import OFF, TIMEOUT_S, running
from tests.storage.support import opened, records, write


async def test_every_committed_event_is_a_line_of_the_mirror(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror.jsonl"
    options = msgspec.structs.replace(OFF, mirror=str(mirror))
    for count in (20, 40):
        async with running(tmp_path, options) as run:
            await run.steps(20)
            async with asyncio.timeout(TIMEOUT_S):
                while len(await asyncio.to_thread(_lines, mirror)) < count + 1:
                    await run.system.ask(JOURNAL, ReadJournal())
    lines = await asyncio.to_thread(_lines, mirror)
    positions = [msgspec.json.decode(line, type=dict[str, object]).get("position") for line in lines[1:]]
    assert positions == list(range(1, 41))


async def test_a_mirror_that_cannot_be_written_is_a_warning_event(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    options = msgspec.structs.replace(OFF, mirror=str(tmp_path / "file" / "mirror.jsonl"))
    async with running(tmp_path / "data", options) as run:
        (warning,) = await run.committed.first("system.warning")
        assert b"cannot be written" in warning.data


class Shaky(EventStore):
    """A journal that cannot be read twice, and then can."""

    def __init__(self, events: EventStore) -> None:
        vars(self).update(vars(events))
        self.failures = 2

    async def read(self, query: ReadEvents) -> EventPage:
        if self.failures:
            self.failures -= 1
            raise DatabaseFailed(self.path, "disk I/O error")
        return await super().read(query)


class Mirrored(Actor):
    """Keeps a mirror, and nothing else."""

    def __init__(self, path: Path, events: EventStore, log: GroupCommitLog, warnings: list[str]) -> None:
        self._path, self._events, self._log, self._warnings = path, events, log, warnings

    async def on_start(self) -> None:
        warn = self._warnings.append
        self.perform(keep_mirror, self._path, events=self._events, log=self._log, warn=warn, retry_s=0.001)


async def test_a_journal_that_cannot_be_read_for_a_moment_is_told_once_and_the_mirror_goes_on(tmp_path: Path) -> None:
    mirror, clock = tmp_path / "mirror.jsonl", SystemClock()
    warnings: list[str] = []
    async with opened(tmp_path, clock) as store:
        await write(store, records(1, 30))
        log = GroupCommitLog(store, head=store.head, epoch=store.epoch, clock=clock)
        async with ActorSystem(log=log, history=MemoryJournal(), clock=clock) as system:
            await system.start(ChildSpec(Address("mirrored"), lambda: Mirrored(mirror, Shaky(store), log, warnings)))
            async with asyncio.timeout(TIMEOUT_S):
                while len(await asyncio.to_thread(_lines, mirror)) < 31:
                    pass
    assert len(warnings) == 1
    assert "disk I/O error; it is tried again" in warnings[0]


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []
