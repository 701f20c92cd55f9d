"""What the runtime keeps of one actor: its mailbox and counters outlive each incarnation."""

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from actors.runtime.actor import Actor
from actors.runtime.context import Context
from actors.runtime.lifecycle import Lifecycle, moved
from actors.runtime.persistent import PersistentActor, Subscription
from actors.runtime.supervision import Restart, SupervisionOptions
from bus.address import Address
from bus.bus import BusSubscription
from bus.envelope import Envelope, Failure
from bus.errors import AgoraError
from bus.mailbox import Mailbox, MailboxStatistics
from bus.messages.base import Position

FACTS_BEYOND_MAX = 10_000
"""Facts that may wait in a full mailbox, since they cannot be refused; past that the actor reads them from disk."""
POISON_TRIES = 3
"""A fact that crashes its subscriber this often parks the subscription."""


class ChildSpec(msgspec.Struct, frozen=True):
    """How to make an actor, and what to do when it ends."""

    address: Address
    factory: Callable[[], Actor]
    restart: Restart = Restart.PERMANENT
    shutdown_s: float = 5.0
    """How long it may take to stop; 0 kills it at once."""
    children: SupervisionOptions = SupervisionOptions()
    """How it supervises actors that it spawns."""


class ActorStatistics(msgspec.Struct, frozen=True):
    """An actor as the introspection shows it."""

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


class Cell:
    """One actor's place in the system."""

    __slots__ = (
        "_failed",
        "actor",
        "burst",
        "bus_subscriptions",
        "context",
        "fact_failures",
        "handled",
        "is_catching_up",
        "is_lagging",
        "is_queued",
        "jobs",
        "last_append",
        "last_error",
        "mailbox",
        "parked_at",
        "pulls",
        "restarts",
        "spec",
        "state",
        "subscriptions",
        "watchers",
    )

    def __init__(self, spec: ChildSpec, mailbox: Mailbox, failed: "Callable[[Cell, Exception], None]") -> None:
        self.spec = spec
        self._failed = failed
        self.state = Lifecycle.STARTING
        self.actor: Actor | None = None
        self.context: Context | None = None
        self.mailbox = mailbox
        self.subscriptions: tuple[Subscription, ...] = ()
        self.bus_subscriptions: list[BusSubscription] = []
        self.pulls: deque[BusSubscription] = deque()
        self.watchers: list[Address] = []
        self.jobs: set[asyncio.Task[None]] = set()
        self.burst: asyncio.Task[None] | None = None
        self.is_queued = False
        """Whether it stands in the run queue."""
        self.is_catching_up = False
        """Whether it reads facts from the past; its mailbox waits meanwhile."""
        self.is_lagging = False
        """Whether facts were left out of the mailbox and must be read from the past."""
        self.last_append = Position(0)
        self.fact_failures: dict[Position, int] = {}
        self.parked_at = Position(0)
        self.handled = 0
        self.restarts = 0
        self.last_error = ""

    @property
    def address(self) -> Address:
        return self.spec.address

    @property
    def is_persistent(self) -> bool:
        return isinstance(self.actor, PersistentActor)

    @property
    def may_run(self) -> bool:
        """Whether a turn may start now."""
        return self.state is Lifecycle.RUNNING and self.burst is None and not self.is_catching_up

    def failed(self, fault: Exception) -> None:
        """Tell its supervisor that the actor has failed."""
        self._failed(self, fault)

    def move(self, to: Lifecycle) -> None:
        """Change the state as the table allows."""
        self.state = moved(self.address, self.state, to)

    def has_work(self) -> bool:
        """Whether anything waits to be handled."""
        return bool(len(self.mailbox)) or bool(self.pulls)

    def next_envelope(self) -> Envelope | None:
        """What to handle next: control, then messages, then what the bus has."""
        envelope = self.mailbox.take()
        while envelope is None and self.pulls:
            envelope = self.pulls[0].pull()
            if envelope is None:
                self.pulls.popleft()
            else:
                self.pulls.rotate(-1)
        return envelope

    def fail_envelope(self, envelope: Envelope, error: AgoraError) -> None:
        """Tell whoever waits for an answer that there will be none."""
        if envelope.reply_to is not None:
            envelope.reply_to(Failure(error, envelope.after))

    def statistics(self) -> ActorStatistics:
        """What introspection shows."""
        return ActorStatistics(
            address=self.address,
            kind=type(self.actor).__name__ if self.actor is not None else "",
            state=self.state,
            mailbox=self.mailbox.statistics(),
            handled=self.handled,
            restarts=self.restarts,
            last_error=self.last_error,
            is_busy=self.burst is not None,
            jobs=len(self.jobs),
            lag=sum(subscription.lag for subscription in self.bus_subscriptions),
            parked_at=self.parked_at,
        )
