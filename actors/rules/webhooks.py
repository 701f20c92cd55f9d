"""What webhooks are owed, and what is sent to them, signed.

Rules: a webhook hears of events after it was added, on its topics, in their order, and never of its own deliveries. It
is owed a bounded number: beyond it the newest are dead letters at once. A failed try is repeated, each wait double.
The signature is that of the Standard Webhooks specification: over the id, the time and the body, so that none of them
can be changed or replayed later.

Pure: no clock, no network, no environment.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from bus.envelope import StoredEvent
from bus.messages.base import Event, Microseconds, Position
from bus.messages.webhooks import WebhookAdded, WebhookDelivered, WebhookOwed, WebhookRemoved, WebhookUndelivered
from bus.topics import is_valid_pattern, matches, matches_any

OWED_MAX = 1_000
"""Deliveries that a webhook may be behind."""
WEBHOOKS_MAX = 32
TOPICS_MAX = 64
REASON_MAX = 500
WAIT_MAX_S = 300.0
ID_HEADER: Final = "webhook-id"
"""The event's epoch and position: the same however often it is sent, to tell repeats by."""
TIME_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"
SECRET_PREFIX: Final = "whsec_"
OWN: Final = "webhook.*"
TOPICS: Final = (
    "proposal.proposed",
    "proposal.approved",
    "proposal.rejected",
    "proposal.expired",
    "proposal.superseded",
    "proposal.withdrawn",
    "alert.raised",
    "alert.cleared",
)
"""What waits for a word, what became of it, and what is wrong."""


class WebhookOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program elsewhere that is told of events by a signed POST each."""

    url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/]")]
    """Where events are posted as JSON."""
    name: str = ""
    """What it is called in events; its address if left out."""
    topics: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=TOPICS_MAX)] = TOPICS
    """Which events, such as `proposal.*`; by default proposals, decisions and alerts."""
    secret_env: str = ""
    """The environment variable with the secret that signs what is posted, as it is or as `whsec_` and base64."""
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=120)] = 10.0
    """How long one try may take."""
    tries: Annotated[int, msgspec.Meta(ge=1, le=20)] = 6
    """How often it is tried before it is a dead letter: a `webhook.undelivered` and an alert."""
    wait_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 1.0
    """The wait after the first try; it doubles with each, up to five minutes."""

    @property
    def title(self) -> str:
        """What it is called."""
        return self.name or self.url


class Owed(msgspec.Struct, frozen=True):
    """One event that a webhook has not taken yet."""

    delivery: str
    webhook: str
    told: Position
    topic: str


class Outbox(msgspec.Struct):
    """Who is told, from when on, and what is still owed, oldest first."""

    hooks: dict[str, WebhookAdded] = {}
    owed: dict[str, Owed] = {}


class WebhookBody(msgspec.Struct, frozen=True):
    """What is posted: the event as the live feed shows it, without sealed fields."""

    id: str
    type: str
    position: Position
    time_us: Microseconds
    source: str
    subject: str
    data: msgspec.Raw


def apply(state: Outbox, event: Event) -> None:
    """Fold one event."""
    match event:
        case WebhookAdded():
            state.hooks[event.webhook] = event
        case WebhookRemoved():
            state.hooks.pop(event.webhook, None)
            state.owed = {key: owed for key, owed in state.owed.items() if owed.webhook != event.webhook}
        case WebhookOwed():
            state.owed[event.delivery] = Owed(event.delivery, event.webhook, event.told, event.topic)
        case WebhookDelivered() | WebhookUndelivered():
            state.owed.pop(event.delivery, None)
        case _:
            pass


def problem(hooks: Sequence[WebhookOptions]) -> tuple[int, str, str] | None:
    """The first webhook that cannot be: its index, the setting and the reason."""
    for index, hook in enumerate(hooks):
        if index >= WEBHOOKS_MAX:
            return index, "url", f"there may be {WEBHOOKS_MAX} webhooks"
        if hook.title in (before.title for before in hooks[:index]):
            return index, "name" if hook.name else "url", f"one before it is called {hook.title!r} too"
        for topic in hook.topics:
            if not is_valid_pattern(topic):
                return index, "topics", f"{topic!r} is no topic"
            if topic.split(".")[0] == "webhook":
                return index, "topics", "a webhook is not told of webhooks"
    return None


def decide_hooks(state: Outbox, hooks: Sequence[WebhookOptions], head: Position) -> tuple[Event, ...]:
    """Which webhooks have come and gone since the last start. One at a new address is another one."""
    now = {hook.title: hook.url for hook in hooks}
    gone = [name for name, known in state.hooks.items() if now.get(name) != known.url]
    come = [name for name, url in now.items() if name not in state.hooks or state.hooks[name].url != url]
    return (
        *(WebhookRemoved(name) for name in gone),
        *(WebhookAdded(name, now[name], head) for name in come),
    )


def decide_fact(state: Outbox, hooks: Sequence[WebhookOptions], topic: str, told: Position) -> tuple[Event, ...]:
    """Who is to be told of a fact."""
    if matches(OWN, topic):
        return ()
    found: list[Event] = []
    for hook in hooks:
        known = state.hooks.get(hook.title)
        if known is None or told <= known.since or not matches_any(hook.topics, topic):
            continue
        delivery = f"{told}/{hook.title}"
        if sum(owed.webhook == hook.title for owed in state.owed.values()) >= OWED_MAX:
            reason = f"{OWED_MAX} others wait for it"
            found.append(WebhookUndelivered(hook.title, delivery, told, topic, reason, 0))
        else:
            found.append(WebhookOwed(hook.title, delivery, told, topic))
    return tuple(found)


def decide_outcome(state: Outbox, delivery: str, reason: str, tries: int) -> tuple[Event, ...]:
    """What became of a delivery; one that is no longer owed causes nothing."""
    owed = state.owed.get(delivery)
    if owed is None:
        return ()
    if not reason:
        return (WebhookDelivered(owed.webhook, delivery, tries),)
    return (WebhookUndelivered(owed.webhook, delivery, owed.told, owed.topic, reason[:REASON_MAX], tries),)


def next_owed(state: Outbox, webhook: str) -> Owed | None:
    """What the webhook is told next: the oldest of what it is owed."""
    return next((owed for owed in state.owed.values() if owed.webhook == webhook), None)


def wait_s(options: WebhookOptions, tried: int) -> float:
    """How long to wait after so many tries."""
    return float(min(options.wait_s * 2 ** (tried - 1), WAIT_MAX_S))


def body(event: StoredEvent, epoch: int) -> bytes:
    """What is posted of an event."""
    name = f"{epoch}-{event.position}"
    data = msgspec.Raw(event.data)
    said = WebhookBody(name, event.type, event.position, event.time_us, event.source, event.subject, data)
    return msgspec.json.encode(said)


def headers(message_id: str, at_us: Microseconds, content: bytes, secret: bytes) -> dict[str, str]:
    """The headers of a try: the id, the time, and the signature where there is a secret."""
    at = str(at_us // 1_000_000)
    found = {"content-type": "application/json", ID_HEADER: message_id, TIME_HEADER: at, "idempotency-key": message_id}
    if secret:
        found[SIGNATURE_HEADER] = signature(message_id, at, content, secret)
    return found


def signature(message_id: str, at: str, content: bytes, secret: bytes) -> str:
    """`v1,` and the HMAC-SHA256 of `id.time.body` in base64, as the Standard Webhooks specification wants it."""
    signed = f"{message_id}.{at}.".encode() + content
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


def key_of(secret: str) -> bytes:
    """The bytes of a secret. Raises ValueError for one that says that it is base64 and is not."""
    if not secret.startswith(SECRET_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("what follows whsec_ is not base64") from error
