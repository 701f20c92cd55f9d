"""The monitor: holds the stop-everything switch and raises alerts.

Rules: it alone throws the switch, and throws it again at a start if it was thrown when the process ended. It hears of
budgets, breakers and webhooks from facts, of dead letters from the bus, and looks at actors and the disk now and then.
Each alert is raised once and cleared once, by an event; `actors/webhooks.py` tells others of it.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar

import anyio.to_thread
import msgspec

from actors.rules import monitor
from actors.rules.monitor import Condition, Monitored
from actors.runtime import Job, PersistentActor, Subscription
from bus.messages.base import Command, Done, Event, Message
from bus.messages.completions import (
    BreakerClosed,
    BreakerOpened,
    BudgetRaised,
    BudgetReopened,
    BudgetSpent,
    ProviderDisabled,
)
from bus.messages.monitor import (
    HaltSystem,
    MonitorView,
    ReadMonitor,
    ResumeSystem,
)
from bus.messages.runtime import DeadLettered
from bus.messages.webhooks import WebhookDelivered, WebhookRemoved, WebhookUndelivered
from bus.switch import Switch

ASK_TIMEOUT_S = 10.0
LOOK = "look"


class MonitorOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When alerts are raised."""

    look_every_s: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    """How often actors and the disk are looked at."""
    stuck_after_s: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """A message that has waited for so long means that its actor is stuck."""
    dead_letters_max: Annotated[int, msgspec.Meta(ge=1)] = 100
    """So many undeliverable messages between two looks raise an alert."""
    disk_free_bytes_min: Annotated[int, msgspec.Meta(ge=0)] = 512 * 1024 * 1024
    """Less free space than this on the data directory's disk raises an alert."""


class Health(msgspec.Struct, frozen=True):
    """One actor, as far as alerts care."""

    address: str
    oldest_s: float
    parked_at: int


class LookDue(Message, frozen=True):
    """Told to oneself when it is time to look again."""

    wire_name = "monitor.look"


class Looked(Command[Done], frozen=True):
    """Asked of oneself by the job that looked at the disk."""

    wire_name = "monitor.looked"

    free_bytes: int


class Monitor(PersistentActor[Monitored]):
    """The one actor that keeps an eye on the whole."""

    state_type: ClassVar[type[Monitored]] = Monitored

    def __init__(
        self,
        options: MonitorOptions,
        switch: Switch,
        *,
        actors: Callable[[], Sequence[Health]] = tuple,
        free_bytes: Callable[[], int] | None = None,
    ) -> None:
        self._options = options
        self._switch = switch
        self._actors = actors
        self._free_bytes = free_bytes
        self._dead_letters: list[str] = []
        self._dead_letters_seen = 0

    def initial(self) -> Monitored:
        return Monitored()

    def subscriptions(self) -> tuple[Subscription, ...]:
        topics = ("breaker.opened", "breaker.closed", "provider.disabled")
        money = ("budget.spent", "budget.raised", "budget.reopened")
        hooks = ("webhook.delivered", "webhook.undelivered", "webhook.removed")
        return tuple(Subscription(topic) for topic in (*topics, *money, *hooks))

    def apply(self, event: Event) -> None:
        monitor.apply(self.state, event)

    async def on_start(self) -> None:
        self.subscribe(DeadLettered)

    def on_recovered(self) -> None:
        self._switch.is_halted = self.state.is_halted
        self.start_timer(LOOK, self._options.look_every_s, LookDue())

    def on_halt_system(self, command: HaltSystem) -> Done:
        self._record(monitor.decide_halt(self.state, command))
        self._switch.is_halted = True
        return Done()

    def on_resume_system(self, command: ResumeSystem) -> Done:
        self._record(monitor.decide_resume(self.state, command))
        self._switch.is_halted = False
        return Done()

    def on_read_monitor(self, _: ReadMonitor) -> MonitorView:
        return monitor.view(self.state)

    def on_fact(
        self, fact: BreakerOpened | BreakerClosed | ProviderDisabled | BudgetSpent | BudgetRaised | BudgetReopened
    ) -> None:
        self._record(monitor.decide_fact(self.state, fact, self.now_us))

    def on_webhook(self, fact: WebhookDelivered | WebhookUndelivered | WebhookRemoved) -> None:
        self._record(monitor.decide_webhook(self.state, fact, self.now_us))

    def on_dead_lettered(self, letter: DeadLettered) -> None:
        self._dead_letters_seen += 1
        if len(self._dead_letters) < 3:
            self._dead_letters.append(f"{letter.message} to {letter.to}: {letter.reason}")

    def on_look_due(self, _: LookDue) -> None:
        self.perform_at_once(_look, self, self._free_bytes)

    def on_looked(self, looked: Looked) -> Done:
        conditions = {one.alert: one for one in self._conditions(looked.free_bytes)}
        self._dead_letters, self._dead_letters_seen = [], 0
        self._record(monitor.decide_polled(self.state, conditions, self.now_us))
        self.start_timer(LOOK, self._options.look_every_s, LookDue())
        return Done()

    def _conditions(self, free_bytes: int) -> list[Condition]:
        options = self._options
        found = []
        for actor in self._actors():
            if actor.parked_at:
                found.append(Condition("stuck", actor.address, f"parked at position {actor.parked_at}"))
            elif actor.oldest_s > options.stuck_after_s:
                found.append(Condition("stuck", actor.address, f"a message has waited for {actor.oldest_s:.0f} s"))
        if self._dead_letters_seen > options.dead_letters_max:
            cause = f"{self._dead_letters_seen} in {options.look_every_s:g} s, such as {'; '.join(self._dead_letters)}"
            found.append(Condition("dead_letters", "", cause))
        if 0 <= free_bytes < options.disk_free_bytes_min:
            found.append(Condition("disk", "", f"{free_bytes // 2**20} MiB are free"))
        return found

    def _record(self, events: tuple[Event, ...]) -> None:
        if events:
            self.persist(*events)


async def _look(job: Job, actor: Monitor, free_bytes: Callable[[], int] | None) -> None:
    free = -1
    if free_bytes is not None:
        try:
            free = await anyio.to_thread.run_sync(free_bytes)
        except OSError:
            free = 0  # a disk that cannot be asked has no room that could be relied on
    await job.ask(actor.address, Looked(free), timeout_s=ASK_TIMEOUT_S)
