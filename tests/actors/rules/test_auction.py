"""Who wins, and why."""

from dataclasses import replace
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.rules.auction import NEWCOMER, RANKING_MAX, Auction, Record, Terms, check_price, choose, is_replacing, place
from bus.messages.base import AgentId
from bus.messages.tasks import AuctionRule, Bid
from bus.refusals import InvalidField


def auction(*bids: tuple[str, int]) -> Auction:
    opened = Auction(opened_us=0, closes_us=2_000_000)
    for agent, price in bids:
        place(opened, AgentId(agent), price)
    return opened


def terms(rule: AuctionRule = "lowest_price", name: str = "t-1/1", **reasons: str) -> Terms:
    """The terms of an auction for 1,000 msat; `reasons` says who cannot take the task."""
    return Terms(rule, 1_000, name, lambda agent: reasons.get(agent, ""))


def weighted(**records: tuple[int, int]) -> Terms:
    def record(agent: AgentId) -> Record:
        return Record(*records[agent]) if agent in records else NEWCOMER

    return Terms("capability_weighted", 1_000, "t-1/1", lambda agent: "", record)


def test_the_lowest_price_wins_and_is_paid_what_it_asked() -> None:
    choice = choose(auction(("scout", 120), ("critic", 90), ("scribe", 100)), terms())
    assert (choice.winner, choice.price_msat) == ("critic", 90)
    assert [bid.agent for bid in choice.ranking] == ["critic", "scribe", "scout"]
    assert choice.reason == "critic asked the least, 90 msat; lowest of 3 bids, the next 100 msat by scribe"


def test_the_lowest_price_for_its_odds_wins_and_is_paid_what_it_asked() -> None:
    judged = weighted(scout=(9, 1), critic=(1, 9))
    choice = choose(auction(("scout", 120), ("critic", 90)), judged)
    assert (choice.winner, choice.price_msat) == ("scout", 120)
    assert choice.reason == (
        "scout asked the least for its odds, 120 msat at 10:12; best of 2 bids, the next 90 msat at 2:12 by critic"
    )


def test_a_newcomer_counts_as_one_half() -> None:
    assert choose(auction(("scout", 120), ("new", 70)), weighted(scout=(9, 1))).winner == "new"
    assert choose(auction(("scout", 120), ("new", 80)), weighted(scout=(9, 1))).winner == "scout"


def test_the_second_price_is_paid_to_the_lowest_and_the_reward_to_who_is_alone() -> None:
    choice = choose(auction(("scout", 120), ("critic", 90)), terms("second_price"))
    assert (choice.winner, choice.price_msat) == ("critic", 120)
    assert choice.reason.endswith("it is paid the second price, 120 msat")
    alone = choose(auction(("critic", 90)), terms("second_price"))
    assert (alone.price_msat, alone.reason) == (1_000, "critic made the only bid, 90 msat; it is paid the reward")


def test_a_bid_that_is_set_aside_makes_no_second_price() -> None:
    choice = choose(auction(("scout", 120), ("critic", 90), ("away", 91)), terms("second_price", away="it is paused"))
    assert choice.price_msat == 120


def test_no_agent_gains_by_asking_anything_but_what_the_work_is_worth_to_it_where_the_second_price_is_paid() -> None:
    prices = range(1, 6)
    judged = replace(terms("second_price"), reward_msat=5)

    def gain(worth: int, asked: int, others: tuple[int, ...]) -> int:
        choice = choose(auction(("me", asked), *((f"a{n}", price) for n, price in enumerate(others))), judged)
        return choice.price_msat - worth if choice.winner == "me" else 0

    for size in range(3):
        for others in product(prices, repeat=size):
            for worth in prices:
                honest = gain(worth, worth, others)
                assert honest >= 0
                assert all(gain(worth, asked, others) <= honest for asked in prices)


def test_among_equals_a_lot_decides_that_is_the_same_each_time_and_says_so() -> None:
    first, second = choose(auction(("a", 90), ("b", 90)), terms()), choose(auction(("b", 90), ("a", 90)), terms())
    assert first == second
    assert first.reason.startswith(f"{first.winner} and ")
    assert first.reason.endswith(f"the lot fell on {first.winner}; lowest of 2 bids")


def test_lots_favour_nobody_in_the_long_run() -> None:
    equal = auction(("a", 90), ("b", 90), ("c", 90))
    winners = [choose(equal, terms(name=f"t-{number}/1")).winner for number in range(3_000)]
    assert all(900 < winners.count(AgentId(agent)) < 1_100 for agent in "abc")


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 4), min_size=1),
    st.sampled_from(["lowest_price", "capability_weighted", "second_price"]),
    st.randoms(use_true_random=False),
)
def test_the_order_in_which_bids_came_decides_nothing(bids: dict[str, int], rule: AuctionRule, random: Random) -> None:
    shuffled = list(bids.items())
    random.shuffle(shuffled)
    assert choose(auction(*bids.items()), terms(rule)) == choose(auction(*shuffled), terms(rule))


def test_only_another_price_replaces_a_bid() -> None:
    opened = auction(("scout", 90))
    assert not is_replacing(opened, AgentId("scout"), 90)
    assert is_replacing(opened, AgentId("scout"), 91)
    assert is_replacing(opened, AgentId("critic"), 90)


def test_a_bid_that_cannot_be_used_is_set_aside_whatever_its_price() -> None:
    choice = choose(auction(("scout", 1), ("critic", 90)), terms(scout="it has 1 of 1 tasks in hand"))
    assert choice.winner == "critic"
    assert choice.ranking == (Bid(AgentId("critic"), 90), Bid(AgentId("scout"), 1))
    assert choice.reason == ("critic made the only bid, 90 msat; set aside: scout (it has 1 of 1 tasks in hand)")


def test_nobody_wins_an_auction_without_bids() -> None:
    choice = choose(auction(), terms())
    assert (choice.winner, choice.price_msat, choice.ranking, choice.reason) == ("", 0, (), "nobody bid")


def test_nobody_wins_when_all_bids_are_set_aside() -> None:
    bids = auction(*((f"a{n}", n + 1) for n in range(5)))
    choice = choose(bids, replace(terms(), obstacle=lambda agent: "it is paused"))
    assert choice.winner == ""
    assert choice.reason == (
        "nobody who bid can take it; set aside: a0 (it is paused), a1 (it is paused), a2 (it is paused) and 2 more"
    )


def test_a_ranking_shows_at_most_so_many_bids() -> None:
    choice = choose(auction(*((f"a{n}", n + 1) for n in range(RANKING_MAX + 50))), terms())
    assert len(choice.ranking) == RANKING_MAX
    assert "lowest of 150 bids" in choice.reason


@pytest.mark.parametrize("price", [-999, -1, 0, 1_001, 10**15])
def test_a_price_that_is_not_positive_or_above_the_reward_is_refused(price: int) -> None:
    with pytest.raises(InvalidField, match="price_msat: must be from 1 to 1000"):
        check_price(price, 1_000)


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 5)), min_size=1), st.sets(st.sampled_from("abcdef"))
)
def test_the_winner_is_the_lowest_of_the_live_bids_that_can_be_used(
    bids: list[tuple[str, int]], away: set[str]
) -> None:
    choice = choose(auction(*bids), replace(terms(), obstacle=lambda agent: "it is away" if agent in away else ""))
    last = dict(bids)
    usable = {agent: price for agent, price in last.items() if agent not in away}
    assert choice.price_msat == min(usable.values(), default=0)
    assert not usable or usable[choice.winner] == choice.price_msat
    assert {bid.agent for bid in choice.ranking} == set(last)
