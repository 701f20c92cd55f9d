"""A live socket: callbacks around a pure session, without a task of its own.

Rules: answers go first, then what is due, from the ring as frames that all clients share, or from storage for who is
older than the ring. Nothing is written that the client does not take; what waits for it is bounded, and when that is
full its own messages wait. A client that takes nothing for `stall_s` is told and closed; whatever it does costs nobody
else anything. So is one whose token is revoked. Once it has everything it stands in a cohort, and ticks write to it
without a question asked.

What must be waited for is a task of the crowd's, only while it runs, and ends with the connection.
"""

import logging
from collections.abc import Sequence
from functools import partial

import anyio

from bus.errors import AgoraError
from bus.messages.base import Position
from bus.messages.system import JOURNAL, EventPage, ReadEvents
from bus.refusals import InvalidField
from web import cursors
from web.auth import Credential, Principal
from web.cohort import Cohort
from web.crowd import Job
from web.door import Listener, LiveDoor
from web.edge import Edge, with_position
from web.frames import (
    RESTART,
    Ask,
    Close,
    Identify,
    Limits,
    Locate,
    Output,
    ReadStorage,
    Send,
    ShowState,
    Subscription,
)
from web.framing import ReadyFrame
from web.gateway import ASK_TIMEOUT_S
from web.hub import batch_frame
from web.protocol import Session
from web.ring import Batch
from web.wire import WHOLE, encode_event, encode_page

logger = logging.getLogger(__name__)

OUTBOX_MAX = 64
"""Answers that wait for a client that does not read; then its own requests wait."""
OUTBOX_BYTES_MAX = 128 * 1024
STORAGE_EVENTS = 256
"""Events per page from storage: some 100 KB."""
TURN_FRAMES = 4
"""Frames that are written to one client at a time; who needs more is served in turn with others."""
INTERNAL_ERROR = 1011


class Shared:
    """What all connections of an endpoint share."""

    def __init__(self, edge: Edge, limits: Limits) -> None:
        self.edge = edge
        self.hub = edge.hub
        self.limits = limits
        self.stalled = 0
        """Clients that were closed because they took nothing."""


class Connection:
    """One live socket. `open` it with its door; then the door and the hub call it."""

    __slots__ = (
        "_beat_at_s",
        "_cohorts",
        "_credential",
        "_door",
        "_hello_by_s",
        "_inbox",
        "_is_gone",
        "_is_reading",
        "_jobs",
        "_outbox",
        "_outbox_bytes",
        "_session",
        "_shared",
        "_stuck_bytes",
        "_stuck_since_s",
    )

    def __init__(self, shared: Shared, stranger: Credential | None) -> None:
        """`stranger` is who the client is without a token: by its cookie, or as a reader on loopback."""
        now_s = shared.edge.clock.monotonic_s()
        self._shared = shared
        self._credential = stranger
        """Whose the session is; until the hello, whose it is if that names nobody."""
        self._session = Session(shared.hub.epoch, shared.limits, now_s)
        self._door: LiveDoor | None = None
        self._outbox: list[Send | Close] = []
        self._outbox_bytes = 0
        self._inbox: list[str | None] = []
        """Messages that had been read when the outbox was full."""
        self._cohorts: tuple[Cohort, ...] = ()
        self._jobs: list[anyio.CancelScope] = []
        self._hello_by_s = now_s + shared.limits.hello_s
        self._beat_at_s = now_s + shared.limits.beat_s
        self._stuck_since_s: float | None = None
        self._stuck_bytes = 0
        self._is_reading = False
        """Whether a page is on its way from storage."""
        self._is_gone = False
        shared.hub.enter(self, shared.limits)

    def open(self, door: LiveDoor) -> Listener:
        """Begin, with the door that is this connection's from now on."""
        self._door = door
        if self._is_gone:
            door.farewell((), RESTART, "the server is stopping")
        return self

    # What the door says.

    def received(self, text: str | None) -> None:
        """Take a message; None is a binary one."""
        if self._is_gone or self._is_expelled():
            return
        if self._is_full:
            self._inbox.append(text)
            return
        self._hear(text)
        self.pump()

    def resumed(self) -> None:
        """The client takes what it is sent again."""
        self._stuck_since_s = None
        self.pump()

    def lost(self) -> None:
        """The client has gone; what it was owed is in the journal."""
        if self._is_gone:
            return
        self._is_gone = True
        for cohort in self._cohorts:
            cohort.drop(self)
        self._cohorts = ()
        self._shared.hub.leave(self)
        for scope in self._jobs:
            scope.cancel()
        self._outbox, self._inbox = [], []

    # What the hub asks for.

    def pump(self) -> None:
        """Write what waits and what is due, while the client takes it and its turn lasts."""
        door, written = self._door, 0
        while door is not None and door.is_writable and not self._is_gone:
            if self._outbox:
                self._say(door, self._outbox.pop(0))
            elif self._inbox:
                self._hear(self._inbox.pop(0))
                door.hold(is_held=bool(self._inbox) or self._is_full)
            elif self._is_reading:
                return
            elif written == TURN_FRAMES:
                self._shared.hub.crowd.wait_turn(self)
                return
            else:
                due = self._session.due(self._shared.hub.horizon)
                if due is None:
                    self._settle()
                    return
                if isinstance(due, ReadStorage):
                    self._is_reading = True
                    self._start(partial(self._read_on, due))
                    return
                door.write(self._shared.hub.frame(due, self._shared.limits.batch_bytes))
                written += 1

    def deliver(self, cohort: Cohort) -> None:
        """Write the cohort's steps, as far as the client takes them; leave if it does not take all."""
        door = self._door
        assert door is not None, "who has subscribed has a door"
        for step in cohort.steps:
            if not door.is_writable:
                cohort.part(self, step)
                return
            door.write(step.frame)

    def leave(self, cohort: Cohort, place: Subscription) -> None:
        """Go on alone from this place, once the client takes what it is sent."""
        self._session.replace(cohort.cursor, place)
        self._drop(cohort)
        self._shared.hub.crowd.wait_turn(self)

    def look(self, now_s: float) -> None:
        """See to what time brings: a revoked token, a late hello, the heartbeat, a client that takes nothing."""
        door = self._door
        if door is None or self._is_expelled():
            return
        door.look(now_s)
        if self._session.is_opening and now_s >= self._hello_by_s:
            self._take(self._session.hello_is_late())
            self.pump()
        if not door.is_writable:
            self._look_at_stuck(door.waiting_bytes, now_s)
        elif now_s >= self._beat_at_s:
            self._beat_at_s = now_s + self._shared.limits.beat_s
            if self._session.principal is not None:
                door.write(self._shared.hub.beat_frame())

    def say_goodbye(self) -> None:
        """Tell the client that the server stops, and close."""
        door = self._door
        waiting = self._outbox if door is not None and door.is_writable else []
        self._end([*waiting, *self._session.restart("the server is stopping")])

    # The session and what it wants.

    @property
    def _is_full(self) -> bool:
        return len(self._outbox) >= OUTBOX_MAX or self._outbox_bytes >= OUTBOX_BYTES_MAX

    def _hear(self, text: str | None) -> None:
        session = self._session
        if text is None:
            self._take(session.received_binary())
        else:
            self._take(session.receive(text, self._shared.edge.clock.monotonic_s(), self._shared.hub.horizon))
        for cohort in self._cohorts:
            if not session.is_current(cohort.cursor):
                self._drop(cohort)
        if self._is_full and self._door is not None:
            self._door.hold(is_held=True)

    def _take(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            match output:
                case Send():
                    self._outbox.append(output)
                    self._outbox_bytes += len(output.text)
                case Close():
                    self._outbox.append(output)
                case Identify():
                    principal = self._identify(output.token)
                    self._take(self._session.identified(principal, self._shared.hub.horizon))
                case Ask():
                    self._start(partial(self._ask, output))
                case Locate():
                    self._start(partial(self._locate, output))
                case ShowState():
                    self._take((self._session.answered(output.id, self._shared.hub.state()),))

    def _identify(self, token: str) -> Principal | None:
        if token:
            self._credential = self._shared.edge.keyring.credential_of_token(token)
        return self._credential.principal if self._credential is not None else None

    def _is_expelled(self) -> bool:
        """Whether what the client showed is good no more: then this is its end, whatever it waits for."""
        if self._credential is None or self._shared.edge.keyring.is_good(self._credential):
            return False
        self._end(self._session.expelled())
        return True

    def _say(self, door: LiveDoor, output: Send | Close) -> None:
        if isinstance(output, Close):
            self._end([output])
        else:
            self._outbox_bytes -= len(output.text)
            door.write(ReadyFrame(output.text.encode()))

    def _settle(self) -> None:
        """All is sent: stand where others stand."""
        for own in tuple(self._session.subscriptions):
            if not any(cohort.cursor is own for cohort in self._cohorts):
                cohort = self._shared.hub.crowd.join(self, own, self._shared.limits)
                if cohort is not None:
                    self._session.replace(own, cohort.cursor)
                    self._cohorts += (cohort,)

    def _drop(self, cohort: Cohort) -> None:
        cohort.drop(self)
        self._cohorts = tuple(other for other in self._cohorts if other is not cohort)

    def _look_at_stuck(self, waiting_bytes: int, now_s: float) -> None:
        if self._stuck_since_s is None or waiting_bytes < self._stuck_bytes:
            self._stuck_since_s, self._stuck_bytes = now_s, waiting_bytes
        elif now_s - self._stuck_since_s >= self._shared.limits.stall_s:
            self._shared.stalled += 1
            self._end(self._session.stall())

    def _end(self, outputs: Sequence[Output]) -> None:
        """Say the last words and close."""
        frames = [ReadyFrame(output.text.encode()) for output in outputs if isinstance(output, Send)]
        close = next((output for output in outputs if isinstance(output, Close)), None)
        assert close is not None, "a session that ends says how"
        door = self._door
        self.lost()
        if door is not None:
            door.farewell(frames, close.code, close.reason)

    # What must be waited for.

    def _start(self, job: Job) -> None:
        self._shared.hub.crowd.start(partial(self._run, job))

    async def _run(self, job: Job) -> None:
        if self._is_gone:
            return
        with anyio.CancelScope() as scope:
            self._jobs.append(scope)
            try:
                await job()
                self.pump()
            except Exception:  # as at the ASGI boundary: a fault reaches the log, and ends this connection alone
                logger.exception("a live socket failed")
                self._end([Close(INTERNAL_ERROR, "")])
            finally:
                self._jobs.remove(scope)

    async def _ask(self, ask: Ask) -> None:
        session = self._session
        try:
            answer = await self._shared.edge.ask(ask.to, ask.request, timeout_s=ask.timeout_s)
        except InvalidField as error:
            path = "params" if error.path == WHOLE else f"params.{error.path}"
            self._take((session.refused(ask.id, InvalidField(path, error.reason)),))
        except AgoraError as error:
            self._take((session.refused(ask.id, error),))
        else:
            if isinstance(answer.message, EventPage):
                result = encode_page(answer.message, self._shared.hub.epoch, None)
            else:
                result = with_position(answer)
            self._take((session.answered(ask.id, result),))

    async def _locate(self, wish: Locate) -> None:
        request = ReadEvents(since_us=wish.time_us, limit=1, is_newest_first=False)
        try:
            page = (await self._shared.edge.ask(JOURNAL, request)).message
        except AgoraError as error:
            self._take((self._session.refused(wish.id, error),))
        else:
            first = page.events[0].position if page.events else Position(page.head + 1)
            answer = self._session.located(wish.id, first, self._shared.hub.horizon)
            self._take((answer,) if answer is not None else ())

    async def _read_on(self, due: ReadStorage) -> None:
        try:
            batch = await self._read_storage(due)
        except AgoraError:
            self._take(self._session.restart("the journal cannot be read now"))
        else:
            if self._session.is_current(due.subscription) and self._door is not None:
                cursors.scanned(due.subscription, batch.last)
                self._door.write(batch_frame(due.subscription.name, batch))
        finally:
            self._is_reading = False

    async def _read_storage(self, due: ReadStorage) -> Batch:
        wanted, hub = due.wanted, self._shared.hub
        # Up to the horizon: what a client is told, it can come back with.
        request = wanted.from_journal(due.first, hub.horizon.head, STORAGE_EVENTS)
        page = (await self._shared.edge.gateway.exchange(JOURNAL, request, timeout_s=ASK_TIMEOUT_S)).message
        found: list[bytes] = []
        size = 0
        for event in page.events:
            if not wanted.matches_type(event.type):  # all else the journal was asked for
                continue
            found.append(encode_event(event, hub.epoch))
            size += len(found[-1])
            if size >= self._shared.limits.batch_bytes:
                return Batch(due.first, event.position, _list(found), len(found))
        assert page.scanned >= due.first, "what is committed can be read"
        return Batch(due.first, page.scanned, _list(found), len(found))


def _list(events: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(events) + b"]"
