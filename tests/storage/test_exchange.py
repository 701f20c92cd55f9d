"""JSON Lines out and in; tests/actors/commands/test_exchange.py does it as a command."""

import io
from pathlib import Path

import pytest

from bus.clock import VirtualClock
from bus.errors import BadUsage
from storage.exchange import Imported, export_lines, import_lines
from storage.past import Past
from tests.storage.support import CATALOGUE, blob, everything, opened, records, write


def _nobody_looks(done: int, of: int) -> None:
    """No bar."""


async def _exported(data: Path) -> bytes:
    file = io.BytesIO()
    async with Past.inspect(data, CATALOGUE, VirtualClock()) as past:
        assert await export_lines(past, file, has_sealed=True, progress=_nobody_looks) == past.head
    return file.getvalue()


async def _imported(content: bytes, into: Path) -> Imported:
    return await import_lines(
        io.BytesIO(content),
        into,
        checkpoints=into / "checkpoints",
        catalogue=CATALOGUE,
        clock=VirtualClock(),
        progress=_nobody_looks,
    )


async def test_what_went_out_comes_in_as_a_new_epoch(tmp_path: Path) -> None:
    async with opened(tmp_path / "data") as store:
        await write(store, records(1, 1_200), blob(b"content"))
        before = await everything(store)
    imported = await _imported(await _exported(tmp_path / "data"), tmp_path / "into")
    assert imported == Imported(1_200, 1, 0, (), 0)
    async with opened(tmp_path / "into") as store:
        assert await everything(store) == before
        assert store.epoch == 2
        assert (await store.verify()).problem == ""


async def test_an_event_that_was_changed_is_told(tmp_path: Path) -> None:
    async with opened(tmp_path / "data") as store:
        await write(store, records(1, 20))
    content = (await _exported(tmp_path / "data")).replace(b"number 13", b"number 14")
    imported = await _imported(content, tmp_path / "into")
    assert imported.problems[0].line == 14
    assert "position 13 is not what its hash says" in imported.problems[0].reason


async def test_a_gap_ends_an_import_and_a_broken_blob_does_not(tmp_path: Path) -> None:
    async with opened(tmp_path / "data") as store:
        await write(store, records(1, 20), blob(b"content"))
    lines = (await _exported(tmp_path / "data")).splitlines(keepends=True)
    del lines[10]
    lines[1] = lines[1].replace(b'"content":"', b'"content":"A')
    imported = await _imported(b"".join(lines), tmp_path / "into")
    assert (imported.events, imported.left_out, imported.blobs, imported.problems_count) == (8, 11, 0, 2)
    assert "position 10 stands where 9 should" in imported.problems[1].reason


async def test_lines_of_a_newer_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match="format 2 is not known"):
        await _imported(b'{"agora":"journal","format":2,"epoch":1,"head":0,"has_sealed":true}\n', tmp_path / "into")
