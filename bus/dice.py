"""Chance as a part: one seeded source, so that a run can be repeated."""

import random
from collections.abc import Sequence
from functools import cached_property
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """A seeded source of chance. Not for secrets: those come from `secrets` at the edge."""

    def __init__(self, seed: int | str) -> None:
        self._seed = seed

    @cached_property
    def _random(self) -> random.Random:
        """Made when it is first thrown: its state takes 2.5 KB, and most actors never throw."""
        return random.Random(self._seed)  # repeatable on purpose; no secret comes from here

    def random(self) -> float:
        """A number in [0, 1)."""
        return self._random.random()

    def uniform(self, low: float, high: float) -> float:
        """A number between `low` and `high`."""
        return self._random.uniform(low, high)

    def index(self, size: int) -> int:
        """A number in range(size)."""
        return self._random.randrange(size)

    def choice(self, options: Sequence[T]) -> T:
        """One of `options`."""
        return self._random.choice(options)

    def token(self, n_bytes: int = 8) -> str:
        """Random bytes as lowercase hex."""
        return self._random.randbytes(n_bytes).hex()

    def split(self, name: str) -> "Dice":
        """A source of its own for `name`, so that one part's throws never change another's."""
        return Dice(f"{self._random.getrandbits(64)}/{name}")
