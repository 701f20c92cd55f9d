"""Time as a part: no module reads a clock by itself."""

import time
from typing import Protocol


class Clock(Protocol):
    """What tells the time."""

    def now_us(self) -> int:
        """Wall-clock time in microseconds since 1970 UTC. May step back."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never go back; only differences mean anything."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_us(self) -> int:
        return time.time_ns() // 1_000

    def monotonic_s(self) -> float:
        return time.monotonic()


class VirtualClock:
    """A clock that moves when it is told to; the wall may be stepped apart from the monotonic side."""

    def __init__(self, start_us: int = 1_750_000_000_000_000) -> None:
        self._monotonic_s = 0.0
        self._wall_us = start_us

    def now_us(self) -> int:
        return self._wall_us + int(self._monotonic_s * 1_000_000)

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Let time pass. `seconds` is not negative."""
        assert seconds >= 0, f"time does not run backwards: {seconds}"
        self._monotonic_s += seconds

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an operator or NTP does; the monotonic side does not notice."""
        self._wall_us += int(seconds * 1_000_000)
