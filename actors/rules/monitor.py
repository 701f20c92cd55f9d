"""What is wrong, told once: alerts, and the stop-everything switch.

Rules: an alert is raised when its condition begins and cleared when it ends, once each, however often it is seen
meanwhile. Facts raise and clear alerts about budgets, breakers and webhooks; what is polled (stuck actors, disk) and
counted (dead letters) comes as the conditions that hold now, and what is missing among them has ended.

Pure: no clock, no network, no disk.
"""

from collections.abc import Mapping

import msgspec

from bus.messages.base import Event, Microseconds
from bus.messages.completions import (
    BreakerClosed,
    BreakerOpened,
    BudgetRaised,
    BudgetReopened,
    BudgetSpent,
    ProviderDisabled,
)
from bus.messages.monitor import (
    Alert,
    AlertCleared,
    AlertKind,
    AlertRaised,
    HaltSystem,
    MonitorView,
    ResumeSystem,
    SystemHalted,
    SystemResumed,
)
from bus.messages.webhooks import WebhookDelivered, WebhookRemoved, WebhookUndelivered

ALERTS_MAX = 1_000
"""Alerts at once; past it the system has one problem and not a thousand."""
TEXT_MAX = 500
OF_WEBHOOKS = "dead_letters/"
"""What the alerts about webhooks begin with: facts raise and clear them."""
POLLED: tuple[AlertKind, ...] = ("stuck", "dead_letters", "disk")


class Condition(msgspec.Struct, frozen=True):
    """Something that is wrong now."""

    kind: AlertKind
    subject: str
    cause: str

    @property
    def alert(self) -> str:
        """The id of its alert."""
        return f"{self.kind}/{self.subject}" if self.subject else self.kind


class Monitored(msgspec.Struct):
    """All that the monitor knows."""

    is_halted: bool = False
    reason: str = ""
    by: str = ""
    alerts: dict[str, Alert] = {}


def apply(state: Monitored, event: Event) -> None:
    """Take an event of the monitor."""
    match event:
        case SystemHalted():
            state.is_halted, state.reason, state.by = True, event.reason, event.by
        case SystemResumed():
            state.is_halted, state.reason, state.by = False, "", ""
        case AlertRaised():
            state.alerts[event.alert] = Alert(event.alert, event.kind, event.cause, event.raised_us)
        case AlertCleared():
            state.alerts.pop(event.alert, None)
        case _:
            pass


def decide_halt(state: Monitored, command: HaltSystem) -> tuple[Event, ...]:
    """Throw the switch, once."""
    return () if state.is_halted else (SystemHalted(command.reason[:TEXT_MAX], command.by),)


def decide_resume(state: Monitored, command: ResumeSystem) -> tuple[Event, ...]:
    """Throw it back, once."""
    return (SystemResumed(command.by),) if state.is_halted else ()


def decide_fact(state: Monitored, fact: Event, now_us: Microseconds) -> tuple[Event, ...]:
    """What a fact says about budgets and breakers."""
    match fact:
        case BreakerOpened():
            return _raise(state, Condition("breaker", fact.provider, fact.reason), now_us)
        case BreakerClosed() | ProviderDisabled():
            return _clear(state, f"breaker/{fact.provider}")
        case BudgetSpent():
            spent = f"{fact.spent_usd_micros} of {fact.limit_usd_micros} USD micros are spent"
            cause = f"{spent}; the next call may cost more than is left"
            return _raise(state, Condition("budget", fact.budget, cause), now_us)
        case BudgetRaised() | BudgetReopened():
            return _clear(state, f"budget/{fact.budget}")
        case _:
            return ()


def decide_webhook(
    state: Monitored, fact: WebhookDelivered | WebhookUndelivered | WebhookRemoved, now_us: Microseconds
) -> tuple[Event, ...]:
    """A webhook that does not take what it is told is an alert until it does again."""
    condition = Condition("dead_letters", fact.webhook, "")
    if not isinstance(fact, WebhookUndelivered):
        return _clear(state, condition.alert)
    cause = f"the webhook did not take {fact.topic}: {fact.reason}"
    return _raise(state, msgspec.structs.replace(condition, cause=cause), now_us)


def decide_polled(state: Monitored, conditions: Mapping[str, Condition], now_us: Microseconds) -> tuple[Event, ...]:
    """Raise what is new among the conditions that hold now, and clear what holds no more."""
    polled = [alert for alert, one in state.alerts.items() if one.kind in POLLED and not alert.startswith(OF_WEBHOOKS)]
    ended = [alert for alert in polled if alert not in conditions]
    begun = [event for condition in conditions.values() for event in _raise(state, condition, now_us)]
    room = max(0, ALERTS_MAX - len(state.alerts))
    return (*(AlertCleared(alert) for alert in ended), *begun[:room])


def view(state: Monitored) -> MonitorView:
    """What is wrong now."""
    return MonitorView(state.is_halted, state.reason, state.by, tuple(state.alerts.values()))


def _raise(state: Monitored, condition: Condition, now_us: Microseconds) -> tuple[Event, ...]:
    if condition.alert in state.alerts or len(state.alerts) >= ALERTS_MAX:
        return ()
    return (AlertRaised(condition.alert, condition.kind, condition.cause[:TEXT_MAX], now_us),)


def _clear(state: Monitored, alert: str) -> tuple[Event, ...]:
    return (AlertCleared(alert),) if alert in state.alerts else ()
