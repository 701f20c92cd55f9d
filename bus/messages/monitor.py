"""What keeps an eye on the whole: the stop-everything switch, and alerts."""

from typing import Final, Literal

from bus.address import Address
from bus.messages.base import Command, Done, Event, Message, Microseconds, Query, Reply

MONITOR: Final = Address("monitor")

AlertKind = Literal["stuck", "budget", "dead_letters", "breaker", "disk"]


class Alert(Message, frozen=True):
    """Something that a person should know of, for as long as it lasts."""

    wire_name = "alert"

    alert: str
    """Its kind and what it is about, such as `breaker/openai`."""
    kind: AlertKind
    cause: str
    raised_us: Microseconds


class MonitorView(Reply, frozen=True):
    """Whether everything is halted, and what is wrong now."""

    wire_name = "monitor"

    is_halted: bool
    reason: str
    by: str
    alerts: tuple[Alert, ...]


class HaltSystem(Command[Done], frozen=True):
    """Sent by an operator who wants no new turn, call or assignment to begin. A repeat changes nothing."""

    wire_name = "system.halt"

    reason: str = ""
    by: str = ""


class ResumeSystem(Command[Done], frozen=True):
    """Sent by an operator who wants all to go on where it stood. A repeat changes nothing."""

    wire_name = "system.resume"

    by: str = ""


class ReadMonitor(Query[MonitorView], frozen=True):
    """Sent by whoever wants to know what is wrong."""

    wire_name = "monitor.read"


class SystemHalted(Event, frozen=True):
    """Recorded when an operator stops everything; it stays so across restarts until it is resumed."""

    wire_name = "system.halted"

    reason: str
    by: str


class SystemResumed(Event, frozen=True):
    """Recorded when an operator lets everything go on."""

    wire_name = "system.resumed"

    by: str


class AlertRaised(Event, frozen=True):
    """Recorded when something goes wrong that a person should know of: once, until it is cleared."""

    wire_name = "alert.raised"
    about = "alert"

    alert: str
    kind: AlertKind
    cause: str
    raised_us: Microseconds
    is_owed: bool = False
    """Only in older journals: webhooks have events of their own."""


class AlertCleared(Event, frozen=True):
    """Recorded when it is well again."""

    wire_name = "alert.cleared"
    about = "alert"

    alert: str
    is_owed: bool = False


class AlertDelivered(Event, frozen=True):
    """Only in older journals, where `webhook.delivered` stands in newer ones."""

    wire_name = "alert.delivered"
    about = "alert"

    alert: str
    delivery: str


class AlertUndelivered(Event, frozen=True):
    """Only in older journals, where `webhook.undelivered` stands in newer ones."""

    wire_name = "alert.undelivered"
    about = "alert"

    alert: str
    delivery: str
    reason: str
