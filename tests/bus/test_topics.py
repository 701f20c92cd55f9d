"""Topic patterns: AMQP's rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.topics import is_valid_pattern, matches, matches_any

WORDS = st.lists(st.sampled_from(["task", "created", "a", "b"]), min_size=1, max_size=5)
PATTERNS = st.lists(st.sampled_from(["task", "created", "a", "*", "#"]), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("task.created", "task.created", True),
        ("task.created", "task", False),
        ("task.*", "task.created", True),
        ("task.*", "task", False),
        ("task.*", "task.created.now", False),
        ("task.#", "task", True),
        ("task.#", "task.created.now", True),
        ("#", "", True),
        ("#.now", "task.created.now", True),
        ("#.b.#", "a.b.c", True),
        ("*.*", "a", False),
        ("#.*", "a", True),
    ],
)
def test_a_star_is_one_word_and_a_hash_any_number(pattern: str, topic: str, expected: bool) -> None:
    assert matches(pattern, topic) is expected


@given(pattern=PATTERNS, topic=WORDS)
def test_matching_agrees_with_the_definition(pattern: list[str], topic: list[str]) -> None:
    assert matches(".".join(pattern), ".".join(topic)) is by_definition(pattern, topic)


def test_one_pattern_of_several_is_enough() -> None:
    assert matches_any(("ledger.*", "task.*"), "task.created")
    assert not matches_any((), "task.created")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("task.created", True), ("a-b.c_d.*.#", True), ("", False), ("a..b", False), ("a.**", False), ("a b", False)],
)
def test_a_pattern_is_made_of_words_and_wild_cards(pattern: str, expected: bool) -> None:
    assert is_valid_pattern(pattern) is expected


def by_definition(pattern: list[str], topic: list[str]) -> bool:
    """Try every number of words for every hash."""
    reached = {0}
    for word in pattern:
        if word == "#":
            reached = {end for start in reached for end in range(start, len(topic) + 1)}
        else:
            reached = {start + 1 for start in reached if start < len(topic) and word in ("*", topic[start])}
    return len(topic) in reached
