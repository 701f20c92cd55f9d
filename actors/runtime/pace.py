"""How an actor keeps up, measured per batch and not per message.

A clock reading a batch gives the handle time of its messages on average, and with it how many of the next ones fit into
a span of time. The age of the oldest message comes from a mark: at a known time the mailbox had taken in a known
number; while fewer have been taken out, a message from before that time still waits.

No clock: times arrive as arguments, in monotonic seconds.
"""

from bus.mailbox import Mailbox

ASSUMED_S = 0.00001
"""What a message takes of an actor that has handled none yet."""
BATCHES_KEPT = 128
"""Enough for a p99 that means something, little enough for thousands of actors."""


class Pace:
    """The measurements of one actor."""

    __slots__ = ("_last_s", "_mark_count", "_mark_s", "_next", "_times_s")

    def __init__(self) -> None:
        self._last_s = ASSUMED_S
        self._times_s: list[float] = []
        self._next = 0
        self._mark_s = 0.0
        self._mark_count = 0

    def note_waiting(self, mailbox: Mailbox, now_s: float) -> None:
        """Messages wait: unless an older mark still stands, remember since when at the latest."""
        if mailbox.taken >= self._mark_count:
            self._mark_count = mailbox.accepted
            self._mark_s = now_s

    def note_batch(self, handled: int, elapsed_s: float) -> None:
        """That many messages took that long together."""
        self._last_s = per_message_s = elapsed_s / handled
        if len(self._times_s) < BATCHES_KEPT:
            self._times_s.append(per_message_s)
        else:
            self._times_s[self._next] = per_message_s
            self._next = (self._next + 1) % BATCHES_KEPT

    def fitting(self, seconds: float, most: int) -> int:
        """How many messages take so long if they are like the last ones; at least one, and no more than `most`."""
        last_s = self._last_s
        return most if last_s * most <= seconds else max(1, int(seconds / last_s))

    def oldest_s(self, mailbox: Mailbox, now_s: float) -> float:
        """How long the oldest message has waited, at least; 0 when none waits."""
        return now_s - self._mark_s if len(mailbox) and mailbox.taken < self._mark_count else 0.0

    def handle_time_s(self, part: float) -> float:
        """The handle time that `part` of the recent batches stayed within, such as 0.99; 0 before the first."""
        if not self._times_s:
            return 0.0
        ordered = sorted(self._times_s)
        return ordered[min(int(len(ordered) * part), len(ordered) - 1)]
