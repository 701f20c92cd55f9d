"""The personas that come with Agora."""

from actors.personas import DEFAULT_PERSONAS, FILE, SUMMARISE
from actors.rules import pricing
from actors.steps import AgentOptions
from bus.messages.agents import Outcomes

BRIEFERS = tuple(persona for persona in DEFAULT_PERSONAS if SUMMARISE in persona.capabilities)


def cheapest(characters: int, in_hand: tuple[int, int, int] = (0, 0, 0)) -> str:
    prices = {
        persona.name: pricing.quote(
            persona, Outcomes(), reward_msat=10_000, input_characters=characters, in_hand=count
        ).price_msat
        for persona, count in zip(BRIEFERS, in_hand, strict=True)
    }
    return min(prices, key=lambda name: prices[name])


def test_they_differ_in_what_they_can_do_and_all_but_the_librarian_summarise() -> None:
    assert len({persona.capabilities for persona in DEFAULT_PERSONAS}) == 4
    assert len(BRIEFERS) == 3
    (librarian,) = (persona for persona in DEFAULT_PERSONAS if FILE in persona.capabilities)
    assert [one.agent for one in AgentOptions().filing] == [librarian.name]


def test_each_is_the_cheapest_somewhere() -> None:
    assert [cheapest(characters) for characters in (1_000, 30_000, 60_000)] == ["scout", "editor", "analyst"]


def test_work_in_hand_sends_the_next_task_to_another() -> None:
    assert cheapest(1_000, in_hand=(2, 0, 0)) == "editor"


def test_their_prices_are_within_the_reward_that_a_brief_offers_by_default() -> None:
    for persona in DEFAULT_PERSONAS:
        quote = pricing.quote(persona, Outcomes(), reward_msat=1_000, input_characters=48_000, in_hand=0)
        assert not quote.is_declined
