"""The personas that come with Agora."""

from actors.personas import DEFAULT_PERSONAS, SUMMARISE
from actors.rules import pricing
from bus.messages.agents import Outcomes


def cheapest(characters: int, in_hand: tuple[int, int, int] = (0, 0, 0)) -> str:
    prices = {
        persona.name: pricing.quote(
            persona, Outcomes(), reward_msat=10_000, input_characters=characters, in_hand=count
        ).price_msat
        for persona, count in zip(DEFAULT_PERSONAS, in_hand, strict=True)
    }
    return min(prices, key=lambda name: prices[name])


def test_they_differ_in_what_they_can_do_and_all_can_summarise() -> None:
    assert len({persona.capabilities for persona in DEFAULT_PERSONAS}) == 3
    assert all(SUMMARISE in persona.capabilities for persona in DEFAULT_PERSONAS)


def test_each_is_the_cheapest_somewhere() -> None:
    assert [cheapest(characters) for characters in (1_000, 30_000, 60_000)] == ["scout", "editor", "analyst"]


def test_work_in_hand_sends_the_next_task_to_another() -> None:
    assert cheapest(1_000, in_hand=(2, 0, 0)) == "editor"


def test_their_prices_are_within_the_reward_that_a_brief_offers_by_default() -> None:
    for persona in DEFAULT_PERSONAS:
        quote = pricing.quote(persona, Outcomes(), reward_msat=1_000, input_characters=48_000, in_hand=0)
        assert not quote.is_declined
