"""How often the same providers may be tried again."""

from hypothesis import given
from hypothesis import strategies as st

from actors.rules.cascade import CascadeOptions
from actors.rules.retries import Retries


def test_a_store_of_retries_is_there_from_the_beginning_and_fills_by_parts() -> None:
    retries = Retries(CascadeOptions(retry_ratio=0.1, retry_burst=2))
    assert [retries.take() for _ in range(3)] == [True, True, False]
    for _ in range(10):
        assert not retries.take()
        retries.earn()
    assert [retries.take(), retries.take()] == [True, False]


@given(st.lists(st.booleans(), max_size=300), st.sampled_from([0.0, 0.1, 0.2, 0.5]), st.integers(0, 10))
def test_later_rounds_are_at_most_the_store_and_their_part_of_all_completions(
    begins: list[bool], ratio: float, burst: int
) -> None:
    retries = Retries(CascadeOptions(retry_ratio=ratio, retry_burst=burst))
    begun = taken = 0
    for is_begin in begins:
        if is_begin:
            begun += 1
            retries.earn()
        else:
            taken += retries.take()
        assert taken <= burst + begun * ratio + 1e-6
