"""Choose who gets a task: sealed bids, a declared rule, and the reason in words.

Rules: one live bid per agent, a later one replaces it. Prices are whole, positive and at most the reward. A bid of an
agent that cannot take the task at the close is set aside, whatever its price. The task declares how the rest is judged:

- `lowest_price`: the lowest price wins and is paid what it asked.
- `capability_weighted`: the lowest price for its odds wins and is paid what it asked. The odds are the share of its
  tasks in this capability that the agent has finished, (finished + 1) / (finished + unfinished + 2): Laplace's rule of
  succession, so that a newcomer counts as one half.
- `second_price`: the lowest price wins and is paid the next lowest, or the reward if it is alone: Vickrey's auction
  with the reward as its reserve, in which no agent gains by asking anything but what the work is worth to it.

Among equals a lot decides that is drawn from the auction's name and the agent's: it is the same each time, favours
nobody in the long run, and does not depend on the order in which bids came.

Pure: no clock, no dice; who can take the task, and how it has done so far, is asked of the caller.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import msgspec

from actors.rules.fields import check_integer
from bus.messages.base import AgentId, Microseconds
from bus.messages.tasks import AuctionRule, Bid

RANKING_MAX = 100
"""Bids that a closed auction shows; with ids of any length that is within an event's bound."""
NAMED_MAX = 3
"""Set-aside bidders that the explanation names."""


class Auction(msgspec.Struct, gc=False):
    """An open auction. A task has at most one."""

    opened_us: Microseconds
    closes_us: Microseconds
    bids: dict[AgentId, int] = {}
    """The price that each agent asks now."""


class Record(msgspec.Struct, gc=False):
    """How an agent has done in one capability, in this market's eyes."""

    finished: int = 0
    unfinished: int = 0
    """Leases that it lost or gave back, and tasks that failed in its hands."""

    @property
    def odds(self) -> tuple[int, int]:
        """How likely it is to finish the next one, as a fraction."""
        return self.finished + 1, self.finished + self.unfinished + 2


NEWCOMER = Record()


@dataclass(frozen=True)
class Terms:
    """What an auction is judged by beside the bids."""

    rule: AuctionRule
    reward_msat: int
    name: str
    """Of the auction, for its lots."""
    obstacle: Callable[[AgentId], str]
    """Why an agent cannot take the task now, or nothing if it can."""
    record: Callable[[AgentId], Record] = lambda agent: NEWCOMER


@dataclass(frozen=True)
class Choice:
    """How an auction ends; without a winner `winner` is empty and the price 0."""

    winner: AgentId
    price_msat: int
    """What the winner is paid."""
    ranking: tuple[Bid, ...]
    reason: str


def check_price(price_msat: int, reward_msat: int) -> None:
    """Raises `InvalidField` for a price that makes no sense for the reward."""
    check_integer("price_msat", price_msat, 1, reward_msat)


def is_replacing(auction: Auction, agent: AgentId, price_msat: int) -> bool:
    """Whether a bid says something that the agent's live bid does not say already."""
    return auction.bids.get(agent) != price_msat


def place(auction: Auction, agent: AgentId, price_msat: int) -> None:
    """Note a bid in place of the agent's earlier one."""
    auction.bids[agent] = price_msat


def choose(auction: Auction, terms: Terms) -> Choice:
    """Rank the bids and say who wins, at what price, and why."""
    obstacles = {agent: why for agent in auction.bids if (why := terms.obstacle(agent))}
    usable = _ranked({agent: price for agent, price in auction.bids.items() if agent not in obstacles}, terms)
    aside = _ranked({agent: auction.bids[agent] for agent in obstacles}, terms)
    ranking = tuple((usable + aside)[:RANKING_MAX])
    if not usable:
        reason = "nobody bid" if not aside else "nobody who bid can take it" + _set_aside(aside, obstacles)
        return Choice(AgentId(""), 0, ranking, reason)
    best = usable[0]
    price_msat = best.price_msat
    if terms.rule == "second_price":
        price_msat = usable[1].price_msat if len(usable) > 1 else terms.reward_msat
    return Choice(best.agent, price_msat, ranking, _words(usable, terms) + _set_aside(aside, obstacles))


def _ranked(bids: dict[AgentId, int], terms: Terms) -> list[Bid]:
    """The best first, by the rule and then by lot."""
    if terms.rule != "capability_weighted":
        ordered = sorted(bids, key=lambda agent: (bids[agent], _lot(terms, agent)))
    else:
        # Exact fractions: the same order on every machine.
        odds = {agent: terms.record(agent).odds for agent in bids}
        ordered = sorted(bids, key=lambda agent: (_weighted(bids[agent], odds[agent]), _lot(terms, agent)))
    return [Bid(agent, bids[agent]) for agent in ordered]


def _weighted(price_msat: int, odds: tuple[int, int]) -> Fraction:
    return Fraction(price_msat * odds[1], odds[0])


def _lot(terms: Terms, agent: AgentId) -> bytes:
    return hashlib.sha256(f"{terms.name}/{agent}".encode()).digest()


def _words(usable: list[Bid], terms: Terms) -> str:
    best = usable[0]
    if len(usable) == 1:
        alone = f"{best.agent} made the only bid, {best.price_msat} msat"
        return f"{alone}; it is paid the reward" if terms.rule == "second_price" else alone
    second = usable[1]
    if terms.rule == "capability_weighted":
        return (
            f"{best.agent} asked the least for its odds, {best.price_msat} msat at {_odds(terms, best.agent)}; "
            f"best of {len(usable)} bids, the next {second.price_msat} msat at {_odds(terms, second.agent)} "
            f"by {second.agent}"
        )
    paid = f"; it is paid the second price, {second.price_msat} msat" if terms.rule == "second_price" else ""
    if second.price_msat == best.price_msat:
        return (
            f"{best.agent} and {second.agent} asked the least, {best.price_msat} msat, and the lot fell on "
            f"{best.agent}; lowest of {len(usable)} bids{paid}"
        )
    return (
        f"{best.agent} asked the least, {best.price_msat} msat; "
        f"lowest of {len(usable)} bids, the next {second.price_msat} msat by {second.agent}{paid}"
    )


def _odds(terms: Terms, agent: AgentId) -> str:
    good, all_ = terms.record(agent).odds
    return f"{good}:{all_}"


def _set_aside(aside: list[Bid], obstacles: dict[AgentId, str]) -> str:
    if not aside:
        return ""
    named = ", ".join(f"{bid.agent} ({obstacles[bid.agent]})" for bid in aside[:NAMED_MAX])
    more = len(aside) - NAMED_MAX
    return f"; set aside: {named}" + (f" and {more} more" if more > 0 else "")
