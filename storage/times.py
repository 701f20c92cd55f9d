"""Between which positions of a segment a window of time lies, without an index that every insert would pay for.

The rollup says between which positions a minute lies, which is close enough as a rule. Of a minute with very many
events, the earliest and the latest time of each block of positions are remembered once somebody has asked for a part of
it. Times need not rise with the positions: every minute of a window is looked at, and a block says what is in it,
whatever the order.

What is remembered holds up to some position: what comes later is looked at then. Lives on one thread, and knows one
segment.
"""

import sqlite3
from bisect import bisect_left
from collections import OrderedDict
from itertools import accumulate
from typing import NamedTuple

import msgspec

from storage import queries

MINUTE_US = 60_000_000
FOREVER_US = 2**62
BLOCK = queries.TIMES_BLOCK
SPARSE = 2_048
"""Positions that are gone through row by row: half a millisecond."""
EMPTY = (FOREVER_US, -1)
KEPT = 64
"""Windows, and dense minutes, that are remembered: far more than are asked about at a time."""

_blocks = msgspec.json.Decoder(list[tuple[int, int, int]]).decode


class _Minutes(NamedTuple):
    """What the rollup says of the minutes of a window: the first one, those after it; the last one, those before it."""

    begin_first: int | None
    begin_last: int | None
    later_first: int | None
    end_first: int | None
    end_last: int | None
    earlier_last: int | None


class _Dense:
    """The times of a dense minute, by block of positions."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._times: list[tuple[int, int]] = []
        self.upto = first - 1
        self._latest: list[int] = []
        """By block: of all up to it."""
        self._earliest: list[int] = []
        """By block: of all from it on."""

    def look(self, connection: sqlite3.Connection, last: int) -> None:
        """See what was added, up to a position. Raises sqlite3.Error."""
        begin = self._first // BLOCK
        del self._times[max(0, (self.upto + 1) // BLOCK - begin) :]  # of the last block there may be more by now
        missing = range(begin + len(self._times), last // BLOCK + 1)
        bounds = (max(self._first, missing[0] * BLOCK), last)
        (rows,) = connection.execute(queries.TIMES_OF_BLOCKS, bounds).fetchone()
        found = {block: (earliest, latest) for block, earliest, latest in _blocks(rows)}
        self._times += [found.get(block, EMPTY) for block in missing]
        self._latest = list(accumulate((latest for _, latest in self._times), max))
        self._earliest = list(accumulate((earliest for earliest, _ in reversed(self._times)), min))[::-1]
        self.upto = last

    def lowest(self, since_us: int) -> int:
        block = bisect_left(self._latest, since_us)
        return max(self._first, (self._first // BLOCK + block) * BLOCK) if block < len(self._latest) else self.upto + 1

    def highest(self, until_us: int) -> int:
        block = bisect_left(self._earliest, until_us) - 1
        return (self._first // BLOCK + block + 1) * BLOCK - 1 if block >= 0 else self._first - 1


class Times:
    """The times of one segment."""

    def __init__(self) -> None:
        self._windows: OrderedDict[tuple[int, int], tuple[int, _Minutes]] = OrderedDict()
        self._dense: OrderedDict[int, _Dense] = OrderedDict()

    def window(self, connection: sqlite3.Connection, since_us: int, until_us: int, upto: int) -> tuple[int, int]:
        """The first and the last position that may be of a window, as far as there were events up to a position.

        The first is beyond the last where there is none. Raises sqlite3.Error, DecodeError.
        """
        minutes = self._minutes(connection, since_us // MINUTE_US, (until_us - 1) // MINUTE_US, upto)
        firsts = _there(minutes.later_first)
        lasts = _there(minutes.earlier_last)
        if minutes.begin_first is not None and minutes.begin_last is not None:
            firsts.append(self.lowest(connection, minutes.begin_first, minutes.begin_last, since_us))
        if minutes.end_first is not None and minutes.end_last is not None:
            lasts.append(self.highest(connection, minutes.end_first, minutes.end_last, until_us))
        return min(firsts, default=FOREVER_US), max(lasts, default=0)

    def lowest(self, connection: sqlite3.Connection, first: int, last: int, since_us: int) -> int:
        """No position from `first` to `last` below this one has a time of `since_us` or later. Raises sqlite3.Error."""
        return first if last - first < SPARSE else self._look(connection, first, last).lowest(since_us)

    def highest(self, connection: sqlite3.Connection, first: int, last: int, until_us: int) -> int:
        """No position from `first` to `last` above this one has a time before `until_us`. Raises sqlite3.Error."""
        return last if last - first < SPARSE else min(last, self._look(connection, first, last).highest(until_us))

    def _minutes(self, connection: sqlite3.Connection, begin: int, end: int, upto: int) -> _Minutes:
        known_upto, minutes = self._windows.pop((begin, end), (-1, None))
        if minutes is None or known_upto < upto:
            known_upto = upto
            minutes = msgspec.convert(connection.execute(queries.MINUTES_OF_WINDOW, (begin, end)).fetchone(), _Minutes)
        self._windows[begin, end] = known_upto, minutes
        if len(self._windows) > KEPT:
            self._windows.popitem(last=False)
        return minutes

    def _look(self, connection: sqlite3.Connection, first: int, last: int) -> _Dense:
        dense = self._dense.pop(first, None) or _Dense(first)
        if dense.upto < last:
            dense.look(connection, last)
        self._dense[first] = dense
        if len(self._dense) > KEPT:
            self._dense.popitem(last=False)
        return dense


def _there(position: int | None) -> list[int]:
    return [] if position is None else [position]
