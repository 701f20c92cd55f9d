"""What an export of a pruned journal begins with; tests/acceptance/test_pruned.py does it with a society."""

import io
from pathlib import Path

import pytest

from bus.address import Address
from bus.clock import VirtualClock
from bus.errors import BadUsage, StorageError
from bus.messages.base import Position
from storage.checkpoints import CheckpointStore
from storage.errors import CorruptCheckpoint, PastPruned
from storage.exchange import Imported, export_lines, import_lines
from storage.forks import standing_for
from storage.manifests import ActorState
from storage.past import Past
from tests.storage.support import CATALOGUE, everything, opened
from tests.storage.test_beginnings import pruned
from tests.storage.writer import description

LEDGER = Address("ledger")
STATE = b'{"accounts":[1,2,3]}'


def _nobody_looks(done: int, of: int) -> None:
    """No bar."""


async def _exported(data: Path, *, has_sealed: bool = True) -> list[bytes]:
    """The lines of a journal whose beginning was pruned."""
    await pruned(data)
    async with CheckpointStore.open(data / "checkpoints") as store:
        state = ActorState.of(Position(60), Position(7), STATE)
        await store.save(description("before it all"), {LEDGER: state}, keep=())
    file = io.BytesIO()
    async with Past.inspect(data, CATALOGUE, VirtualClock()) as past:
        standing = await standing_for(past, data / "checkpoints", past.head) if has_sealed else None
        await export_lines(past, file, has_sealed=has_sealed, progress=_nobody_looks, standing=standing)
    return file.getvalue().splitlines(keepends=True)


async def _imported(lines: list[bytes], into: Path) -> Imported:
    return await import_lines(
        io.BytesIO(b"".join(lines)),
        into,
        checkpoints=into / "checkpoints",
        catalogue=CATALOGUE,
        clock=VirtualClock(),
        progress=_nobody_looks,
    )


async def test_the_rows_and_the_checkpoint_come_over_and_the_journal_goes_on_from_there(tmp_path: Path) -> None:
    imported = await _imported(await _exported(tmp_path / "data"), tmp_path / "into")
    assert imported.problems == ()
    async with opened(tmp_path / "data") as old, opened(tmp_path / "into") as new:
        assert await everything(new) == await everything(old)
        assert imported.events == len(await everything(old))
        assert (new.head, new.layout.pruned_to, new.epoch) == (90, 40, 2)
        assert (await new.verify()).problem == ""
        async with CheckpointStore.open(tmp_path / "into" / "checkpoints") as store:
            found = await store.load_newest(new.holds)
    assert found is not None
    assert (found.view.label, found.view.position, found.actors[LEDGER].state) == ("before it all", 60, STATE)
    assert found.actors[LEDGER].cursor == 7


async def test_whatever_does_not_prove_itself_is_refused(tmp_path: Path) -> None:
    lines = await _exported(tmp_path / "data")
    state = next(number for number, line in enumerate(lines) if line.startswith(b'{"agora":"state"'))
    kept = next(number for number, line in enumerate(lines) if line.startswith(b'{"position":'))
    changes: list[tuple[int, bytes, type[Exception], str]] = [
        (state, lines[state].replace(b"[1,2,3]", b"[1,2,4]"), CorruptCheckpoint, "the hash in the export"),
        (state, b"", CorruptCheckpoint, "the hash in the export"),
        (kept, lines[kept].replace(b'"time_us":1', b'"time_us":2'), StorageError, "is not what its hash says"),
        (kept, b"", StorageError, "is not what its hash says"),
    ]
    for number, (at, line, error, words) in enumerate(changes):
        with pytest.raises(error, match=words):
            await _imported([*lines[:at], line, *lines[at + 1 :]], tmp_path / f"into-{number}")
    last = max(number for number in range(state) if lines[number].startswith(b'{"position":'))
    with pytest.raises(StorageError, match="kept events are missing before position 41"):
        await _imported([*lines[:last], *lines[last + 1 :]], tmp_path / "into-last")
    with pytest.raises(PastPruned):
        await _imported(lines[: state + 5], tmp_path / "into-short")


async def test_an_export_without_the_states_is_not_imported(tmp_path: Path) -> None:
    lines = await _exported(tmp_path / "data", has_sealed=False)
    with pytest.raises(BadUsage, match="--sealed"):
        await _imported(lines, tmp_path / "into")


async def test_what_comes_too_late_ends_the_import(tmp_path: Path) -> None:
    lines = await _exported(tmp_path / "data")
    imported = await _imported([*lines[:-5], lines[1], *lines[-5:]], tmp_path / "into")
    assert imported.left_out == 5
    assert "it stands too late" in imported.problems[0].reason
