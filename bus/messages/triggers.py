"""Triggers: an event that matches a stored filter, or a position that is reached, wakes an actor or posts a task."""

from typing import ClassVar, Final

import msgspec

from bus.address import Address
from bus.messages.base import Command, Done, Event, Message, Microseconds, Position, Query, Reply
from bus.messages.tasks import TaskSpec

TRIGGERS: Final = Address("triggers")


class TriggerSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When it fires, and what then: exactly one of `post` and `wake` is given.

    It fires for events that match all fields that are given, or once when `at` is reached.
    """

    types: tuple[str, ...] = ()
    """Event types or topic patterns, such as `task.*`; each matches at least one type that there is."""
    source: str = ""
    task: str = ""
    agent: str = ""
    run: str = ""
    at: Position = Position(0)
    post: TaskSpec | None = None
    """The task that is posted."""
    wake: Address = Address("")
    """The actor that is told `Woken`."""
    pause_s: float = 1.0
    """It fires at most once in so many seconds: what matches meanwhile is answered for together, at their end."""
    fires_max: int = 0
    """It is over after so many times; 0 means never."""


class TriggerView(Reply, frozen=True):
    """A trigger as anyone may see it."""

    wire_name = "trigger"

    trigger: str
    spec: TriggerSpec
    fired: int
    """Times so far."""
    last: Position
    """The last event that it has fired for, or 0."""
    is_over: bool
    """Whether it never will again: cancelled, reached, or as often as it may."""


class TriggerPage(Reply, frozen=True):
    """All triggers, newest first."""

    wire_name = "triggers"

    triggers: tuple[TriggerView, ...]


class CreateTrigger(Command[TriggerView], frozen=True):
    """Sent by who wants something to happen when something has. The same key with the same spec: the same trigger."""

    wire_name = "trigger.create"

    spec: TriggerSpec
    idempotency_key: str = ""


class CancelTrigger(Command[TriggerView], frozen=True):
    """Sent by who wants a trigger to fire no more."""

    wire_name = "trigger.cancel"

    trigger: str


class ListTriggers(Query[TriggerPage], frozen=True):
    """Sent by whoever wants to see the triggers."""

    wire_name = "trigger.list"


class FireTrigger(Command[Done], frozen=True):
    """Asked of themselves by the triggers when an event matches that no firing of the same trigger has led to."""

    wire_name = "trigger.fire"

    trigger: str
    position: Position


class Woken(Message, frozen=True):
    """Told to the actor that a trigger wakes, right after it has fired."""

    wire_name = "trigger.woken"

    trigger: str
    position: Position
    """Of the event that it has fired for."""


class TriggerCreated(Event, frozen=True):
    """Recorded when a trigger is accepted."""

    wire_name = "trigger.created"
    about = "trigger"
    personal: ClassVar[tuple[str, ...]] = ("spec.post.title", "spec.post.instructions")

    trigger: str
    spec: TriggerSpec
    after: Position
    """It looks at the events after this position."""
    created_us: Microseconds
    idempotency_key: str = ""


class TriggerFired(Event, frozen=True):
    """Recorded when a trigger fires; the coordinator answers it with the task, where there is one."""

    wire_name = "trigger.fired"
    about = "trigger"
    personal: ClassVar[tuple[str, ...]] = ("post.title", "post.instructions")

    trigger: str
    position: Position
    """Of the newest event that it answers for, or the one that was reached."""
    matches: int
    """How many events it answers for at least."""
    fired_us: Microseconds
    post: TaskSpec | None = None
    wake: Address = Address("")


class TriggerCancelled(Event, frozen=True):
    """Recorded when a trigger is ended by hand."""

    wire_name = "trigger.cancelled"
    about = "trigger"

    trigger: str
