"""What can be asked of the journal, as units of work on a reading thread.

Rules: a read goes from segment to segment, in the order of the answer, and ends where the page is full: positions do
not overlap, so nothing is merged. It sees what was committed when it began. Pages are cut by position and never by an
offset; a page says how far it has looked, matching or not, so that whoever pages on misses nothing and sees nothing
twice.
"""

import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from bus.address import Address
from bus.codec import Catalogue
from bus.envelope import OwnEvents, Recorded, StoredEvent
from bus.messages.agents import StepCompleted, StepStarted
from bus.messages.base import Event, Position, TaskId
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
from storage.boxes import has_box
from storage.columns import events_of, own_of
from storage.errors import CorruptDatabase
from storage.files import Files, Known
from storage.keys import KEYS_NAME, Opener, opened, opener_of
from storage.layout import Layout, Segment
from storage.queries import Selection
from storage.times import Times
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

_Row = tuple[Position, int, int, int, int, Position, str, Position, bytes, bytes | None]
"""As `queries.select_recorded` gives it."""
_OwnBatch = tuple[Position, Position, str, bytes, bytes | None]
"""As `queries.OWN_EVENTS` gives it."""
_Step = tuple[TaskId, int, int | None, int, int]
"""Task and attempt, first and last position, and the events of the task from one to the other."""


class View(msgspec.Struct, frozen=True):
    """The journal as one read sees it."""

    files: Files
    layout: Layout
    catalogue: Catalogue | None = None
    """Where there is one, events are read with the fields that their types have today."""

    @property
    def head(self) -> Position:
        """The last committed position."""
        last = self.layout.open
        (head,) = self.files.get(self.layout.path(last)).execute(queries.HEAD).fetchone()
        return Position(max(head, last.first - 1))

    @property
    def keys_path(self) -> Path:
        """The file with the keys of personal text."""
        return self.layout.directory.parent / KEYS_NAME

    def events(self, rows: sqlite3.Cursor) -> list[StoredEvent]:
        """Rows as events, with their personal text where it was not redacted. Raises CorruptDatabase."""
        return self.today([StoredEvent(*row) for row in rows])

    def today(self, events: Iterable[StoredEvent]) -> list[StoredEvent]:
        """Rows as they are to be read today: opened and upcast. Raises CorruptDatabase."""
        found = opened(self.files, self.keys_path, events)
        return found if self.catalogue is None else list(map(self.catalogue.upcast, found))

    def between(self, after: int, before: int, *, is_newest_first: bool = False) -> Iterator[sqlite3.Connection]:
        """Connections to the segments that may hold a position between two exclusive bounds, one after another."""
        for path in self.paths(after, before, is_newest_first=is_newest_first):
            yield self.files.get(path)

    def paths(self, after: int, before: int, *, is_newest_first: bool = False) -> Iterator[Path]:
        """The files of these segments."""
        for segment in self.layout.between(after, before, is_newest_first=is_newest_first):
            yield self.layout.path(segment)


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


def read_page(view: View, query: ReadEvents, *, is_raw: bool = False) -> EventPage:
    """The page that a query asks for; a raw one as the rows are stored."""
    head = view.head
    before = Position(min(query.before or head + 1, head + 1))
    events = select(view, msgspec.structs.replace(query, before=before), is_raw=is_raw)
    if len(events) == query.limit:
        scanned = events[-1].position
    elif query.is_newest_first:
        scanned = Position(min(query.after + 1, head))
    else:
        scanned = Position(max(query.after, before - 1))
    return EventPage(events, scanned, head)


def read_recorded(view: View, catalogue: Catalogue, query: ReadEvents) -> Sequence[Recorded]:
    """Events as actors see them: decoded, upcast, with their sealed fields. Raises UndecodableEvent, UnknownEvent."""
    found: list[Recorded] = []
    opener = opener_of(view.files, view.keys_path)
    for path in view.paths(query.after, query.before, is_newest_first=query.is_newest_first):
        connection = view.files.get(path)
        selection = _selection(view, path, query, query.limit - len(found))
        if selection is not None:
            statement, parameters = queries.select_recorded(selection)
            rows: Sequence[_Row] = connection.execute(statement, parameters).fetchall()
            found += _decoded(catalogue, opener, rows, view.files.known(path))
            if len(found) == query.limit:
                break
    return found


def read_own(view: View, catalogue: Catalogue, source: Address, after: Position, limit: int) -> OwnEvents | None:
    """The next events of one source, decoded and upcast; None where there are no more. Raises as `read_recorded`."""
    events: list[Event] = []
    last, cursor = after, Position(0)
    opener = opener_of(view.files, view.keys_path)
    for path in view.paths(after, 0):
        connection = view.files.get(path)
        wanted = (_source(connection, source) or 0, after, limit - len(events))
        found: _OwnBatch = connection.execute(queries.OWN_EVENTS, wanted).fetchone()
        if found[0] is not None:
            last, cursor = found[:2]
            events += _own(catalogue, opener, view.files.known(path), wanted, found)
            if len(events) == limit:
                break
    return OwnEvents(events, last, cursor) if events else None


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


def select(view: View, query: ReadEvents, *, is_raw: bool = False) -> tuple[StoredEvent, ...]:
    """The events that a query asks for, from whichever segments they are in."""
    found: list[StoredEvent] = []
    opened_data = None if is_raw else opener_of(view.files, view.keys_path).data
    for path in view.paths(query.after, query.before, is_newest_first=query.is_newest_first):
        selection = _selection(view, path, query, query.limit - len(found))
        if selection is not None:
            statement, parameters = queries.select_in_columns(selection)
            cells = view.files.get(path).execute(statement, parameters).fetchone()
            try:
                found += events_of(*cells, opened=opened_data) if cells[0] is not None else ()
            except ValueError as error:
                raise CorruptDatabase(path, f"a row of it is none of ours: {error}") from error
            if len(found) == query.limit:
                break
    return tuple(found if is_raw or view.catalogue is None else map(view.catalogue.upcast, found))


def _selection(view: View, path: Path, query: ReadEvents, limit: int) -> Selection | None:
    """The query over what a segment has; None where no event of it can match."""
    connection = view.files.get(path)
    after, before = query.after, query.before
    if query.since_us or query.until_us:
        first, last = _window(connection, view.files.known(path).times, query.since_us, query.until_us or FOREVER_US)
        if first > last:
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


def _window(connection: sqlite3.Connection, times: Times, since_us: int, until_us: int) -> tuple[int, int]:
    """The first and the last position that may be of a window of time; the first is beyond the last where none is.

    The clock may have been set back: every minute of the window is looked at, and only the dense ends of it closely.
    """
    ends = (since_us // MINUTE_US, (until_us - 1) // MINUTE_US)
    row = connection.execute(queries.MINUTES_OF_WINDOW, ends).fetchone()
    begin_first, begin_last, later_first, end_first, end_last, earlier_last = row
    firsts = [later_first] if later_first is not None else []
    lasts = [earlier_last] if earlier_last is not None else []
    if begin_first is not None:
        firsts.append(times.lowest(connection, begin_first, begin_last, since_us))
    if end_first is not None:
        lasts.append(times.highest(connection, end_first, end_last, until_us))
    return min(firsts, default=FOREVER_US), max(lasts, default=0)


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


def _decoded(catalogue: Catalogue, opener: Opener, rows: Sequence[_Row], known: Known) -> list[Recorded]:
    """The rows as actors see them, one by one: to sort them by type first costs more than decoding many at once saves.

    Raises UndecodableEvent, UnknownEvent.
    """
    found: list[Recorded] = []
    decode, types, sources = catalogue.decode, known.types, known.sources
    for position, time_us, type_, version, source, cause, correlation, cursor, data, sealed in rows:
        opened_data = opener.data(data) if has_box(data) else data
        try:
            event = decode(types[type_], version, opened_data, sealed)
        except (msgspec.DecodeError, ValueError) as error:
            raise UndecodableEvent(position, str(error)) from error
        found.append(Recorded(event, position, time_us, Address(sources[source]), cause, correlation, cursor))
    return found


def _own(
    catalogue: Catalogue, opener: Opener, known: Known, wanted: tuple[int, int, int], found: _OwnBatch
) -> list[Event]:
    """The events alone. Raises UndecodableEvent, UnknownEvent, CorruptDatabase."""
    events: list[Event] = []
    decoders: dict[tuple[int, int], Callable[[bytes], Event]] = {}
    try:
        for type_, version, data, sealed in own_of(*found[2:]):
            opened_data = opener.data(data) if has_box(data) else data
            if sealed is not None:
                events.append(catalogue.decode(known.types[type_], version, opened_data, sealed))
                continue
            decode = decoders.get((type_, version))
            if decode is None:
                decode = decoders[type_, version] = catalogue.decoder(known.types[type_], version)
            events.append(decode(opened_data))
    except (msgspec.DecodeError, ValueError) as error:
        (position,) = known.connection.execute(queries.OWN_POSITION, (*wanted, len(events))).fetchone() or found[:1]
        raise UndecodableEvent(position, str(error)) from error
    return events


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
    counts: dict[str, int] = {}
    for segment in reversed(view.layout.segments):
        if segment.state == "open" or segment.ended_us > since_us:
            for task, attempt, first, last, events in _steps(view, segment, since_us, STEPS_MAX - len(counts)):
                if first is None or (first == last and last - STEP_EVENTS_MAX < segment.first):
                    # It began in an earlier segment, or was recorded by an older program.
                    attempt, events = _counted(view, catalogue, Position(last))  # noqa: PLW2901  # seen more closely
                counts.setdefault(f"{task}/{attempt}", events)
        if len(counts) >= STEPS_MAX:
            break
    return counts


def _steps(
    view: View, segment: Segment, since_us: int, limit: int
) -> Sequence[tuple[TaskId, int, int | None, int, int]]:
    """The last steps that ended in a segment: task, attempt, first and last position, and events from one to the other.

    The first is None of what is not written as today, and the last where the step did not begin in this segment.
    """
    path = view.layout.path(segment)
    connection = view.files.get(path)
    first, _ = _window(connection, view.files.known(path).times, since_us, FOREVER_US)
    names = (StepCompleted.wire_name, StepStarted.wire_name)
    parameters = (*names, first, since_us, limit, STEP_EVENTS_MAX)
    return connection.execute(queries.STEPS, parameters).fetchall()


def _counted(view: View, catalogue: Catalogue, last: Position) -> tuple[int, int]:
    """The attempt of the step that ended at a position, and its events, in whichever segments they are."""
    (stored,) = select(view, ReadEvents(after=Position(last - 1), before=Position(last + 1)))
    step = _recorded(catalogue, stored).event
    assert isinstance(step, StepCompleted), "selected by type"
    first = _first_starts(view, catalogue, step.task, last).get(step.attempt, last)
    connections = view.between(first - 1, last + 1)
    found = [one.execute(queries.COUNT_OF_TASK, (step.task, first, last)).fetchone() for one in connections]
    return step.attempt, sum(events for (events,) in found)


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
