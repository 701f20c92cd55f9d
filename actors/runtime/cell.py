"""What the runtime keeps of one actor: its mailbox and counters outlive each incarnation."""

import asyncio
from collections import deque
from typing import Protocol

import msgspec

from actors.runtime.actor import Actor, ChildSpec, Handler
from actors.runtime.context import Context
from actors.runtime.lifecycle import Lifecycle, moved
from actors.runtime.pace import Pace
from actors.runtime.persistent import PersistentActor, Subscription
from actors.runtime.timers import told
from bus.address import NOBODY, Address
from bus.bus import BusSubscription
from bus.envelope import Envelope, Failure
from bus.errors import AgoraError
from bus.mailbox import Mailbox, MailboxStatistics
from bus.messages.base import Message, Position

FACTS_BEYOND_MAX = 10_000
"""Facts that may wait in a full mailbox, since they cannot be refused; past that the actor reads them from disk."""
POISON_TRIES = 3
"""A fact that crashes its subscriber this often parks the subscription."""


class ActorStatistics(msgspec.Struct, frozen=True):
    """An actor as the introspection shows it. Times are in seconds, measured per batch."""

    address: Address
    kind: str
    state: Lifecycle
    mailbox: MailboxStatistics
    handled: int
    restarts: int
    last_error: str
    is_busy: bool
    jobs: int
    lag: int
    """Messages that wait in its bus subscriptions."""
    parked_at: Position
    """The poison fact that parked its durable subscription, or 0."""
    parent: Address = NOBODY
    """The actor that supervises it; nobody for those that the system started."""
    oldest_s: float = 0.0
    """How long the oldest waiting message has waited, at least."""
    handle_p50_s: float = 0.0
    handle_p99_s: float = 0.0
    backpressure_s: float = 0.0
    """How long senders have waited for room in its mailbox, all together."""


class Keeper(Protocol):
    """Who decides what comes next when an actor fails or ends; `supervisor.Supervisor` is the one there is."""

    def failed(self, cell: "Cell", fault: Exception) -> None: ...
    def ended(self, cell: "Cell") -> None: ...


class Children(Protocol):
    """The actors that one has spawned, with their own `supervisor.Supervisor`."""

    def spawn(self, spec: ChildSpec) -> "Cell": ...
    async def stop(self) -> None: ...
    async def stop_child(self, cell: "Cell") -> None: ...


class Cell:
    """One actor's place in the system. What most actors never need is made when it is first needed."""

    __slots__ = (
        "_supervisor",
        "actor",
        "asynchronous",
        "backpressure_s",
        "burst",
        "bus_subscriptions",
        "children",
        "context",
        "fact_failures",
        "handled",
        "in_hand",
        "is_catching_up",
        "is_held",
        "is_lagging",
        "is_open",
        "is_paused",
        "is_persistent",
        "is_queued",
        "jobs",
        "last_append",
        "last_error",
        "mailbox",
        "may_run",
        "pace",
        "parent",
        "parked_at",
        "pulls",
        "restarts",
        "spec",
        "state",
        "subscriptions",
        "synchronous",
    )

    def __init__(self, spec: ChildSpec, mailbox: Mailbox, supervisor: "Keeper", parent: Address = NOBODY) -> None:
        self.spec = spec
        self.parent = parent
        self._supervisor = supervisor
        self.state = Lifecycle.STARTING
        self.is_open = True
        """Whether it takes messages: until it stops."""
        self.may_run = False
        """Whether a turn may start now."""
        self.actor: Actor | None = None
        self.context: Context | None = None
        self.is_persistent = False
        self.synchronous: dict[type[Message], Handler] = {}
        self.asynchronous: dict[type[Message], Handler] = {}
        self.mailbox = mailbox
        self.subscriptions: tuple[Subscription, ...] = ()
        self.bus_subscriptions: tuple[BusSubscription, ...] = ()
        self.pulls: deque[BusSubscription] | None = None
        self.jobs: dict[asyncio.Task[None], None] | None = None
        self.children: Children | None = None
        self.burst: asyncio.Task[None] | None = None
        """The task in which an asynchronous handler runs."""
        self.in_hand: Envelope | None = None
        """What the burst handles now; whoever ends the burst answers for it."""
        self.is_queued = False
        """Whether it stands in the run queue."""
        self.is_catching_up = False
        """Whether it reads facts from the past; its mailbox waits meanwhile."""
        self.is_lagging = False
        """Whether facts were left out of the mailbox and must be read from the past."""
        self.is_held = False
        """Whether its state is being copied, piece by piece; its mailbox waits meanwhile."""
        self.is_paused = False
        """Whether someone has paused it; a restart does not change that."""
        self.last_append = Position(0)
        self.fact_failures: dict[Position, int] | None = None
        self.parked_at = Position(0)
        self.handled = 0
        self.restarts = 0
        self.last_error = ""
        self.backpressure_s = 0.0
        self.pace: Pace | None = None

    @property
    def address(self) -> Address:
        return self.spec.address

    def adopt(self, actor: Actor, context: Context) -> None:
        """Hold a new incarnation."""
        table = actor.handlers()
        self.actor = actor
        self.context = context
        self.is_persistent = isinstance(actor, PersistentActor)
        self.synchronous = table.synchronous
        self.asynchronous = table.asynchronous

    def failed(self, fault: Exception) -> None:
        """Tell its supervisor that the actor has failed."""
        self._supervisor.failed(self, fault)

    def ended(self) -> None:
        """Tell its supervisor that the actor has ended of its own accord."""
        self._supervisor.ended(self)

    def move(self, to: Lifecycle) -> None:
        """Change the state as the table allows."""
        self.state = moved(self.address, self.state, to)
        self.is_open = to is not Lifecycle.STOPPING and to is not Lifecycle.STOPPED
        if not self.is_open:
            self.mailbox.close()
        self._look_again()

    def begin_burst(self, task: "asyncio.Task[None]", envelope: Envelope) -> None:
        """An asynchronous handler has the actor to itself."""
        self.burst = task
        self.in_hand = envelope
        self.may_run = False

    def end_burst(self) -> None:
        """The actor is free for its next turn."""
        self.burst = None
        self.in_hand = None
        self._look_again()

    def catch_up(self, is_catching_up: bool) -> None:
        """Whether facts from the past come first; the mailbox waits as long as they do."""
        self.is_catching_up = is_catching_up
        self._look_again()

    def hold(self, is_held: bool) -> None:
        """Whether its state is being copied; no turn starts as long as it is."""
        self.is_held = is_held
        self._look_again()

    def hold_subscription(self, subscription: BusSubscription) -> None:
        """What the bus has for it is pulled when its mailbox is empty."""
        self.bus_subscriptions += (subscription,)
        if self.pulls is None:
            self.pulls = deque()

    def drop_subscriptions(self) -> None:
        """Hear nothing more from the bus."""
        self.bus_subscriptions = ()
        self.pulls = None

    def has_work(self) -> bool:
        """Whether anything waits to be handled."""
        mailbox = self.mailbox
        return bool(mailbox.data or mailbox.control or self.pulls) or self.is_lagging

    @property
    def is_busy(self) -> bool:
        """Whether it handles something, or will without anybody's doing."""
        if self.burst is not None:
            return True
        return (self.has_work() or self.is_catching_up) and self.state is not Lifecycle.PAUSED

    def next_envelope(self) -> Envelope | None:
        """What to handle next: control, then messages, then what the bus has."""
        while (queue := self.next_queue()) is not None and (envelope := queue.take()) is not None:
            if (live := told(envelope)) is not None:
                return live
        return None

    def next_queue(self) -> Mailbox | None:
        """Where the next message is: its mailbox comes before what the bus has, and subscriptions take turns."""
        mailbox = self.mailbox
        if mailbox.data or mailbox.control:
            return mailbox
        pulls = self.pulls
        while pulls:
            subscription = pulls[0]
            if subscription.has_more():
                pulls.rotate(-1)
                return subscription.queue
            pulls.popleft()
        return None

    def fail_envelope(self, envelope: Envelope, error: AgoraError) -> None:
        """Tell whoever waits for an answer that there will be none."""
        _, origin = envelope
        if origin.reply_to is not None:
            origin.reply_to(Failure(error, origin.after))

    def statistics(self, now_s: float) -> ActorStatistics:
        """What introspection shows. Looking marks what waits now: its age counts from the first look at the latest."""
        pace = self.pace or Pace()
        if len(self.mailbox):
            self.pace = pace
            pace.note_waiting(self.mailbox, now_s)
        return ActorStatistics(
            address=self.address,
            kind=type(self.actor).__name__ if self.actor is not None else "",
            state=self.state,
            mailbox=self.mailbox.statistics(),
            handled=self.handled,
            restarts=self.restarts,
            last_error=self.last_error,
            is_busy=self.burst is not None,
            jobs=len(self.jobs or ()),
            lag=sum(subscription.lag for subscription in self.bus_subscriptions),
            parked_at=self.parked_at,
            parent=self.parent,
            oldest_s=pace.oldest_s(self.mailbox, now_s),
            handle_p50_s=pace.handle_time_s(0.5),
            handle_p99_s=pace.handle_time_s(0.99),
            backpressure_s=self.backpressure_s,
        )

    def interrupt(self) -> None:
        """Let a batch look up after the message in hand: something else comes first now."""
        if self.context is not None:
            self.context.is_touched = True

    def _look_again(self) -> None:
        is_free = self.burst is None and not self.is_catching_up and not self.is_held
        self.may_run = self.state is Lifecycle.RUNNING and is_free
        if not self.may_run:
            self.interrupt()
