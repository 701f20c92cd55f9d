"""A data directory that its owner has made read-only, as one does with what is kept: it can be looked at and proved."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from bus.clock import VirtualClock
from bus.messages.base import Position
from bus.messages.system import ReadEvents, SearchEvents
from storage.errors import DirectoryNotWritable
from storage.integrity import verify
from storage.past import Past
from tests.storage.support import CATALOGUE, blob, opened, records, write

NOBODY = 65_534


@contextmanager
def _owned() -> Iterator[Path]:
    """A directory of the user who goes on: not the one to whom modes mean nothing."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(TemporaryDirectory()))
        if os.geteuid() == 0:
            os.chown(place, NOBODY, NOBODY)
            os.seteuid(NOBODY)
            stack.callback(os.seteuid, 0)
        yield place / "data"


def _set_modes(data: Path, *, is_writable: bool) -> None:
    for directory in (data, data / "segments"):
        directory.chmod(0o700 if is_writable else 0o500)
    for file in data.rglob("*.sqlite"):
        file.chmod(0o600 if is_writable else 0o400)


async def test_what_nobody_can_change_any_more_is_proved_read_and_searched_and_not_served() -> None:
    with _owned() as data, TemporaryDirectory() as texts:
        async with opened(data, segment_events=100) as store:
            for _ in range(5):
                await write(store, records(store.head + 1, 50), blob(b"content"))
        _set_modes(data, is_writable=False)
        try:
            found = await verify(data, CATALOGUE)
            assert (found.events, found.problem) == (250, "")
            async with Past.inspect(data, CATALOGUE, VirtualClock()) as past:
                page = await past.read(ReadEvents(limit=3))
                assert [event.position for event in page.events] == [250, 249, 248]
                assert await past.blob(next(iter(blob(b"content")))) == b"content"
                assert (await past.search(SearchEvents("number"), Path(texts))).events[0].position == Position(244)
            with pytest.raises(DirectoryNotWritable):
                async with opened(data):
                    pass
        finally:
            _set_modes(data, is_writable=True)
