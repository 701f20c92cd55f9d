"""The past as the runtime reads it, on top of a checkpoint."""

from pathlib import Path

from actors.history import JournalHistory
from bus.address import Address
from bus.messages.base import Position
from storage.manifests import ActorState
from tests.storage.support import opened, records, write

LEDGER, PROJECTION = Address("ledger"), Address("broadcaster")


async def test_an_actor_goes_on_from_what_was_saved_last_and_reads_what_came_after(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, 40))
        history = JournalHistory(store, None)
        assert await history.snapshot(LEDGER) is None
        states = {
            LEDGER: ActorState.of(Position(20), Position(19), b"{}"),
            PROJECTION: ActorState(Position(20), Position(20), (b"[]",), follows=True),
        }
        history.go_on_from(states, Position(30))
        following = await history.snapshot(PROJECTION)
        assert following is not None
        assert following.position == 20, "it stands where it was last changed"
        snapshot = await history.snapshot(LEDGER)
        assert snapshot is not None
        assert (snapshot.position, snapshot.cursor, snapshot.state) == (30, 19, b"{}")
        (own,) = [batch async for batch in history.own_events(LEDGER, snapshot.position)]
        assert own.events == [record.event for record in records(31, 10) if record.source == LEDGER]
        facts = [r async for batch in history.facts(("#",), None, Position(38), Position(40)) for r in batch]
        assert facts == records(39, 2)
