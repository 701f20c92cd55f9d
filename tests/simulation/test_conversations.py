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
from bus.mailbox import CoalesceKey, Overflow
from bus.messages.base import Message
from bus.messages.runtime import Terminated
from tests.support.virtual import ReadSum, Sum, child, system_in

T = TypeVar("T")

SIZE = 3
HEARERS = {Address(overflow): overflow for overflow in Overflow}
NOBODY_THERE = Address("nobody")
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


class Mourn(Message, frozen=True):
    """Watch somebody who is not there: the notice of it comes at once, ahead of all messages."""

    wire_name = "test.mourn"


class Heard:
    """What one hearer has heard over all its lives, and how many of its handlers run."""

    def __init__(self) -> None:
        self.numbers: dict[Address, list[int]] = {speaker: [] for speaker in SPEAKERS}
        self.running = 0
        self.noticed = 0
        """Notices that were sent to it."""
        self.is_notice_next = False
        """Whether one waits, so that no message may come before it."""


class Hearer(Actor):
    """Notes numbers; walks and stumbles asynchronously."""

    mailbox_size_max: ClassVar[int] = SIZE

    def __init__(self, heard: Heard) -> None:
        self._heard = heard

    def on_said(self, said: Said) -> None:
        self._check()
        self._heard.numbers[said.speaker].append(said.number)

    def on_mourn(self, message: Mourn) -> None:
        self._check()
        self._heard.noticed += 1
        self._heard.is_notice_next = True
        self.watch(NOBODY_THERE)

    def on_terminated(self, notice: Terminated) -> None:
        assert not self._heard.running, "one handler at a time"
        self._heard.is_notice_next = False

    def on_read_sum(self, query: ReadSum) -> Sum:
        self._check()
        return Sum(sum(map(len, self._heard.numbers.values())))

    async def on_walk(self, message: Walk | Stumble) -> None:
        self._check()
        self._heard.running += 1
        try:
            await asyncio.sleep(WALK_S)
            if isinstance(message, Stumble):
                raise ValueError("a bug")
        finally:
            self._heard.running -= 1

    def _check(self) -> None:
        assert not self._heard.running, "one handler at a time"
        assert not self._heard.is_notice_next, "control comes before data"


class WaitingHearer(Hearer):
    overflow: ClassVar[Overflow] = Overflow.WAIT


class RefusingHearer(Hearer):
    overflow: ClassVar[Overflow] = Overflow.REFUSE


class HearerOfTheOld(Hearer):
    overflow: ClassVar[Overflow] = Overflow.DROP_NEW


class HearerOfTheNew(Hearer):
    overflow: ClassVar[Overflow] = Overflow.DROP_OLD


def _key(message: Message) -> str:
    return message.speaker if isinstance(message, Said) else message.wire_name


class HearerOfTheNewest(Hearer):
    overflow: ClassVar[Overflow] = Overflow.COALESCE
    coalesce_key: ClassVar[CoalesceKey | None] = staticmethod(_key)


KINDS: dict[Overflow, type[Hearer]] = {
    Overflow.WAIT: WaitingHearer,
    Overflow.REFUSE: RefusingHearer,
    Overflow.DROP_NEW: HearerOfTheOld,
    Overflow.DROP_OLD: HearerOfTheNew,
    Overflow.COALESCE: HearerOfTheNewest,
}


class Speaker(Actor):
    """Counts up to whom it is told to."""

    def __init__(self) -> None:
        self._number = 0

    def on_say(self, message: Say) -> None:
        self._number += 1
        self.tell(message.to, Said(self.address, self._number))


class Conversations(RuleBasedStateMachine):
    """A hearer with a small mailbox for each policy, two speakers, and everything that can happen to them."""

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.loop = VirtualLoop(Dice(f"{seed}/loop"))  # type: ignore[abstract]  # as in `simulate`
        self.simulation = Simulation(seed, self.loop)
        self.heard = {address: Heard() for address in HEARERS}
        self.told = 0
        self.asking: dict[Address, asyncio.Task[None]] = {}
        """Asks that wait, at most one to each hearer."""
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

    @rule(to=ADDRESSES, message=st.sampled_from([Walk(), Stumble(), Mourn()]))
    def begin_something(self, to: Address, message: Message) -> None:
        self.system.tell(to, message)
        self.told += 1

    @rule(to=ADDRESSES, timeout_s=st.sampled_from((0.2, 2.0)))
    def ask(self, to: Address, timeout_s: float) -> None:
        if to not in self.asking:
            self.told += 1
            self.asking[to] = self.loop.create_task(self._ask(to, timeout_s))
            self.run(asyncio.sleep(0))

    @rule(to=ADDRESSES)
    def think_better_of_it(self, to: Address) -> None:
        asking = self.asking.get(to)
        if asking is None:
            return
        is_outside = any(one.mailbox.parked for one in self.system.statistics() if one.address == to)
        asking.cancel()
        self.run(asyncio.wait({asking}))
        if is_outside:
            self.told -= 1  # it had not been let in yet

    async def _ask(self, to: Address, timeout_s: float) -> None:
        try:
            await self.system.ask(to, ReadSum(), timeout_s=timeout_s)
        except MailboxFull:
            if HEARERS[to] is Overflow.WAIT:
                self.told -= 1  # it stood outside until its time was over, and was never sent
        except AgoraError:
            return
        finally:
            del self.asking[to]

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
            heard = self.heard.get(statistics.address)
            notices = 1 if heard is not None and heard.is_notice_next else 0  # they have a lane of their own
            assert max(mailbox.depth - notices, mailbox.high_water) <= mailbox.size_max

    @invariant()
    def what_was_sent_was_handled_or_is_a_dead_letter_or_waits(self) -> None:
        statistics = self.system.statistics()
        handled = sum(one.handled for one in statistics)
        waiting = sum(one.mailbox.depth for one in statistics)
        outside = sum(one.mailbox.parked for one in statistics)
        noticed = sum(heard.noticed for heard in self.heard.values())
        assert self.told + noticed == handled + self.system.dead_letters + waiting + outside

    def teardown(self) -> None:
        if hasattr(self, "system"):
            self.run(self.system.stop())
            self.run(asyncio.sleep(0.01))
            assert not asyncio.all_tasks(self.loop)
            self.loop.close()


@pytest.mark.slow
def test_whatever_happens_no_message_is_lost_from_the_count(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1, logger="actors.runtime")  # faults are planned here
    run_state_machine_as_test(Conversations, settings=settings(max_examples=200, stateful_step_count=40, deadline=None))
