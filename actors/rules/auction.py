"""Choose who gets a task: sealed bids, a declared rule, and the reason in words.

Rules: one live bid per agent, a later one replaces it. The lowest price wins and is paid what it asked. Among equal
prices the earlier bid wins, and a bid that was replaced counts from its replacement; should that not decide, the
agent's id does. A bid of an agent that cannot take the task at the close is set aside, whatever its price. Prices are
whole, positive and at most the reward.

Pure: no clock; who can take the task is asked of the caller.
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from actors.rules.fields import check_integer
from bus.messages.base import AgentId, Microseconds
from bus.messages.tasks import Bid

RANKING_MAX = 100
"""Bids that a closed auction shows; with ids of any length that is within an event's bound."""
NAMED_MAX = 3
"""Set-aside bidders that the explanation names."""


class LiveBid(msgspec.Struct, frozen=True, gc=False):
    """An agent's bid; `order` counts the bids of the auction, in the order of their positions."""

    price_msat: int
    order: int


class Auction(msgspec.Struct, gc=False):
    """An open auction. A task has at most one."""

    opened_us: Microseconds
    closes_us: Microseconds
    bids: dict[AgentId, LiveBid] = {}
    count: int = 0
    """Bids so far, replaced ones included."""


@dataclass(frozen=True)
class Choice:
    """How an auction ends; without a winner `winner` is empty and the price 0."""

    winner: AgentId
    price_msat: int
    ranking: tuple[Bid, ...]
    reason: str


def check_price(price_msat: int, reward_msat: int) -> None:
    """Raises `InvalidField` for a price that makes no sense for the reward."""
    check_integer("price_msat", price_msat, 1, reward_msat)


def is_replacing(auction: Auction, agent: AgentId, price_msat: int) -> bool:
    """Whether a bid says something that the agent's live bid does not say already."""
    live = auction.bids.get(agent)
    return live is None or live.price_msat != price_msat


def place(auction: Auction, agent: AgentId, price_msat: int) -> None:
    """Note a bid in place of the agent's earlier one."""
    auction.count += 1
    auction.bids[agent] = LiveBid(price_msat, auction.count)


def choose(auction: Auction, obstacle: Callable[[AgentId], str]) -> Choice:
    """Rank the bids; `obstacle` says why an agent cannot take the task now, or nothing if it can."""
    ordered = sorted(auction.bids.items(), key=lambda item: (item[1].price_msat, item[1].order, item[0]))
    obstacles = {agent: why for agent, _ in ordered if (why := obstacle(agent))}
    usable = [Bid(agent, bid.price_msat) for agent, bid in ordered if agent not in obstacles]
    aside = [Bid(agent, bid.price_msat) for agent, bid in ordered if agent in obstacles]
    ranking = tuple((usable + aside)[:RANKING_MAX])
    if not usable:
        reason = "nobody bid" if not aside else "nobody who bid can take it" + _set_aside(aside, obstacles)
        return Choice(AgentId(""), 0, ranking, reason)
    best = usable[0]
    return Choice(best.agent, best.price_msat, ranking, _words(usable) + _set_aside(aside, obstacles))


def _words(usable: list[Bid]) -> str:
    best = usable[0]
    if len(usable) == 1:
        return f"{best.agent} made the only bid, {best.price_msat} msat"
    second = usable[1]
    if second.price_msat == best.price_msat:
        return (
            f"{best.agent} bid {best.price_msat} msat before {second.agent} bid the same; lowest of {len(usable)} bids"
        )
    return (
        f"{best.agent} asked the least, {best.price_msat} msat; "
        f"lowest of {len(usable)} bids, the next {second.price_msat} msat by {second.agent}"
    )


def _set_aside(aside: list[Bid], obstacles: dict[AgentId, str]) -> str:
    if not aside:
        return ""
    named = ", ".join(f"{bid.agent} ({obstacles[bid.agent]})" for bid in aside[:NAMED_MAX])
    more = len(aside) - NAMED_MAX
    return f"; set aside: {named}" + (f" and {more} more" if more > 0 else "")
