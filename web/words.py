"""What models are saying at this moment, for who watches.

Rules: it is never journaled, and who comes late misses what was said before. Of each completion only the newest state
is kept; a watcher that is slow misses states in between and nothing else. A completion that is over is told once.
"""

from collections import OrderedDict

import anyio

from bus.messages.base import CompletionId
from bus.messages.routing import WordsSaid

SPEAKERS_MAX = 64
"""Completions that are shown at once; the one that was heard longest ago goes first."""


class Words:
    """The newest state of each completion that is being spoken."""

    def __init__(self) -> None:
        self._said: OrderedDict[CompletionId, tuple[int, WordsSaid]] = OrderedDict()
        self._count = 0
        self._changed = anyio.Event()

    @property
    def count(self) -> int:
        """How many states there were."""
        return self._count

    def say(self, words: WordsSaid) -> None:
        """Take a newer state."""
        self._count += 1
        self._said.pop(words.completion, None)
        self._said[words.completion] = (self._count, words)
        if len(self._said) > SPEAKERS_MAX:
            self._said.popitem(last=False)
        self._changed.set()

    def after(self, count: int) -> list[WordsSaid]:
        """The states that are newer than that many, oldest first; who came to an end is forgotten by who comes late."""
        return [words for number, words in self._said.values() if number > count and not (words.is_over and not count)]

    async def wait(self, count: int) -> None:
        """Return once there is a newer state than that many."""
        while self._count <= count:
            self._changed = anyio.Event() if self._changed.is_set() else self._changed
            await self._changed.wait()
