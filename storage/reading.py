"""What can be asked of the journal, as units of work on a reading thread.

Rules: a read goes from segment to segment, in the order of the answer, and ends where the page is full: positions do
not overlap, so nothing is merged. It sees what was committed when it began. Pages are cut by position and never by an
offset; a page says how far it has looked, matching or not, so that whoever pages on misses nothing and sees nothing
twice.
"""

import math
import sqlite3
from collections.abc import Iterator, Sequence

import msgspec

from bus.address import Address
from bus.codec import Catalogue
from bus.envelope import Recorded, StoredEvent
from bus.messages.agents import StepCompleted, StepStarted
from bus.messages.base import Position, TaskId
from bus.messages.system import (
    EVENTS_LIMIT_MAX,
    EventHistogram,
    EventPage,
    EventSummary,
    HistogramBucket,
    ReadEvents,
)
from bus.refusals import InvalidField
from bus.topics import is_valid_pattern, matches_any
from storage import queries
from storage.files import Files
from storage.layout import Layout
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
STEP_EVENTS_MAX = 100_000
"""How far back a summary looks for the beginning of a step: a few files at most."""
MINUTE_US = 60_000_000
FOREVER_US = 2**62


class View(msgspec.Struct, frozen=True):
    """The journal as one read sees it."""

    files: Files
    layout: Layout

    @property
    def head(self) -> Position:
        """The last committed position."""
        last = self.layout.open
        (head,) = self.files.get(self.layout.path(last)).execute(queries.HEAD).fetchone()
        return Position(max(head, last.first - 1))

    def between(self, after: int, before: int, *, is_newest_first: bool = False) -> Iterator[sqlite3.Connection]:
        """Connections to the segments that may hold a position between two exclusive bounds, one after another."""
        for segment in self.layout.between(after, before, is_newest_first=is_newest_first):
            yield self.files.get(self.layout.path(segment))


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


def read_page(view: View, query: ReadEvents) -> EventPage:
    """The page that a query asks for."""
    head = view.head
    before = Position(min(query.before or head + 1, head + 1))
    events = select(view, msgspec.structs.replace(query, before=before))
    if len(events) == query.limit:
        scanned = events[-1].position
    elif query.is_newest_first:
        scanned = Position(min(query.after + 1, head))
    else:
        scanned = Position(max(query.after, before - 1))
    return EventPage(events, scanned, head)


def read_recorded(view: View, catalogue: Catalogue, query: ReadEvents) -> Sequence[Recorded]:
    """Events as actors see them: decoded, upcast, with their sealed fields. Raises UndecodableEvent, UnknownEvent."""
    return [_recorded(catalogue, event) for event in select(view, query)]


def summarise(view: View, catalogue: Catalogue, minutes: float, now_us: int) -> EventSummary:
    """Counts per type and step since the full minute in which the window begins."""
    since = max(0, math.floor((now_us - minutes * MINUTE_US) / MINUTE_US))
    head = view.head
    by_type: dict[str, int] = {}
    for segment in view.layout.segments:
        if segment.state == "open" or segment.ended_us > since * MINUTE_US:
            connection = view.files.get(view.layout.path(segment))
            for name, events in connection.execute(queries.COUNT_BY_TYPE, (since,)):
                by_type[name] = by_type.get(name, 0) + events
    by_step = _by_step(view, catalogue, since * MINUTE_US)
    return EventSummary(minutes, sum(by_type.values()), by_type, by_step, head)


def check_buckets(buckets: int) -> None:
    """Raises InvalidField for a histogram that shows nothing, or more than anyone could see."""
    if not 1 <= buckets <= BUCKETS_MAX:
        raise InvalidField("buckets", f"must be between 1 and {BUCKETS_MAX}, not {buckets}")


def histogram(view: View, buckets: int, *, counted_max: int = COUNTED_MAX) -> EventHistogram:
    """How many events lie where, in at most `buckets` spans of time.

    A small journal is counted event by event; a large one by its full minutes, which a higher pace makes no more of.
    """
    head = view.head
    connections = list(view.between(0, 0))
    found = [connection.execute(queries.MINUTES).fetchone() for connection in connections]
    spans = [(first, last, events) for first, last, events in found if first is not None]
    if not spans:
        return EventHistogram(0, MINUTE_US, (), head)
    if sum(events for _, _, events in spans) <= counted_max:
        ends = [connection.execute(queries.SPAN_OF_EVENTS).fetchone() for connection in connections]
        since = min(first for first, _ in ends if first is not None)
        width = (max(last for _, last in ends if last is not None) - since) // buckets + 1
        statement, parameters = queries.DENSITY_OF_EVENTS, (since, width)
    else:
        first = min(first for first, _, _ in spans)
        minutes = (max(last for _, last, _ in spans) - first) // buckets + 1
        since, width = first * MINUTE_US, minutes * MINUTE_US
        statement, parameters = queries.DENSITY_OF_MINUTES, (first, minutes)
    rows = [row for connection in connections for row in connection.execute(statement, parameters)]
    return EventHistogram(since, width, _added(rows, since, width), head)


def _added(rows: Sequence[tuple[int, int, int, int]], since: int, width: int) -> tuple[HistogramBucket, ...]:
    """One bucket per span, whatever segments its events lie in."""
    buckets: dict[int, HistogramBucket] = {}
    for span, events, first, last in rows:
        so_far = buckets.get(span)
        if so_far is None:
            buckets[span] = HistogramBucket(since + span * width, events, Position(first), Position(last))
        else:
            ends = Position(min(first, so_far.first)), Position(max(last, so_far.last))
            buckets[span] = HistogramBucket(so_far.time_us, events + so_far.events, *ends)
    return tuple(buckets[span] for span in sorted(buckets))


def count(view: View, type_: str) -> tuple[int, Position]:
    """How many events of a type were ever recorded, up to the head; what was pruned is counted too."""
    with snapshot(view.files.get(view.layout.path(view.layout.open))) as connection:
        head = view.head
        (events,) = connection.execute(queries.COUNT_OF_TYPE, (type_,)).fetchone()
    return events + sum(segment.counts.get(type_, 0) for segment in view.layout.segments), head


def select(view: View, query: ReadEvents) -> tuple[StoredEvent, ...]:
    """The events that a query asks for, from whichever segments they are in."""
    found: list[StoredEvent] = []
    for connection in view.between(query.after, query.before, is_newest_first=query.is_newest_first):
        selection = _selection(connection, query, query.limit - len(found))
        if selection is not None:
            statement, parameters = queries.select_events(selection)
            found += [StoredEvent(*row) for row in connection.execute(statement, parameters)]
            if len(found) == query.limit:
                break
    return tuple(found)


def _selection(connection: sqlite3.Connection, query: ReadEvents, limit: int) -> Selection | None:
    """The query over what a segment has; None where no event of it can match."""
    after, before = query.after, query.before
    if query.since_us or query.until_us:
        minutes = (query.since_us // MINUTE_US, (query.until_us or FOREVER_US) // MINUTE_US)
        first, last = connection.execute(queries.POSITIONS_OF_MINUTES, minutes).fetchone()
        if first is None:
            return None
        after = Position(max(after, first - 1))
        before = Position(min(before or last + 1, last + 1))
    types = _types(connection, query.types or ("#",))
    source = _source(connection, query.source)
    if types == () or source == 0:
        return None
    return Selection(
        limit=limit,
        is_newest_first=query.is_newest_first,
        types=types,
        source=source,
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


def _by_step(view: View, catalogue: Catalogue, since_us: int) -> dict[str, int]:
    ended = select(view, ReadEvents(types=(StepCompleted.wire_name,), limit=STEPS_MAX, since_us=since_us))
    counts: dict[str, int] = {}
    starts: dict[str, dict[int, int]] = {}
    for stored in ended:
        step = _recorded(catalogue, stored).event
        assert isinstance(step, StepCompleted), "selected by type"
        if step.task not in starts:
            starts[step.task] = _first_starts(view, catalogue, step.task, stored.position)
        first = starts[step.task].get(step.attempt, stored.position)
        events = 0
        for connection in view.between(first - 1, stored.position + 1):
            events += connection.execute(queries.COUNT_OF_TASK, (step.task, first, stored.position)).fetchone()[0]
        counts.setdefault(f"{step.task}/{step.attempt}", events)
    return counts


def _first_starts(view: View, catalogue: Catalogue, task: TaskId, end: Position) -> dict[int, int]:
    """By attempt: the position of its first step.started; a restart records further ones."""
    found: dict[int, int] = {}
    wanted = ReadEvents(
        types=(StepStarted.wire_name,),
        task=task,
        after=Position(max(0, end - STEP_EVENTS_MAX)),
        before=end,
        limit=EVENTS_LIMIT_MAX,
        is_newest_first=False,
    )
    for stored in select(view, wanted):
        step = _recorded(catalogue, stored).event
        assert isinstance(step, StepStarted), "selected by type"
        found.setdefault(step.attempt, stored.position)
    return found
