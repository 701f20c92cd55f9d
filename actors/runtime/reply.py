"""The place where an asker waits for one answer."""

import asyncio
from collections.abc import Callable

from actors.runtime.deadlines import Deadlines
from bus.envelope import Outcome


class ReplyBox:
    """Takes one outcome, at once or later. What comes after the deadline is counted as late."""

    __slots__ = ("_future", "_is_closed", "_late", "outcome")

    def __init__(self, late: Callable[[], None]) -> None:
        self.outcome: Outcome | None = None
        self._future: asyncio.Future[None] | None = None
        self._is_closed = False
        self._late = late

    def put(self, outcome: Outcome) -> None:
        """Give the answer. A second one, or one after the deadline, is late."""
        if self._is_closed or self.outcome is not None:
            self._late()
            return
        self.outcome = outcome
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def wait(self, deadlines: Deadlines, timeout_s: float) -> None:
        """Wait until there is an outcome or the time is over."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._future = future

        def pass_by() -> None:
            if not future.done():
                future.set_result(None)

        deadline = deadlines.after(timeout_s, pass_by)
        try:
            await future
        finally:
            deadline.cancel()
            self._is_closed = self.outcome is None
