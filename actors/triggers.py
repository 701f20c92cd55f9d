"""The triggers: they follow the committed events, and fire where a stored filter matches or a position is reached.

Their state is a fold of their own events; what may fire is decided in `actors.rules.triggers`. One job reads what is
committed, from the first event that a living trigger has not looked at: also after a restart, so that nothing that
matched while nobody was there is missed. Before a trigger fires, the event's causes are walked, through the tasks that
triggers have posted: what its own firing has led to does not fire it again, whatever was restarted in between, and
neither does what is too far from its beginnings to tell.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import ClassVar, Protocol

import anyio
import msgspec

from actors.rules import triggers as rules
from actors.rules.triggers import Triggers as State
from actors.runtime import Job, PersistentActor
from bus.envelope import Recorded, StoredEvent
from bus.errors import AgoraError
from bus.messages.base import Done, Event, Message, Position
from bus.messages.system import JOURNAL, ReadChain, ReadEvents
from bus.messages.tasks import TaskCreated
from bus.messages.triggers import (
    CancelTrigger,
    CreateTrigger,
    FireTrigger,
    ListTriggers,
    TriggerFired,
    TriggerPage,
    TriggerView,
    Woken,
)
from bus.refusals import NotFound

ASK_TIMEOUT_S = 10.0
RETRY_S = 1.0
"""After a question that nobody answered; a disk that is full may take long."""
CHAINS_MAX = 16
"""Tasks of triggers one after another that are walked back through; what is farther fires nothing."""


class Follow(Protocol):
    """Committed events from a position on: the past first, then live."""

    def __call__(self, topics: tuple[str, ...], after: Position, /) -> AsyncIterator[Sequence[Recorded]]: ...


class PauseOver(Message, frozen=True):
    """Told to oneself when a trigger may fire again."""

    wire_name = "triggers.pause_over"

    trigger: str


class _Fired(msgspec.Struct, frozen=True):
    trigger: str


class _Created(msgspec.Struct, frozen=True):
    idempotency_key: str = ""


class Triggers(PersistentActor[State]):
    """The one actor that makes things happen because others have."""

    state_type: ClassVar[type[State]] = State

    def __init__(
        self, follow: Follow | None = None, committed: Callable[[Position], Awaitable[None]] | None = None
    ) -> None:
        """`committed` returns once a position is durable. Without either nothing is followed, only folded."""
        self._follow = follow
        self._committed = committed
        self._looked: dict[str, Position] = {}
        """By trigger: up to where events were looked at."""
        self._waiting: dict[str, tuple[Position, int]] = {}
        """By trigger: the newest match that waits for the pause to end, and how many do."""
        self._jobs: list[Job] = []

    def initial(self) -> State:
        return State()

    def apply(self, event: Event) -> None:
        rules.apply(self.state, event)

    def on_recovered(self) -> None:
        self._looked, self._waiting, self._jobs = {}, {}, []
        self._watch_anew()

    def on_create_trigger(self, command: CreateTrigger) -> TriggerView:
        events = rules.decide_create(self.state, command, self.stand().position, self.now_us)
        name = events[0].trigger if events else rules.repeated(self.state, command, self.now_us)
        if events:
            self.persist(*events)
            self._watch_anew()
        return rules.view(self.state, name)

    def on_cancel_trigger(self, command: CancelTrigger) -> TriggerView:
        events = rules.decide_cancel(self.state, command)
        if events:
            self.persist(*events)
            self._watch_anew()
        return rules.view(self.state, command.trigger)

    def on_list_triggers(self, query: ListTriggers) -> TriggerPage:
        return rules.page(self.state)

    def on_fire_trigger(self, command: FireTrigger) -> Done:
        """Fire now, or when the pause is over: then for all that has matched by then."""
        name = command.trigger
        one = self.state.triggers.get(name)
        if one is not None and not one.is_over and command.position > one.last:
            _, matches = self._waiting.get(name, (Position(0), 0))
            self._waiting[name] = (command.position, matches + 1)
            self._fire(name)
        return Done()

    def on_pause_over(self, message: PauseOver) -> None:
        self._fire(message.trigger)

    def _fire(self, name: str) -> None:
        one = self.state.triggers.get(name)
        if name not in self._waiting or one is None:
            return
        if left_us := rules.wait_us(one, self.now_us):
            self.start_timer(f"pause {name}", left_us / 1_000_000, PauseOver(name))
            return
        position, matches = self._waiting.pop(name)
        for event in rules.decide_fire(self.state, name, position, matches, self.now_us):
            self.persist(event)
            if event.wake:
                self.tell(event.wake, Woken(name, position))

    def _watch_anew(self) -> None:
        """Follow what the triggers of now ask for, from the first event that one of them has not looked at."""
        for job in self._jobs:
            job.cancel()
        living = rules.living(self.state)
        self._jobs = [self.perform(self._reach, name, one.spec.at) for name, one in living.items() if one.spec.at]
        filters = {name: one for name, one in living.items() if not one.spec.at}
        if filters:
            topics = {topic for one in filters.values() for topic in one.spec.types or ("#",)}
            after = min(self._looked.get(name, one.last) for name, one in filters.items())
            self._jobs.append(self.perform(self._watch, tuple(sorted(topics)), after))

    async def _reach(self, job: Job, name: str, at: Position) -> None:
        if self._committed is not None:
            await self._committed(at)
            await _fire(job, self, name, at)

    async def _watch(self, job: Job, topics: tuple[str, ...], after: Position) -> None:
        if self._follow is None:
            return
        async for batch in self._follow(topics, after):
            for record in batch:
                await self._look_at(job, record)

    async def _look_at(self, job: Job, record: Recorded) -> None:
        own: frozenset[str] | None = None
        for name, one in rules.living(self.state).items():
            if record.position <= max(self._looked.get(name, Position(0)), one.last) or one.spec.at:
                continue
            if rules.wants(one.spec, record):
                if own is None:
                    own = await _ancestors(job, record)
                if not own & {name, ""}:
                    job.correlation = record.correlation
                    await _fire(job, self, name, record.position)
            self._looked[name] = record.position


async def _fire(job: Job, actor: Triggers, name: str, position: Position) -> None:
    job.cause = position
    while True:
        try:
            await job.ask(actor.address, FireTrigger(name, position), timeout_s=ASK_TIMEOUT_S)
        except AgoraError:
            await anyio.sleep(RETRY_S)
        else:
            return


async def _ancestors(job: Job, record: Recorded) -> frozenset[str]:
    """The triggers whose firing has led to an event; with an empty name where that cannot be told."""
    found: set[str] = set()
    looked_at: set[str] = set()
    waiting = [record.position]
    while waiting:
        if len(looked_at) > CHAINS_MAX:
            found.add("")
            break
        chain = await _asked(job, ReadChain(waiting.pop()))
        if not chain:
            found.add("")
        for event in chain:
            if event.type == TriggerFired.wire_name:
                found.add(msgspec.json.decode(event.data, type=_Fired).trigger)
            if event.task and event.task not in looked_at:
                looked_at.add(event.task)
                waiting += await _creation(job, event.task, found)
    return frozenset(found)


async def _creation(job: Job, task: str, found: set[str]) -> list[Position]:
    """Where a task was created; its key says which trigger has posted it, also where its causes were forgotten."""
    query = ReadEvents(types=(TaskCreated.wire_name,), task=task, limit=1)
    while True:
        try:
            page = await job.ask(JOURNAL, query, timeout_s=ASK_TIMEOUT_S, is_edge=False)
        except AgoraError:
            await anyio.sleep(RETRY_S)
            continue
        for event in page.events:
            if name := rules.trigger_of_key(msgspec.json.decode(event.data, type=_Created).idempotency_key):
                found.add(name)
        return [event.position for event in page.events]


async def _asked(job: Job, query: ReadChain) -> tuple[StoredEvent, ...]:
    """The event and what has led to it; nothing where it was pruned."""
    while True:
        try:
            chain = await job.ask(JOURNAL, query, timeout_s=ASK_TIMEOUT_S, is_edge=False)
        except NotFound:
            return ()
        except AgoraError:
            await anyio.sleep(RETRY_S)
        else:
            return (chain.event, *chain.causes)
