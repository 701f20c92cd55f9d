"""How an actor keeps up, from two readings a batch."""

from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.pace import BATCHES_KEPT, Pace
from bus.envelope import Origin
from bus.mailbox import Mailbox
from tests.support.virtual import Tell


def mailbox_with(count: int) -> Mailbox:
    mailbox = Mailbox()
    for number in range(count):
        mailbox.offer((Tell(number), Origin()))
    return mailbox


def test_handle_times_are_averages_of_batches() -> None:
    pace = Pace()
    assert pace.handle_time_s(0.5) == 0.0
    for _ in range(98):
        pace.note_batch(10, 0.01)
    for _ in range(2):
        pace.note_batch(1, 0.5)
    assert (pace.handle_time_s(0.5), pace.handle_time_s(0.99)) == (0.001, 0.5)


def test_only_recent_batches_count() -> None:
    pace = Pace()
    pace.note_batch(1, 9.0)
    for _ in range(BATCHES_KEPT):
        pace.note_batch(1, 1.0)
    assert pace.handle_time_s(1.0) == 1.0


def test_the_oldest_message_waits_since_the_mark_while_one_from_before_it_is_there() -> None:
    pace, mailbox = Pace(), mailbox_with(2)
    assert pace.oldest_s(mailbox, 50.0) == 0.0
    pace.note_waiting(mailbox, 10.0)
    mailbox.take()
    pace.note_waiting(mailbox, 12.0)
    assert pace.oldest_s(mailbox, 15.0) == 5.0
    mailbox.take()
    assert pace.oldest_s(mailbox, 15.0) == 0.0


def test_a_mark_that_is_used_up_is_set_anew() -> None:
    pace, mailbox = Pace(), mailbox_with(1)
    pace.note_waiting(mailbox, 10.0)
    mailbox.offer((Tell(9), Origin()))
    mailbox.take()
    pace.note_waiting(mailbox, 20.0)
    assert pace.oldest_s(mailbox, 21.0) == 1.0


@given(st.floats(1e-7, 1.0), st.floats(1e-6, 1.0), st.integers(1, 200))
def test_a_batch_has_as_many_messages_as_fit_at_the_last_pace_and_at_least_one(
    per_message_s: float, seconds: float, most: int
) -> None:
    pace = Pace()
    pace.note_batch(1, per_message_s)
    fitting = pace.fitting(seconds, most)
    assert 1 <= fitting <= most
    assert fitting == 1 or fitting * per_message_s <= seconds * 1.001
    assert fitting == most or (fitting + 1) * per_message_s > seconds
