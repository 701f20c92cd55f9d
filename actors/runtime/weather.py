"""Bad weather for a simulated run: messages that come late or never.

In process a message is delivered at most once: a system that relies on more shows it here. Facts are not touched: they
are delivered at least once, and that they are is what the simulation checks. Asks that are answered in place are not
touched either, nor what an actor tells itself: neither travels.
"""

from collections.abc import Mapping
from typing import Protocol

from actors.runtime.delivery import Delivery
from bus.address import Address
from bus.dice import Dice
from bus.envelope import Envelope
from bus.mailbox import Mailbox


class Weather(Protocol):
    """What decides how a message fares."""

    def delay_s(self, to: Address, envelope: Envelope) -> float | None:
        """How much later it comes; None when it never does."""
        ...


class Storm:
    """Loses and delays messages by chance."""

    def __init__(self, dice: Dice, *, lost: float = 0.0, late: float = 0.0, late_max_s: float = 1.0) -> None:
        """`lost` and `late` are parts of all messages, in [0, 1]."""
        self._dice = dice
        self._lost = lost
        self._late = late
        self._late_max_s = late_max_s

    def calm(self) -> None:
        """Let nothing be lost or late from now on."""
        self._lost = self._late = 0.0

    def delay_s(self, to: Address, envelope: Envelope) -> float | None:
        drawn = self._dice.random()
        if drawn < self._lost:
            return None
        return self._dice.uniform(0, self._late_max_s) if drawn < self._lost + self._late else 0.0


class RoughDelivery(Delivery):
    """Delivery through weather."""

    weather: Weather

    @property
    def inboxes(self) -> Mapping[Address, Mailbox]:
        """None: every message goes through the weather."""
        return {}

    def deliver(self, to: Address, envelope: Envelope) -> None:
        """Queue a message for an actor, now, later or never; what is lost is a dead letter that nobody is told of."""
        _, origin = envelope
        is_at_home = origin.position or origin.sender == to
        delay_s = 0.0 if is_at_home else self.weather.delay_s(to, envelope)
        if delay_s is None:
            self.dead_letter(to, envelope, "it was lost on the way")
        elif delay_s:
            self._deadlines.after(delay_s, lambda: Delivery.deliver(self, to, envelope))
        else:
            super().deliver(to, envelope)
