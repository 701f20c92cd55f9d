"""The feed over plain HTTP: the same events as the socket's, resumed without gap or duplicate."""

import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import anyio
import anyio.lowlevel
import msgspec
import pytest

from bus.errors import StorageError
from bus.messages.base import Position, RunId, TaskId
from bus.messages.system import CheckpointFailed, ReadEvents, SystemInfo
from bus.messages.tasks import TaskFailed
from tests.web.support import START_US, World, call, served, stored
from web.options import WebOptions

DEADLINE_S = 20.0
SSE = {"accept": "text/event-stream"}
LINES = {"accept": "application/x-ndjson"}


class Reader:
    """Reads a stream's lines."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def line(self) -> str:
        with anyio.fail_after(DEADLINE_S):
            return (await self.response.content.readline()).decode().rstrip("\n")

    async def block(self) -> dict[str, str]:
        """The fields of one event of an event stream; comments are passed over."""
        found: dict[str, str] = {}
        while line := await self.line() or not found:
            if isinstance(line, str) and line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                found[name] = value
        return found

    async def ids(self, last: str) -> list[str]:
        """The ids of all events up to one, those without data left out."""
        found: list[str] = []
        while True:
            block = await self.block()
            if "data" in block:
                found.append(block["id"])
            if block["id"] == last:
                return found

    async def objects(self, count: int) -> list[dict[str, object]]:
        """So many lines that are no heartbeat."""
        found: list[dict[str, object]] = []
        while len(found) < count:
            line = msgspec.json.decode(await self.line(), type=dict[str, object])
            found += [line] if line.get("t") != "beat" else []
        return found


@asynccontextmanager
async def reader(url: str, query: str = "", **headers: str) -> AsyncIterator[Reader]:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(f"{url}/api/events{query}", headers=named) as response,
    ):
        assert response.status == 200, await response.text()
        yield Reader(response)


def ids(first: int, last: int) -> list[str]:
    return [f"1-{position}" for position in range(first, last + 1)]


async def test_an_event_stream_begins_at_the_head_and_tells_what_comes() -> None:
    world = World()
    world.chat(3)
    async with served(world) as url, reader(url, **SSE) as stream:
        assert stream.response.headers["content-type"] == "text/event-stream"
        assert await stream.line() == ": head 3"
        world.chat(600)
        assert await stream.ids("1-603") == ids(4, 603)


async def test_an_event_stream_goes_on_after_the_last_event_that_was_seen() -> None:
    world = World()
    world.chat(40)
    async with served(world) as url, reader(url, **SSE, last_event_id="1-37") as stream:
        assert await stream.ids("1-40") == ids(38, 40)
        world.chat(2)
        assert await stream.ids("1-42") == ids(41, 42)


async def test_an_event_is_the_same_as_on_the_socket() -> None:
    world = World()
    world.record(TaskFailed(TaskId("t-1"), "no"))
    async with served(world) as url, reader(url, "?after=0", **SSE) as stream:
        event = msgspec.json.decode((await stream.block())["data"])
    page = (await call(world.app, "GET", "/api/events")).json()["events"]
    assert page == [event]


@pytest.mark.parametrize("ring", [10_000, 5])
async def test_what_is_older_than_the_ring_comes_from_storage_first(ring: int) -> None:
    world = World(WebOptions(port=0, events_cached=ring))
    world.chat(700)
    async with served(world) as url, reader(url, "?after=0", **LINES) as stream:
        events = await stream.objects(700)
        world.chat(3)
        events += await stream.objects(3)
    assert [event["position"] for event in events] == list(range(1, 704))


async def test_nobody_is_told_a_position_from_storage_that_the_server_does_not_show_yet() -> None:
    world = World(WebOptions(port=0, events_cached=1))
    world.chat(9)
    world.gateway.events.append(stored(10, SystemInfo("the journal is ahead of what is shown")))
    async with served(world) as url:
        async with reader(url, "?after=0", **SSE) as stream:
            assert await stream.ids("1-9") == ids(1, 9)
        async with reader(url, **SSE, last_event_id="1-9") as stream:
            assert await stream.line() == ": head 9"


@pytest.mark.parametrize("ring", [10_000, 1])
async def test_a_stream_of_one_run_or_conversation_tells_its_events_from_memory_and_from_storage(ring: int) -> None:
    world = World(WebOptions(port=0, events_cached=ring))
    world.chat(2)
    world.record(CheckpointFailed("c-2", "no room", RunId("r-2")))
    world.record(SystemInfo("said"), correlation="k-1")
    world.chat(1)
    async with served(world) as url:
        for query, found in (("run=r-2", [3]), ("run=main", [1, 2, 4, 5]), ("correlation=k-1", [4])):
            async with reader(url, f"?after=0&{query}", **LINES) as stream:
                assert [event["position"] for event in await stream.objects(len(found))] == found


async def test_a_filter_that_finds_nothing_still_tells_how_far_it_has_looked() -> None:
    world = World()
    world.chat(9)
    async with served(world) as url:
        async with reader(url, "?after=0&type=task.*&task=t-2", **SSE) as stream:
            assert await stream.block() == {"id": "1-9"}
        async with reader(url, "?after=0&type=task.*", **LINES) as stream:
            assert await stream.objects(1) == [{"t": "scanned", "epoch": 1, "last": 9}]
            world.record(TaskFailed(TaskId("t-2"), "no"))
            assert [event["type"] for event in await stream.objects(1)] == ["task.failed"]


async def test_a_stream_begins_at_a_time_or_some_events_ago() -> None:
    world = World()
    world.chat(20)
    async with served(world) as url:
        async with reader(url, f"?since={START_US + 15}", **LINES) as stream:
            assert [event["position"] for event in await stream.objects(6)] == [15, 16, 17, 18, 19, 20]
        async with reader(url, "?last=2", **LINES) as stream:
            assert [event["position"] for event in await stream.objects(2)] == [19, 20]
        async with reader(url, "?since=2100-01-01T00:00:00Z", **LINES) as stream:
            world.chat(1)
            assert [event["position"] for event in await stream.objects(1)] == [21]


async def test_what_was_pruned_is_told_as_a_gap() -> None:
    world = World(WebOptions(port=0, events_cached=5))
    world.chat(20)
    world.hub.attach(world.overview, Position(11))
    async with served(world) as url:
        async with reader(url, "?after=3", **LINES) as stream:
            gap, first = await stream.objects(2)
        assert gap == {"t": "gap", "from": 4, "to": 10, "reason": "pruned"}
        assert first["position"] == 11
        async with reader(url, "?after=3", **SSE) as stream:
            block = await stream.block()
        assert (block["id"], block["event"]) == ("1-10", "gap")


@pytest.mark.parametrize(
    ("query", "seen", "status", "code"),
    [
        ("", "2-1", 409, "stale_epoch"),
        ("", "1-99", 422, "invalid_field"),
        ("", "one", 422, "invalid_field"),
        ("", "1-", 422, "invalid_field"),
        ("?after=99", "", 422, "invalid_field"),
        ("?after=1&last=2", "", 422, "invalid_field"),
        ("?limit=5", "", 422, "invalid_field"),
        ("?type=a..b", "", 422, "invalid_field"),
        ("?since=yesterday", "", 422, "invalid_field"),
        ("?last=10001", "", 422, "invalid_field"),
    ],
)
async def test_a_wrong_beginning_is_refused(query: str, seen: str, status: int, code: str) -> None:
    world = World()
    world.chat(5)
    headers = SSE | ({"last-event-id": seen} if seen else {})
    response = await call(world.app, "GET", f"/api/events{query}", headers=headers)
    assert (response.status, response.json()["code"]) == (status, code)


async def test_a_stream_ends_with_the_server_and_when_the_journal_cannot_be_read() -> None:
    world = World(WebOptions(port=0, events_cached=5))
    world.chat(20)
    async with served(world) as url:
        world.gateway.replies[ReadEvents] = StorageError("gone")
        async with reader(url, "?after=3", **LINES) as stream:
            assert "beat" in await stream.line()
            assert await stream.line() == ""
            assert stream.response.content.at_eof()
    async with served(world) as url, reader(url, **LINES) as stream:
        world.hub.is_closing = True
        world.chat(1)
        while await stream.line():
            pass
        assert stream.response.content.at_eof()


async def test_streams_count_as_live_sockets_and_leave_no_trace() -> None:
    world = World(WebOptions(port=0, sockets_max=1))
    async with served(world) as url:
        async with reader(url, **LINES):
            assert world.hub.clients == 1
            assert (await call(world.app, "GET", "/api/events", headers=LINES)).status == 429
        with anyio.fail_after(DEADLINE_S):
            while world.hub.clients:
                await anyio.lowlevel.checkpoint()


async def test_a_reader_that_takes_nothing_is_cut_off_and_the_others_see_every_event() -> None:
    world = World(WebOptions(port=0, stall_s=0.3))
    async with served(world) as url, reader(url, **LINES) as quick:
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as stuck:
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.sendall(b"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/x-ndjson\r\n\r\n")
            found: list[object] = []
            with anyio.fail_after(DEADLINE_S):
                while world.hub.clients < 2:
                    await anyio.lowlevel.checkpoint()
                for _ in itertools.count():
                    world.chat(500)
                    found += [event["position"] for event in await quick.objects(500)]
                    if world.hub.clients < 2:
                        break
        assert found == list(range(1, len(found) + 1))
