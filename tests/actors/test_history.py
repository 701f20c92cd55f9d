"""The past as the runtime reads it, on top of a checkpoint."""

from pathlib import Path

from actors.history import JournalHistory
from bus.address import Address
from bus.messages.base import Position
from storage.manifests import ActorState
from tests.storage.support import opened, records, write

LEDGER = Address("ledger")


async def test_an_actor_goes_on_from_what_was_saved_last_and_reads_what_came_after(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, 40))
        history = JournalHistory(store, None)
        assert await history.snapshot(LEDGER) is None
        history.go_on_from({LEDGER: ActorState.of(Position(30), Position(29), b"{}")})
        snapshot = await history.snapshot(LEDGER)
        assert snapshot is not None
        assert (snapshot.position, snapshot.cursor, snapshot.state) == (30, 29, b"{}")
        own = [record async for batch in history.own_events(LEDGER, snapshot.position) for record in batch]
        assert own == [record for record in records(31, 10) if record.source == LEDGER]
        facts = [r async for batch in history.facts(("#",), None, Position(38), Position(40)) for r in batch]
        assert facts == records(39, 2)
