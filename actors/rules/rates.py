"""Decide whether a provider's rate allows another call.

Rules: a bucket holds a minute's worth and fills steadily; a call takes what it is expected to need. What needs more
than a whole bucket is let through when the bucket is full, and empties it for longer: it would never pass otherwise.

Pure: monotonic seconds are handed in.
"""


class Rate:
    """A bucket; `per_minute` of 0 is without a limit."""

    __slots__ = ("_filled_s", "_level", "per_minute")

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._level = float(per_minute)
        self._filled_s: float | None = None

    def wait_s(self, amount: int, now_s: float) -> float:
        """How long until so much may be taken; 0 when it may be taken now."""
        if not self.per_minute:
            return 0.0
        missing = min(amount, self.per_minute) - self._level_at(now_s)
        return missing * 60.0 / self.per_minute if missing > 1e-9 else 0.0

    def take(self, amount: int, now_s: float) -> None:
        """Take so much; the level may fall below nothing."""
        if self.per_minute:
            self._level = self._level_at(now_s) - amount
            self._filled_s = now_s

    def _level_at(self, now_s: float) -> float:
        if self._filled_s is None:
            return self._level
        return min(self.per_minute, self._level + max(0.0, now_s - self._filled_s) * self.per_minute / 60.0)
