"""The SDK's feed: across cuts and restarts no event is missing and none comes twice."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import anyio
import pytest
from websockets.asyncio.server import ServerConnection, serve

from bus.messages.base import Position, TaskId
from bus.messages.tasks import TaskFailed
from tests.web.support import World, served
from web.client import AgoraClient
from web.live_feed import FeedGap, LiveFeed, RequestFailed
from web.options import WebOptions
from web.server import listen, serving
from web.wire import WireEvent

DEADLINE_S = 20.0


async def take(feed: LiveFeed, count: int) -> list[WireEvent]:
    found: list[WireEvent] = []
    with anyio.fail_after(DEADLINE_S):
        async with aclosing(feed.__aiter__()) as events:
            async for event in events:
                found.append(event)
                if len(found) == count:
                    return found
    raise AssertionError("a feed has no end")


def feed_of(
    url: str, *, after: int | None = None, last: int | None = None, topics: tuple[str, ...] = ("#",)
) -> LiveFeed:
    position = None if after is None else Position(after)
    return LiveFeed(url, token="", topics=topics, after=position, last=last, wanted={})


async def test_it_yields_the_past_and_then_what_comes() -> None:
    world = World()
    world.chat(5)
    async with served(world) as url, AgoraClient(url) as client, anyio.create_task_group() as group:
        feed = client.feed(after=Position(2))

        async def later() -> None:
            while feed.position == 2:
                await anyio.lowlevel.checkpoint()
            world.chat(3)

        group.start_soon(later)
        assert [event.position for event in await take(feed, 6)] == [3, 4, 5, 6, 7, 8]


async def test_it_yields_what_matches_and_remembers_what_it_scanned() -> None:
    world = World()
    world.chat(3)
    world.record(TaskFailed(TaskId("t-1"), "no"))
    async with served(world) as url:
        feed = feed_of(url, last=10, topics=("task.*",))
        (event,) = await take(feed, 1)
        assert (event.type, event.position, feed.position) == ("task.failed", 4, 4)


async def test_it_goes_on_after_the_server_was_started_again() -> None:
    world = World()
    world.chat(3)
    options = WebOptions(port=0)
    listener = listen(options)
    port = listener.getsockname()[1]
    positions: list[int] = []
    feed = feed_of(f"http://127.0.0.1:{port}", after=0)
    enough = anyio.Event()

    async def follow() -> None:
        async for event in feed:
            positions.append(event.position)
            if event.position == 6:
                enough.set()

    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as group:
            async with serving(world.app, world.hub, listener, world.limits):
                group.start_soon(follow)
                while len(positions) < 3:
                    await anyio.lowlevel.checkpoint()
            again = World()
            again.chat(6)
            async with serving(again.app, again.hub, listen(WebOptions(port=port)), again.limits):
                await enough.wait()
                group.cancel_scope.cancel()
    assert positions == [1, 2, 3, 4, 5, 6]
    assert feed.connections >= 2


async def test_a_token_that_is_not_known_is_an_error_at_once() -> None:
    world = World()
    async with served(world) as url:
        feed = LiveFeed(url, token="wrong", topics=("#",), after=None, last=None, wanted={})
        with pytest.raises(RequestFailed, match="the token is not known") as caught:
            await take(feed, 1)
        assert caught.value.problem == "not_authenticated"


@asynccontextmanager
async def scripted(*replies: str) -> AsyncIterator[str]:
    """A server that says its lines, one after each of the first two frames and the rest at once."""

    async def play(socket: ServerConnection) -> None:
        lines = list(replies)
        for _ in range(2):
            await socket.recv()
            await socket.send(lines.pop(0))
        for line in lines:
            await socket.send(line)
        await socket.wait_closed()

    async with serve(play, "127.0.0.1", 0, compression=None) as server:
        yield f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


WELCOME = '{"id":1,"result":{"epoch":1,"head":9}}'
SUBSCRIBED = '{"id":2,"result":{"sub":"feed","next":5,"head":9}}'


@pytest.mark.parametrize(
    ("line", "first", "last"),
    [
        ('{"t":"batch","sub":"feed","first":7,"last":8,"events":[]}', 5, 6),
        ('{"t":"gap","sub":"feed","from":5,"to":9,"reason":"pruned"}', 5, 9),
    ],
)
async def test_what_is_missing_is_raised(line: str, first: int, last: int) -> None:
    async with scripted(WELCOME, SUBSCRIBED, line) as url:
        with pytest.raises(FeedGap) as caught:
            await take(feed_of(url, after=4), 1)
    assert (caught.value.first, caught.value.last) == (first, last)


async def test_another_history_is_an_error_and_not_a_silent_beginning() -> None:
    stale = '{"id":1,"error":{"code":"stale_epoch","message":"epoch 1 is not served any more"}}'
    async with scripted(stale, stale) as url:
        feed = feed_of(url, after=4)
        feed.epoch = 1
        with pytest.raises(RequestFailed) as caught:
            await take(feed, 1)
    assert caught.value.problem == "stale_epoch"
