"""The index of the text is brought up when somebody searches: once for all who wait, and nobody waits for long.

Rules: whoever asks waits for a look at the rows that began after the question, so that what was just written is found.
One such look is under way at a time and shared. Where it takes too long, because there is much to index or because it
gives way to a burst of events, the search goes by what is indexed by then, and the look goes on without it.

Lives on the loop.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future

WAIT_S = 1.0
"""What a person who searches hardly minds; a hundred thousand events are indexed in that time."""

Look = Callable[[], "Future[bool]"]
"""Begins to bring the indexes up; whether all was done, or other work came first."""


class Indexing:
    """The one look at what is not indexed yet."""

    def __init__(self, wait_s: float = WAIT_S) -> None:
        self._wait_s = wait_s
        self._under_way: Future[bool] | None = None

    async def bring_up(self, look: Look) -> None:
        """Wait until all that was there is indexed, but not for long. Raises what the look raises."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self._wait_s
        earlier = self._under_way  # it may have gone past what has come since
        if earlier is not None and not earlier.done() and not await self._ended(earlier, until_s):
            return
        while loop.time() < until_s or self._under_way is None:
            if self._under_way is earlier or self._under_way is None or self._under_way.done():
                self._under_way = look()
            current = self._under_way
            if not await self._ended(current, until_s) or current.cancelled() or current.result():
                return

    async def _ended(self, work: "Future[bool]", until_s: float) -> bool:
        """Whether it ended in time, well or not. Who has waited long enough leaves it to go on."""
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        def tell(_: "Future[bool]") -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(ended.set)

        work.add_done_callback(tell)
        try:
            async with asyncio.timeout_at(until_s):
                await ended.wait()
        except TimeoutError:
            return work.done()
        return True
