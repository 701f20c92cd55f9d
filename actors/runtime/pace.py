"""How an actor keeps up, measured per batch and not per message.

Two clock readings a batch give the handle time of its messages on average. The age of the oldest message comes from a
mark: at a known time the mailbox had taken in a known number; while fewer have been taken out, a message from before
that time still waits.

No clock: times arrive as arguments, in monotonic seconds.
"""

from bus.mailbox import Mailbox

BATCHES_KEPT = 128
"""Enough for a p99 that means something, little enough for thousands of actors."""


class Pace:
    """The measurements of one actor."""

    __slots__ = ("_mark_count", "_mark_s", "_next", "_times_s")

    def __init__(self) -> None:
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
        per_message_s = elapsed_s / handled
        if len(self._times_s) < BATCHES_KEPT:
            self._times_s.append(per_message_s)
        else:
            self._times_s[self._next] = per_message_s
            self._next = (self._next + 1) % BATCHES_KEPT

    def oldest_s(self, mailbox: Mailbox, now_s: float) -> float:
        """How long the oldest message has waited, at least; 0 when none waits."""
        return now_s - self._mark_s if len(mailbox) and mailbox.taken < self._mark_count else 0.0

    def handle_time_s(self, part: float) -> float:
        """The handle time that `part` of the recent batches stayed within, such as 0.99; 0 before the first."""
        if not self._times_s:
            return 0.0
        ordered = sorted(self._times_s)
        return ordered[min(int(len(ordered) * part), len(ordered) - 1)]
