"""Who wins, and why."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.rules.auction import RANKING_MAX, Auction, check_price, choose, is_replacing, place
from bus.errors import InvalidField
from bus.messages.base import AgentId
from bus.messages.tasks import Bid


def auction(*bids: tuple[str, int]) -> Auction:
    opened = Auction(opened_us=0, closes_us=2_000_000)
    for agent, price in bids:
        place(opened, AgentId(agent), price)
    return opened


def obstacles(**reasons: str) -> Callable[[AgentId], str]:
    return lambda agent: reasons.get(agent, "")


def test_the_lowest_price_wins_and_is_paid_what_it_asked() -> None:
    choice = choose(auction(("scout", 120), ("critic", 90), ("scribe", 100)), obstacles())
    assert (choice.winner, choice.price_msat) == ("critic", 90)
    assert [bid.agent for bid in choice.ranking] == ["critic", "scribe", "scout"]
    assert choice.reason == "critic asked the least, 90 msat; lowest of 3 bids, the next 100 msat by scribe"


def test_among_equal_prices_the_earlier_bid_wins() -> None:
    choice = choose(auction(("scout", 90), ("critic", 90)), obstacles())
    assert choice.winner == "scout"
    assert choice.reason == "scout bid 90 msat before critic bid the same; lowest of 2 bids"


def test_a_replaced_bid_counts_from_its_replacement() -> None:
    choice = choose(auction(("scout", 95), ("critic", 90), ("scout", 90)), obstacles())
    assert choice.winner == "critic"
    assert len(choice.ranking) == 2


def test_only_another_price_replaces_a_bid() -> None:
    opened = auction(("scout", 90))
    assert not is_replacing(opened, AgentId("scout"), 90)
    assert is_replacing(opened, AgentId("scout"), 91)
    assert is_replacing(opened, AgentId("critic"), 90)


def test_a_bid_that_cannot_be_used_is_set_aside_whatever_its_price() -> None:
    choice = choose(auction(("scout", 1), ("critic", 90)), obstacles(scout="it has 1 of 1 tasks in hand"))
    assert choice.winner == "critic"
    assert choice.ranking == (Bid(AgentId("critic"), 90), Bid(AgentId("scout"), 1))
    assert choice.reason == ("critic made the only bid, 90 msat; set aside: scout (it has 1 of 1 tasks in hand)")


def test_nobody_wins_an_auction_without_bids() -> None:
    choice = choose(auction(), obstacles())
    assert (choice.winner, choice.price_msat, choice.ranking, choice.reason) == ("", 0, (), "nobody bid")


def test_nobody_wins_when_all_bids_are_set_aside() -> None:
    bids = auction(*((f"a{n}", 1) for n in range(5)))
    choice = choose(bids, lambda agent: "it is paused")
    assert choice.winner == ""
    assert choice.reason == (
        "nobody who bid can take it; set aside: a0 (it is paused), a1 (it is paused), a2 (it is paused) and 2 more"
    )


def test_a_ranking_shows_at_most_so_many_bids() -> None:
    choice = choose(auction(*((f"a{n}", n + 1) for n in range(RANKING_MAX + 50))), obstacles())
    assert len(choice.ranking) == RANKING_MAX
    assert "lowest of 150 bids" in choice.reason


@pytest.mark.parametrize("price", [-999, -1, 0, 1_001, 10**15])
def test_a_price_that_is_not_positive_or_above_the_reward_is_refused(price: int) -> None:
    with pytest.raises(InvalidField, match="price_msat: must be from 1 to 1000"):
        check_price(price, 1_000)


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 5)), min_size=1), st.sets(st.sampled_from("abcdef"))
)
def test_the_winner_is_the_lowest_and_earliest_of_the_live_bids_that_can_be_used(
    bids: list[tuple[str, int]], away: set[str]
) -> None:
    choice = choose(auction(*bids), lambda agent: "it is away" if agent in away else "")
    last = {agent: (price, order) for order, (agent, price) in enumerate(bids)}
    usable = sorted((price, order, agent) for agent, (price, order) in last.items() if agent not in away)
    assert choice.winner == (usable[0][2] if usable else "")
    assert choice.price_msat == (usable[0][0] if usable else 0)
    assert {bid.agent for bid in choice.ranking} == set(last)
