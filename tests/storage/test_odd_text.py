"""Text that people do not type and machines send: it comes out of everything as it went in, and is found."""

import io
from pathlib import Path

import pytest

from bus.clock import VirtualClock
from bus.envelope import StoredEvent
from bus.messages.base import Event, Position, TaskId
from bus.messages.system import SearchEvents, SystemInfo
from bus.messages.tasks import TaskCancelled
from storage.exchange import export_lines, import_lines
from storage.jsonlines import event_line
from storage.mirror import Mirror
from storage.past import Past
from tests.storage.support import CATALOGUE, everything, opened, record, write

ODD = (
    "\x00begins with nothing",
    "nothing\x00in the middle\x00",
    "a backslash before u0000: \\u0000 and \\\x00",
    "\x01\x1f\x7f\x80\x9f control",
    "\u2028 line \u2029 paragraph \x85 next\r\n\r end",
    "\u202e right to left \u202c \u200b\u200d\ufeff",
    "cafe\u0301s \ufb01nd \u1112\u1161\u11ab",
    "\ufffe\uffff \U0001fffe \U0010ffff",
    "👩‍👩‍👧‍👦 " * 900,
    '"quoted" {"~k":1} \\"',
    "\u0001" * 5_000,
    "中" * 10_000,
)


def _said(position: int, text: str) -> Event:
    """Public text, or a person's."""
    return SystemInfo(text) if position % 2 else TaskCancelled(TaskId("t-1"), text)


@pytest.mark.parametrize("first", [1, 2])
async def test_odd_text_comes_out_as_it_went_in_after_an_export_and_an_import_too(tmp_path: Path, first: int) -> None:
    events = [record(position, _said(position + first, text)) for position, text in enumerate(ODD, 1)]
    async with opened(tmp_path / "data") as store:
        stored = await write(store, events)
        assert await everything(store) == events
    file = io.BytesIO()
    async with Past.inspect(tmp_path / "data", CATALOGUE, VirtualClock()) as past:
        await export_lines(past, file, has_sealed=True, progress=lambda done, of: None)
    file.seek(0)
    into = tmp_path / "into"
    imported = await import_lines(
        file, into, checkpoints=into, catalogue=CATALOGUE, clock=VirtualClock(), progress=lambda done, of: None
    )
    assert (imported.events, imported.problems) == (len(ODD), ())
    async with opened(into) as store:
        assert await everything(store) == events
        assert (await store.verify()).problem == ""
    assert all(event_line(event, has_sealed=False, key=None).count(b"\n") == 1 for event in stored)


def test_a_mirror_is_taken_up_after_any_text(tmp_path: Path) -> None:
    path = tmp_path / "mirror.jsonl"
    for position, text in enumerate(ODD, 1):
        stored = StoredEvent(*CATALOGUE.encode_record(record(position, SystemInfo(text))), bytes(32))
        with Mirror(path, 1, Position(position)) as mirror:
            assert mirror.position == position - 1
            mirror.append([stored])
    assert path.read_bytes().count(b"\n") == len(ODD) + 1


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("before\x00after \x00 last", "before"),
        ("before\x00after \x00 last", "after"),
        ("before\x00after \x00 last", "last"),
        ("cafe\u0301s", "cafés"),
        ("cafés", "cafe\u0301s"),
        ("cafe\u0301s", "cafe\u0301s"),
        ("cafés", "cafes"),
    ],
)
@pytest.mark.parametrize("is_personal", [False, True])
async def test_odd_text_is_found(tmp_path: Path, text: str, wanted: str, *, is_personal: bool) -> None:
    async with opened(tmp_path) as store:
        await write(store, [record(1, TaskCancelled(TaskId("t-1"), text) if is_personal else SystemInfo(text))])
        assert [event.position for event in (await store.search(SearchEvents(wanted))).events] == [1]
