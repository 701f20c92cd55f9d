"""When a stored filter or a position makes something happen, and how storms are kept from it.

Rules: a trigger fires for events after its own creation, once for each, and at most once in `pause_s`: what matches
meanwhile is answered for together. Nothing that a trigger has led to makes it fire, at whatever remove: who asks here
has looked (`actors.triggers`). One that waits for a position fires once and is over.

A type or pattern that no event there is would match is refused, and names those that are spelt much like it.

Pure: no clock, no disk.
"""

from difflib import get_close_matches

import msgspec

from actors.rules import idempotency, standing
from actors.rules.fields import check_integer, check_line
from actors.rules.idempotency import Keys
from bus.envelope import Recorded
from bus.messages.base import MAIN_RUN, Event, Microseconds, Position
from bus.messages.catalogue import EVENTS
from bus.messages.triggers import (
    CancelTrigger,
    CreateTrigger,
    TriggerCancelled,
    TriggerCreated,
    TriggerFired,
    TriggerPage,
    TriggerSpec,
    TriggerView,
)
from bus.refusals import InvalidField, Overloaded
from bus.topics import is_valid_pattern, matches, matches_any

OWN = (TriggerCreated, TriggerFired, TriggerCancelled)
"""What the triggers themselves record, for which none fires."""
OPEN_MAX = 1_000
"""Triggers at once; each event is held against all of them."""
PATTERNS_MAX = 64
PAUSE_S_MIN = 0.1
"""Ten times a second is the most that anybody could want to be woken."""
PAUSE_S_MAX = 86_400.0
FIRES_MAX = 1_000_000_000
CLOSE_MAX = 3
"""Types that are named to who asks for one that there is not."""
LOOKED_AT = tuple(sorted({kind.wire_name for kind in EVENTS if kind not in OWN}))
"""The event types that a trigger may fire for."""
NAME_CHARS_MAX = 200


class Trigger(msgspec.Struct):
    """One trigger."""

    spec: TriggerSpec
    fired: int = 0
    last: Position = Position(0)
    """Events up to here are answered for, or were there before it."""
    fired_us: Microseconds = 0
    is_over: bool = False


class Triggers(msgspec.Struct):
    """All triggers, in the order in which they were made."""

    triggers: dict[str, Trigger] = {}
    made: int = 0
    keys: Keys = msgspec.field(default_factory=Keys)


def apply(state: Triggers, event: Event) -> None:
    """Fold one event."""
    match event:
        case TriggerCreated():
            state.made += 1
            state.triggers[event.trigger] = Trigger(event.spec, last=event.after)
            idempotency.remember(state.keys, event.idempotency_key, event.trigger, event.created_us)
        case TriggerFired(trigger=name) if name in state.triggers:
            one = state.triggers[name]
            one.fired, one.last, one.fired_us = one.fired + 1, event.position, event.fired_us
            if one.spec.at or one.fired == one.spec.fires_max:
                one.is_over = True
                standing.forget(state.triggers, _is_over)
        case TriggerCancelled(trigger=name) if name in state.triggers:
            state.triggers[name].is_over = True
            standing.forget(state.triggers, _is_over)
        case _:
            pass


def _is_over(one: Trigger) -> bool:
    return one.is_over


def sound(spec: TriggerSpec) -> TriggerSpec:
    """The spec with a sound task. Raises `InvalidField`."""
    if (spec.post is None) == (not spec.wake):
        raise InvalidField("spec", "needs exactly one of post and wake")
    is_filter = bool(spec.types or spec.source or spec.task or spec.agent or spec.run)
    if is_filter == bool(spec.at):
        raise InvalidField("spec", "needs a filter (types, source, task, agent, run) or a position (at), not both")
    if len(spec.types) > PATTERNS_MAX:
        raise InvalidField("spec.types", f"at most {PATTERNS_MAX} patterns, not {len(spec.types)}")
    for pattern in spec.types:
        if not is_valid_pattern(pattern):
            raise InvalidField("spec.types", f"{pattern!r} is not an event type or a pattern")
        if not any(matches(pattern, name) for name in LOOKED_AT):
            close = get_close_matches(pattern, LOOKED_AT, CLOSE_MAX)
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            raise InvalidField("spec.types", f"{pattern!r} matches no event that there is for a trigger{hint}")
    for name in ("source", "task", "agent", "run", "wake"):
        if value := getattr(spec, name):
            check_line(f"spec.{name}", value, NAME_CHARS_MAX)
    if spec.at < 0:
        raise InvalidField("spec.at", "is before the first position")
    if not PAUSE_S_MIN <= spec.pause_s <= PAUSE_S_MAX:
        raise InvalidField("spec.pause_s", f"must be between {PAUSE_S_MIN} and {PAUSE_S_MAX:g}")
    check_integer("spec.fires_max", spec.fires_max, 0, FIRES_MAX)
    if spec.post is None:
        return spec
    return msgspec.structs.replace(spec, post=standing.sound_task("spec.post", spec.post))


def repeated(state: Triggers, command: CreateTrigger, now_us: Microseconds) -> str:
    """The trigger that the command's key has made, or empty; `IdempotencyConflict` if it was for another spec."""
    return standing.repeated(state.triggers, state.keys, command.idempotency_key, sound(command.spec), now_us)


def decide_create(
    state: Triggers, command: CreateTrigger, head: Position, now_us: Microseconds
) -> tuple[TriggerCreated, ...]:
    """A trigger for what comes after the head; a repeat of its key causes none. Raises `InvalidField`, `Overloaded`."""
    spec = sound(command.spec)
    key = idempotency.check_key(command.idempotency_key)
    if repeated(state, command, now_us):
        return ()
    if len(living(state)) >= OPEN_MAX:
        raise Overloaded(f"the list of {OPEN_MAX} triggers", 60.0)
    if spec.at and spec.at <= head:
        raise InvalidField("spec.at", f"is reached already: the journal stands at {head}")
    return (TriggerCreated(f"g-{state.made + 1}", spec, head, now_us, key),)


def decide_cancel(state: Triggers, command: CancelTrigger) -> tuple[Event, ...]:
    """It fires no more; a repeat causes nothing. Raises `NotFound`."""
    return () if trigger_of(state, command.trigger).is_over else (TriggerCancelled(command.trigger),)


def decide_fire(
    state: Triggers, name: str, position: Position, matches: int, now_us: Microseconds
) -> tuple[TriggerFired, ...]:
    """Its firing for an event; nothing for one that it has answered for, or where it is over."""
    one = state.triggers.get(name)
    if one is None or one.is_over or position <= one.last:
        return ()
    return (TriggerFired(name, position, matches, now_us, one.spec.post, one.spec.wake),)


def wait_us(one: Trigger, now_us: Microseconds) -> Microseconds:
    """How long it may not fire yet. A clock that was set back makes nobody wait for longer than the pause."""
    pause_us = round(one.spec.pause_s * 1_000_000)
    since_us = now_us - one.fired_us
    return pause_us - since_us if one.fired and 0 <= since_us < pause_us else 0


def wants(spec: TriggerSpec, record: Recorded) -> bool:
    """Whether an event matches the filter. Events of triggers match nothing: what they lead to may.

    One that names no run is of the journal's own, as for whoever asks the journal by run.
    """
    event = record.event
    if spec.at or isinstance(event, OWN):
        return False
    if spec.types and not matches_any(spec.types, event.wire_name):
        return False
    if spec.source and spec.source != record.source:
        return False
    if spec.run and spec.run != (getattr(event, "run", "") or MAIN_RUN):
        return False
    asked = (("task", spec.task), ("agent", spec.agent))
    return all(not wanted or getattr(event, name, None) == wanted for name, wanted in asked)


def living(state: Triggers) -> dict[str, Trigger]:
    """Those that may fire again."""
    return {name: one for name, one in state.triggers.items() if not one.is_over}


def trigger_of(state: Triggers, name: str) -> Trigger:
    """The trigger, or `NotFound`."""
    return standing.order_of("trigger", state.triggers, name)


def view(state: Triggers, name: str) -> TriggerView:
    """A trigger as anyone may see it."""
    one = trigger_of(state, name)
    return TriggerView(name, one.spec, one.fired, one.last if one.fired else Position(0), one.is_over)


def page(state: Triggers) -> TriggerPage:
    """All triggers, newest first."""
    return TriggerPage(tuple(view(state, name) for name in reversed(state.triggers)))


def task_key(trigger: str, position: Position) -> str:
    """The key under which the task of a firing is posted."""
    return f"trigger/{trigger}/{position}"


def trigger_of_key(key: str) -> str:
    """The trigger that a task's key speaks of, or empty."""
    kind, _, rest = key.partition("/")
    return rest.partition("/")[0] if kind == "trigger" else ""
