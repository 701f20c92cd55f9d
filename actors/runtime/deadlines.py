"""One wheel for every deadline and timer.

A timer of the event loop costs a heap entry and a handle each; most deadlines never pass, since the answer comes
first. So they sit in buckets of a few milliseconds, and the loop holds one timer: for the nearest bucket. A deadline
passes at or a little after its time, never before. A callback that raises costs the others nothing. One that is
cancelled leaves its bucket at once: thousands of asks a second, each with half a minute left, would fill megabytes.
"""

import asyncio
import heapq
import math
from collections.abc import Callable

TICK_S = 0.005
"""Coarser than any deadline that matters and fine enough for an auction's close."""


class Deadline:
    """One entry of the wheel."""

    __slots__ = ("_bucket", "_callback")

    def __init__(self, callback: Callable[[], None], bucket: "dict[Deadline, None]") -> None:
        self._callback: Callable[[], None] | None = callback
        self._bucket = bucket

    def cancel(self) -> None:
        """Forget it."""
        self._callback = None
        bucket = self._bucket
        bucket.pop(self, None)
        if not bucket:
            bucket.clear()  # it would keep the room that it had for all of them

    def pass_by(self) -> None:
        """Call the callback, once."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class Deadlines:
    """The wheel, on the running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._buckets: dict[int, dict[Deadline, None]] = {}
        """By tick, each with its deadlines in the order in which they were set."""
        self._ticks: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_tick = 0

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def after(self, delay_s: float, callback: Callable[[], None]) -> Deadline:
        """Call `callback` once `delay_s` seconds have passed."""
        due_s = self._loop.time() + max(delay_s, 0.0)
        tick = math.ceil(due_s / TICK_S)
        if tick * TICK_S < due_s:  # the division has rounded down; to pass early would have its owner ask again at once
            tick += 1
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = {}
            heapq.heappush(self._ticks, tick)
            self._arm()
        deadline = Deadline(callback, bucket)
        bucket[deadline] = None
        return deadline

    def close(self) -> None:
        """Forget everything."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._buckets.clear()
        self._ticks.clear()

    def _arm(self) -> None:
        nearest = self._ticks[0]
        if self._timer is not None:
            if self._timer_tick <= nearest:
                return
            self._timer.cancel()
        self._timer_tick = nearest
        self._timer = self._loop.call_at(nearest * TICK_S, self._turn)

    def _turn(self) -> None:
        self._timer = None
        now_tick = max(math.floor(self._loop.time() / TICK_S), self._timer_tick)
        try:
            while self._ticks and self._ticks[0] <= now_tick:
                bucket = self._buckets[self._ticks[0]]
                while bucket:
                    for deadline in tuple(bucket):
                        bucket.pop(deadline, None)  # one before it may have cancelled it
                        deadline.pass_by()
                del self._buckets[heapq.heappop(self._ticks)]
        finally:
            if self._ticks:
                self._arm()
