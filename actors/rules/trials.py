"""Decide whether a completion may find out what a provider takes now, of which only old news is known.

Rules: what an answer takes lately is an average in which what is old fades: an answer counts for the more the longer
the one before it is past, and alone once that is stale. Each completion earns a part of a trial, and one at most is in
store; so however many providers there are and however seldom anyone asks, no more than that part of completions goes to
who is not the quickest that is known.

Pure.
"""

import math

from actors.rules.cascade import CascadeOptions

NEWEST_WEIGHT = 0.2
"""Of an answer right after another, in what an answer takes lately: a change shows within some ten."""


def lately(known_s: float, age_s: float, answer_s: float, stale_s: float) -> float:
    """What an answer takes lately, when one took `answer_s` and it was `known_s` so long before; 0 when nobody knew."""
    if not known_s:
        return answer_s
    return known_s + (answer_s - known_s) * min(1.0, max(NEWEST_WEIGHT, age_s / stale_s))


class Trials:
    """The store. It begins full."""

    __slots__ = ("_ratio", "_stale_s", "_store")

    def __init__(self, options: CascadeOptions) -> None:
        self._ratio = options.latency_trials
        self._stale_s = options.latency_stale_s
        self._store = 1.0 if self._ratio else 0.0

    def earn(self) -> None:
        """A completion begins."""
        self._store = min(1.0, self._store + self._ratio)

    def take(self) -> None:
        """A trial begins."""
        self._store -= 1.0

    @property
    def after_s(self) -> float:
        """Who was not asked for so long may be tried; infinite while that leaves only those that nobody knows."""
        return self._stale_s if self._store >= 1.0 - 1e-9 else math.inf  # tenths do not add up to a whole in binary
