"""The live socket over a real server and a real client."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import msgspec
import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.typing import Origin, Subprotocol

from bus.errors import StorageError
from bus.messages.base import Position, TaskId
from bus.messages.system import ReadEvents, SystemInfo
from bus.messages.tasks import CreateTask, TaskAccepted, TaskFailed, TaskState
from tests.web.support import READER, START_US, TOKEN, World, served, stored
from web.frames import (
    FORBIDDEN,
    NO_HELLO,
    PROTOCOL,
    RESTART,
    STALE,
    TOO_SLOW,
    UNAUTHENTICATED,
    Limits,
    ReadRing,
    Subscription,
)
from web.hub import COMPLAINTS_MAX
from web.options import WebOptions
from web.server import listen, url_of
from web.wire import Filter, encode

Frame = dict[str, object]
DEADLINE_S = 20.0


class Caller:
    """A client that says what a test says."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self._id = 0

    async def say(self, method: str, idem: str = "", **params: object) -> int:
        self._id += 1
        named = {name.removesuffix("_"): value for name, value in params.items()}
        body: Frame = {"id": self._id, "method": method, "params": named}
        if idem:
            body["idem"] = idem
        await self.socket.send(encode(body).decode())
        return self._id

    async def hear(self, kind: str = "", id_: int | None = None) -> Frame:
        """The next frame of a kind, or the reply with an id."""
        with anyio.fail_after(DEADLINE_S):
            while True:
                frame = msgspec.json.decode(await self.socket.recv(), type=dict[str, object])
                if (id_ is not None and frame.get("id") == id_) or (kind and frame.get("t") == kind):
                    return frame

    async def ask(self, method: str, idem: str = "", **params: object) -> Frame:
        return await self.hear(id_=await self.say(method, idem, **params))

    async def batches(self, last: int) -> list[tuple[int, int, list[int]]]:
        """All batches up to a scanned position: first, last, positions of the events."""
        found: list[tuple[int, int, list[int]]] = []
        while not found or found[-1][1] < last:
            frame = await self.hear("batch")
            events = frame["events"]
            assert isinstance(events, list)
            assert isinstance(frame["first"], int)
            assert isinstance(frame["last"], int)
            found.append((frame["first"], frame["last"], [event["position"] for event in events]))
        return found

    async def closed(self) -> tuple[int, str]:
        """How the server ends it."""
        with anyio.fail_after(DEADLINE_S):
            try:
                while True:
                    await self.socket.recv()
            except ConnectionClosed as error:
                return (error.rcvd.code, error.rcvd.reason) if error.rcvd else (1006, "")


@asynccontextmanager
async def caller(
    url: str, token: str = "", *, is_greeting: bool = True, resume: Frame | None = None
) -> AsyncIterator[Caller]:
    address = "ws" + url.removeprefix("http") + "/ws"
    protocol = [Subprotocol("agora.v1")]
    async with connect(address, subprotocols=protocol, compression=None, max_size=None, close_timeout=1) as opened:
        client = Caller(opened)
        if is_greeting:
            await client.ask("hello", token=token, resume=resume)
        yield client


def seen(batches: list[tuple[int, int, list[int]]]) -> list[int]:
    """The positions of all events; the batches must follow each other."""
    for (_, last, _), (first, _, _) in itertools.pairwise(batches):
        assert first == last + 1
    return [position for _, _, positions in batches for position in positions]


async def test_events_come_from_the_head_in_batches_that_follow_each_other() -> None:
    world = World()
    async with served(world) as url, caller(url) as client:
        assert client.socket.subprotocol == "agora.v1"
        await client.ask("subscribe", sub="feed")
        world.chat(1)
        world.chat(600)
        assert seen(await client.batches(601)) == list(range(1, 602))


async def test_a_filter_gets_its_events_and_the_proof_that_it_missed_none() -> None:
    world = World()
    async with served(world) as url, caller(url) as client:
        await client.ask("subscribe", sub="feed", topics=["task.*"], filter={"task": "t-2"})
        world.chat(3)
        world.record(TaskFailed(TaskId("t-1"), "no"), TaskFailed(TaskId("t-2"), "no"))
        world.chat(3)
        batches = await client.batches(8)
        assert batches[0][0] == 1
        assert seen(batches) == [5]


async def test_a_feed_begins_at_a_moment_in_the_past() -> None:
    world = World()
    world.chat(9)
    async with served(world) as url, caller(url) as client:
        answer = await client.ask("subscribe", sub="feed", from_={"time": str(START_US + 7)})
        assert answer["result"] == {"sub": "feed", "next": 7, "head": 9}
        assert seen(await client.batches(9)) == [7, 8, 9]
        await client.ask("subscribe", sub="feed", from_={"time": "2100-01-01T00:00:00Z"})
        world.chat(1)
        assert seen(await client.batches(10)) == [10]


async def test_a_client_that_comes_back_misses_nothing_and_sees_nothing_twice() -> None:
    world = World()
    async with served(world) as url:
        async with caller(url) as client:
            await client.ask("subscribe", sub="feed", from_={"last": 0})
            world.chat(5)
            assert seen(await client.batches(5)) == [1, 2, 3, 4, 5]
        world.chat(5)
        async with caller(url, resume={"epoch": 1, "position": 5}) as client:
            await client.ask("subscribe", sub="feed")
            world.chat(5)
            assert seen(await client.batches(15)) == list(range(6, 16))


async def test_a_client_that_is_older_than_the_ring_is_fed_from_storage_until_it_meets_it() -> None:
    world = World(WebOptions(port=0, events_cached=50))
    world.chat(1_200)
    async with served(world) as url, caller(url) as client:
        await client.ask("subscribe", sub="feed", from_={"position": 0, "epoch": 1})
        world.chat(100)
        assert seen(await client.batches(1_300)) == list(range(1, 1_301))
    assert any(isinstance(message, ReadEvents) for _, message in world.gateway.asked)


async def test_nobody_is_told_a_position_from_storage_that_the_server_does_not_show_yet() -> None:
    world = World(WebOptions(port=0, events_cached=1))
    world.chat(9)
    world.gateway.events.append(stored(10, SystemInfo("the journal is ahead of what is shown")))
    async with served(world) as url:
        async with caller(url) as client:
            await client.ask("subscribe", sub="feed", from_={"position": 0, "epoch": 1})
            assert seen(await client.batches(9)) == list(range(1, 10))
        async with caller(url) as client:
            answer = await client.ask("subscribe", sub="feed", from_={"position": 9, "epoch": 1})
            assert answer["result"] == {"sub": "feed", "next": 10, "head": 9}


async def test_a_journal_that_fails_ends_the_session_with_a_reason_to_come_back() -> None:
    world = World(WebOptions(port=0, events_cached=1))
    world.chat(10)
    world.gateway.replies[ReadEvents] = StorageError("broken")
    async with served(world) as url, caller(url) as client:
        await client.say("subscribe", sub="feed", from_={"position": 0})
        assert (await client.hear("bye"))["retry_ms"] == 500
        assert (await client.closed())[0] == RESTART


async def test_the_state_comes_whole_and_then_as_patches_that_lead_to_it() -> None:
    world = World()
    world.chat(1)
    async with served(world) as url, caller(url) as client:
        await client.ask("subscribe", sub="s", topics="state")
        whole = await client.hear("state")
        assert isinstance(whole["state"], dict)
        assert (whole["position"], whole["state"]["position"]) == (1, 1)
        world.record(TaskFailed(TaskId("t-1"), "x"))
        change = await client.hear("change")
        assert isinstance(change["patch"], dict)
        assert (change["position"], change["patch"]["position"]) == (2, 2)


async def test_a_command_needs_a_token_and_answers_with_its_position() -> None:
    world = World()
    world.gateway.replies[CreateTask] = TaskAccepted(TaskId("t-1"), TaskState.CREATED)
    world.gateway.position = Position(4)
    async with served(world) as url:
        async with caller(url) as reader:
            refused = (await reader.ask("task.create", title="x"))["error"]
            assert isinstance(refused, dict)
            assert refused["code"] == "not_permitted"
        async with caller(url, TOKEN) as client:
            reply = await client.ask("task.create", "key", title="x")
            assert reply["result"] == {"task": "t-1", "state": "created", "position": 4}
            missing = (await client.ask("task.cancel"))["error"]
            assert missing == {
                "code": "invalid_field",
                "message": "params.task: is required",
                "data": {"retryable": False, "path": "params.task"},
            }
    assert [message.idempotency_key for _, message in world.gateway.asked if isinstance(message, CreateTask)] == ["key"]


async def test_queries_are_answered_on_the_socket() -> None:
    world = World()
    world.chat(3)
    async with served(world) as url, caller(url) as client:
        assert isinstance((await client.ask("ping"))["result"], dict)
        state = (await client.ask("query", what="state"))["result"]
        assert isinstance(state, dict)
        assert state["position"] == 3
        page = (await client.ask("query", what="events", limit=2))["result"]
        assert isinstance(page, dict)
        assert [event["position"] for event in page["events"]] == [3, 2]


async def test_a_beat_comes_when_nothing_else_does() -> None:
    world = World(limits=Limits(beat_s=0.05))
    world.chat(2)
    async with served(world) as url, caller(url) as client:
        assert set(await client.hear("beat")) == {"t", "head", "now_us"}


async def test_beats_tell_what_is_wrong_while_it_is_and_say_nothing_of_it_when_it_is_over() -> None:
    world = World(limits=Limits(beat_s=0.05), complaints=[f"actor {number} is stuck" for number in range(10)])
    async with served(world) as url, caller(url) as client:
        beat = await client.hear("beat")
        assert beat["complaints"] == [f"actor {number} is stuck" for number in range(COMPLAINTS_MAX)]
        world.complaints = ()
        while "complaints" in await client.hear("beat"):
            pass


async def test_who_says_nothing_is_closed() -> None:
    world = World(limits=Limits(hello_s=0.05))
    async with served(world) as url, caller(url, is_greeting=False) as client:
        assert (await client.closed())[0] == NO_HELLO


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("no json", PROTOCOL),
        (b"binary", PROTOCOL),
        ('{"id":1,"method":"ping"}', PROTOCOL),
        ('{"id":1,"method":"hello","params":{"token":"wrong"}}', UNAUTHENTICATED),
        ('{"id":1,"method":"hello","params":{"resume":{"epoch":9,"position":1}}}', STALE),
        ("x" * 70_000, 1009),
    ],
)
async def test_a_bad_beginning_is_closed_with_its_code(text: str | bytes, code: int) -> None:
    world = World()
    async with served(world) as url, caller(url, is_greeting=False) as client:
        await client.socket.send(text)
        assert (await client.closed())[0] == code


async def test_a_token_that_may_only_act_cannot_open_a_session() -> None:
    world = World()
    world.keyring.add_token("poster-token", "poster", frozenset(("task",)))
    async with served(world) as url, caller(url, is_greeting=False) as client:
        await client.say("hello", token="poster-token")
        assert (await client.closed())[0] == FORBIDDEN


async def test_the_pages_cookie_names_who_it_is() -> None:
    world = World()
    opened = world.keyring.open_session(world.keyring.issue_link())
    assert opened is not None
    async with served(world) as url:
        address = "ws" + url.removeprefix("http") + "/ws"
        cookie = {"cookie": f"{world.edge.cookie}={opened[0]}"}
        async with connect(address, additional_headers=cookie, origin=Origin(url)) as socket:
            result = (await Caller(socket).ask("hello"))["result"]
            assert isinstance(result, dict)
            assert result["principal"] == "admin"


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [("https://evil.example", None, 403), ("null", None, 403), (None, "evil.example", 421)],
)
async def test_a_socket_from_elsewhere_is_refused_before_it_opens(
    origin: str | None, host: str | None, status: int
) -> None:
    world = World()
    async with served(world) as url:
        address = "ws" + url.removeprefix("http") + "/ws"
        if host is not None:
            port = url.rpartition(":")[2]
            address = f"ws://{host}:{port}/ws"
        with pytest.raises(InvalidStatus) as caught:
            async with connect(address, origin=Origin(origin) if origin else None, host="127.0.0.1"):
                pass
        assert caught.value.response.status_code == status
        assert b"urn:agora:problem:" in bytes(caught.value.response.body or b"")


async def test_one_socket_too_many_is_told_to_come_back() -> None:
    world = World(WebOptions(port=0, sockets_max=1))
    async with served(world) as url, caller(url):
        with pytest.raises(InvalidStatus) as caught:
            async with caller(url):
                pass
        assert caught.value.response.status_code == 429
        assert caught.value.response.headers["retry-after"] == "5"


async def test_a_reader_token_reads_and_a_sixteen_subscription_bound_holds() -> None:
    world = World()
    async with served(world) as url, caller(url, READER) as client:
        for number in range(16):
            assert "result" in await client.ask("subscribe", sub=f"s{number}")
        assert "error" in await client.ask("subscribe", sub="one-more")


async def small_socket(url: str) -> socket.socket:
    """A connected socket that takes little before its peer must wait."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    connected = socket.socket()
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connected.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connected, (host, int(port)))
    return connected


async def sees_all(client: Caller, count: int) -> None:
    assert seen(await client.batches(count)) == list(range(1, count + 1))


@pytest.mark.slow
async def test_a_stalled_client_is_told_and_closed_and_the_others_get_everything() -> None:
    world = World(WebOptions(port=0), limits=Limits(stall_s=2.0, beat_s=0.05))
    count = 9_000
    text = "x" * 1_000
    async with served(world) as url, caller(url) as quick, caller(url) as steady:
        protocol = [Subprotocol("agora.v1")]
        async with connect(
            "ws" + url.removeprefix("http") + "/ws",
            sock=await small_socket(url),
            subprotocols=protocol,
            compression=None,
            max_queue=1,
            max_size=None,
            close_timeout=1,
        ) as opened:
            stuck = Caller(opened)
            await stuck.ask("hello")
            for client in (quick, steady, stuck):
                await client.ask("subscribe", sub="feed")
            for _ in range(count // 100):
                world.record(*(SystemInfo(text) for _ in range(100)))
                await anyio.lowlevel.checkpoint()
            async with anyio.create_task_group() as group:
                for client in (quick, steady):
                    group.start_soon(sees_all, client, count)
            with anyio.fail_after(DEADLINE_S):
                while world.hub.clients > 2:
                    await quick.hear("beat")
            assert (await stuck.hear("bye"))["reason"] == "too slow: nothing was taken in time"
            assert (await stuck.closed())[0] == TOO_SLOW
        world.chat(1)
        assert (await quick.batches(count + 1))[-1][1] == count + 1


async def test_a_server_that_stops_tells_its_clients_to_come_back() -> None:
    world = World()
    async with AsyncExitStack() as stack:
        async with served(world) as url:
            client = await stack.enter_async_context(caller(url))
            await client.ask("subscribe", sub="feed")
        bye = await client.hear("bye")
        assert (bye["reason"], bye["retry_ms"]) == ("the server is stopping", 500)
        assert (await client.closed())[0] == RESTART


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_clients_with_and_without_compression_see_the_same(compression: str | None) -> None:
    world = World()
    protocol = [Subprotocol("agora.v1")]
    async with (
        served(world) as url,
        caller(url) as plain,
        connect(
            "ws" + url.removeprefix("http") + "/ws", subprotocols=protocol, compression=compression, max_size=None
        ) as opened,
    ):
        client = Caller(opened)
        await client.ask("hello")
        for one in (plain, client):
            await one.ask("subscribe", sub="feed")
        world.chat(400)
        world.chat(400)
        assert await client.batches(800) == await plain.batches(800)
        assert bool(client.socket.protocol.extensions) is (compression is not None)
        await client.ask("subscribe", sub="s", topics="state")
        assert (await client.hear("state"))["position"] == 800


async def test_a_compressed_batch_is_made_once_for_all_and_is_a_third_of_the_bytes() -> None:
    world = World()
    world.chat(64)
    wanted = Filter()
    due = ReadRing(Subscription("feed", wanted, Position(1)), wanted, Position(1), Position(16))
    frame, _ = world.hub.batch_frame(due, 1 << 20)
    assert world.hub.batch_frame(due, 1 << 20)[0].deflated is frame.deflated
    assert len(frame.deflated) <= 0.35 * len(frame.plain)


async def test_a_client_whose_window_is_smaller_is_not_sent_what_it_cannot_read() -> None:
    world = World()
    factory = ClientPerMessageDeflateFactory(server_max_window_bits=9, client_max_window_bits=True)
    async with (
        served(world) as url,
        connect("ws" + url.removeprefix("http") + "/ws", compression=None, extensions=[factory]) as opened,
    ):
        client = Caller(opened)
        await client.ask("hello")
        await client.ask("subscribe", sub="feed")
        world.chat(500)
        assert seen(await client.batches(500)) == list(range(1, 501))


async def test_the_feed_is_the_same_behind_a_server_without_the_door() -> None:
    world = World(WebOptions(port=0, stall_s=0.3))
    config = uvicorn.Config(
        world.app, ws="websockets-sansio", lifespan="off", log_config=None, ws_per_message_deflate=False
    )
    server = uvicorn.Server(config)
    listener = listen(world.options)
    async with anyio.create_task_group() as group:
        group.start_soon(world.hub.run)
        group.start_soon(server.serve, [listener])
        async with caller(url_of(listener, world.options)) as client:
            await client.ask("subscribe", sub="feed")
            world.chat(600)
            assert seen(await client.batches(600)) == list(range(1, 601))
            await client.say("nonsense")
            assert "error" in await client.hear(id_=3)
            await world.hub.say_goodbye()
            assert (await client.hear("bye"))["reason"] == "the server is stopping"
            assert (await client.closed())[0] == RESTART
        server.should_exit = True
        while listener.fileno() >= 0 and server.servers:
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()


async def test_a_tick_writes_to_who_is_at_the_head_without_waking_its_writer() -> None:
    """What a frame costs must not grow with the tasks that are woken for it: two clients share one frame a tick."""
    world = World()
    async with served(world) as url, caller(url) as one, caller(url) as other:
        for client in (one, other):
            await client.ask("subscribe", sub="feed")
        built, shared = world.hub.frames_built, world.hub.frames_shared
        world.chat(10)
        assert await one.batches(10) == await other.batches(10)
        assert (world.hub.frames_built - built, world.hub.frames_shared - shared) == (1, 1)
