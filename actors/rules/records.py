"""What is recorded of the providers, folded from events: who takes part, how their breakers stand, how they fared.

Pure.
"""

import msgspec

from actors.rules.breaker import Snapshot
from actors.rules.cascade import BLAMELESS
from bus.messages.base import Event, Microseconds
from bus.messages.completions import (
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    BreakerState,
    CompletionAttemptFailed,
    CompletionCompleted,
    ProviderDisabled,
    ProviderEnabled,
)
from bus.messages.routing import CascadeReordered, ProviderSeen


class Standing(msgspec.Struct):
    """A provider's record: what of it outlives the process."""

    is_enabled: bool = True
    disabled_reason: str = ""
    is_disabled_by_router: bool = False
    breaker: BreakerState = BreakerState.CLOSED
    generation: int = 0
    openings: int = 0
    wait_s: float = 0.0
    reopens_us: Microseconds = 0
    completed: int = 0
    failed: int = 0
    spent_usd_micros: int = 0
    last_error: str = ""
    is_there: bool = True
    """What the last look at it has found since its breaker last opened."""


class Cascade(msgspec.Struct):
    """The records of all providers that were ever part of the cascade, by name."""

    providers: dict[str, Standing] = msgspec.field(default_factory=dict)
    order: tuple[str, ...] = ()
    """Who comes first, as an operator said; the rest follow as configured."""


def standing(cascade: Cascade, provider: str) -> Standing:
    """The record of a provider; a fresh one for a name that has none yet."""
    return cascade.providers.get(provider) or Standing()


def breaker_snapshot(record: Standing, now_us: Microseconds) -> Snapshot:
    """The recorded breaker, with what is left of its wait; a clock that was set back cannot lengthen it."""
    left_s = min(max(0.0, (record.reopens_us - now_us) / 1_000_000), record.wait_s)
    return Snapshot(
        state=record.breaker,
        generation=record.generation,
        openings=record.openings,
        wait_left_s=left_s if record.breaker is BreakerState.OPEN else 0.0,
    )


def apply(cascade: Cascade, event: Event) -> None:
    """Fold an event of the router; events that do not concern a provider change nothing."""
    match event:
        case CompletionCompleted():
            record = _kept(cascade, event.provider)
            record.completed += 1
            record.spent_usd_micros += event.answer_cost_usd_micros
        case BreakerOpened() | BreakerHalfOpened() | BreakerClosed():
            _apply_breaker(_kept(cascade, event.provider), event)
        case CascadeReordered(providers):
            cascade.order = providers
        case ProviderSeen():
            record = _kept(cascade, event.provider)
            record.is_there = event.is_there
            if event.is_there:
                record.reopens_us = min(record.reopens_us, event.seen_us)
        case ProviderEnabled(provider):
            record = _kept(cascade, provider)
            record.is_enabled, record.disabled_reason, record.is_disabled_by_router = True, "", False
        case ProviderDisabled(provider):
            record = _kept(cascade, provider)
            record.is_enabled = False
            record.disabled_reason, record.is_disabled_by_router = event.reason, event.is_automatic
        case CompletionAttemptFailed(provider=provider):
            record = _kept(cascade, provider)
            record.spent_usd_micros += event.cost_usd_micros
            if event.error not in BLAMELESS:
                record.failed += 1
                record.last_error = f"{event.error}: {event.reason}"
        case _:
            pass


def _apply_breaker(record: Standing, event: BreakerOpened | BreakerHalfOpened | BreakerClosed) -> None:
    record.generation = event.generation
    match event:
        case BreakerOpened():
            record.breaker = BreakerState.OPEN
            record.openings += 1
            record.is_there = True
            record.wait_s, record.reopens_us = event.wait_s, event.reopens_us
        case BreakerHalfOpened():
            record.breaker = BreakerState.HALF_OPEN
        case BreakerClosed():
            record.breaker = BreakerState.CLOSED
            record.openings, record.wait_s, record.reopens_us = 0, 0.0, 0


def _kept(cascade: Cascade, provider: str) -> Standing:
    record = cascade.providers.get(provider)
    if record is None:
        record = cascade.providers[provider] = Standing()
    return record
