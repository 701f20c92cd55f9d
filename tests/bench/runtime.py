"""The runtime against a bare pair of asyncio queues: tell, send, ask, publish.

Ours carries what an actor system carries: envelopes with cause and correlation, bounded mailboxes, deadlines,
supervision, statistics. The baseline carries the same messages through `asyncio.Queue` with the same bound and nothing
else. Both count what arrives, and a run whose count is wrong raises.
"""

import asyncio
from collections.abc import AsyncIterator

from actors.runtime import Actor, ActorSystem, ChildSpec, Deferred
from actors.runtime.simulation import MemoryJournal
from bus.address import Address
from bus.clock import SystemClock
from bus.dice import Dice
from bus.mailbox import SIZE_MAX_DEFAULT
from bus.messages.base import Command, Done, Message, Query, Reply
from tests.bench.harness import Aim, Figure, Sample, Scale, compare_rates, stopwatch

TELLS = 300_000
ASKS = 30_000
PUBLISHES = 5_000
SUBSCRIBERS = 100
BURST = 1_000
"""Tells between two asks of the sender, which keep it from running past the bound of the mailbox."""
TIMEOUT_S = 60.0

COUNTER = Address("counter")
DRIVER = Address("driver")


class Tick(Message, frozen=True):
    """What is told and published."""

    wire_name = "bench.tick"

    number: int


class Count(Reply, frozen=True):
    """How many ticks have come, or the number that was asked about."""

    wire_name = "bench.count"

    count: int


class ReadCount(Query[Count], frozen=True):
    """Asks for the count."""

    wire_name = "bench.read_count"


class AwaitCount(Query[Count], frozen=True):
    """Asks for the count as soon as it has reached a number."""

    wire_name = "bench.await_count"

    count: int


class Echo(Query[Count], frozen=True):
    """Asks for its number back."""

    wire_name = "bench.echo"

    number: int


class TellMany(Command[Done], frozen=True):
    """Sent to the driver: tell that many ticks."""

    wire_name = "bench.tell_many"

    count: int


class SendMany(Command[Done], frozen=True):
    """Sent to the driver: send that many ticks, waiting for room."""

    wire_name = "bench.send_many"

    count: int


class AskMany(Command[Done], frozen=True):
    """Sent to the driver: ask that often, one after the other."""

    wire_name = "bench.ask_many"

    count: int


class PublishMany(Command[Done], frozen=True):
    """Sent to the driver: publish that many ticks."""

    wire_name = "bench.publish_many"

    count: int


class Counter(Actor):
    """Counts ticks and gives numbers back."""

    def __init__(self) -> None:
        self.count = 0

    def on_tick(self, tick: Tick) -> None:
        self.count += 1

    def on_read(self, query: ReadCount) -> Count:
        return Count(self.count)

    def on_echo(self, query: Echo) -> Count:
        return Count(query.number)


class Subscriber(Counter):
    """Counts the ticks that are published, and says when it has heard a number of them."""

    def __init__(self) -> None:
        super().__init__()
        self._awaited: tuple[int, Deferred[Count]] | None = None

    async def on_start(self) -> None:
        self.subscribe(Tick)

    def on_tick(self, tick: Tick) -> None:
        self.count += 1
        if self._awaited is not None and self._awaited[0] <= self.count:
            self._awaited[1].answer(Count(self.count))
            self._awaited = None

    def on_await(self, query: AwaitCount) -> Count | None:
        if query.count <= self.count:
            return Count(self.count)
        self._awaited = (query.count, self.defer())
        return None


class Driver(Actor):
    """Does what is measured, from inside the actor system."""

    async def on_tell_many(self, command: TellMany) -> None:
        for first in range(0, command.count, BURST):
            for number in range(first, min(first + BURST, command.count)):
                self.tell(COUNTER, Tick(number))
            await self.ask(COUNTER, ReadCount(), timeout_s=TIMEOUT_S)

    async def on_send_many(self, command: SendMany) -> None:
        for number in range(command.count):
            await self.send(COUNTER, Tick(number), timeout_s=TIMEOUT_S)

    async def on_ask_many(self, command: AskMany) -> None:
        for number in range(command.count):
            reply = await self.ask(COUNTER, Echo(number), timeout_s=TIMEOUT_S)
            assert reply.count == number

    async def on_publish_many(self, command: PublishMany) -> None:
        for first in range(0, command.count, BURST):
            last = min(first + BURST, command.count)
            for number in range(first, last):
                self.publish(Tick(number))
            for place in range(SUBSCRIBERS):
                await self.ask(_subscriber(place), AwaitCount(last), timeout_s=TIMEOUT_S)


async def figures(scale: Scale) -> AsyncIterator[Figure]:
    """Tell, send, ask and publish, each by the wall and by processor time."""
    tells, asks, publishes = scale.count(TELLS), scale.count(ASKS), scale.count(PUBLISHES)

    async def queue_tells() -> Sample:
        return await _queue_tells(tells)

    async def tells_of_ours() -> Sample:
        return await our_tells(tells)

    async def our_sends() -> Sample:
        return await _our_ticks(SendMany(tells), tells)

    async def asks_of_ours() -> Sample:
        return await our_asks(asks)

    async def queue_asks() -> Sample:
        return await _queue_asks(asks)

    async def our_publishes() -> Sample:
        return await _our_publishes(publishes)

    async def queue_publishes() -> Sample:
        return await _queue_publishes(publishes)

    async for figure in compare_rates(
        "tell, one to one", "messages", tells_of_ours, queue_tells, scale=scale, aim=Aim(2)
    ):
        yield figure
    async for figure in compare_rates("send, waiting for room", "messages", our_sends, queue_tells, scale=scale):
        yield figure
    async for figure in compare_rates(
        "ask, one at a time", "replies", asks_of_ours, queue_asks, scale=scale, aim=Aim(1.3)
    ):
        yield figure
    async for figure in compare_rates(
        f"publish to {SUBSCRIBERS}", "deliveries", our_publishes, queue_publishes, scale=scale, aim=Aim(2)
    ):
        yield figure


async def _our_ticks(command: TellMany | SendMany, count: int) -> Sample:
    async with _system() as system:
        await system.start(ChildSpec(COUNTER, Counter), ChildSpec(DRIVER, Driver))
        with stopwatch() as watch:
            await system.ask(DRIVER, command, timeout_s=TIMEOUT_S)
            arrived = await system.ask(COUNTER, ReadCount(), timeout_s=TIMEOUT_S)
        assert arrived.count == count
    return watch.sample(count)


async def our_tells(count: int) -> Sample:
    """That many tells from one actor to another."""
    return await _our_ticks(TellMany(count), count)


async def our_asks(count: int) -> Sample:
    """That many asks of one actor by another, one after the other."""
    async with _system() as system:
        await system.start(ChildSpec(COUNTER, Counter), ChildSpec(DRIVER, Driver))
        with stopwatch() as watch:
            await system.ask(DRIVER, AskMany(count), timeout_s=TIMEOUT_S)
    return watch.sample(count)


async def _our_publishes(count: int) -> Sample:
    async with _system() as system:
        subscribers = [ChildSpec(_subscriber(place), Subscriber) for place in range(SUBSCRIBERS)]
        await system.start(*subscribers, ChildSpec(DRIVER, Driver))
        with stopwatch() as watch:
            await system.ask(DRIVER, PublishMany(count), timeout_s=TIMEOUT_S)
        for place in range(SUBSCRIBERS):
            assert (await system.ask(_subscriber(place), ReadCount(), timeout_s=TIMEOUT_S)).count == count
    return watch.sample(count * SUBSCRIBERS)


async def _queue_tells(count: int) -> Sample:
    queue: asyncio.Queue[Tick] = asyncio.Queue(SIZE_MAX_DEFAULT)
    with stopwatch() as watch:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_count_ticks(queue, count))
            for number in range(count):
                await queue.put(Tick(number))
    return watch.sample(count)


async def _queue_asks(count: int) -> Sample:
    requests: asyncio.Queue[Echo] = asyncio.Queue(SIZE_MAX_DEFAULT)
    replies: asyncio.Queue[Count] = asyncio.Queue(SIZE_MAX_DEFAULT)

    async def answer() -> None:
        for _ in range(count):
            request = await requests.get()
            await replies.put(Count(request.number))

    with stopwatch() as watch:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(answer())
            for number in range(count):
                await requests.put(Echo(number))
                reply = await replies.get()
                assert reply.count == number
    return watch.sample(count)


async def _queue_publishes(count: int) -> Sample:
    queues: list[asyncio.Queue[Tick]] = [asyncio.Queue(SIZE_MAX_DEFAULT) for _ in range(SUBSCRIBERS)]
    with stopwatch() as watch:
        async with asyncio.TaskGroup() as tasks:
            for queue in queues:
                tasks.create_task(_count_ticks(queue, count))
            for number in range(count):
                tick = Tick(number)
                for queue in queues:
                    await queue.put(tick)
    return watch.sample(count * SUBSCRIBERS)


async def _count_ticks(queue: asyncio.Queue[Tick], count: int) -> None:
    arrived = 0
    while arrived < count:
        await queue.get()
        arrived += 1


def _system() -> ActorSystem:
    journal = MemoryJournal()
    return ActorSystem(log=journal.log, history=journal, clock=SystemClock(), dice=Dice(1))


def _subscriber(place: int) -> Address:
    return Address(f"subscribers/{place}")
