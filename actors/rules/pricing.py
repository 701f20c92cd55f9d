"""Price a bid.

Rules: an agent asks its persona's price, more for a longer input and for each task that it already has in hand, so
that work spreads without anyone planning it. From the third outcome in a capability on, its results shape the price:
auctions lost lower it, auctions won raise it, work that failed raises it most, since failed work is not paid. What was
learned never prices an agent out of a task that its persona's own terms would accept: it then asks the whole reward.

All amounts are integer millisatoshi; shares are in thousandths, so that the same history gives the same price on
every machine. Pure: no clock, no dice.
"""

import msgspec

from bus.messages.agents import Outcomes, Persona

SAMPLES_MIN = 3
"""Outcomes in a capability before they count: fewer say more about luck than about the market."""
MARKET_SWING_PERMILLE = 300
"""How far winning or losing every auction moves the price."""
FAILURE_PREMIUM_PERMILLE = 500
"""Added when all work failed: it covers what was done without pay."""
LOAD_PERMILLE = 50
"""Added per task in hand: late work is worth less to the poster and costs the agent its freedom to choose."""


class Quote(msgspec.Struct, frozen=True):
    """What to ask, and why in words. `price_msat` is 0 when the task is not worth taking."""

    price_msat: int
    reason: str

    @property
    def is_declined(self) -> bool:
        return self.price_msat == 0


def quote(
    persona: Persona, outcomes: Outcomes, *, reward_msat: int, input_characters: int | None, in_hand: int
) -> Quote:
    """The agent's answer to an auction of `reward_msat`; an unknown input length is priced as an average one."""
    terms = persona.price_msat + _for_length(persona, input_characters)
    if terms > reward_msat:
        return Quote(0, f"asks {terms} msat by its terms; the reward is {reward_msat}")
    learned = learned_permille(outcomes)
    asked = max(1, terms * learned * (1000 + LOAD_PERMILLE * in_hand) // 1_000_000)
    words = [f"{persona.price_msat} msat"]
    if terms > persona.price_msat:
        words.append(f"{terms - persona.price_msat} for {input_characters} characters")
    if learned != 1000:
        words.append(f"x{learned / 1000:.2f} learned from {samples(outcomes)} outcomes")
    if in_hand:
        words.append(f"x{1 + LOAD_PERMILLE * in_hand / 1000:.2f} for {in_hand} in hand")
    if asked > reward_msat:
        return Quote(reward_msat, ", ".join((*words, "held at the reward")))
    return Quote(asked, ", ".join(words))


def samples(outcomes: Outcomes) -> int:
    """How many auctions and tasks these outcomes rest on."""
    return outcomes.completed + outcomes.failed + outcomes.lost


def learned_permille(outcomes: Outcomes) -> int:
    """What the outcomes do to a price, in thousandths: 1000 leaves it as it is."""
    count = samples(outcomes)
    if count < SAMPLES_MIN:
        return 1000
    won = outcomes.completed + outcomes.failed
    return 1000 + (MARKET_SWING_PERMILLE * (won - outcomes.lost) + FAILURE_PREMIUM_PERMILLE * outcomes.failed) // count


def _for_length(persona: Persona, input_characters: int | None) -> int:
    if input_characters is None:
        return 0
    return persona.price_per_1000_characters_msat * input_characters // 1000
