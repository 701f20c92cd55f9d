"""The timers of one incarnation of an actor.

Rules: one timer per key. One that was replaced or cancelled, or whose incarnation is over, tells nothing any more, not
even when its time had passed already and its message was waiting in the mailbox; `erlang:cancel_timer` with a flush and
Akka's `TimerScheduler` promise the same. What waits in the mailbox is therefore the timer, and its message is had by
whoever takes it out, if it still stands. No actor has a handler for a timer, so those who deliver messages look for one
only where a handler is missing: what is no timer pays nothing.
"""

from collections.abc import Callable, Hashable

from actors.runtime.deadlines import Deadline, Deadlines
from bus.envelope import Envelope
from bus.mailbox import CoalesceKey
from bus.messages.base import Message


class TimerPassed(Message, frozen=True, gc=True):
    """Told to an actor's mailbox when the time of one of its timers has passed. The actor gets the message in it."""

    wire_name = "timer.passed"

    key: str
    message: Message
    timers: "Timers"
    """Whose it is: they say whether it still stands."""


class Timers:
    """What an actor has set and not heard of yet, by key."""

    __slots__ = ("_deadlines", "_standing")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._standing: dict[str, tuple[TimerPassed, Deadline]] = {}

    def start(self, key: str, delay_s: float, message: Message, tell: Callable[[TimerPassed], None]) -> None:
        """Have something told later, in place of what the key had before."""
        self.cancel(key)
        passed = TimerPassed(key, message, self)
        self._standing[key] = (passed, self._deadlines.after(delay_s, lambda: tell(passed)))

    def cancel(self, key: str) -> None:
        """Forget a timer, whether or not its time has passed; unknown keys are fine."""
        standing = self._standing.pop(key, None)
        if standing is not None:
            _, deadline = standing
            deadline.cancel()

    def cancel_all(self) -> None:
        """Forget all of them."""
        for key in list(self._standing):
            self.cancel(key)

    def end(self, passed: TimerPassed) -> bool:
        """Whether the timer still stood; from now on it does not."""
        standing = self._standing.get(passed.key)
        if standing is None or standing[0] is not passed:
            return False
        del self._standing[passed.key]
        return True


def told(envelope: Envelope) -> Envelope | None:
    """What an envelope from a mailbox tells: itself, or what is in a timer; None for a timer that stands no more."""
    message, origin = envelope
    if not isinstance(message, TimerPassed):
        return envelope
    return (message.message, origin) if message.timers.end(message) else None


def apart(key: CoalesceKey | None) -> CoalesceKey | None:
    """The key of an actor that coalesces, for its mailbox: each timer is told for itself."""
    if key is None:
        return None

    def key_of(message: Message) -> Hashable:
        return (id(message),) if isinstance(message, TimerPassed) else key(message)

    return key_of
