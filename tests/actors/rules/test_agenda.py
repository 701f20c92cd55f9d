"""Keys come out at their time, once."""

from hypothesis import given
from hypothesis import strategies as st

from actors.rules.agenda import STALE_MAX, Agenda


def test_keys_come_out_by_time_and_then_in_their_own_order() -> None:
    agenda = Agenda[str]()
    for key, due_s in (("late", 3.0), ("first", 1.0), ("second", 1.0)):
        agenda.put(key, due_s)
    assert agenda.next_s == 1.0
    assert agenda.take(2.0, 9) == ("first", "second")
    assert agenda.take(3.0, 9) == ("late",)
    assert agenda.next_s is None


def test_a_key_is_due_at_the_time_that_it_was_last_given_and_no_other() -> None:
    agenda = Agenda[str]()
    agenda.put("close", 1.0)
    agenda.put("close", 5.0)
    assert agenda.take(4.0, 9) == ()
    agenda.put("close", 2.0)
    assert agenda.take(10.0, 9) == ("close",)
    assert agenda.take(10.0, 9) == ()


def test_no_more_keys_come_out_at_once_than_were_asked_for() -> None:
    agenda = Agenda[str]()
    for key in "abcde":
        agenda.put(key, 1.0)
    assert (agenda.take(1.0, 3), agenda.next_s, agenda.take(1.0, 3)) == (tuple("abc"), 1.0, tuple("de"))


def test_a_dropped_key_never_comes_out() -> None:
    agenda = Agenda[str]()
    agenda.put("close", 1.0)
    agenda.drop("close")
    agenda.drop("never put")
    assert (agenda.next_s, agenda.take(9.0, 9), len(agenda)) == (None, (), 0)


def test_stale_entries_do_not_pile_up() -> None:
    agenda = Agenda[str]()
    for number in range(10 * STALE_MAX):
        agenda.put(str(number), 1e9)
        agenda.drop(str(number))
    assert len(agenda._heap) <= STALE_MAX + 1


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["put", "drop"]), st.integers(0, 5))))
def test_it_agrees_with_a_plain_dictionary(steps: list[tuple[str, str, int]]) -> None:
    agenda, model = Agenda[str](), dict[str, float]()
    for key, step, due_s in steps:
        if step == "put":
            agenda.put(key, due_s)
            model[key] = due_s
        else:
            agenda.drop(key)
            model.pop(key, None)
    assert agenda.next_s == min(model.values(), default=None)
    assert sorted(agenda.take(2.0, 9)) == sorted(key for key, due_s in model.items() if due_s <= 2)
