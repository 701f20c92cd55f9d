"""A live system as a state machine: whatever is told, asked, killed, paused and awaited, in whatever order."""

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from actors.runtime import Actor, SupervisionOptions
from actors.runtime.lifecycle import Lifecycle
from actors.runtime.virtual_time import Simulation, VirtualLoop
from bus.address import Address
from bus.dice import Dice
from bus.errors import AgoraError, MailboxFull
from bus.mailbox import Overflow
from bus.messages.base import Message
from tests.support.virtual import ReadSum, Sum, child, system_in

T = TypeVar("T")

SIZE = 3
HEARERS = {
    Address("waits"): Overflow.WAIT,
    Address("drops/new"): Overflow.DROP_NEW,
    Address("drops/old"): Overflow.DROP_OLD,
}
SPEAKERS = (Address("speakers/1"), Address("speakers/2"))
WALK_S = 0.5
PATIENT = SupervisionOptions(intensity_max=1_000)
ADDRESSES = st.sampled_from(sorted(HEARERS))


class Say(Message, frozen=True):
    """Tell a hearer the next number."""

    wire_name = "test.say"

    to: Address


class Said(Message, frozen=True):
    """The next number of a speaker."""

    wire_name = "test.said"

    speaker: Address
    number: int


class Walk(Message, frozen=True):
    """Something that takes a while."""

    wire_name = "test.walk"


class Stumble(Message, frozen=True):
    """Be a bug after a while."""

    wire_name = "test.stumble"


class Heard:
    """What one hearer has heard over all its lives, and how many of its handlers run."""

    def __init__(self) -> None:
        self.numbers: dict[Address, list[int]] = {speaker: [] for speaker in SPEAKERS}
        self.running = 0


class Hearer(Actor):
    """Notes numbers; walks and stumbles asynchronously."""

    mailbox_size_max: ClassVar[int] = SIZE

    def __init__(self, heard: Heard) -> None:
        self._heard = heard

    def on_said(self, said: Said) -> None:
        assert not self._heard.running, "one handler at a time"
        self._heard.numbers[said.speaker].append(said.number)

    def on_read_sum(self, query: ReadSum) -> Sum:
        assert not self._heard.running, "one handler at a time"
        return Sum(sum(map(len, self._heard.numbers.values())))

    async def on_walk(self, message: Walk | Stumble) -> None:
        assert not self._heard.running, "one handler at a time"
        self._heard.running += 1
        try:
            await asyncio.sleep(WALK_S)
            if isinstance(message, Stumble):
                raise ValueError("a bug")
        finally:
            self._heard.running -= 1


class WaitingHearer(Hearer):
    overflow: ClassVar[Overflow] = Overflow.WAIT


class HearerOfTheOld(Hearer):
    overflow: ClassVar[Overflow] = Overflow.DROP_NEW


class HearerOfTheNew(Hearer):
    overflow: ClassVar[Overflow] = Overflow.DROP_OLD


KINDS: dict[Overflow, type[Hearer]] = {
    Overflow.WAIT: WaitingHearer,
    Overflow.DROP_NEW: HearerOfTheOld,
    Overflow.DROP_OLD: HearerOfTheNew,
}


class Speaker(Actor):
    """Counts up to whom it is told to."""

    def __init__(self) -> None:
        self._number = 0

    def on_say(self, message: Say) -> None:
        self._number += 1
        self.tell(message.to, Said(self.address, self._number))


class Conversations(RuleBasedStateMachine):
    """Three hearers with small mailboxes, two speakers, and everything that can happen to them."""

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.loop = VirtualLoop(Dice(f"{seed}/loop"))  # type: ignore[abstract]  # as in `simulate`
        self.simulation = Simulation(seed, self.loop)
        self.heard = {address: Heard() for address in HEARERS}
        self.asked = self.told = 0
        self.run(self._open())

    async def _open(self) -> None:
        self.system = system_in(self.simulation, supervision=PATIENT)
        await self.system.__aenter__()
        for address, overflow in HEARERS.items():
            await self.system.start(child(address, partial(KINDS[overflow], self.heard[address])))
        await self.system.start(*(child(address, Speaker) for address in SPEAKERS))

    def run(self, body: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(body)

    @rule(speaker=st.sampled_from(SPEAKERS), to=ADDRESSES, count=st.integers(1, 5))
    def say(self, speaker: Address, to: Address, count: int) -> None:
        for _ in range(count):
            self.system.tell(speaker, Say(to))
            self.told += 2  # the word to the speaker, and the speaker's own
        self.run(asyncio.sleep(0.01))

    @rule(to=ADDRESSES, message=st.sampled_from([Walk(), Stumble()]))
    def begin_something(self, to: Address, message: Message) -> None:
        self.system.tell(to, message)
        self.told += 1

    @rule(to=ADDRESSES)
    def ask(self, to: Address) -> None:
        self.told += 1
        self.run(self._ask(to))

    async def _ask(self, to: Address) -> None:
        try:
            await self.system.ask(to, ReadSum(), timeout_s=0.2)
        except MailboxFull:
            if HEARERS[to] is Overflow.WAIT:
                self.told -= 1  # it stood outside until its time was over, and was never sent
        except AgoraError:
            return

    @rule(to=ADDRESSES)
    def kill(self, to: Address) -> None:
        self.system.kill(to)

    @rule(to=ADDRESSES)
    def stall(self, to: Address) -> None:
        states = {statistics.address: statistics.state for statistics in self.system.statistics()}
        if states[to] is Lifecycle.RUNNING:
            self.system.pause(to)
        elif states[to] is Lifecycle.PAUSED:
            self.system.resume(to)

    @rule(seconds=st.floats(0, 3))
    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @invariant()
    def at_most_one_handler_runs_in_each(self) -> None:
        assert all(heard.running <= 1 for heard in self.heard.values())
        assert not self.loop.problems

    @invariant()
    def each_speaker_is_heard_in_its_order(self) -> None:
        for heard in self.heard.values():
            for numbers in heard.numbers.values():
                assert numbers == sorted(set(numbers))

    @invariant()
    def no_mailbox_passes_its_bound(self) -> None:
        for statistics in self.system.statistics():
            mailbox = statistics.mailbox
            assert max(mailbox.depth, mailbox.high_water) <= mailbox.size_max

    @invariant()
    def what_was_sent_was_handled_or_is_a_dead_letter_or_waits(self) -> None:
        statistics = self.system.statistics()
        handled = sum(one.handled for one in statistics)
        waiting = sum(one.mailbox.depth for one in statistics)
        assert self.told == handled + self.system.dead_letters + waiting

    def teardown(self) -> None:
        if hasattr(self, "system"):
            self.run(self.system.stop())
            assert not asyncio.all_tasks(self.loop)
            self.loop.close()


@pytest.mark.slow
def test_whatever_happens_no_message_is_lost_from_the_count(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1, logger="actors.runtime")  # faults are planned here
    run_state_machine_as_test(Conversations, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))
