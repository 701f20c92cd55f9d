"""The monitor: holds the stop-everything switch and raises alerts.

Rules: it alone throws the switch, and throws it again at a start if it was thrown when the process ended. It hears of
budgets and breakers from facts, of dead letters from the bus, and looks at actors and the disk now and then. Each alert
is raised once and cleared once; where a webhook is configured each is told there, signed, tried a few times, and
recorded as undelivered after that. What was owed when the process ended is told after the next start: at least once.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar

import aiohttp
import anyio
import anyio.to_thread
import msgspec

from actors.rules import monitor
from actors.rules.monitor import Condition, Monitored, Notice
from actors.runtime import Job, PersistentActor, Subscription
from bus.errors import AgoraError
from bus.messages.base import Command, Done, Event, Message
from bus.messages.completions import BreakerClosed, BreakerOpened, BudgetRaised, BudgetSpent, ProviderDisabled
from bus.messages.monitor import (
    AlertCleared,
    AlertDelivered,
    AlertRaised,
    AlertUndelivered,
    HaltSystem,
    MonitorView,
    ReadMonitor,
    ResumeSystem,
)
from bus.messages.runtime import DeadLettered
from bus.switch import Switch

ASK_TIMEOUT_S = 10.0
SIGNATURE = "X-Agora-Signature"
"""The header with `sha256=` and the HMAC of the body in hex."""
LOOK = "look"


class MonitorOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When alerts are raised, and where else they are told."""

    look_every_s: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    """How often actors and the disk are looked at."""
    stuck_after_s: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """A message that has waited for so long means that its actor is stuck."""
    dead_letters_max: Annotated[int, msgspec.Meta(ge=1)] = 100
    """So many undeliverable messages between two looks raise an alert."""
    disk_free_bytes_min: Annotated[int, msgspec.Meta(ge=0)] = 512 * 1024 * 1024
    """Less free space than this on the data directory's disk raises an alert."""
    webhook_url: str = ""
    """Where each alert is posted as JSON when it is raised and cleared; empty for nowhere."""
    webhook_secret_env: str = ""
    """The environment variable with the secret that signs what is posted: `X-Agora-Signature: sha256=HMAC`."""
    webhook_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """How long one try may take."""
    webhook_tries: Annotated[int, msgspec.Meta(ge=1, le=20)] = 5
    """How often it is tried before it is recorded as undelivered."""
    webhook_wait_s: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    """The wait after the first try; it doubles with each."""


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


class Told(Command[Done], frozen=True):
    """Asked of oneself by the job that spoke to the webhook; `reason` is empty when it took the notice."""

    wire_name = "monitor.told"

    delivery: str
    alert: str
    reason: str


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
        secret: str = "",
    ) -> None:
        self._options = options
        self._switch = switch
        self._actors = actors
        self._free_bytes = free_bytes
        self._secret = secret
        self._dead_letters: list[str] = []
        self._dead_letters_seen = 0
        self._telling: set[str] = set()

    def initial(self) -> Monitored:
        return Monitored()

    def subscriptions(self) -> tuple[Subscription, ...]:
        topics = ("breaker.opened", "breaker.closed", "provider.disabled", "budget.spent", "budget.raised")
        return tuple(Subscription(topic) for topic in topics)

    def apply(self, event: Event) -> None:
        monitor.apply(self.state, event)

    async def on_start(self) -> None:
        self.subscribe(DeadLettered)

    def on_recovered(self) -> None:
        self._switch.is_halted = self.state.is_halted
        self._tell_owed()
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

    def on_fact(self, fact: BreakerOpened | BreakerClosed | ProviderDisabled | BudgetSpent | BudgetRaised) -> None:
        self._record(monitor.decide_fact(self.state, fact, self.now_us))

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

    def on_told(self, told: Told) -> Done:
        self._telling.discard(told.delivery)
        if told.delivery in self.state.owed:
            outcome: Event = AlertDelivered(told.alert, told.delivery)
            if told.reason:
                outcome = AlertUndelivered(told.alert, told.delivery, told.reason[: monitor.TEXT_MAX])
            self.persist(outcome)
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
        if self._options.webhook_url:
            events = tuple(
                msgspec.structs.replace(event, is_owed=True) if isinstance(event, AlertRaised | AlertCleared) else event
                for event in events
            )
        if events:
            self.persist(*events)
            self._tell_owed()

    def _tell_owed(self) -> None:
        """Tell the webhook what it has not heard, each notice in a job of its own."""
        for notice in self.state.owed.values() if self._options.webhook_url else ():
            if notice.delivery in self._telling:
                continue
            self._telling.add(notice.delivery)
            self.perform(_tell, self, notice, self._options, self._secret)


async def _look(job: Job, actor: Monitor, free_bytes: Callable[[], int] | None) -> None:
    free = -1
    if free_bytes is not None:
        try:
            free = await anyio.to_thread.run_sync(free_bytes)
        except OSError:
            free = 0  # a disk that cannot be asked has no room that could be relied on
    await job.ask(actor.address, Looked(free), timeout_s=ASK_TIMEOUT_S)


async def _tell(job: Job, actor: Monitor, notice: Notice, options: MonitorOptions, secret: str) -> None:
    body = msgspec.json.encode(
        {"delivery": notice.delivery, "event": "raised" if notice.is_raised else "cleared", "alert": notice.alert}
    )
    headers = {"content-type": "application/json", "idempotency-key": notice.delivery}
    if secret:
        headers[SIGNATURE] = signature(body, secret)
    reason = ""
    for tried in range(options.webhook_tries):
        if tried:
            await anyio.sleep(options.webhook_wait_s * 2 ** (tried - 1))
        reason = await _post(options, headers, body)
        if not reason:
            break
    try:
        await job.ask(actor.address, Told(notice.delivery, notice.alert.alert, reason), timeout_s=ASK_TIMEOUT_S)
    except AgoraError:
        return  # the outcome could not be recorded: the next start tells the webhook again


async def _post(options: MonitorOptions, headers: dict[str, str], body: bytes) -> str:
    """Why the webhook did not take it; empty when it did."""
    timeout = aiohttp.ClientTimeout(total=options.webhook_timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(options.webhook_url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            return "" if 200 <= response.status < 300 else f"HTTP {response.status}"
    except (aiohttp.ClientError, TimeoutError) as error:
        return f"{type(error).__name__}: {error}"


def signature(body: bytes, secret: str) -> str:
    """What stands in the signature's header."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
