"""Replies that are promised in one turn and given in another."""

import asyncio

import pytest

from actors.runtime import Actor, Deferred
from actors.runtime.virtual_time import Simulation
from bus.address import Address
from bus.errors import ActorStopped
from bus.refusals import IllegalTransition
from tests.support.virtual import Add, Sum, Tell, child, in_virtual_time, system_in

ONE = Address("one")


class Desk(Actor):
    """Answers what it is asked when it is told something; 0 is a no."""

    def __init__(self) -> None:
        self.promised: list[Deferred[Sum]] = []

    def on_add(self, command: Add) -> Sum | None:
        self.promised.append(self.defer())
        return None

    def on_tell(self, message: Tell) -> None:
        if message.number == 0:
            self.promised.pop(0).refuse(IllegalTransition("the desk", "closed", "used"))
        else:
            self.promised.pop(0).answer(Sum(message.number))


@in_virtual_time
async def test_a_deferred_reply_is_given_or_refused_by_a_later_turn(simulation: Simulation) -> None:
    async with system_in(simulation) as system, asyncio.TaskGroup() as tasks:
        await system.start(child("one", Desk))
        answered = tasks.create_task(system.ask(ONE, Add(1)))
        await simulation.pass_time(0.1)
        system.tell(ONE, Tell(7))
        assert await answered == Sum(7)
        asyncio.get_running_loop().call_later(1, system.tell, ONE, Tell(0))
        with pytest.raises(IllegalTransition):
            await system.ask(ONE, Add(1))


@in_virtual_time
async def test_who_waits_for_a_deferred_reply_hears_when_the_actor_is_gone(simulation: Simulation) -> None:
    async with system_in(simulation) as system, asyncio.TaskGroup() as tasks:
        await system.start(child("one", Desk))

        async def ask() -> None:
            with pytest.raises(ActorStopped):
                await system.ask(ONE, Add(1))

        asking = tasks.create_task(ask())
        await simulation.pass_time(0.1)
        await system.stop_actor(ONE)
        await asking


class Fickle(Actor):
    """Promises, or keeps a promise, and fails in the same turn."""

    def __init__(self) -> None:
        self.promised: Deferred[Sum] | None = None

    def on_add(self, command: Add) -> Sum | None:
        deferred: Deferred[Sum] = self.defer()
        if command.amount < 0:
            raise IllegalTransition("a promise", "made", "kept")
        self.promised = deferred
        return None


@in_virtual_time
async def test_a_promise_of_a_turn_that_refuses_was_never_made(simulation: Simulation) -> None:
    async with system_in(simulation) as system:
        await system.start(child("one", Fickle))
        with pytest.raises(IllegalTransition):
            await system.ask(ONE, Add(-1))
        await system.stop_actor(ONE)
        assert system.late_replies == 0


@in_virtual_time
async def test_a_deferred_reply_is_given_once(simulation: Simulation) -> None:
    actor = Fickle()
    async with system_in(simulation) as system, asyncio.TaskGroup() as tasks:
        await system.start(child("one", lambda: actor))
        asking = tasks.create_task(system.ask(ONE, Add(1)))
        await simulation.pass_time(0.1)
        assert actor.promised is not None
        actor.promised.answer(Sum(1))
        assert await asking == Sum(1)
        with pytest.raises(AssertionError):
            actor.promised.answer(Sum(2))
