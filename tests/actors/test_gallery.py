"""Who waits for a decision or watches checks is told, in time, and there is room for so many."""

import asyncio
from typing import ClassVar

import pytest
from msgspec.structs import replace

from actors.gallery import FOLLOW_S, FOLLOWERS_MAX, SAID_BYTES_MAX, WAITING_MAX, FollowDue, Gallery, Said
from actors.runtime import Actor, ActorSystem
from actors.runtime.virtual_time import Simulation
from bus.address import Address
from bus.messages.approvals import AwaitDecision, ProposalId, ProposalState, ProposalView
from bus.messages.base import Message
from bus.messages.repositories import FollowOutput, OutputPart
from bus.refusals import Overloaded
from tests.support.virtual import child, in_virtual_time, system_in

ONE = Address("one")
P1 = ProposalId("p-1")
READY = ProposalView(
    proposal=P1,
    kind="change",
    impact="medium",
    title="Change it",
    detail="",
    subject="",
    proposer="agents/scout",
    state=ProposalState.READY,
    version=1,
    approvers=1,
    hash="",
    created_us=0,
    expires_us=0,
    updated_us=0,
)


class Move(Message, frozen=True):
    """The proposal is in another state."""

    wire_name = "test.move"

    state: ProposalState


class Say(Message, frozen=True):
    """Its checks say something."""

    wire_name = "test.say"

    words: bytes


class Desk(Actor):
    """Has one proposal, and a gallery."""

    mailbox_size_max: ClassVar[int] = 2 * WAITING_MAX

    def __init__(self) -> None:
        self._view = READY
        self._gallery = Gallery(self)

    def on_await_decision(self, query: AwaitDecision) -> ProposalView | None:
        return self._gallery.await_decision(self._view)

    def on_follow_output(self, query: FollowOutput) -> OutputPart | None:
        return self._gallery.follow(self._view, query.after)

    def on_follow_due(self, message: FollowDue) -> None:
        self._gallery.answer_followers(self._view)

    def on_move(self, message: Move) -> None:
        self._view = replace(self._view, state=message.state)
        self._gallery.move(self._view)

    def on_say(self, message: Say) -> None:
        self._gallery.hear(self._view, message.words)


@in_virtual_time
async def test_who_waits_for_a_decision_hears_whatever_it_is_and_nothing_before(simulation: Simulation) -> None:
    async with system_in(simulation) as system, asyncio.TaskGroup() as tasks:
        await system.start(child("one", Desk))
        waiting = [tasks.create_task(system.ask(ONE, AwaitDecision(P1), timeout_s=60)) for _ in range(2)]
        for state in (ProposalState.PROPOSED, ProposalState.READY):
            system.tell(ONE, Move(state))
        await simulation.pass_time(10)
        assert not any(task.done() for task in waiting)
        system.tell(ONE, Move(ProposalState.WITHDRAWN))
        assert [(await task).state for task in waiting] == [ProposalState.WITHDRAWN] * 2
        assert (await system.ask(ONE, AwaitDecision(P1))).state is ProposalState.WITHDRAWN


@in_virtual_time
async def test_who_watches_checks_hears_what_they_say_as_they_say_it_and_that_they_ended(
    simulation: Simulation,
) -> None:
    async with system_in(simulation) as system, asyncio.TaskGroup() as tasks:
        await system.start(child("one", Desk))
        system.tell(ONE, Move(ProposalState.CHECKING))
        watching = tasks.create_task(system.ask(ONE, FollowOutput(P1), timeout_s=60))
        await simulation.pass_time(1)
        system.tell(ONE, Say(b"one "))
        assert await watching == OutputPart(P1, "one ", 4, False)
        system.tell(ONE, Say(b"two"))
        assert await system.ask(ONE, FollowOutput(P1, 4)) == OutputPart(P1, "two", 7, False)
        assert await system.ask(ONE, FollowOutput(P1, 900)) == OutputPart(P1, "one two", 7, False)
        watching = tasks.create_task(system.ask(ONE, FollowOutput(P1, 7), timeout_s=60))
        await simulation.pass_time(1)
        system.tell(ONE, Move(ProposalState.READY))
        assert (await watching).is_over


@in_virtual_time
async def test_who_watches_checks_that_say_nothing_is_told_so_after_a_while(simulation: Simulation) -> None:
    async with system_in(simulation) as system:
        await system.start(child("one", Desk))
        system.tell(ONE, Move(ProposalState.CHECKING))
        assert await system.ask(ONE, FollowOutput(P1), timeout_s=60) == OutputPart(P1, "", 0, False)
        assert FOLLOW_S <= simulation.clock.monotonic_s() < FOLLOW_S + 1


@in_virtual_time
async def test_what_is_said_after_the_end_of_the_checks_is_not_theirs(simulation: Simulation) -> None:
    async with system_in(simulation) as system:
        await system.start(child("one", Desk))
        system.tell(ONE, Say(b"late"))
        system.tell(ONE, Move(ProposalState.CHECKING))
        assert (await system.ask(ONE, FollowOutput(P1), timeout_s=60)).text == ""


@pytest.mark.parametrize(("query", "most"), [(AwaitDecision(P1), WAITING_MAX), (FollowOutput(P1), FOLLOWERS_MAX)])
def test_one_more_than_there_is_room_for_is_refused_and_the_others_wait(
    query: AwaitDecision | FollowOutput, most: int
) -> None:
    @in_virtual_time
    async def run(simulation: Simulation) -> None:
        async def ask(system: ActorSystem) -> bool:
            try:
                await system.ask(ONE, query, timeout_s=60)
            except Overloaded:
                return False
            return True

        async with system_in(simulation) as system, asyncio.TaskGroup() as tasks:
            await system.start(child("one", Desk))
            system.tell(ONE, Move(ProposalState.CHECKING))
            asked = [tasks.create_task(ask(system)) for _ in range(most + 1)]
            await simulation.pass_time(1)
            assert [task.result() for task in asked if task.done()] == [False]
            system.tell(ONE, Move(ProposalState.FAILED))
        assert sum(task.result() for task in asked) == most

    run()


def test_of_what_checks_say_the_last_is_kept_and_its_place_in_the_whole() -> None:
    said = Said()
    said.add(b"a" * SAID_BYTES_MAX)
    said.add(b"bc")
    assert (said.begins, said.ends) == (2, SAID_BYTES_MAX + 2)
    assert said.since(SAID_BYTES_MAX) == b"bc"
    assert len(said.since(0)) == SAID_BYTES_MAX
