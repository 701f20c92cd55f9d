"""What is due when: many keys, each at one time, so that one timer serves them all.

Rules: a key is due once, at the time that it was last given; keys come out by time, then in their own order. What was
dropped or put off leaves a stale entry, and those are swept away before they outnumber the rest.

Pure: no clock; times arrive as arguments, in seconds of whatever clock the caller keeps to.
"""

import heapq
from typing import Generic, TypeVar

K = TypeVar("K", bound=str)

STALE_MAX = 1_000
"""Stale entries that are put up with beside as many as there are keys."""


class Agenda(Generic[K]):
    """Keys by the time at which they are due."""

    def __init__(self) -> None:
        self._due_s: dict[K, float] = {}
        self._heap: list[tuple[float, K]] = []

    def __len__(self) -> int:
        return len(self._due_s)

    def put(self, key: K, due_s: float) -> None:
        """The key is due at that time, and at no other."""
        self._due_s[key] = due_s
        heapq.heappush(self._heap, (due_s, key))
        if len(self._heap) > 2 * len(self._due_s) + STALE_MAX:
            self._heap = [entry for entry in self._heap if self._due_s.get(entry[1]) == entry[0]]
            heapq.heapify(self._heap)

    def drop(self, key: K) -> None:
        """The key is not due any more; one that never was is fine."""
        self._due_s.pop(key, None)

    def take(self, now_s: float, count_max: int) -> tuple[K, ...]:
        """The keys whose time has come, each once, and at most so many."""
        taken: list[K] = []
        while self._heap and self._heap[0][0] <= now_s and len(taken) < count_max:
            due_s, key = heapq.heappop(self._heap)
            if self._due_s.get(key) == due_s:
                del self._due_s[key]
                taken.append(key)
        return tuple(taken)

    @property
    def next_s(self) -> float | None:
        """When the next key is due; None while there is none."""
        while self._heap and self._due_s.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
