"""How much a minute allows."""

from hypothesis import given
from hypothesis import strategies as st

from actors.rules.rates import Rate


def test_a_minutes_worth_is_there_at_once_and_then_comes_back_steadily() -> None:
    rate = Rate(60)
    for _ in range(60):
        assert rate.wait_s(1, 5.0) == 0.0
        rate.take(1, 5.0)
    assert rate.wait_s(1, 5.0) == 1.0
    assert rate.wait_s(1, 5.5) == 0.5
    assert rate.wait_s(1, 6.0) == 0.0


def test_without_a_limit_nobody_waits() -> None:
    rate = Rate(0)
    rate.take(10**9, 0.0)
    assert rate.wait_s(10**9, 0.0) == 0.0


def test_what_is_more_than_a_minutes_worth_passes_a_full_bucket_and_empties_it_for_longer() -> None:
    rate = Rate(60)
    assert rate.wait_s(120, 0.0) == 0.0
    rate.take(120, 0.0)
    assert rate.wait_s(1, 0.0) == 61.0


@given(st.integers(1, 100), st.lists(st.tuples(st.integers(1, 20), st.floats(0.0, 30.0)), max_size=60))
def test_no_window_of_a_minute_takes_more_than_two_minutes_worth(
    per_minute: int, wishes: list[tuple[int, float]]
) -> None:
    rate, now_s = Rate(per_minute), 0.0
    taken: list[tuple[float, int]] = []
    for amount, pause_s in wishes:
        now_s += pause_s
        fitting = min(amount, per_minute)
        if rate.wait_s(fitting, now_s) == 0.0:
            rate.take(fitting, now_s)
            taken.append((now_s, fitting))
    for begin_s, _ in taken:
        assert sum(amount for at_s, amount in taken if begin_s <= at_s < begin_s + 60.0) <= 2 * per_minute + 1e-6
