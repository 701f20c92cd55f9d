"""Where in a dense minute a time lies, without an index that every insert would pay for.

The rollup says between which positions a minute lies, which is close enough as a rule. Of a minute with very many
events, the earliest and the latest time of each block of positions are remembered once somebody has asked for a part of
it: what stands before the last block never changes. Times need not rise with the positions: a block says what is in it,
whatever the order.

Lives on one thread, and knows one segment.
"""

import sqlite3

from storage import queries

BLOCK = queries.TIMES_BLOCK
SPARSE = 2_048
"""Positions that are gone through row by row: half a millisecond."""
EMPTY = (2**62, -1)


class Times:
    """The times of one segment, by block of positions."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, int]] = {}

    def lowest(self, connection: sqlite3.Connection, first: int, last: int, since_us: int) -> int:
        """No position from `first` to `last` below this one has a time of `since_us` or later. Raises sqlite3.Error."""
        if last - first < SPARSE:
            return first
        blocks = self._look(connection, first, last)
        return next((max(first, block * BLOCK) for block, (_, latest) in blocks if latest >= since_us), last + 1)

    def highest(self, connection: sqlite3.Connection, first: int, last: int, until_us: int) -> int:
        """No position from `first` to `last` above this one has a time before `until_us`. Raises sqlite3.Error."""
        if last - first < SPARSE:
            return last
        ends = [block * BLOCK for block, (earliest, _) in self._look(connection, first, last) if earliest < until_us]
        return min(last, ends[-1] + BLOCK - 1) if ends else first - 1

    def _look(self, connection: sqlite3.Connection, first: int, last: int) -> list[tuple[int, tuple[int, int]]]:
        blocks = range(first // BLOCK, last // BLOCK + 1)
        missing = [block for block in blocks if block not in self._known]
        if not missing:
            return [(block, self._known[block]) for block in blocks]
        bounds = (missing[0] * BLOCK, missing[-1] * BLOCK + BLOCK - 1)
        rows = connection.execute(queries.TIMES_OF_BLOCKS, bounds).fetchall()
        found = {block: (earliest, latest) for block, earliest, latest in rows}
        times = [(block, self._known.get(block) or found.get(block, EMPTY)) for block in blocks]
        self._known.update(times[:-1])  # rows may still be added to the last one
        return times
