"""The causal chain of an event: what led to it, and what it led to.

An event names the position of its cause. Upwards that is a walk; downwards, all effects share the event's correlation,
so they are found among the few that do. Both are bounded.
"""

from bus.envelope import StoredEvent
from bus.messages.base import Position
from bus.messages.system import EventChain, ReadChain, ReadEvents
from bus.refusals import NotFound
from storage import queries
from storage.reading import View, select

CAUSES_MAX = 256
"""As many hops as an envelope may make."""
EFFECTS_MAX = 1_000
LOOKED_AT_MAX = 5_000
"""Events after one without a correlation that are looked at for its effects."""
PAGE = 1_000


def read_chain(view: View, query: ReadChain) -> EventChain:
    """The event with its causes, the nearest first, and its effects in order. Raises NotFound."""
    event = _at(view, query.position)
    if event is None:
        raise NotFound("event", str(query.position))
    causes: list[StoredEvent] = []
    cause = event.cause
    while cause and len(causes) < CAUSES_MAX:
        found = _at(view, cause)
        if found is None:  # pruned: the chain is known up to here
            break
        causes.append(found)
        assert found.cause < found.position, "a cause is before its effect"
        cause = found.cause
    effects, is_whole = _effects(view, event)
    return EventChain(event, tuple(causes), effects, is_whole and not cause, view.head)


def _at(view: View, position: Position) -> StoredEvent | None:
    for segment in view.segments(position - 1, position + 1):
        rows = view.known(segment).connection.execute(queries.ROWS_FROM, (position, position))
        for event in view.events(rows):
            return event
    return None


def _effects(view: View, event: StoredEvent) -> tuple[tuple[StoredEvent, ...], bool]:
    """What the event caused, at whatever remove, and whether that is all of it."""
    caused = {event.position}
    effects: list[StoredEvent] = []
    after, looked_at = event.position, 0
    while looked_at < LOOKED_AT_MAX:
        page = select(view, ReadEvents(correlation=event.correlation, after=after, limit=PAGE, is_newest_first=False))
        for later in page:
            if later.cause in caused:
                caused.add(later.position)
                effects.append(later)
                if len(effects) == EFFECTS_MAX:
                    return tuple(effects), False
        if len(page) < PAGE:
            return tuple(effects), True
        after = page[-1].position
        looked_at += PAGE
    return tuple(effects), False
