"""What can be asked of the journal, as units of work on a reading connection.

Rules: each is one short read of one committed state; pages are cut by position and never by an offset; a page says how
far it has looked, matching or not, so that whoever pages on misses nothing and sees nothing twice.
"""

import math
import sqlite3
from collections.abc import Sequence

import msgspec

from bus.address import Address
from bus.codec import Catalogue
from bus.envelope import Recorded, StoredEvent
from bus.errors import InvalidField
from bus.messages.agents import StepCompleted, StepStarted
from bus.messages.base import Position
from bus.messages.system import (
    EVENTS_LIMIT_MAX,
    EventHistogram,
    EventPage,
    EventSummary,
    HistogramBucket,
    ReadEvents,
)
from bus.topics import is_valid_pattern, matches_any
from storage import queries
from storage.queries import Selection
from storage.transactions import snapshot

PATTERNS_MAX = 64
"""Type patterns of one query; the catalogue has about as many types."""
STEPS_MAX = 100
"""Steps of one summary."""
BUCKETS_MAX = 1_000
"""Spans of one histogram: more than a screen has columns to tell apart."""
COUNTED_MAX = 100_000
"""Events that a histogram counts one by one: some tens of milliseconds on a reading connection."""
MINUTE_US = 60_000_000
FOREVER_US = 2**62


class UndecodableEvent(ValueError):
    """A row's bytes are not the event that its type and version say."""

    def __init__(self, position: Position, reason: str) -> None:
        super().__init__(reason)
        self.position = position
        self.reason = reason


def check_query(query: ReadEvents) -> None:
    """Raises InvalidField for what no answer could make sense of."""
    if not 1 <= query.limit <= EVENTS_LIMIT_MAX:
        raise InvalidField("limit", f"must be between 1 and {EVENTS_LIMIT_MAX}, not {query.limit}")
    if len(query.types) > PATTERNS_MAX:
        raise InvalidField("types", f"at most {PATTERNS_MAX} patterns, not {len(query.types)}")
    for pattern in query.types:
        if not is_valid_pattern(pattern):
            raise InvalidField("types", f"{pattern!r} is not an event type or a pattern")
    for name in ("after", "before", "since_us", "until_us"):
        if not 0 <= getattr(query, name) <= FOREVER_US:
            raise InvalidField(name, "is out of range")


def check_window(minutes: float) -> None:
    """Raises InvalidField for a window that holds no time or all of it."""
    if not (math.isfinite(minutes) and 0 < minutes * MINUTE_US < FOREVER_US):
        raise InvalidField("minutes", f"must be a positive number, not {minutes}")


def read_page(connection: sqlite3.Connection, query: ReadEvents) -> EventPage:
    """The page that a query asks for."""
    with snapshot(connection):
        (head,) = connection.execute(queries.HEAD).fetchone()
        selection = _selection(connection, query)
        events = _select(connection, selection) if selection is not None else ()
    if len(events) == query.limit:
        scanned = events[-1].position
    elif query.is_newest_first:
        scanned = Position(min(query.after + 1, head))
    else:
        last = min(query.before - 1, head) if query.before else head
        scanned = Position(max(query.after, last))
    return EventPage(events, scanned, head)


def read_recorded(
    connection: sqlite3.Connection,
    catalogue: Catalogue,
    selection: Selection,
    topics: tuple[str, ...] = ("#",),
    source: str = "",
) -> Sequence[Recorded]:
    """Events as actors see them: decoded, upcast, with their sealed fields. Raises UndecodableEvent, UnknownEvent."""
    with snapshot(connection):
        types = _types(connection, topics)
        id_ = _source(connection, source)
        events = _select(connection, msgspec.structs.replace(selection, types=types, source=id_))
    return [_recorded(catalogue, event) for event in events]


def summarise(connection: sqlite3.Connection, catalogue: Catalogue, minutes: float, now_us: int) -> EventSummary:
    """Counts per type and step since the full minute in which the window begins."""
    since = max(0, math.floor((now_us - minutes * MINUTE_US) / MINUTE_US))
    with snapshot(connection):
        (head,) = connection.execute(queries.HEAD).fetchone()
        by_type: dict[str, int] = dict(connection.execute(queries.COUNT_BY_TYPE, (since,)))
        by_step = _by_step(connection, catalogue, since * MINUTE_US)
    return EventSummary(minutes, sum(by_type.values()), by_type, by_step, head)


def check_buckets(buckets: int) -> None:
    """Raises InvalidField for a histogram that shows nothing, or more than anyone could see."""
    if not 1 <= buckets <= BUCKETS_MAX:
        raise InvalidField("buckets", f"must be between 1 and {BUCKETS_MAX}, not {buckets}")


def histogram(connection: sqlite3.Connection, buckets: int) -> EventHistogram:
    """How many events lie where, in at most `buckets` spans of time.

    A small journal is counted event by event; a large one by its full minutes, which a higher pace makes no more of.
    """
    with snapshot(connection):
        (head,) = connection.execute(queries.HEAD).fetchone()
        first, last, events = connection.execute(queries.MINUTES).fetchone()
        if first is None:
            return EventHistogram(0, MINUTE_US, (), head)
        if events <= COUNTED_MAX:
            since, until = connection.execute(queries.SPAN_OF_EVENTS).fetchone()
            width = (until - since) // buckets + 1
            rows = connection.execute(queries.DENSITY_OF_EVENTS, (since, width)).fetchall()
        else:
            minutes = (last - first) // buckets + 1
            since, width = first * MINUTE_US, minutes * MINUTE_US
            rows = connection.execute(queries.DENSITY_OF_MINUTES, (first, minutes)).fetchall()
    spans = tuple(HistogramBucket(since + span * width, *rest) for span, *rest in rows)
    return EventHistogram(since, width, spans, head)


def count(connection: sqlite3.Connection, type_: str) -> tuple[int, Position]:
    """How many events of a type there are up to the head."""
    with snapshot(connection):
        (events,) = connection.execute(queries.COUNT_OF_TYPE, (type_,)).fetchone()
        (head,) = connection.execute(queries.HEAD).fetchone()
    return events, Position(head)


def _selection(connection: sqlite3.Connection, query: ReadEvents) -> Selection | None:
    """The query over what the journal has; None where no event can match."""
    after, before = query.after, query.before
    if query.since_us or query.until_us:
        minutes = (query.since_us // MINUTE_US, (query.until_us or FOREVER_US) // MINUTE_US)
        first, last = connection.execute(queries.POSITIONS_OF_MINUTES, minutes).fetchone()
        if first is None:
            return None
        after = Position(max(after, first - 1))
        before = Position(min(before or last + 1, last + 1))
    return Selection(
        limit=query.limit,
        is_newest_first=query.is_newest_first,
        types=_types(connection, query.types or ("#",)),
        source=_source(connection, query.source),
        task=query.task,
        agent=query.agent,
        run=query.run,
        correlation=query.correlation,
        after=after,
        before=before,
        since_us=query.since_us,
        until_us=query.until_us,
    )


def _types(connection: sqlite3.Connection, patterns: tuple[str, ...]) -> tuple[int, ...] | None:
    if "#" in patterns:
        return None
    known = connection.execute(queries.TYPES).fetchall()
    found = tuple(id_ for id_, name in known if matches_any(patterns, name))
    return None if known and len(found) == len(known) else found


def _source(connection: sqlite3.Connection, name: str) -> int | None:
    if not name:
        return None
    row = connection.execute(queries.SOURCE, (name,)).fetchone()
    return row[0] if row is not None else 0  # ids begin at 1


def _select(connection: sqlite3.Connection, selection: Selection) -> tuple[StoredEvent, ...]:
    statement, parameters = queries.select_events(selection)
    return tuple(StoredEvent(*row) for row in connection.execute(statement, parameters).fetchall())


def _recorded(catalogue: Catalogue, stored: StoredEvent) -> Recorded:
    try:
        event = catalogue.decode(stored.type, stored.version, stored.data, stored.sealed)
    except (msgspec.DecodeError, ValueError) as error:
        raise UndecodableEvent(stored.position, str(error)) from error
    return Recorded(
        event,
        stored.position,
        stored.time_us,
        Address(stored.source),
        stored.cause,
        stored.correlation,
        stored.cursor,
    )


def _by_step(connection: sqlite3.Connection, catalogue: Catalogue, since_us: int) -> dict[str, int]:
    ids = {name: id_ for id_, name in connection.execute(queries.TYPES)}
    started, completed = ids.get(StepStarted.wire_name, 0), ids.get(StepCompleted.wire_name, 0)
    ended = _select(connection, Selection(limit=STEPS_MAX, is_newest_first=True, types=(completed,), since_us=since_us))
    counts: dict[str, int] = {}
    starts: dict[str, dict[int, int]] = {}
    for stored in ended:
        step = _recorded(catalogue, stored).event
        assert isinstance(step, StepCompleted), "selected by type"
        if step.task not in starts:
            starts[step.task] = _first_starts(connection, catalogue, step.task, started)
        first = starts[step.task].get(step.attempt, stored.position)
        (count,) = connection.execute(queries.COUNT_OF_TASK, (step.task, first, stored.position)).fetchone()
        counts.setdefault(f"{step.task}/{step.attempt}", count)
    return counts


def _first_starts(connection: sqlite3.Connection, catalogue: Catalogue, task: str, started: int) -> dict[int, int]:
    """By attempt: the position of its first step.started; a restart records further ones."""
    found: dict[int, int] = {}
    for stored in _select(connection, Selection(limit=EVENTS_LIMIT_MAX, types=(started,), task=task)):
        step = _recorded(catalogue, stored).event
        assert isinstance(step, StepStarted), "selected by type"
        found.setdefault(step.attempt, stored.position)
    return found
