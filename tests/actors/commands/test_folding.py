"""States folded without a society."""

from pathlib import Path

from actors.commands.folding import Folded
from bus.address import Address
from bus.clock import SystemClock
from bus.codec import Catalogue
from bus.messages.base import Position
from bus.messages.catalogue import EVENTS
from storage.manifests import state_hash
from storage.past import Past
from tests.support.inside import briefed, config_at, serving


async def test_a_fold_is_the_state_that_the_society_had(tmp_path: Path) -> None:
    data = tmp_path / "data"
    await briefed(data, tmp_path / "documents", 1)
    async with serving(data) as society:
        await society.system.drain(5.0)
        head = society.system.log.head
        live = {address: copy.state for address, copy in society.system.snapshots().items() if address != "broadcaster"}
    folded = Folded(config_at(data))
    async with Past.inspect(data, Catalogue(EVENTS), SystemClock()) as past:
        await folded.fold(past.facts(("#",), None, Position(0), head))
    states = folded.states()
    assert set(states) >= {"ledger", "coordinator", "artifacts", "router"}
    assert {address: folded.state(address) for address in live} == live
    assert (folded.position, folded.hash) == (head, state_hash(states))
    again = Folded(config_at(data))
    again.begin_with(states)
    assert again.hash == folded.hash
    assert folded.state(Address("journal")) == b""
