"""Who of those that wait goes next, and who may join them."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.rules.fairness import RETRY_MAX_S, RETRY_MIN_S, has_room, next_of, retry_after_s
from bus.messages.base import AgentId, CompletionId


def waiting(agents: str) -> list[tuple[CompletionId, AgentId]]:
    return [(CompletionId(f"m-{number}"), AgentId(agent)) for number, agent in enumerate(agents)]


@pytest.mark.parametrize(
    ("agents", "under_way", "turns", "expected"),
    [
        ("", {}, {}, None),
        ("aab", {}, {}, "m-0"),
        ("aab", {"a": 1}, {}, "m-2"),
        ("aab", {"a": 1, "b": 1}, {}, "m-0"),
        ("ab", {"a": 1, "b": 2}, {"a": 2, "b": 1}, "m-0"),
        ("aab", {}, {"a": 2, "b": 1}, "m-2"),
        ("aab", {}, {"a": 2}, "m-2"),
    ],
)
def test_a_free_place_goes_to_the_agent_with_the_fewest_calls_then_in_turn(
    agents: str, under_way: dict[AgentId, int], turns: dict[AgentId, int], expected: str | None
) -> None:
    assert next_of(waiting(agents), under_way, turns) == expected


@given(st.lists(st.sampled_from("abc"), max_size=40), st.integers(1, 5))
def test_nobody_gets_a_second_place_while_another_who_waits_has_none(agents: list[str], places: int) -> None:
    line = waiting("".join(agents))
    under_way: Counter[AgentId] = Counter()
    for _ in range(places):
        chosen = next_of(line, under_way, {})
        if chosen is None:
            break
        agent = next(agent for completion, agent in line if completion == chosen)
        line = [one for one in line if one[0] != chosen]
        assert all(under_way[other] >= under_way[agent] for _, other in line)
        under_way[agent] += 1


def test_one_agent_cannot_take_all_the_room() -> None:
    assert has_room(0, 9, 10, 0.5)
    assert has_room(4, 4, 10, 0.5)
    assert not has_room(5, 5, 10, 0.5)
    assert not has_room(0, 10, 10, 0.5)
    assert has_room(0, 0, 1, 0.1)


def test_when_to_come_back_grows_with_the_line_and_has_bounds() -> None:
    assert retry_after_s(10, 2, 2.0) == 10.0
    assert (retry_after_s(0, 0, 1.0), retry_after_s(10_000, 1, 9.0)) == (RETRY_MIN_S, RETRY_MAX_S)
