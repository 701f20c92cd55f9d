"""Who there is, in which order, and who has a state that events make."""

import pytest

from actors.config import Config
from actors.population import persistent_actor, population
from actors.runtime import Actor, ActorSystem, ChildSpec
from actors.runtime.simulation import MemoryJournal
from bus.address import Address
from bus.clock import SystemClock
from bus.messages.base import MAIN_RUN, AgentId
from bus.messages.system import JOURNAL
from web.hub import Hub
from web.ring import Ring

CONFIG = Config(data="/nowhere")


async def order(former: tuple[AgentId, ...] = ()) -> list[Address]:
    """The addresses of all, as they start."""
    journal, clock = MemoryJournal(), SystemClock()
    async with ActorSystem(log=journal.log, history=journal) as system:
        people = population(
            CONFIG,
            system=system,
            journal=ChildSpec(JOURNAL, Actor),
            history=journal,
            hub=Hub(epoch=1, ring=Ring(1, MAIN_RUN, events_max=10), clock=clock),
            former=former,
        )
    return [spec.address for spec in people]


async def test_who_is_depended_on_comes_first_and_who_tells_of_all_comes_last() -> None:
    found = await order()
    assert found[:2] == ["journal", "monitor"]
    assert found[-1] == "broadcaster"
    places = {address: place for place, address in enumerate(found)}
    for first, then in (("ledger", "coordinator"), ("coordinator", "agents/scout"), ("router", "agents/scout")):
        assert places[Address(first)] < places[Address(then)]
    assert len(places) == len(found), "nobody is there twice"


async def test_an_agent_that_is_not_configured_any_more_is_there_as_long_as_the_journal_knows_it() -> None:
    assert "agents/gone" not in await order()
    assert "agents/gone" in await order((AgentId("gone"),))


@pytest.mark.parametrize(
    "address", ["ledger", "coordinator", "monitor", "triggers", "agents/scout", "agents/unheard-of"]
)
def test_a_state_that_events_make_is_there_without_any_system(address: str) -> None:
    actor = persistent_actor(CONFIG, Address(address))
    assert actor is not None
    assert actor.state == actor.initial()


@pytest.mark.parametrize("address", ["journal", "broadcaster", "nobody"])
def test_who_has_no_such_state_is_none(address: str) -> None:
    assert persistent_actor(CONFIG, Address(address)) is None
