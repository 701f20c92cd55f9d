"""Everyone who listens to the live feed: whose turn it is, who stands together, who has been silent for too long.

Rules: an idle client is an entry here and nothing that runs. At a tick every cohort's frames are written to its
members, a few dozen clients at a time, so that a long flush lets others go on. Who has more to be sent than a tick
should carry takes turns; what has to be waited for (an actor's answer, a page from storage) is a task only while it
runs. One timer looks after all: hellos that do not come, heartbeats, clients that take nothing.
"""

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Protocol

import anyio
import anyio.lowlevel

from bus.clock import Clock
from web.cohort import Cohort, Frames, Member
from web.frames import Limits, Subscription
from web.wire import Filter

FLUSH_CLIENTS = 100
"""A tick writes to so many clients, about a millisecond, before it lets others go on."""
LOOK_S = 0.25
"""How often all clients are looked at, unless their limits are shorter: it costs a thousand of them a millisecond."""
LOOK_CLIENTS = 256


class Guest(Member, Protocol):
    """A client, as the crowd sees it."""

    def pump(self) -> None:
        """Write what is due, while the client takes it and its turn lasts."""
        ...

    def look(self, now_s: float) -> None:
        """See to what time brings."""
        ...

    def say_goodbye(self) -> None:
        """Tell the client that the server stops, and close."""
        ...


Job = Callable[[], Coroutine[object, object, None]]
CohortKey = tuple[str, Filter | None, bool]


class Crowd:
    """All live sockets."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._guests: dict[Guest, None] = {}
        self._cohorts: dict[CohortKey, Cohort] = {}
        self._loose: dict[Guest, None] = {}
        """At the head, but not in a cohort: they came while it was moving."""
        self._turns: dict[Guest, None] = {}
        self._look_s = LOOK_S
        self._has_guests = anyio.Event()
        self._has_turns = anyio.Event()
        self._jobs: deque[Job] = deque()
        self._has_jobs = anyio.Event()

    def __len__(self) -> int:
        return len(self._guests)

    @property
    def cohorts(self) -> int:
        """How many different cursors are moved at a tick."""
        return len(self._cohorts)

    def enter(self, guest: Guest, limits: Limits) -> None:
        """Take a client in; `leave` lets it go."""
        self._guests[guest] = None
        self._look_s = min(self._look_s, limits.beat_s, limits.hello_s, limits.stall_s)
        self._has_guests.set()

    def leave(self, guest: Guest) -> None:
        """Forget a client, which has left its cohorts."""
        for held in (self._guests, self._loose, self._turns):
            held.pop(guest, None)

    def join(self, guest: Guest, own: Subscription, limits: Limits) -> Cohort | None:
        """The cohort that stands where this cursor stands; None when it is just moving on."""
        key = (own.name, own.wanted, own.is_conflating)
        cohort = self._cohorts.get(key)
        if cohort is None or not cohort.members:
            cohort = self._cohorts[key] = Cohort(own, limits)
        if cohort.cursor.next != own.next:
            self._loose[guest] = None
            return None
        cohort.members[guest] = None
        return cohort

    def wait_turn(self, guest: Guest) -> None:
        """Pump this client again once the others have had their turn."""
        self._turns[guest] = None
        self._has_turns.set()

    def start(self, job: Job) -> None:
        """Run a task of a client's. It may be asked for outside of any task, as by a transport."""
        self._jobs.append(job)
        self._has_jobs.set()

    def say_goodbye(self) -> None:
        """Tell everyone that the server stops, and close."""
        for guest in tuple(self._guests):
            guest.say_goodbye()

    async def run(self) -> None:
        """Look after the clients for ever; their tasks end with this one."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._take_turns)
            group.start_soon(self._look)
            while True:
                await self._has_jobs.wait()
                self._has_jobs = anyio.Event()
                while self._jobs:
                    group.start_soon(self._jobs.popleft())

    async def flush(self, frames: Frames) -> None:
        """Write to everyone what lies between its cursor and the head."""
        loose, self._loose = self._loose, {}
        written = 0
        for guest in loose:
            guest.pump()
            written += 1
            if written % FLUSH_CLIENTS == 0:
                await anyio.lowlevel.checkpoint()
        for key, cohort in tuple(self._cohorts.items()):
            cohort.advance(frames)
            while cohort.waiting:
                member, _ = cohort.waiting.popitem()
                member.deliver(cohort)
                written += 1
                if written % FLUSH_CLIENTS == 0 and cohort.waiting:
                    await anyio.lowlevel.checkpoint()
            cohort.steps = []  # nobody waits for these frames: they need not be kept
            if not cohort.members and self._cohorts.get(key) is cohort:
                del self._cohorts[key]

    async def _take_turns(self) -> None:
        while True:
            await self._has_turns.wait()
            self._has_turns = anyio.Event()
            while self._turns:
                guest = next(iter(self._turns))
                del self._turns[guest]
                guest.pump()
                await anyio.lowlevel.checkpoint()

    async def _look(self) -> None:
        while True:
            if not self._guests:
                self._has_guests = anyio.Event()
                await self._has_guests.wait()
            await anyio.sleep(self._look_s)
            now_s = self._clock.monotonic_s()
            for number, guest in enumerate(tuple(self._guests), 1):
                guest.look(now_s)
                if number % LOOK_CLIENTS == 0:
                    await anyio.lowlevel.checkpoint()
