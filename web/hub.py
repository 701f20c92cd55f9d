"""Where committed events become frames, once for all clients.

Rules: the hub shows clients a head that rises in ticks: at once after silence, then every 16 ms, so that all who keep
up scan the same positions and share one encoded batch per filter. It keeps no queue per client: a client is a position
and a bell that is rung at each tick. Frames that are shared are kept for as long as someone may still want them, within
a bound.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import anyio

from bus.clock import Clock
from bus.envelope import StoredEvent
from bus.errors import Overloaded
from bus.messages.base import Position
from web.frames import Horizon, ReadRing, ReadState
from web.ring import Batch, Ring
from web.wire import encode

FIRST = Position(1)
TICK_S = 0.016
"""One frame of a 60 Hz screen: nobody sees events that come faster apart."""
FRAMES_CACHED_MAX = 256
GAUGES_MAX = 256
FRAMES_BYTES_MAX = 16 * 1024 * 1024


class StateView(Protocol):
    """The overview at a committed position."""

    @property
    def position(self) -> Position: ...

    def view(self) -> dict[str, object]:
        """The whole, ready to be encoded."""
        ...

    def patch(self, after: Position) -> dict[str, object] | None:
        """A merge patch from the overview at `after`, or None when it is too old."""
        ...


class Hub:
    """The ring, the state view and the bells of the clients."""

    def __init__(self, *, epoch: int, ring: Ring, clock: Clock, clients_max: int = 1_000) -> None:
        self.epoch = epoch
        self.ring = ring
        self.clients_max = clients_max
        self.types: Counter[str] = Counter()
        """Committed events by type, since the start."""
        self.frames_built = 0
        self.frames_shared = 0
        self.gauges: dict[str, float] = {}
        """The last value of each gauge that actors have told, for the metrics."""
        self._clock = clock
        self._state: StateView | None = None
        self._head = Position(0)
        self._oldest = Position(1)
        self._bells: dict[int, Callable[[], None]] = {}
        self._next_client = 0
        self._frames: dict[tuple[object, ...], tuple[str, Position]] = {}
        self._frames_bytes = 0
        self._changed = anyio.Event()
        self._left = anyio.Event()
        self.is_closing = False
        """Whether clients are being told to go."""

    @property
    def is_ready(self) -> bool:
        """Whether the overview has caught up and there is something to show."""
        return self._state is not None

    @property
    def clients(self) -> int:
        """How many live sockets there are."""
        return len(self._bells)

    @property
    def head(self) -> Position:
        """The last committed position that the hub knows."""
        return self.ring.head

    @property
    def now_us(self) -> int:
        return self._clock.now_us()

    @property
    def horizon(self) -> Horizon:
        """What clients may be shown now."""
        return Horizon(self._head, min(self.ring.first, Position(self._head + 1)), self._oldest)

    def attach(self, state: StateView, oldest: Position = FIRST) -> None:
        """Show this overview from now on; the ring goes on from its position."""
        self._state = state
        self._oldest = oldest
        if self.ring.head != state.position:
            self.ring.begin(state.position)
        self._changed.set()

    def commit(self, events: Sequence[StoredEvent]) -> None:
        """Take committed events that the overview has already taken."""
        assert self._state is not None, "an overview is attached first"
        self.ring.append(events)
        self.types.update(event.type for event in events)
        assert self._state.position == self.ring.head, "the overview and the ring go together"
        self._changed.set()

    def set_gauge(self, name: str, value: float) -> None:
        """Remember a gauge's value; past the bound new names are left out."""
        if name in self.gauges or len(self.gauges) < GAUGES_MAX:
            self.gauges[name] = value

    async def run(self) -> None:
        """Tick for ever."""
        while True:
            await self._changed.wait()
            self._changed = anyio.Event()
            self._head = self.ring.head
            for ring_bell in tuple(self._bells.values()):
                ring_bell()
            await anyio.sleep(TICK_S)

    @contextmanager
    def client(self, ring_bell: Callable[[], None]) -> Iterator[None]:
        """Be rung at each tick. Raises Overloaded when there are too many."""
        if len(self._bells) >= self.clients_max:
            raise Overloaded(f"the server with {self.clients_max} live sockets", 5.0)
        self._next_client += 1
        client = self._next_client
        self._bells[client] = ring_bell
        try:
            yield
        finally:
            del self._bells[client]
            self._left.set()

    async def say_goodbye(self) -> None:
        """Have every client told that the server stops; returns when all have gone."""
        self.is_closing = True
        while self._bells:
            self._left = anyio.Event()
            for ring_bell in tuple(self._bells.values()):
                ring_bell()
            await self._left.wait()

    def batch_frame(self, due: ReadRing, bytes_max: int) -> tuple[str, Position]:
        """The frame of a batch from the ring, and the last position that it scanned."""
        key = (due.subscription.name, due.wanted, due.first, due.last)
        frame = self._frames.get(key)
        if frame is not None:
            self.frames_shared += 1
            return frame
        batch = self.ring.read(due.wanted, due.first, due.last, bytes_max)
        return self._keep(key, batch_frame(due.subscription.name, batch), batch.last)

    def state_frame(self, due: ReadState) -> tuple[str, Position]:
        """The frame with the whole state, or with what changed since; and the position that the client then has."""
        assert self._state is not None
        position = self._state.position
        key = (due.subscription.name, "state", due.after, position)
        frame = self._frames.get(key)
        if frame is not None:
            self.frames_shared += 1
            return frame
        patch = self._state.patch(Position(due.after)) if due.after >= 0 else None
        body: dict[str, object] = {"t": "state" if patch is None else "change", "sub": due.subscription.name}
        if patch is None:
            body |= {"epoch": self.epoch, "position": position, "state": self._whole()}
        else:
            body |= {"position": position, "patch": patch | {"now_us": self.now_us}}
        return self._keep(key, encode(body).decode(), position)

    def state(self) -> bytes:
        """The whole state as JSON."""
        return encode(self._whole())

    def parts(self) -> dict[str, object]:
        """The state's parts by name, for what shows only one of them. Raises Overloaded before there is one."""
        return self._whole()

    def _whole(self) -> dict[str, object]:
        if self._state is None:
            raise Overloaded("the start", 1.0)
        return {"epoch": self.epoch, "now_us": self.now_us, **self._state.view()}

    def _keep(self, key: tuple[object, ...], text: str, last: Position) -> tuple[str, Position]:
        self.frames_built += 1
        frame = self._frames[key] = (text, last)
        self._frames_bytes += len(text)
        while len(self._frames) > FRAMES_CACHED_MAX or self._frames_bytes > FRAMES_BYTES_MAX:
            self._frames_bytes -= len(self._frames.pop(next(iter(self._frames)))[0])
        return frame


def batch_frame(name: str, batch: Batch) -> str:
    """A batch as a frame; its positions stand in front."""
    head = b'{"t":"batch","sub":%b,"first":%d,"last":%d,"events":' % (encode(name), batch.first, batch.last)
    return (head + batch.events + b"}").decode()
