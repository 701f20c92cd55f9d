"""An import or a fork that was cut short: what is there is less than the whole, and nobody goes on from it."""

import io
from pathlib import Path

import pytest

from bus.clock import VirtualClock
from bus.messages.base import Position
from storage.errors import CorruptJournal
from storage.exchange import export_lines, import_lines
from storage.forks import fork_journal
from storage.past import Past
from tests.storage.support import CATALOGUE, everything, opened, records, write

EVENTS = 1_200


class Cut(Exception):
    """The process ends here."""


def _cut(done: int, of: int) -> None:
    raise Cut


def _nobody_looks(done: int, of: int) -> None:
    """No bar."""


async def _import(past: Past, into: Path, *, is_cut: bool) -> None:
    file = io.BytesIO()
    await export_lines(past, file, has_sealed=True, progress=_nobody_looks)
    file.seek(0)
    step = _cut if is_cut else _nobody_looks
    await import_lines(
        file, into, checkpoints=into / "checkpoints", catalogue=CATALOGUE, clock=VirtualClock(), progress=step
    )


async def _fork(past: Past, into: Path, *, is_cut: bool) -> None:
    step = _cut if is_cut else _nobody_looks
    await fork_journal(past, into, Position(EVENTS), catalogue=CATALOGUE, clock=VirtualClock(), progress=step)


@pytest.mark.parametrize("is_import", [True, False])
async def test_a_copy_that_was_cut_short_is_not_gone_on_from(tmp_path: Path, *, is_import: bool) -> None:
    async with opened(tmp_path / "data") as store:
        await write(store, records(1, EVENTS))
    make = _import if is_import else _fork
    async with Past.inspect(tmp_path / "data", CATALOGUE, VirtualClock()) as past:
        with pytest.raises(Cut):
            await make(past, tmp_path / "half", is_cut=True)
        await make(past, tmp_path / "whole", is_cut=False)
    with pytest.raises(CorruptJournal, match="cut short"):
        async with opened(tmp_path / "half"):
            pass
    async with opened(tmp_path / "whole") as store:
        assert await everything(store) == records(1, EVENTS)
        assert store.epoch == 2
