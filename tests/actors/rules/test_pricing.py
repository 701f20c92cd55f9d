"""What an agent asks, as a table of cases and as properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.rules import pricing
from bus.messages.agents import Outcomes, Persona

PERSONA = Persona(
    name="scout", capabilities=("summarise",), prompt="", price_msat=300, price_per_1000_characters_msat=4
)
NEW = Outcomes()


def asked(outcomes: Outcomes = NEW, *, reward: int = 10_000, length: int | None = None, in_hand: int = 0) -> int:
    quote = pricing.quote(PERSONA, outcomes, reward_msat=reward, input_characters=length, in_hand=in_hand)
    return quote.price_msat


@pytest.mark.parametrize(
    ("outcomes", "permille"),
    [
        (Outcomes(), 1000),
        (Outcomes(lost=2), 1000),
        (Outcomes(lost=3), 700),
        (Outcomes(completed=3), 1300),
        (Outcomes(completed=1, lost=2), 900),
        (Outcomes(completed=2, lost=2), 1000),
        (Outcomes(failed=3), 1800),
        (Outcomes(completed=3, failed=1), 1425),
    ],
)
def test_three_outcomes_shape_the_price_and_fewer_do_not(outcomes: Outcomes, permille: int) -> None:
    assert pricing.learned_permille(outcomes) == permille
    assert asked(outcomes) == 300 * permille // 1000


def test_a_longer_input_costs_more_and_an_unknown_one_costs_what_the_persona_asks() -> None:
    assert asked(length=None) == 300
    assert asked(length=0) == 300
    assert asked(length=10_000) == 340


def test_work_in_hand_raises_the_price_so_that_work_spreads() -> None:
    assert [asked(in_hand=count) for count in (0, 1, 2)] == [300, 315, 330]


def test_a_reward_below_the_own_terms_is_declined_with_both_figures() -> None:
    quote = pricing.quote(PERSONA, Outcomes(), reward_msat=299, input_characters=None, in_hand=0)
    assert quote.is_declined
    assert quote.reason == "asks 300 msat by its terms; the reward is 299"


def test_what_was_learned_never_prices_an_agent_out_of_a_task_that_its_terms_accept() -> None:
    assert asked(Outcomes(completed=9), reward=300) == 300
    assert asked(in_hand=100, reward=310) == 310


def test_the_explanation_names_each_part_of_the_price() -> None:
    quote = pricing.quote(PERSONA, Outcomes(lost=3), reward_msat=900, input_characters=5_000, in_hand=1)
    assert quote.reason == "300 msat, 20 for 5000 characters, x0.70 learned from 3 outcomes, x1.05 for 1 in hand"


@given(
    outcomes=st.builds(
        Outcomes,
        completed=st.integers(0, 10**6),
        failed=st.integers(0, 10**6),
        lost=st.integers(0, 10**6),
    ),
    reward=st.integers(1, 10**9),
    length=st.none() | st.integers(0, 10**7),
    in_hand=st.integers(0, 300),
)
def test_a_price_is_positive_and_within_the_reward_or_the_task_is_declined(
    outcomes: Outcomes, reward: int, length: int | None, in_hand: int
) -> None:
    price = asked(outcomes, reward=reward, length=length, in_hand=in_hand)
    assert 0 <= price <= reward
    assert (price == 0) == (300 + (4 * length // 1000 if length else 0) > reward)
