"""Decide whether a completion may try the same providers again.

Rules: each completion earns a part of a retry, up to a small store; a further round costs a whole one. So when
everything fails for everyone, later rounds add at most that part to the load of providers that are in trouble already,
and a single unlucky completion still gets its second try. (As in Finagle's retry budgets.)

Pure.
"""

from actors.rules.cascade import CascadeOptions


class Retries:
    """The store. It begins full."""

    __slots__ = ("_ratio", "_store", "_store_max")

    def __init__(self, options: CascadeOptions) -> None:
        self._ratio = options.retry_ratio
        self._store_max = float(options.retry_burst)
        self._store = self._store_max

    def earn(self) -> None:
        """A completion begins."""
        self._store = min(self._store_max, self._store + self._ratio)

    def take(self) -> bool:
        """May another round begin?"""
        if self._store < 1.0 - 1e-9:  # tenths do not add up to a whole in binary
            return False
        self._store -= 1.0
        return True
