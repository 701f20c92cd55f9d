"""The plain door: one frame on its way, messages that wait, and a close that nothing holds up."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from starlette.types import Message
from starlette.websockets import WebSocket

from web.door import PlainDoor
from web.framing import ReadyFrame

DEADLINE_S = 20.0


class Peer:
    """The server's side of ASGI, and the listener of the door."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.heard: list[str | None] = []
        self.resumes = 0
        self.is_lost = False
        self.takes = anyio.Event()
        self._say, self._said = anyio.create_memory_object_stream[Message](9)

    def say(self, message: Message) -> None:
        self._say.send_nowait(message)

    async def receive(self) -> Message:
        return await self._said.receive()

    async def send(self, message: Message) -> None:
        if message["type"] == "websocket.send":
            await self.takes.wait()
        self.sent.append(message)

    def received(self, text: str | None) -> None:
        self.heard.append(text)

    def resumed(self) -> None:
        self.resumes += 1

    def lost(self) -> None:
        self.is_lost = True
        self._say.close()
        self._said.close()


@asynccontextmanager
async def opened(peer: Peer) -> AsyncIterator[PlainDoor]:
    socket = WebSocket({"type": "websocket"}, peer.receive, peer.send)
    peer.say({"type": "websocket.connect"})
    await socket.accept()
    door = PlainDoor(socket)
    async with anyio.create_task_group() as group:
        group.start_soon(door.serve, peer)
        yield door
        group.cancel_scope.cancel()


async def until(found: Callable[[], bool]) -> None:
    with anyio.fail_after(DEADLINE_S):
        while not found():
            await anyio.lowlevel.checkpoint()


async def test_one_frame_is_on_its_way_at_a_time_and_the_listener_hears_when_it_has_gone() -> None:
    peer = Peer()
    async with opened(peer) as door:
        assert door.is_writable
        door.write(ReadyFrame(b"12345"))
        assert (door.is_writable, door.waiting_bytes) == (False, 5)
        peer.takes.set()
        await until(lambda: peer.resumes == 1)
        assert (door.is_writable, door.waiting_bytes) == (True, 0)
    assert [message.get("text") for message in peer.sent[1:]] == ["12345"]


async def test_messages_wait_while_they_are_held() -> None:
    peer = Peer()
    async with opened(peer) as door:
        peer.say({"type": "websocket.receive", "text": "one"})
        await until(lambda: peer.heard == ["one"])
        door.hold(is_held=True)
        peer.say({"type": "websocket.receive", "bytes": b"two"})
        peer.say({"type": "websocket.receive", "text": "three"})
        await anyio.wait_all_tasks_blocked()
        assert peer.heard[2:] == []
        door.hold(is_held=False)
        await until(lambda: peer.heard == ["one", None, "three"])


async def test_a_farewell_gives_up_the_frame_that_nobody_takes() -> None:
    peer = Peer()
    async with opened(peer) as door:
        door.write(ReadyFrame(b"stuck"))
        await anyio.wait_all_tasks_blocked()
        door.farewell((), 4008, "too slow")
        assert not door.is_writable
        await until(lambda: peer.is_lost)
    assert peer.sent[1:] == [{"type": "websocket.close", "code": 4008, "reason": "too slow"}]


async def test_the_last_words_come_before_the_close() -> None:
    peer = Peer()
    peer.takes.set()
    async with opened(peer) as door:
        door.farewell((ReadyFrame(b"bye"),), 4012, "stop")
        await until(lambda: peer.is_lost)
    assert [message["type"] for message in peer.sent[1:]] == ["websocket.send", "websocket.close"]


async def test_a_peer_that_goes_is_told_of() -> None:
    peer = Peer()
    async with opened(peer):
        peer.say({"type": "websocket.disconnect", "code": 1001})
        await until(lambda: peer.is_lost)
