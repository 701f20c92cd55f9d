"""Where committed events become frames, once for all clients.

Rules: the hub shows clients a head that rises in ticks: at once after silence, then every 16 ms, so that all who keep
up scan the same positions and share one encoded batch per filter. It keeps no queue per client: live sockets stand in
cohorts, which share a position (`web/crowd.py`); a stream over HTTP is a position and a bell that is rung at each
tick. Frames that are shared are kept for as long as someone may still want them, within a bound.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import anyio
import msgspec

from bus.clock import Clock
from bus.envelope import StoredEvent
from bus.messages.base import Position
from bus.refusals import Overloaded
from web import cursors
from web.crowd import Crowd, Guest
from web.frames import Horizon, Limits, ReadRing, ReadState, Send
from web.framing import ReadyFrame
from web.ring import Batch, Ring
from web.wire import encode
from web.words import Words

FIRST = Position(1)
TICK_S = 0.016
"""One frame of a 60 Hz screen: nobody sees events that come faster apart."""
TICK_MAX_S = 0.028
"""With the flush and the loop's own lateness two frames of the screen: a longer wait could be seen."""
REST = 40
"""After a flush the hub rests so many times as long as one takes, between the two bounds: few system calls for much."""
SMOOTHING = 0.125
"""The weight of the last flush in how long one takes: a single slow one shall not make everyone wait."""
FRAMES_CACHED_MAX = 256
FRESH_MAX = 256
"""Events that wait to be encoded, at most; so many take less than a millisecond."""
GAUGES_MAX = 256
COMPLAINTS_MAX = 8
"""A beat tells so many: who has more troubles looks at the system."""
COMPLAINTS_US = 1_000_000
"""All actors are looked at for them: no more than once in so long, however many clients are told."""
FRAMES_BYTES_MAX = 16 * 1024 * 1024
STATE_SHARED_US = 100_000
"""A frame with the state says what time it is: it is shared for no longer than this."""


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
        self.clients_max = clients_max
        self._ring = ring
        self._types: Counter[str] = Counter()
        self._fresh: list[StoredEvent] = []
        """Committed, and not encoded yet: a tick's events at once take half the time of one after another."""
        self.frames_built = 0
        self.frames_shared = 0
        self.gauges: dict[str, float] = {}
        """The last value of each gauge that actors have told, for the metrics."""
        self.words = Words()
        """What models are saying at this moment."""
        self._clock = clock
        self._state: StateView | None = None
        self.horizon = Horizon(Position(0), Position(1), Position(1))
        """What clients may be shown now."""
        self.crowd = Crowd(clock)
        """The live sockets."""
        self._bells: dict[int, Callable[[], None]] = {}
        self._next_client = 0
        self._frames: dict[tuple[object, ...], tuple[ReadyFrame, Position]] = {}
        self._frames_bytes = 0
        self._changed = anyio.Event()
        self._left = anyio.Event()
        self.is_closing = False
        """Whether clients are being told to go."""
        self.complaints: Callable[[], Sequence[str]] = tuple
        """Why the process is not ready, one line each. They are told with each beat and stored nowhere: what is wrong
        may be just that nothing can be stored."""
        self._complaints: tuple[int, tuple[str, ...]] = (0, ())

    @property
    def ring(self) -> Ring:
        """The newest committed events."""
        self._take_in()
        return self._ring

    @property
    def types(self) -> Counter[str]:
        """Committed events by type, since the start."""
        self._take_in()
        return self._types

    @property
    def is_ready(self) -> bool:
        """Whether the overview has caught up and there is something to show."""
        return self._state is not None

    @property
    def clients(self) -> int:
        """How many live sockets and streams there are."""
        return len(self._bells) + len(self.crowd)

    @property
    def head(self) -> Position:
        """The last committed position that the hub knows."""
        return self.ring.head

    @property
    def now_us(self) -> int:
        return self._clock.now_us()

    def attach(self, state: StateView, oldest: Position = FIRST) -> None:
        """Show this overview from now on; the ring goes on from its position."""
        self._state = state
        if self.ring.head != state.position:
            self.ring.begin(state.position)
        self.horizon = msgspec.structs.replace(self.horizon, oldest=oldest)
        self._show(self.horizon.head)
        self._changed.set()

    def commit(self, events: Sequence[StoredEvent]) -> None:
        """Take committed events that the overview has already taken."""
        assert self._state is not None, "an overview is attached first"
        self._fresh.extend(events)
        assert self._state.position == events[-1].position, "the overview and the ring go together"
        if len(self._fresh) >= FRESH_MAX:
            self._take_in()
        self._changed.set()

    def set_gauge(self, name: str, value: float) -> None:
        """Remember a gauge's value; past the bound new names are left out."""
        if name in self.gauges or len(self.gauges) < GAUGES_MAX:
            self.gauges[name] = value

    async def run(self) -> None:
        """Tick for ever, and look after the clients."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.crowd.run)
            await self._tick()

    async def _tick(self) -> None:
        usual_s = 0.0
        while True:
            await self._changed.wait()
            self._changed = anyio.Event()
            started_s = self._clock.monotonic_s()
            self._show(self.ring.head)
            for ring_bell in tuple(self._bells.values()):
                ring_bell()
            await self.crowd.flush(self)
            usual_s += SMOOTHING * (self._clock.monotonic_s() - started_s - usual_s)
            await anyio.sleep(min(max(TICK_S, usual_s * REST), TICK_MAX_S))

    def enter(self, guest: Guest, limits: Limits) -> None:
        """Take a live socket in, until it leaves. Raises Overloaded when there are too many."""
        self._make_room()
        if self.is_closing:
            raise Overloaded("the stop", 1.0)
        self.crowd.enter(guest, limits)

    def leave(self, guest: Guest) -> None:
        """Let a live socket go."""
        self.crowd.leave(guest)

    @contextmanager
    def client(self, ring_bell: Callable[[], None]) -> Iterator[None]:
        """Be rung at each tick. Raises Overloaded when there are too many."""
        self._make_room()
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
        self.crowd.say_goodbye()
        while self._bells:
            self._left = anyio.Event()
            for ring_bell in tuple(self._bells.values()):
                ring_bell()
            await self._left.wait()

    def frame(self, due: Send | ReadRing | ReadState, bytes_max: int) -> ReadyFrame:
        """The frame for what is due; its cursor moves past it."""
        match due:
            case Send():
                return ReadyFrame(due.text.encode())
            case ReadRing():
                frame, last = self.batch_frame(due, bytes_max)
            case ReadState():
                frame, last = self.state_frame(due)
        cursors.scanned(due.subscription, last)
        return frame

    def beat_frame(self) -> ReadyFrame:
        """The frame that says that the server lives, and where it stands."""
        head, now_us = self.horizon.head, self.now_us
        key = ("beat", head, now_us // STATE_SHARED_US)
        frame = self._frames.get(key)
        if frame is None:
            body: dict[str, object] = {"t": "beat", "head": head, "now_us": now_us}
            if complaints := self._complaints_at(now_us):
                body["complaints"] = complaints
            frame = self._keep(key, ReadyFrame(encode(body)), head)
        return frame[0]

    def batch_frame(self, due: ReadRing, bytes_max: int) -> tuple[ReadyFrame, Position]:
        """The frame of a batch from the ring, and the last position that it scanned."""
        key = (due.subscription.name, due.wanted, due.first, due.last)
        frame = self._frames.get(key)
        if frame is not None:
            self.frames_shared += 1
            return frame
        batch = self.ring.read(due.wanted, due.first, due.last, bytes_max)
        return self._keep(key, batch_frame(due.subscription.name, batch), batch.last)

    def state_frame(self, due: ReadState) -> tuple[ReadyFrame, Position]:
        """The frame with the whole state, or with what changed since; and the position that the client then has."""
        assert self._state is not None
        position = self._state.position
        key = (due.subscription.name, "state", due.after, position, self.now_us // STATE_SHARED_US)
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
        return self._keep(key, ReadyFrame(encode(body)), position)

    def state(self) -> bytes:
        """The whole state as JSON."""
        return encode(self._whole())

    def parts(self) -> dict[str, object]:
        """The state's parts by name, for what shows only one of them. Raises Overloaded before there is one."""
        return self._whole()

    def _complaints_at(self, now_us: int) -> tuple[str, ...]:
        looked_us, complaints = self._complaints
        if not 0 <= now_us - looked_us < COMPLAINTS_US:
            complaints = tuple(self.complaints()[:COMPLAINTS_MAX])
            self._complaints = (now_us, complaints)
        return complaints

    def _make_room(self) -> None:
        if self.clients >= self.clients_max:
            raise Overloaded(f"the server with {self.clients_max} live sockets", 5.0)

    def _take_in(self) -> None:
        if not self._fresh:
            return
        fresh, self._fresh = self._fresh, []
        self._ring.append(fresh)
        for event in fresh:
            self._types[event.type] += 1
        self._show(self.horizon.head)  # the head rises with the tick; what the ring has let go of is gone now

    def _show(self, head: Position) -> None:
        first = min(self.ring.first, Position(head + 1))
        if (head, first) != (self.horizon.head, self.horizon.ring_first):
            self.horizon = Horizon(head, first, self.horizon.oldest)

    def _whole(self) -> dict[str, object]:
        if self._state is None:
            raise Overloaded("the start", 1.0)
        return {"epoch": self.epoch, "now_us": self.now_us, **self._state.view()}

    def _keep(self, key: tuple[object, ...], made: ReadyFrame, last: Position) -> tuple[ReadyFrame, Position]:
        self.frames_built += 1
        frame = self._frames[key] = (made, last)
        self._frames_bytes += len(made)
        while len(self._frames) > FRAMES_CACHED_MAX or self._frames_bytes > FRAMES_BYTES_MAX:
            self._frames_bytes -= len(self._frames.pop(next(iter(self._frames)))[0])
        return frame


def batch_frame(name: str, batch: Batch) -> ReadyFrame:
    """A batch as a frame; its positions stand in front."""
    head = b'{"t":"batch","sub":%b,"first":%d,"last":%d,"events":' % (encode(name), batch.first, batch.last)
    return ReadyFrame(head + batch.events + b"}")
