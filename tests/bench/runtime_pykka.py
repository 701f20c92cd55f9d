"""Pykka beside the runtime, in its own words: an actor is a thread, a tell and an ask go through its queue."""

import asyncio
from collections.abc import AsyncIterator

import pykka

from tests.bench.harness import Figure, Sample, Scale, compare_rates, stopwatch
from tests.bench.runtime import Echo, Tick, our_asks, our_tells

TELLS = 100_000
ASKS = 10_000


class PykkaCounter(pykka.ThreadingActor):
    """Counts ticks and gives numbers back."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def on_receive(self, message: Tick | Echo | None) -> int:
        match message:
            case Tick():
                self._count += 1
            case Echo(number):
                return number
            case None:
                pass
        return self._count


async def figures(scale: Scale) -> AsyncIterator[Figure]:
    """The same tells and asks, ours and Pykka's."""
    tells, asks = scale.count(TELLS), scale.count(ASKS)

    async def mine() -> Sample:
        return await our_tells(tells)

    async def theirs() -> Sample:
        return await asyncio.to_thread(_tells, tells)

    async def my_asks() -> Sample:
        return await our_asks(asks)

    async def their_asks() -> Sample:
        return await asyncio.to_thread(_asks, asks)

    async for figure in compare_rates("tell, beside pykka", "messages", mine, theirs, scale=scale):
        yield figure
    async for figure in compare_rates("ask, beside pykka", "replies", my_asks, their_asks, scale=scale):
        yield figure


def _tells(count: int) -> Sample:
    counter = PykkaCounter.start()
    with stopwatch() as watch:
        for number in range(count):
            counter.tell(Tick(number))
        arrived = counter.ask(None)
    counter.stop()
    assert arrived == count
    return watch.sample(count)


def _asks(count: int) -> Sample:
    counter = PykkaCounter.start()
    with stopwatch() as watch:
        for number in range(count):
            assert counter.ask(Echo(number)) == number
    counter.stop()
    return watch.sample(count)
