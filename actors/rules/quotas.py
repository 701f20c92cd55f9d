"""Decide whether an agent may use more of what is scarce: calls, tokens and disk, in any span of `window_s` seconds.

Rules: before anything is used, the most that it may come to is reserved, and refused if it would go over the limit in
the span that ends now; so no span ever holds more than the limit, but for what a provider takes beyond its estimate.
What it came to replaces what was reserved, at the time of the reservation; what is not settled, as after a crash,
counts in full. At 80 % there is a warning, at most one in a window, and at the first refusal a note, which comes again
once there was room in between.

Uses are summed up in `BUCKETS` spans per window, so that a quota takes the same memory whatever its traffic; a use
counts until all of its bucket is out of the window, which is at most 1/60 of the window too long and never too short.

Pure: time comes with the commands and events.
"""

from typing import Annotated, Literal, get_args

import msgspec

from bus.messages.base import AgentId, Event, Microseconds
from bus.messages.quotas import (
    QuotaReserved,
    QuotaSettled,
    QuotaSpent,
    QuotaUse,
    QuotaWarned,
    ReserveQuota,
    Resource,
    SettleQuota,
)
from bus.refusals import QuotaExhausted

BUCKETS = 60
WARN_PERCENT = 80
OPEN_MAX = 10_000
"""Uses that are not settled; beyond, the oldest stay counted in full until they are out of their window."""
RESOURCES: tuple[Resource, ...] = get_args(Resource)
WINDOW_S_MAX = 366 * 86_400.0
AMOUNT_MAX = 2**53

Amount = Annotated[int, msgspec.Meta(ge=0, le=AMOUNT_MAX)]


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one agent may use."""

    agent: str
    """The agent's name."""
    calls: Amount = 0
    """Completions in a window; 0 means without a limit."""
    tokens: Amount = 0
    """Tokens in a window, read and written; 0 means without a limit."""
    disk_bytes: Amount = 0
    """Bytes of artifacts in a window; 0 means without a limit."""


class QuotasOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What each agent may use in any span of `window_s` seconds; 0 means without a limit."""

    window_s: Annotated[float, msgspec.Meta(ge=0.1, le=WINDOW_S_MAX)] = 3_600.0
    """How long a use counts."""
    calls: Amount = 0
    """Completions of each agent in a window."""
    tokens: Amount = 0
    """Tokens of each agent in a window, read and written."""
    disk_bytes: Amount = 0
    """Bytes of artifacts of each agent in a window."""
    policy: Literal["wait", "skip"] = "wait"
    """What an agent does that has used up a quota: it keeps its task and waits, or gives it back and declines until
    there is room again."""
    agents: tuple[Quota, ...] = ()
    """Agents with quotas of their own, which take the place of the common ones."""


class Bucket(msgspec.Struct):
    """What was used in a span of time, by resource."""

    calls: int = 0
    tokens: int = 0
    disk_bytes: int = 0


class OpenUse(msgspec.Struct, frozen=True):
    """A use that is not settled."""

    agent: AgentId
    bucket: int
    calls: int
    tokens: int
    disk_bytes: int


class Usage(msgspec.Struct):
    """What everyone has used, folded from events."""

    uses: int = 0
    """How many uses there ever were; the last one's number."""
    span_us: Microseconds = 1
    """How long a bucket is."""
    buckets: dict[AgentId, dict[int, Bucket]] = {}
    """By agent and the number of the span since 1970, oldest first."""
    open: dict[int, OpenUse] = {}
    warned: dict[AgentId, dict[Resource, Microseconds]] = {}
    """When the last warning of each quota was given."""
    spent: dict[AgentId, list[Resource]] = {}
    """Quotas whose refusal was noted, and nothing was granted since."""


def limits_of(options: QuotasOptions, agent: AgentId) -> dict[Resource, int]:
    """The limits of one agent, those that there are."""
    own = next((one for one in options.agents if one.agent == agent), None)
    source: Quota | QuotasOptions = own if own is not None else options
    found: dict[Resource, int] = {"calls": source.calls, "tokens": source.tokens, "disk_bytes": source.disk_bytes}
    return {resource: limit for resource, limit in found.items() if limit}


def has_limits(options: QuotasOptions) -> bool:
    """Whether anyone has a quota."""
    everyone: list[Quota | QuotasOptions] = [options, *options.agents]
    return any((one.calls, one.tokens, one.disk_bytes) != (0, 0, 0) for one in everyone)


def window_us(options: QuotasOptions) -> Microseconds:
    """How long a use counts."""
    return round(options.window_s * 1_000_000)


def used(usage: Usage, agent: AgentId, resource: Resource, now_us: Microseconds, window: Microseconds) -> int:
    """What counts now."""
    mine = usage.buckets.get(agent, {})
    return sum(_amount(bucket, resource) for number, bucket in mine.items() if _ends_us(usage, number, window) > now_us)


def decide_reserve(
    usage: Usage, command: ReserveQuota, options: QuotasOptions, now_us: Microseconds
) -> tuple[tuple[Event, ...], QuotaExhausted | None]:
    """What is recorded of a wish to use something, and the refusal, if it is one; nothing for who has no quotas."""
    limits = limits_of(options, command.agent)
    if not limits:
        return (), None
    window = window_us(options)
    warnings: list[Event] = []
    for resource, limit in limits.items():
        wanted = _amount(command, resource)
        before = used(usage, command.agent, resource, now_us, window)
        if not wanted:
            continue
        if before + wanted > limit:
            wait_s = _wait_s(
                usage,
                command.agent,
                resource,
                excess=before + wanted - limit,
                now_us=now_us,
                window=window,
            )
            refusal = QuotaExhausted(
                command.agent, resource, before, limit, wanted, retry_after_s=wait_s, policy=options.policy
            )
            is_noted = resource in usage.spent.get(command.agent, [])
            return (() if is_noted else (QuotaSpent(command.agent, resource, before, limit, wanted),)), refusal
        warned_us = usage.warned.get(command.agent, {}).get(resource, -window)
        if (before + wanted) * 100 >= limit * WARN_PERCENT and warned_us <= now_us - window:
            warnings.append(QuotaWarned(command.agent, resource, before + wanted, limit, now_us))
    amounts = (command.calls, command.tokens, command.disk_bytes)
    return (QuotaReserved(command.agent, usage.uses + 1, *amounts, now_us, window), *warnings), None


def decide_settle(usage: Usage, command: SettleQuota) -> tuple[Event, ...]:
    """What a use came to; nothing for one that is settled already, or was never open."""
    use = usage.open.get(command.use)
    if use is None:
        return ()
    return (QuotaSettled(use.agent, command.use, command.calls, command.tokens, command.disk_bytes),)


def uses(usage: Usage, options: QuotasOptions, now_us: Microseconds, agent: AgentId) -> tuple[QuotaUse, ...]:
    """How much of each quota is used, by those who have used something; an empty name stands for all of them."""
    window = window_us(options)
    found = []
    for name in sorted(usage.buckets):
        for resource, limit in limits_of(options, name).items() if agent in ("", name) else ():
            total = used(usage, name, resource, now_us, window)
            ends = [_ends_us(usage, number, window) for number, one in usage.buckets[name].items() if total]
            free_us = min((end for end in ends if end > now_us), default=0)
            found.append(QuotaUse(name, resource, total, limit, options.window_s, free_us))
    return tuple(found)


def apply(usage: Usage, event: Event) -> None:
    """Fold one event."""
    match event:
        case QuotaReserved():
            _apply_reserved(usage, event)
        case QuotaSettled():
            use = usage.open.pop(event.use, None)
            bucket = usage.buckets.get(use.agent, {}).get(use.bucket) if use is not None else None
            if use is not None and bucket is not None:
                _add(bucket, event.calls - use.calls, event.tokens - use.tokens, event.disk_bytes - use.disk_bytes)
        case QuotaWarned():
            usage.warned.setdefault(event.agent, {})[event.resource] = event.warned_us
        case QuotaSpent():
            noted = usage.spent.setdefault(event.agent, [])
            if event.resource not in noted:
                noted.append(event.resource)
        case _:
            pass


def _apply_reserved(usage: Usage, event: QuotaReserved) -> None:
    span = max(1, -(-event.window_us // BUCKETS))
    if span != usage.span_us:
        _respan(usage, span)
    mine = usage.buckets.setdefault(event.agent, {})
    for old in [one for one in mine if _ends_us(usage, one, event.window_us) <= event.reserved_us]:
        del mine[old]
    number = event.reserved_us // span
    _add(mine.setdefault(number, Bucket()), event.calls, event.tokens, event.disk_bytes)
    usage.uses = event.use
    usage.open[event.use] = OpenUse(event.agent, number, event.calls, event.tokens, event.disk_bytes)
    if len(usage.open) > OPEN_MAX:
        del usage.open[next(iter(usage.open))]
    granted = {resource for resource in RESOURCES if _amount(event, resource)}
    if event.agent in usage.spent:
        usage.spent[event.agent] = [one for one in usage.spent[event.agent] if one not in granted]


def _respan(usage: Usage, span: Microseconds) -> None:
    """The window was set anew: what was used counts at the end of its old bucket, so rather too long."""

    def moved(number: int) -> int:
        return ((number + 1) * usage.span_us - 1) // span

    for agent, mine in usage.buckets.items():
        again: dict[int, Bucket] = {}
        for number, bucket in mine.items():
            _add(again.setdefault(moved(number), Bucket()), bucket.calls, bucket.tokens, bucket.disk_bytes)
        usage.buckets[agent] = again
    usage.open = {use: msgspec.structs.replace(one, bucket=moved(one.bucket)) for use, one in usage.open.items()}
    usage.span_us = span


def _wait_s(
    usage: Usage, agent: AgentId, resource: Resource, *, excess: int, now_us: Microseconds, window: Microseconds
) -> float:
    """How long until enough is out of the window; 0 if it never fits."""
    for number, bucket in sorted(usage.buckets.get(agent, {}).items()):
        ends_us = _ends_us(usage, number, window)
        if ends_us > now_us:
            excess -= _amount(bucket, resource)
            if excess <= 0:
                return (ends_us - now_us) / 1_000_000
    return 0.0


def _ends_us(usage: Usage, number: int, window: Microseconds) -> Microseconds:
    """When what was used in that bucket counts no more."""
    return (number + 1) * usage.span_us + window


def _amount(of: Bucket | ReserveQuota | QuotaReserved, resource: Resource) -> int:
    match resource:
        case "calls":
            return of.calls
        case "tokens":
            return of.tokens
        case "disk_bytes":
            return of.disk_bytes


def _add(bucket: Bucket, calls: int, tokens: int, disk_bytes: int) -> None:
    bucket.calls += calls
    bucket.tokens += tokens
    bucket.disk_bytes += disk_bytes
