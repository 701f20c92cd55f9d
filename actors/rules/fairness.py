"""Decide who of those that wait goes next, and who may join them.

Rules: a place that comes free goes to the agent with the fewest calls under way, among equals to the one whose last
turn is longest ago, then to who has waited longest; one agent's own calls stay in their order. So an agent that asks
for a hundred answers at once slows down itself. One agent holds at most its share of all completions, so that there is
always room for the others. Who is refused is told when it is worth to come back: after as long as those before it
should take.

Pure.
"""

from collections.abc import Iterable, Mapping

from bus.messages.base import AgentId, CompletionId

RETRY_MIN_S = 0.5
RETRY_MAX_S = 60.0


def next_of(
    waiting: Iterable[tuple[CompletionId, AgentId]], under_way: Mapping[AgentId, int], turns: Mapping[AgentId, int]
) -> CompletionId | None:
    """Who goes next of those that wait, oldest first; None when nobody waits. `turns` numbers each one's last turn."""
    best: tuple[int, int] | None = None
    chosen: CompletionId | None = None
    for completion, agent in waiting:
        rank = (under_way.get(agent, 0), turns.get(agent, 0))
        if best is None or rank < best:
            best, chosen = rank, completion
    return chosen


def has_room(held: int, held_in_all: int, completions_max: int, share: float) -> bool:
    """May an agent that holds so many completions begin another?"""
    return held_in_all < completions_max and held < completions_max * share


def retry_after_s(ahead: int, places: int, latency_s: float) -> float:
    """When those ahead should be through: they share the places, and each takes about so long."""
    return min(max(ahead / max(places, 1) * latency_s, RETRY_MIN_S), RETRY_MAX_S)
