"""JSON Lines out and in; tests/actors/commands/test_exchange.py does it as a command."""

import io
from hashlib import sha256
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
    assert [(one.line, one.reason) for one in imported.problems] == [(14, "position 13 is not what its hash says")]
    assert (imported.events, imported.left_out) == (12, 8)
    async with opened(tmp_path / "into") as store:
        assert (store.head, (await store.verify()).problem) == (12, "")


async def test_an_event_of_a_type_that_is_not_known_ends_an_import(tmp_path: Path) -> None:
    async with opened(tmp_path / "data") as store:
        await write(store, records(1, 20))
    content = (await _exported(tmp_path / "data")).replace(b'"system.info"', b'"system.sung"')
    imported = await _imported(content, tmp_path / "into")
    assert imported.problems[0].reason == "events of type system.sung are not known to this program"
    assert (imported.events, imported.left_out) == (5, 15)


async def test_a_gap_ends_an_import_and_a_broken_blob_does_not(tmp_path: Path) -> None:
    async with opened(tmp_path / "data") as store:
        await write(store, records(1, 20), blob(b"content"))
    lines = (await _exported(tmp_path / "data")).splitlines(keepends=True)
    del lines[10]
    lines[1] = lines[1].replace(b'"content":"', b'"content":"A')
    imported = await _imported(b"".join(lines), tmp_path / "into")
    assert (imported.events, imported.left_out, imported.blobs, imported.problems_count) == (8, 11, 0, 2)
    assert "position 10 stands where 9 should" in imported.problems[1].reason


HEAD = b'{"agora":"journal","format":1,"epoch":1,"head":0,"has_sealed":true}\n'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"no lines of ours\n", "line 1: JSON is malformed"),
        (HEAD[:30] + b"\n", "line 1: "),
        (b'{"blob":"00","content":""}\n' + HEAD, "line 1: the blob is not what its name says"),
        (b'{"blob":"%b","content":""}\n' % sha256().hexdigest().encode() + HEAD, "line 1 does not say of what"),
        (HEAD.replace(b'"format":1', b'"format":2'), "format 2 is not known"),
        (HEAD.replace(b"true", b"false"), "export it with --sealed"),
    ],
)
async def test_what_is_no_export_to_go_on_from_is_refused_before_anything_is_made(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    with pytest.raises(BadUsage, match=reason):
        await _imported(content, tmp_path / "into")
    assert not (tmp_path / "into").exists()
    assert (await _imported(HEAD, tmp_path / "into")).events == 0
