"""Letting old events go, beside the checkpoints."""

from pathlib import Path

from bus.address import Address
from bus.messages.base import Position
from storage.checkpoints import CheckpointStore
from storage.manifests import ActorState
from storage.pruning import Pruner
from storage.retention import Limits
from tests.storage.support import everything, opened, records, write
from tests.storage.writer import description

SIZE = 20


async def test_nothing_goes_that_a_checkpoint_or_a_cursor_in_it_may_need(tmp_path: Path) -> None:
    async with opened(tmp_path, segment_events=SIZE) as store, CheckpointStore.open(tmp_path / "c") as checkpoints:
        for _ in range(10):
            await write(store, records(store.head + 1, 10))
        pruner = Pruner(store, checkpoints, Limits(events=10))
        assert (await pruner.prune(Position(100))).upto == 0
        actors = {
            Address("ledger"): ActorState.of(Position(90), Position(55), b"{}"),
            Address("critic"): ActorState.of(Position(90), Position(0), b"{}"),
        }
        await checkpoints.save(description(), actors, keep=())
        report = await pruner.prune(Position(0))
        assert (report.upto, report.floor) == (40, 55)
        assert report.events + report.kept == 40
        assert next(r.position for r in await everything(store) if not r.event.is_kept) == 41
        assert (await store.verify()).problem == ""
