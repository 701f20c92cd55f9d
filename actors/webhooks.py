"""The webhooks: tell programs elsewhere of events, each by a signed POST, until they have taken it.

Rules: what is owed is recorded before anything is sent and until an outcome is recorded, so a restart goes on with it:
each event reaches a webhook at least once, and its id tells repeats. One webhook is told one event after the other, and
none waits for another. What is not taken in so many tries becomes a dead letter, which the monitor raises an alert for.
A redirect is no answer: it would carry the words elsewhere.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import aiohttp
import anyio

from actors.rules import webhooks
from actors.rules.webhooks import Outbox, Owed, WebhookOptions
from actors.runtime import Job, PersistentActor, Subscription
from actors.runtime.actor import HandlerTable
from bus.errors import AgoraError, ConfigError
from bus.messages.base import Command, Done, Event, Message, Position
from bus.messages.catalogue import EVENTS
from bus.messages.system import JOURNAL, ReadEvents

ASK_TIMEOUT_S = 10.0
AGAIN_S = 5.0
"""After the journal did not answer."""
GONE = "the event was pruned before it could be told"


class HookTold(Command[Done], frozen=True):
    """Asked of oneself by the job that spoke to a webhook; `reason` is empty when it took the event."""

    wire_name = "webhook.told"

    delivery: str
    webhook: str
    reason: str
    tries: int


class HookDue(Message, frozen=True):
    """Told to oneself when a webhook shall be told what it is owed once more; `is_stuck` lets a moment pass first."""

    wire_name = "webhook.due"

    webhook: str
    is_stuck: bool = False


class Webhooks(PersistentActor[Outbox]):
    """The one actor that speaks to webhooks."""

    state_type: ClassVar[type[Outbox]] = Outbox
    reads_past: ClassVar[bool] = False
    """What happened before there was a webhook is nobody's news."""

    def __init__(self, hooks: Sequence[WebhookOptions], environment: Mapping[str, str]) -> None:
        self._hooks = tuple(hooks)
        self._environment = environment
        self._keys: dict[str, bytes] = {}
        self._telling: set[str] = set()

    @classmethod
    def handlers(cls) -> HandlerTable:
        """Any event may be told of: which ones is in the settings."""
        table = super().handlers()
        return HandlerTable({**dict.fromkeys(EVENTS, cls.on_fact), **table.synchronous}, table.asynchronous)

    def initial(self) -> Outbox:
        return Outbox()

    def subscriptions(self) -> tuple[Subscription, ...]:
        topics = dict.fromkeys(topic for hook in self._hooks for topic in hook.topics)
        return tuple(Subscription(topic) for topic in topics)

    def apply(self, event: Event) -> None:
        webhooks.apply(self.state, event)

    def on_recovered(self) -> None:
        self._keys = keys_of(self._hooks, self._environment)
        self._record(webhooks.decide_hooks(self.state, self._hooks, self._head))
        self._tell_owed()

    def on_fact(self, fact: Event) -> None:
        self._record(webhooks.decide_fact(self.state, self._hooks, fact.wire_name, self.delivers_position))

    def on_hook_told(self, told: HookTold) -> Done:
        self._telling.discard(told.webhook)
        self._record(webhooks.decide_outcome(self.state, told.delivery, told.reason, told.tries))
        self._tell_owed()
        return Done()

    def on_hook_due(self, due: HookDue) -> None:
        if due.is_stuck:
            self.start_timer(f"again/{due.webhook}", AGAIN_S, HookDue(due.webhook))
        else:
            self._telling.discard(due.webhook)
            self._tell_owed()

    @property
    def _head(self) -> Position:
        return self._context.core.log.head

    def _record(self, events: tuple[Event, ...]) -> None:
        if events:
            self.persist(*events)
            self._tell_owed()

    def _tell_owed(self) -> None:
        """Tell each webhook that is not being told something what it is owed next."""
        for hook in self._hooks:
            owed = webhooks.next_owed(self.state, hook.title)
            if owed is not None and hook.title not in self._telling:
                self._telling.add(hook.title)
                self.perform(self._tell, hook, owed)

    async def _tell(self, job: Job, hook: WebhookOptions, owed: Owed) -> None:
        tries, reason = 0, GONE
        try:
            query = ReadEvents(after=Position(owed.told - 1), before=Position(owed.told + 1), limit=1)
            found = (await job.ask(JOURNAL, query, timeout_s=ASK_TIMEOUT_S)).events
            if found:
                epoch = self._context.core.log.epoch
                content = webhooks.body(found[0], epoch)
                tries, reason = await self._try(hook, f"{epoch}-{owed.told}", content)
            told = HookTold(owed.delivery, hook.title, reason, tries)
            await job.ask(self.address, told, timeout_s=ASK_TIMEOUT_S)
        except AgoraError:  # the journal or this actor did not answer: it is told again
            job.tell(self.address, HookDue(hook.title, is_stuck=True))

    async def _try(self, hook: WebhookOptions, message_id: str, content: bytes) -> tuple[int, str]:
        """How often it was tried, and why the webhook did not take it; no reason when it did."""
        reason = ""
        timeout = aiohttp.ClientTimeout(total=hook.timeout_s)
        for tried in range(1, hook.tries + 1):
            headers = webhooks.headers(message_id, self.now_us, content, self._keys.get(hook.title, b""))
            try:
                async with (
                    aiohttp.ClientSession(timeout=timeout) as session,
                    session.post(hook.url, data=content, headers=headers, allow_redirects=False) as response,
                ):
                    reason = "" if 200 <= response.status < 300 else f"HTTP {response.status}"
            except (aiohttp.ClientError, TimeoutError) as error:
                reason = f"{type(error).__name__}: {error}"
            if not reason or tried == hook.tries:
                return tried, reason
            await anyio.sleep(webhooks.wait_s(hook, tried))
        return hook.tries, reason


def keys_of(hooks: Sequence[WebhookOptions], environment: Mapping[str, str]) -> dict[str, bytes]:
    """The secrets of webhooks, by their titles. Raises ConfigError for one that is named and not there, or no key."""
    found: dict[str, bytes] = {}
    for index, hook in enumerate(hooks):
        if not hook.secret_env:
            continue
        secret = environment.get(hook.secret_env, "")
        if not secret:
            raise ConfigError(hook.secret_env, f"webhooks[{index}].secret_env", "the variable is not set")
        try:
            found[hook.title] = webhooks.key_of(secret)
        except ValueError as error:
            raise ConfigError(hook.secret_env, f"webhooks[{index}].secret_env", str(error)) from error
    return found
