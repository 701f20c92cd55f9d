"""The edge of the simulated market: the real application, and clients that reach it by sockets in process.

A `Door` is one life of the server: its application, and the connections and requests that end with it. Clients outlive
it: they come back, go on after the last position that they have scanned, and note what must never be.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

import anyio
import msgspec
from starlette.types import ASGIApp, Message, Scope

from bus.dice import Dice
from bus.messages.base import Position
from tests.simulation.market_parts import Disk
from tests.web.support import Response, bearer, call
from web.app import INTERNAL_ERROR
from web.door import EXTENSION, Listener, LiveDoor
from web.frames import SUBPROTOCOL
from web.framing import ReadyFrame
from web.wire import encode

T = TypeVar("T")

EPOCH = 1
ANSWER_S_MAX = 12.0
"""What a client waits for an answer before it takes the connection for lost."""
AWAY_S_MAX = 3.0
"""The longest that a client stays away before it comes back."""
STAY_S_MAX = 40.0
"""The longest that a connection lasts in bad weather."""
NOTHING = msgspec.Raw(b"null")
SLOW_S = 45.0
"""Longer than the server bears with a client that takes nothing."""


class Frame(msgspec.Struct, frozen=True):
    """What the server says."""

    t: str = ""
    id: int | str = 0
    sub: str = ""
    first: int = 0
    last: int = 0
    position: int = 0
    events: tuple[msgspec.Raw, ...] = ()
    state: msgspec.Raw = NOTHING
    patch: msgspec.Raw = NOTHING
    result: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING


class Answer(msgspec.Struct, frozen=True):
    """What any answer may hold."""

    position: int = 0
    next: int = 0
    lease_s: float = 0.0


_frames = msgspec.json.Decoder(Frame)


class Watch(Protocol):
    """Who looks on, and is told what must not be."""

    disk: Disk
    problems: list[str]


class Door:
    """The server of one life."""

    def __init__(self, app: ASGIApp, tasks: asyncio.TaskGroup) -> None:
        self.app = app
        self._tasks = tasks
        self._begun: dict[asyncio.Task[Any], None] = {}
        """In the order in which they began, in which they are ended: a seed is a run."""
        self.is_shut = False

    def begin(self, work: Coroutine[object, object, T], name: str) -> "asyncio.Task[T]":
        """Do something for as long as this life lasts."""
        task = self._tasks.create_task(work, name=name)
        self._begun[task] = None
        task.add_done_callback(lambda ended: self._begun.pop(ended, None))
        return task

    def open(self, line: "Line") -> None:
        """Serve a connection."""
        self.begin(line.run(self.app), "a live socket")

    async def request(self, method: str, path: str, token: str, body: object) -> Response | None:
        """One HTTP request; None when the server has ended before its answer."""
        asked = call(self.app, method, path, headers=bearer(token), body=encode(body))
        task = self.begin(asked, "a request")
        await asyncio.wait({task})
        return None if self.is_shut or task.cancelled() else task.result()

    def shut(self) -> None:
        """End everything at once, as a crash does: nobody hears anything from here on."""
        self.is_shut = True
        for task in self._begun:
            task.cancel()


class Line:
    """One live socket: ASGI's words for the server, and the door for frames that are ready, if it has one."""

    def __init__(self, door: Door, hear: Callable[[Frame], None], *, has_door: bool) -> None:
        self._door = door
        self._hear = hear
        self._has_door = has_door
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        self._said.put_nowait({"type": "websocket.connect"})
        self._takes = asyncio.Event()
        self._takes.set()
        self._may_say = asyncio.Event()
        self._may_say.set()
        self._listener: Listener | None = None
        """Who has taken the socket over, if the server has let go of it."""
        self.ended = asyncio.Event()
        self.code = 0
        """What the server has closed it with."""

    async def run(self, app: ASGIApp) -> None:
        """Let the application serve it to its end."""
        extensions: dict[str, object] = {"websocket.http.response": {}}
        if self._has_door:
            extensions[EXTENSION] = {"socket": self}
        scope: Scope = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "ws",
            "path": "/ws",
            "raw_path": b"/ws",
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"127.0.0.1:8080")],
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8080),
            "subprotocols": [SUBPROTOCOL],
            "extensions": extensions,
        }
        try:
            await app(scope, self._said.get, self._receive)
            if self._listener is not None:
                await self._carry(self._listener)
        finally:
            self.ended.set()

    def say(self, id_: int, method: str, params: object) -> None:
        """Send a frame to the server."""
        text = encode({"id": id_, "method": method, "params": params}).decode()
        self._said.put_nowait({"type": "websocket.receive", "text": text})

    def hang_up(self) -> None:
        """Be gone."""
        self.ended.set()
        self._takes.set()
        self._said.put_nowait({"type": "websocket.disconnect", "code": 1006})

    def take(self, *, is_taking: bool) -> None:
        """Whether the client takes what it is sent."""
        if is_taking:
            self._takes.set()
            if self._listener is not None and not self.ended.is_set():
                self._listener.resumed()
        else:
            self._takes.clear()

    async def _receive(self, message: Message) -> None:
        if message["type"] == "websocket.send":
            await self._takes.wait()
            self._arrive(message["text"].encode())
        elif message["type"] != "websocket.accept":
            self._end(message.get("code", 0))

    def _arrive(self, text: bytes) -> None:
        if self.ended.is_set() or self._door.is_shut:
            raise OSError("the peer has gone")
        self._hear(_frames.decode(text))

    # The door for frames that are ready

    def hand_over(self, answer: Callable[[LiveDoor], Listener]) -> None:
        self._listener = answer(self)

    async def _carry(self, listener: Listener) -> None:
        while True:
            await self._may_say.wait()
            message = await self._said.get()
            if message["type"] == "websocket.disconnect":
                listener.lost()
                return
            listener.received(message["text"])

    @property
    def is_writable(self) -> bool:
        return self._takes.is_set() and not self.ended.is_set()

    @property
    def waiting_bytes(self) -> int:
        return 0 if self._takes.is_set() else 1

    def write(self, frame: ReadyFrame) -> None:
        if not self.ended.is_set() and not self._door.is_shut:
            self._hear(_frames.decode(frame.payload))

    def hold(self, *, is_held: bool) -> None:
        if is_held:
            self._may_say.clear()
        else:
            self._may_say.set()

    def look(self, now_s: float) -> None:
        """It lives for as long as it is there."""

    def farewell(self, frames: Sequence[ReadyFrame], code: int, reason: str) -> None:
        self._end(code)

    def _end(self, code: int) -> None:
        self.code = code
        self.ended.set()
        self._may_say.set()
        self._said.put_nowait({"type": "websocket.disconnect", "code": code})


class Guest:
    """A program that comes to the server, loses it, and comes back."""

    def __init__(self, name: str, watch: Watch, dice: Dice) -> None:
        self.name = name
        self.watch = watch
        self.dice = dice
        self.position = Position(0)
        """The last position that was scanned."""
        self.is_calm = False
        """Whether it keeps its connections and takes everything."""
        self.door: Door | None = None

    async def run(self) -> None:
        """Come, stay a while, go, and come again, for ever."""
        while True:
            if self.door is not None and not self.door.is_shut:
                await self.visit(self.door)
            await asyncio.sleep(self.dice.uniform(0.1, AWAY_S_MAX))

    async def visit(self, door: Door) -> None:
        """Come, and stay a while."""
        raise NotImplementedError

    async def stay(self, ended: asyncio.Event) -> None:
        """For some time, or until the server ends it."""
        if not self.is_calm and self.dice.random() < 0.5:
            await at_most(ended, self.dice.uniform(0, STAY_S_MAX))
        else:
            await ended.wait()

    def check(self, condition: bool, text: str) -> None:
        """Note what must not be: what is raised here would end in the server."""
        if not condition:
            self.watch.problems.append(f"{self.name}: {text}")


class Client(Guest):
    """A guest with a live socket."""

    def __init__(self, name: str, watch: Watch, dice: Dice, token: str = "") -> None:
        super().__init__(name, watch, dice)
        self.token = token
        self._line: Line | None = None
        self._has_resumed = False
        self._asked = 0
        self._answers: dict[int, asyncio.Future[Frame]] = {}

    async def ask(self, method: str, params: object) -> Answer | None:
        """Ask over the socket; None when it was refused, or nobody knows."""
        line = self._line
        if line is None:
            return None
        self._asked += 1
        number = self._asked
        future = self._answers[number] = asyncio.get_running_loop().create_future()
        line.say(number, method, params)
        await asyncio.wait({future}, timeout=ANSWER_S_MAX)
        del self._answers[number]
        if not future.done() or future.cancelled() or future.result().error != NOTHING:
            return None
        result = future.result().result
        return msgspec.json.decode(result, type=Answer)

    async def subscribe(self) -> bool:
        """Follow what this client follows. False when it could not."""
        raise NotImplementedError

    def hear(self, frame: Frame) -> None:
        """Take a frame that is no answer."""
        raise NotImplementedError

    def go_on(self, frame: Frame) -> None:
        """Take the positions of a batch."""
        self.check(frame.first == self.position + 1, f"{frame.first} follows {self.position}: no gap, no duplicate")
        self.check(frame.last <= self.watch.disk.head, f"{frame.last} left before its commit")
        self.position = Position(frame.last)

    @property
    def place(self) -> dict[str, int]:
        """Where this client is."""
        return {"position": self.position, "epoch": EPOCH}

    @property
    def beginning(self) -> dict[str, object]:
        """What a subscription says of where it begins: nothing, where hello has said where the client goes on."""
        return {} if self._has_resumed else {"from": self.place}

    async def visit(self, door: Door) -> None:
        line = self._line = Line(door, self._heard, has_door=self.dice.random() < 0.5)
        door.open(line)
        try:
            self._has_resumed = self.dice.random() < 0.5
            hello = {"token": self.token, **({"resume": self.place} if self._has_resumed else {})}
            if await self.ask("hello", hello) is not None and await self.subscribe():
                await self._stay(line)
        finally:
            self.check(line.code != INTERNAL_ERROR, "the server has a fault")
            self._line = None
            line.hang_up()
            for future in self._answers.values():
                future.cancel()

    async def _stay(self, line: Line) -> None:
        if not self.is_calm and self.dice.random() < 0.1:
            line.take(is_taking=False)
            await at_most(line.ended, SLOW_S)
            line.take(is_taking=True)
        else:
            await self.stay(line.ended)

    def _heard(self, frame: Frame) -> None:
        answer = self._answers.get(frame.id) if isinstance(frame.id, int) else None
        if answer is None:
            self.hear(frame)
        elif not answer.done():
            if frame.error == NOTHING:
                said = msgspec.json.decode(frame.result, type=Answer)
                self.check(said.position <= self.watch.disk.head, f"an answer of {said.position} left too early")
            self.check(b"invalid_field" not in bytes(frame.error), f"what was sound is refused: {bytes(frame.error)!r}")
            answer.set_result(frame)


class Watcher(Client):
    """Follows everything, and keeps every event as it came."""

    def __init__(self, name: str, watch: Watch, dice: Dice) -> None:
        super().__init__(name, watch, dice)
        self.seen: list[bytes] = []

    async def subscribe(self) -> bool:
        wish = {"sub": "all", "topics": ["#"], **self.beginning}
        return await self.ask("subscribe", wish) is not None

    def hear(self, frame: Frame) -> None:
        self.check(frame.t not in ("gap", "lag"), f"a {frame.t} in a feed that was never behind what is kept")
        if frame.t == "batch":
            self.go_on(frame)
            self.check(len(frame.events) == frame.last - frame.first + 1, "a batch holds all that it says")
            self.seen.extend(bytes(event) for event in frame.events)


class Page(Client):
    """Keeps the state as the page does: the whole once, then patches."""

    def __init__(self, name: str, watch: Watch, dice: Dice) -> None:
        super().__init__(name, watch, dice)
        self.state: dict[str, object] = {}

    async def subscribe(self) -> bool:
        return await self.ask("subscribe", {"sub": "state", "topics": "state"}) is not None

    def hear(self, frame: Frame) -> None:
        if frame.t not in ("state", "change"):
            return
        self.check(frame.position <= self.watch.disk.head, f"a state of {frame.position} left before its commit")
        self.check(frame.position >= self.position, "the state never goes back")
        self.position = Position(frame.position)
        if frame.t == "state":
            self.state = msgspec.json.decode(frame.state, type=dict[str, object])
        else:
            merge(self.state, msgspec.json.decode(frame.patch, type=dict[str, object]))


def merge(state: dict[str, object], patch: dict[str, object]) -> None:
    """Apply a merge patch (RFC 7396)."""
    for key, value in patch.items():
        if value is None:
            state.pop(key, None)
        elif isinstance(value, dict):
            inner = state.get(key)
            if not isinstance(inner, dict):
                inner = state[key] = {}
            merge(inner, value)
        else:
            state[key] = value


async def at_most(event: asyncio.Event, seconds: float) -> None:
    """Wait for something, but no longer than that."""
    with anyio.move_on_after(seconds):
        await event.wait()
