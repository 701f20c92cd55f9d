"""Connections: what waits is bounded, who takes nothing is told, and a fault ends one connection alone."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import anyio
import anyio.lowlevel
import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from bus.envelope import Answer
from bus.messages.base import Message, Position
from bus.messages.tasks import ReadTask
from tests.web.support import TOKEN, World
from web.auth import ANONYMOUS, Credential
from web.connection import OUTBOX_MAX, Connection, Shared
from web.door import LiveDoor
from web.frames import NO_HELLO, RESTART, TOO_SLOW, UNAUTHENTICATED, Horizon, Limits
from web.framing import ReadyFrame
from web.wire import encode

DEADLINE_S = 20.0
HELLO: dict[str, object] = {"id": 1, "method": "hello", "params": {}}


class Door:
    """A door that keeps what is written; the test says whether the peer takes it."""

    def __init__(self) -> None:
        self.is_writable = True
        self.waiting_bytes = 0
        self.frames: list[dict[str, object]] = []
        self.holds: list[bool] = []
        self.code = 0

    def write(self, frame: ReadyFrame) -> None:
        self.frames.append(msgspec.json.decode(frame.payload))

    def hold(self, *, is_held: bool) -> None:
        self.holds.append(is_held)

    def look(self, now_s: float) -> None:
        """It lives."""

    def farewell(self, frames: Sequence[ReadyFrame], code: int, reason: str) -> None:
        for frame in frames:
            self.write(frame)
        self.code, self.is_writable = code, False


def opened(world: World, limits: Limits | None = None) -> tuple[Connection, Door]:
    connection, door = Connection(Shared(world.edge, limits or Limits()), Credential(ANONYMOUS)), Door()
    kept: LiveDoor = door
    connection.open(kept)
    return connection, door


def said(connection: Connection, id_: int, method: str, **params: object) -> None:
    connection.received(encode({"id": id_, "method": method, "params": params}).decode())


def greeted(world: World, limits: Limits | None = None) -> tuple[Connection, Door]:
    connection, door = opened(world, limits)
    connection.received(encode(HELLO).decode())
    assert door.frames[0]["t"] == "welcome"
    return connection, door


async def ticked(world: World, head: int) -> None:
    """Let the hub show its clients this head."""
    with anyio.fail_after(DEADLINE_S):
        while world.hub.horizon.head < head:
            await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()


async def test_clients_at_one_place_share_a_cohort_and_one_who_stops_reading_leaves_it() -> None:
    world = World()
    one, first = greeted(world)
    other, second = greeted(world)
    for connection in (one, other):
        said(connection, 2, "subscribe", sub="feed")
    assert world.hub.crowd.cohorts == 1
    async with anyio.create_task_group() as group:
        group.start_soon(world.hub.run)
        second.is_writable = False
        world.chat(3)
        await ticked(world, 3)
        world.chat(2)
        await ticked(world, 5)
        assert [frame.get("last") for frame in first.frames[2:]] == [3, 5]
        assert second.frames[2:] == []
        second.is_writable = True
        other.resumed()
        world.chat(1)
        await ticked(world, 6)
        group.cancel_scope.cancel()
    assert [(frame["first"], frame["last"]) for frame in second.frames[2:]] == [(1, 5), (6, 6)]


async def test_answers_wait_within_bounds_and_requests_behind_them() -> None:
    world = World()
    connection, door = greeted(world)
    door.is_writable = False
    for number in range(OUTBOX_MAX + 20):
        said(connection, number + 2, "ping")
    assert door.holds == [True]
    assert len(door.frames) == 1
    door.is_writable = True
    connection.resumed()
    assert [frame["id"] for frame in door.frames[1:]] == list(range(2, OUTBOX_MAX + 22))
    assert door.holds[-1] is False


async def test_large_answers_fill_the_outbox_by_their_bytes() -> None:
    world = World()
    world.chat(200)
    connection, door = greeted(world)
    door.is_writable = False
    size = len(world.hub.state())
    for number in range(50):
        said(connection, number + 2, "query", what="state")
    door.is_writable = True
    told = len(door.frames)
    connection.resumed()
    assert len(door.frames) - told == 50
    assert size > 100


def test_a_client_that_takes_nothing_is_told_and_one_that_takes_a_little_is_not() -> None:
    world = World()
    connection, door = greeted(world, Limits(stall_s=30.0))
    door.is_writable, door.waiting_bytes = False, 100_000
    for now_s in (100.0, 120.0):
        connection.look(now_s)
    door.waiting_bytes = 99_000  # some of it was taken: its time begins anew
    for now_s in (129.0, 158.0):
        connection.look(now_s)
    assert door.code == 0
    connection.look(159.5)
    assert (door.code, door.frames[-1]["t"]) == (TOO_SLOW, "bye")
    assert len(world.hub.crowd) == 0


def test_the_beat_comes_with_the_time_and_a_late_hello_ends_it() -> None:
    world = World()
    now_s = world.clock.monotonic_s()
    connection, door = greeted(world)
    connection.look(now_s + 4.0)
    assert len(door.frames) == 1
    connection.look(now_s + 6.0)
    assert door.frames[-1]["t"] == "beat"
    silent, unopened = opened(world)
    silent.look(now_s + 6.0)
    assert unopened.code == NO_HELLO


def test_the_end_of_the_server_is_told_with_what_still_waits() -> None:
    world = World()
    connection, door = greeted(world)
    world.hub.crowd.say_goodbye()
    assert (door.code, door.frames[-1]["t"], len(world.hub.crowd)) == (RESTART, "bye", 0)
    connection.received("whatever comes now is not looked at")
    assert door.frames[-1]["t"] == "bye"


async def test_a_fault_in_a_request_ends_its_connection_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    world = World()

    def fail(_: Message) -> Message:
        raise KeyError("a bug")

    world.gateway.replies[ReadTask] = fail
    connection, door = greeted(world)
    other, unharmed = greeted(world)
    async with anyio.create_task_group() as group:
        group.start_soon(world.hub.run)
        said(connection, 2, "query", what="task", task="t-1")
        with anyio.fail_after(DEADLINE_S):
            while not door.code:
                await anyio.lowlevel.checkpoint()
        said(other, 2, "ping")
        group.cancel_scope.cancel()
    assert (door.code, unharmed.code, unharmed.frames[-1]["id"]) == (1011, 0, 2)
    assert "a live socket failed" in caplog.text


async def test_what_a_client_waited_for_ends_with_it() -> None:
    world = World()
    begun, ended = anyio.Event(), anyio.Event()

    class Waiting:
        async def exchange(self, *_: object, **__: object) -> Answer[Message]:
            begun.set()
            try:
                await anyio.sleep_forever()
            finally:
                ended.set()
            raise AssertionError("it is cancelled")

        def tell(self, *_: object) -> None:
            """Nobody is there."""

    world.edge.gateway = Waiting()  # type: ignore[assignment]  # it never answers
    connection, _ = greeted(world)
    async with anyio.create_task_group() as group:
        group.start_soon(world.hub.run)
        said(connection, 2, "query", what="balances")
        with anyio.fail_after(DEADLINE_S):
            await begun.wait()
            connection.lost()
            await ended.wait()
        group.cancel_scope.cancel()


async def test_a_token_names_the_client_and_who_has_gone_before_the_upgrade_is_told() -> None:
    world = World()
    connection, door = opened(world)
    said(connection, 1, "hello", token=TOKEN)
    result = door.frames[0]["result"]
    assert isinstance(result, dict)
    assert result["principal"] == "operator"
    late = Connection(Shared(world.edge, Limits()), None)
    late.say_goodbye()
    door = Door()
    late.open(door)
    assert door.code == RESTART


def test_a_token_that_is_revoked_ends_its_sessions_before_anything_else_is_done() -> None:
    world = World()
    connections = [opened(world) for _ in range(2)]
    for connection, door in connections:
        said(connection, 1, "hello", token=TOKEN)
        assert door.frames[0]["t"] == "welcome"
    world.keyring.drop_digest(hashlib.sha256(TOKEN.encode()).digest())
    asking, waiting = connections
    said(asking[0], 2, "task.create", title="x")
    waiting[0].look(0.0)
    assert [door.code for _, door in connections] == [UNAUTHENTICATED, UNAUTHENTICATED]
    assert world.gateway.asked == []


def test_a_session_of_the_page_that_is_closed_ends_its_sockets() -> None:
    world = World()
    secret, _ = world.keyring.open_session(world.keyring.issue_link()) or ("", None)
    connection = Connection(Shared(world.edge, Limits()), world.keyring.credential_of_session(secret))
    door = Door()
    connection.open(door)
    said(connection, 1, "hello")
    connection.look(0.0)
    assert door.code == 0
    world.keyring.close_session(secret)
    connection.look(0.0)
    assert door.code == UNAUTHENTICATED


class Reader(Door):
    """A door that checks what every client may rely on: what it follows has no gap and comes once."""

    def __init__(self) -> None:
        super().__init__()
        self.next: dict[str, int] = {}
        self.on_write: Callable[[], None] = lambda: None

    def write(self, frame: ReadyFrame) -> None:
        told = msgspec.json.decode(frame.payload, type=dict[str, object])
        result = told.get("result")
        if isinstance(result, dict) and "next" in result:
            self.next[result["sub"]] = result["next"]
        elif isinstance(result, dict) and "ended" in result:
            self.next.pop(result["sub"], None)
        elif told.get("t") == "batch":
            name = str(told["sub"])
            assert told["first"] == self.next[name], "no gap and no duplicate"
            assert isinstance(told["last"], int)
            self.next[name] = told["last"] + 1
        self.on_write()


class Standing(RuleBasedStateMachine):
    """Clients that come, stop reading, subscribe and change their minds, also while a tick is written to others."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.clients: list[tuple[Connection, Reader]] = []
        self.plan: list[tuple[int, int]] = []
        self.ids = 10
        self.is_interrupting = False
        for number in range(3):
            connection, door = Connection(Shared(self.world.edge, Limits()), Credential(ANONYMOUS)), Reader()
            connection.open(door)
            connection.received(encode(HELLO).decode())
            door.on_write = partial(self.interrupt, number)
            self.clients.append((connection, door))

    @rule(count=st.integers(1, 700))
    def commit(self, count: int) -> None:
        self.world.chat(count)

    @rule(plan=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), max_size=4))
    def tick(self, plan: list[tuple[int, int]]) -> None:
        """A tick; what is planned happens one by one while its frames are written."""
        self.plan = plan
        head = self.world.hub.head
        self.world.hub.horizon = Horizon(head, self.world.hub.ring.first, Position(1))
        flush = self.world.hub.crowd.flush(self.world.hub)
        with suppress(StopIteration):
            flush.send(None)
            raise AssertionError("so few clients are written to at once")
        self.plan = []

    @rule(client=st.integers(0, 2), deed=st.integers(0, 5))
    def act(self, client: int, deed: int) -> None:
        self.do(client, deed)

    def interrupt(self, writer: int) -> None:
        """Others act while one is written to; nobody acts within its own write."""
        if self.plan and self.plan[0][0] != writer and not self.is_interrupting:
            self.is_interrupting = True
            self.do(*self.plan.pop(0))
            self.is_interrupting = False

    def do(self, client: int, deed: int) -> None:
        connection, door = self.clients[client]
        self.ids += 1
        match deed:
            case 0:
                said(connection, self.ids, "subscribe", sub="feed")
            case 1:
                said(connection, self.ids, "unsubscribe", sub="feed")
            case 2:
                said(connection, self.ids, "subscribe", sub="feed", **{"from": {"position": 0}})
            case 3:
                door.is_writable = False
            case 4:
                said(connection, self.ids, "subscribe", sub="other", topics=["task.*"])
            case _:
                door.is_writable = True
                connection.resumed()

    def teardown(self) -> None:
        """In the end everyone reads, and has everything."""
        for _, door in self.clients:
            door.on_write = lambda: None
        for connection, door in self.clients:
            door.is_writable = True
            for _ in range(20):
                connection.resumed()
        self.tick([])
        for connection, door in self.clients:
            for _ in range(20):
                connection.resumed()
            assert set(door.next.values()) <= {self.world.hub.head + 1}


TestStanding = Standing.TestCase
TestStanding.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


def test_a_client_that_is_pumped_before_its_cohort_moves_does_not_move_it_for_the_others() -> None:
    standing = Standing()
    standing.act(2, 4)
    standing.commit(4)
    standing.act(0, 2)
    standing.tick([(1, 2)])
    standing.commit(900)
    standing.act(1, 3)
    standing.act(0, 2)
    standing.commit(700)
    standing.teardown()
