"""The mailbox: its bound, its policies, its lanes, and who waits outside."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bus.address import Address
from bus.envelope import Envelope, Origin
from bus.mailbox import Mailbox, Overflow, Verdict
from bus.messages.base import Message
from tests.support.virtual import Tell

SIZE = 3


def envelope(number: int, sender: str = "") -> Envelope:
    return Tell(number), Origin(Address(sender))


def numbers(mailbox: Mailbox) -> list[int]:
    taken = []
    while (taken_out := mailbox.take()) is not None:
        taken.append(number_of(taken_out))
    return taken


def number_of(taken: Envelope) -> int:
    message, _ = taken
    assert isinstance(message, Tell)
    return message.number


def parity(message: Message) -> int:
    assert isinstance(message, Tell)
    return message.number % 2


def filled(overflow: Overflow) -> Mailbox:
    mailbox = Mailbox(SIZE, overflow, parity if overflow is Overflow.COALESCE else None)
    for number in range(SIZE):
        assert mailbox.offer(envelope(number)) == (Verdict.ACCEPTED, None)
    return mailbox


@pytest.mark.parametrize("overflow", [Overflow.WAIT, Overflow.REFUSE])
def test_a_full_mailbox_refuses_and_counts_it(overflow: Overflow) -> None:
    mailbox = filled(overflow)
    assert mailbox.offer(envelope(9)) == (Verdict.FULL, None)
    assert (mailbox.statistics().refused, numbers(mailbox)) == (1, [0, 1, 2])


def test_a_full_mailbox_that_drops_the_new_keeps_what_it_has() -> None:
    mailbox = filled(Overflow.DROP_NEW)
    assert mailbox.offer(envelope(9)) == (Verdict.DROPPED, None)
    assert (mailbox.statistics().dropped, numbers(mailbox)) == (1, [0, 1, 2])


def test_a_full_mailbox_that_drops_the_old_hands_it_out_for_the_dead_letters() -> None:
    mailbox = filled(Overflow.DROP_OLD)
    verdict, displaced = mailbox.offer(envelope(9))
    assert (verdict, displaced) == (Verdict.ACCEPTED, envelope(0))
    assert (mailbox.statistics().dropped, numbers(mailbox)) == (1, [1, 2, 9])


def test_a_full_mailbox_that_coalesces_replaces_the_message_with_the_same_key_in_its_place() -> None:
    mailbox = filled(Overflow.COALESCE)
    assert mailbox.offer(envelope(7)) == (Verdict.ACCEPTED, envelope(1))
    assert (mailbox.statistics().coalesced, numbers(mailbox)) == (1, [0, 7, 2])


def test_of_several_with_the_same_key_the_newest_is_replaced_so_that_none_comes_after_what_replaced_it() -> None:
    mailbox = Mailbox(3, Overflow.COALESCE, parity)
    for number in (1, 3, 2):
        mailbox.offer(envelope(number))
    mailbox.offer(envelope(5))
    assert numbers(mailbox) == [1, 5, 2]


def test_a_full_mailbox_that_coalesces_drops_the_oldest_when_no_key_is_the_same() -> None:
    mailbox = Mailbox(2, Overflow.COALESCE, parity)
    mailbox.offer(envelope(0))
    mailbox.offer(envelope(2))
    assert mailbox.offer(envelope(1)) == (Verdict.ACCEPTED, envelope(0))
    assert numbers(mailbox) == [2, 1]


def test_control_comes_before_data_and_has_no_bound() -> None:
    mailbox = filled(Overflow.REFUSE)
    for number in (10, 11):
        mailbox.offer_control(envelope(number))
    assert numbers(mailbox) == [10, 11, 0, 1, 2]


def test_a_fact_goes_beyond_the_bound_up_to_a_bound_of_its_own() -> None:
    mailbox = filled(Overflow.WAIT)
    assert mailbox.offer_beyond(envelope(3), extra=1)
    assert not mailbox.offer_beyond(envelope(4), extra=1)


def test_who_is_parked_is_let_in_once_half_is_empty_first_come_first_served() -> None:
    mailbox = filled(Overflow.WAIT)
    let_in: list[tuple[int, bool]] = []

    def park(number: int) -> None:
        mailbox.park(envelope(number), lambda is_admitted: let_in.append((number, is_admitted)))

    for number in (3, 4, 5):
        park(number)
    mailbox.take()
    assert let_in == []
    mailbox.take()
    assert let_in == [(3, True), (4, True)]
    assert numbers(mailbox) == [2, 3, 4, 5]


def test_a_mailbox_with_somebody_outside_has_no_room_for_those_who_come_later() -> None:
    mailbox = Mailbox(SIZE)
    mailbox.park(envelope(1), lambda is_admitted: None)
    assert not mailbox.has_room


def test_a_message_may_be_put_in_without_asking_up_to_the_bound_unless_somebody_waits_or_the_mailbox_is_closed() -> (
    None
):
    mailbox, waiting = Mailbox(SIZE), envelope(1)
    bounds = [mailbox.bound]
    mailbox.park(waiting, lambda is_admitted: None)
    bounds.append(mailbox.bound)
    mailbox.unpark(waiting)
    bounds.append(mailbox.bound)
    mailbox.close()
    mailbox.unpark(waiting)
    bounds.append(mailbox.bound)
    assert bounds == [SIZE, 0, SIZE, 0]


def test_a_batch_is_counted_when_it_is_over_and_lets_in_who_is_parked() -> None:
    mailbox = filled(Overflow.WAIT)
    let_in: list[bool] = []
    mailbox.park(envelope(3), let_in.append)
    assert mailbox.open_batch(2) == 2
    for _ in range(2):
        mailbox.data.popleft()
    assert (mailbox.taken, let_in) == (0, [])
    mailbox.close_batch(2)
    assert (mailbox.taken, let_in, mailbox.high_water, mailbox.bound) == (2, [True], SIZE, SIZE)
    assert mailbox.open_batch(100) == 2


def test_who_gives_up_waiting_is_not_let_in() -> None:
    mailbox = filled(Overflow.WAIT)
    waiting = envelope(3)
    mailbox.park(waiting, lambda is_admitted: None)
    mailbox.unpark(waiting)
    assert numbers(mailbox) == [0, 1, 2]


def test_draining_takes_everything_and_tells_those_outside_that_it_is_gone() -> None:
    mailbox = filled(Overflow.WAIT)
    mailbox.offer_control(envelope(10))
    let_in: list[bool] = []
    mailbox.park(envelope(3), let_in.append)
    assert [number_of(taken) for taken in mailbox.drain()] == [10, 0, 1, 2]
    assert (let_in, len(mailbox)) == ([False], 0)


def test_what_was_stashed_comes_back_in_front_in_its_order() -> None:
    mailbox = filled(Overflow.WAIT)
    stashed = [taken for taken in (mailbox.take(), mailbox.take()) if taken is not None]
    mailbox.put_back(stashed)
    assert (mailbox.accepted, numbers(mailbox)) == (3, [0, 1, 2])


def test_messages_can_be_taken_out_by_what_they_are() -> None:
    mailbox = filled(Overflow.WAIT)
    assert [number_of(taken) for taken in mailbox.remove(lambda taken: number_of(taken) != 1)] == [0, 2]
    assert numbers(mailbox) == [1]


class AnyUse(RuleBasedStateMachine):
    """Whatever is done to a mailbox, in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.mailbox = Mailbox(SIZE, Overflow.WAIT)
        self.sent: dict[str, list[int]] = {"a": [], "b": []}
        self.taken: dict[str, list[int]] = {"a": [], "b": []}
        self.waiting: dict[str, Envelope] = {}
        self.next_number = 0

    def fresh(self, sender: str) -> Envelope:
        self.next_number += 1
        return envelope(self.next_number, sender)

    @rule(sender=st.sampled_from("ab"))
    def offer(self, sender: str) -> None:
        if sender in self.waiting:
            return
        offered = self.fresh(sender)
        if self.mailbox.has_room and self.mailbox.offer(offered)[0] is Verdict.ACCEPTED:
            self.sent[sender].append(number_of(offered))

    @rule(sender=st.sampled_from("ab"))
    def slip_in(self, sender: str) -> None:
        if sender not in self.waiting and 0 < len(self.mailbox.data) < self.mailbox.bound:
            slipped = self.fresh(sender)
            self.mailbox.data.append(slipped)
            self.sent[sender].append(number_of(slipped))

    @rule(sender=st.sampled_from("ab"))
    def send(self, sender: str) -> None:
        if sender in self.waiting or self.mailbox.has_room:
            return
        waiting = self.waiting[sender] = self.fresh(sender)

        def wake(is_admitted: bool) -> None:
            del self.waiting[sender]
            self.sent[sender].append(number_of(waiting))

        self.mailbox.park(waiting, wake)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        sender = data.draw(st.sampled_from(sorted(self.waiting)))
        self.mailbox.unpark(self.waiting.pop(sender))

    @rule()
    def take(self) -> None:
        taken = self.mailbox.take()
        if taken is not None:
            self.taken[taken[1].sender].append(number_of(taken))

    @rule(budget=st.integers(1, 2 * SIZE))
    def take_a_batch(self, budget: int) -> None:
        count = self.mailbox.open_batch(budget)
        for _ in range(count):
            taken = self.mailbox.data.popleft()
            self.taken[taken[1].sender].append(number_of(taken))
        self.mailbox.close_batch(count)

    @invariant()
    def the_bound_is_never_passed(self) -> None:
        assert len(self.mailbox) <= SIZE
        assert self.mailbox.statistics().high_water <= SIZE

    @invariant()
    def each_sender_is_heard_in_its_order(self) -> None:
        assert all(self.sent[sender][: len(heard)] == heard for sender, heard in self.taken.items())

    @invariant()
    def what_was_accepted_was_taken_or_is_there(self) -> None:
        accepted = sum(map(len, self.sent.values()))
        assert accepted == sum(map(len, self.taken.values())) + len(self.mailbox) == self.mailbox.accepted

    @invariant()
    def nobody_waits_at_an_empty_mailbox(self) -> None:
        assert len(self.mailbox) or not self.waiting


TestAnyUse = AnyUse.TestCase
