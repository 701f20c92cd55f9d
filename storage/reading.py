"""What can be asked of the journal, as units of work on a reading thread.

Rules: a read goes from segment to segment, in the order of the answer, and ends where the page is full: positions do
not overlap, so nothing is merged. It sees what was committed when it began. Pages are cut by position and never by an
offset; a page says how far it has looked, matching or not, so that whoever pages on misses nothing and sees nothing
twice.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Self

import msgspec
from msgspec.structs import replace

from bus.address import Address
from bus.codec import Catalogue
from bus.envelope import OwnEvents, Recorded, StoredEvent
from bus.messages.base import Event, Position
from bus.messages.system import EVENTS_LIMIT_MAX, EventPage, ReadEvents
from bus.refusals import InvalidField
from bus.topics import is_valid_pattern, matches_any
from storage import queries
from storage.boxes import has_box
from storage.cells import checked
from storage.columns import Cells, events_of, own_of
from storage.errors import CorruptDatabase
from storage.files import Known
from storage.keyring import KeyedFiles, Keyring
from storage.keys import KEYS_NAME, Opener, opener_of
from storage.layout import Layout, Segment
from storage.queries import Selection
from storage.times import FOREVER_US

PATTERNS_MAX = 64
"""Type patterns of one query; the catalogue has about as many types."""
JOURNALS_KEPT = 64
"""Journals whose paths are remembered: far more than a process reads."""
_StoredRow = tuple[
    Position, int, str, int, str, str, str, str, str, str, Position, Position, bytes, bytes | None, bytes
]
"""The fields of `StoredEvent`."""
_Row = tuple[Position, int, int, int, int, Position, str, Position, bytes, bytes | None]
"""As `queries.select_recorded` gives it."""


class _OwnPart(NamedTuple):
    """Rows of one source in one segment, as `queries.OWN_EVENTS` gives them."""

    segment: Segment
    types: Mapping[int, str]
    wanted: tuple[int, int, int]
    last: Position
    cursor: Position
    numbers: str
    data: bytes
    sealed: bytes | None


class OwnRows(NamedTuple):
    """A batch of one source's events, not decoded yet."""

    parts: Sequence[_OwnPart]
    position: Position
    """That of the last."""
    cursor: Position
    is_full: bool
    """Whether there may be more."""


class View(msgspec.Struct, frozen=True):
    """The journal as one read sees it."""

    files: KeyedFiles
    layout: Layout
    head: Position
    """The last position that was committed when the read began; the layout is not older."""
    catalogue: Catalogue | None = None
    """Where there is one, events are read with the fields that their types have today."""

    @classmethod
    def look(cls, files: KeyedFiles, layout: Layout, catalogue: Catalogue | None = None) -> Self:
        """A view of what another process may be writing: its files say how far it has come. Raises FileGone."""
        last = layout.open
        (head,) = files.get(layout.path(last)).execute(queries.HEAD).fetchone()
        view = cls(files, layout, Position(max(head, last.first - 1)), catalogue)
        files.forget([view.keys_path])
        return view

    @property
    def keys_path(self) -> Path:
        """The file with the keys of personal text."""
        return _beside(self.layout.directory)

    def events(self, rows: sqlite3.Cursor) -> list[StoredEvent]:
        """Rows as events, with their personal text where it was not redacted. Raises CorruptDatabase."""
        path = self.layout.directory
        return self.today([StoredEvent(*row) for row in checked(rows.fetchall(), list[_StoredRow], path)])

    def today(self, events: Iterable[StoredEvent]) -> list[StoredEvent]:
        """Rows as they are to be read today: opened and upcast. Raises CorruptDatabase."""
        data = self.keyring().data
        found = [replace(event, data=data(event.data)) if has_box(event.data) else event for event in events]
        return found if self.catalogue is None else self.catalogue.today(found)

    def keyring(self) -> Keyring:
        """What opens boxes for this read."""
        return self.files.keyring(self.keys_path)

    def segments(self, after: int, before: int, *, is_newest_first: bool = False) -> Iterable[Segment]:
        """Those that may hold a position between two exclusive bounds, one after another."""
        return self.layout.between(after, before, is_newest_first=is_newest_first)

    def known(self, segment: Segment) -> Known:
        """The connection to a segment, and what is remembered of it. Raises FileGone."""
        return self.files.known(self.layout.path(segment))

    def upto(self, segment: Segment) -> Position:
        """The last position of a segment that this read may see."""
        return self.head if segment.state == "open" else segment.last


@lru_cache(JOURNALS_KEPT)
def _beside(segments: Path) -> Path:
    """The same one each time: who keeps keyrings by their paths compares no texts."""
    return segments.parent / KEYS_NAME


class UndecodableEvent(ValueError):
    """A row's bytes are not the event that its type and version say."""

    def __init__(self, position: Position, reason: str) -> None:
        super().__init__(reason)
        self.position = position
        self.reason = reason


def decoded(catalogue: Catalogue, stored: StoredEvent) -> Event:
    """What a row says. Raises UndecodableEvent, UnknownEvent."""
    try:
        return catalogue.decode(stored.type, stored.version, stored.data, stored.sealed)
    except (msgspec.DecodeError, ValueError) as error:
        raise UndecodableEvent(stored.position, str(error)) from error


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


def read_page(view: View, query: ReadEvents, *, is_raw: bool = False) -> EventPage:
    """The page that a query asks for; a raw one as the rows are stored."""
    head = view.head
    before = Position(min(query.before or head + 1, head + 1))
    events = select(view, replace(query, before=before), is_raw=is_raw)
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
    for segment in view.segments(query.after, query.before, is_newest_first=query.is_newest_first):
        known = view.known(segment)
        selection = _selection(known, segment, query, query.limit - len(found), view.upto(segment))
        if selection is not None:
            statement, parameters = queries.select_recorded(selection)
            rows: list[_Row] = known.connection.execute(statement, parameters).fetchall()
            try:
                found += _decoded(catalogue, opener, rows, known)
            except (AttributeError, TypeError):
                checked(rows, list[_Row], known.path)  # to look at each before would cost every recovery
                raise
            if len(found) == query.limit:
                break
    return found


def fetch_own(view: View, source: Address, after: Position, limit: int) -> OwnRows | None:
    """The rows of the next events of one source, in one step of SQLite a segment; None where there are no more."""
    parts: list[_OwnPart] = []
    rows = 0
    for segment in view.segments(after, 0):
        known = view.known(segment)
        wanted = (known.sources.id(source) or 0, after, limit - rows)
        count, last, *cells = known.connection.execute(queries.OWN_EVENTS, wanted).fetchone()
        if count:
            names = dict(known.types.upto(max(last, view.upto(segment))))
            parts.append(_OwnPart(segment, names, wanted, last, *cells))
            rows += count
            if rows == limit:
                break
    return OwnRows(parts, parts[-1].last, parts[-1].cursor, rows == limit) if parts else None


def decode_own(view: View, catalogue: Catalogue, rows: OwnRows) -> OwnEvents:
    """The events of rows that any thread has read. Raises UndecodableEvent, UnknownEvent, CorruptDatabase."""
    opener = opener_of(view.files, view.keys_path)
    events = [event for part in rows.parts for event in _own(view, catalogue, opener, part)]
    return OwnEvents(events, rows.position, rows.cursor)


def begin_own(
    view: View, catalogue: Catalogue, source: Address, after: Position, limit: int
) -> OwnRows | OwnEvents | None:
    """The next events of one source. A full batch comes as rows: the next one is read while these are decoded."""
    rows = fetch_own(view, source, after, limit)
    return rows if rows is None or rows.is_full else decode_own(view, catalogue, rows)


def read_own(view: View, catalogue: Catalogue, source: Address, after: Position, limit: int) -> OwnEvents | None:
    """The next events of one source, decoded and upcast; None where there are no more. Raises as `decode_own`."""
    rows = fetch_own(view, source, after, limit)
    return None if rows is None else decode_own(view, catalogue, rows)


def select(view: View, query: ReadEvents, *, is_raw: bool = False) -> tuple[StoredEvent, ...]:
    """The events that a query asks for, from whichever segments they are in."""
    found: list[StoredEvent] = []
    opened = None if is_raw else view.keyring().data
    for segment in view.segments(query.after, query.before, is_newest_first=query.is_newest_first):
        known = view.known(segment)
        selection = _selection(known, segment, query, query.limit - len(found), view.upto(segment))
        if selection is not None and not known.has_none_of(selection):
            statement, parameters = queries.select_in_columns(selection)
            cells = known.connection.execute(statement, parameters).fetchone()
            if cells[0] is not None:
                found += _page(known, cells, opened)
            elif segment.state != "open":
                known.note_none_of(selection)
            if len(found) == query.limit:
                break
    return tuple(found if is_raw or view.catalogue is None else view.catalogue.today(found))


def _page(known: Known, cells: Cells, opened: Callable[[bytes], bytes] | None) -> list[StoredEvent]:
    try:
        return events_of(cells, known.types.__getitem__, known.sources.__getitem__, opened=opened)
    except ValueError as error:
        raise CorruptDatabase(known.path, f"a row of it is none of ours: {error}") from error


def _selection(known: Known, segment: Segment, query: ReadEvents, limit: int, upto: Position) -> Selection | None:
    """The query over what a segment has up to a position; None where no event of it can match.

    A bound that lies beyond the segment is none: the same question is the same selection, whatever came since.
    """
    after = query.after if query.after >= segment.first else Position(0)
    before = query.before if segment.state == "open" or query.before <= segment.last else Position(0)
    if query.since_us or query.until_us:
        until_us = query.until_us or FOREVER_US
        try:
            first, last = known.times.window(known.connection, query.since_us, until_us, upto)
        except msgspec.DecodeError as error:
            raise CorruptDatabase(known.path, f"a row of it is none of ours: {error}") from error
        if first > last:
            return None
        after = Position(max(after, first - 1))
        before = Position(min(before or last + 1, last + 1))
    types = _types(known, query.types, upto)
    source = known.sources.id(query.source) if query.source else None
    if types == () or (query.source and source is None):
        return None
    return Selection(
        limit=limit,
        is_newest_first=query.is_newest_first,
        types=types,
        source=source,
        task=query.task,
        agent=query.agent,
        run=query.run,
        is_own_run=query.is_own_run,
        correlation=query.correlation,
        after=after,
        before=before,
        since_us=query.since_us,
        until_us=query.until_us,
    )


def _types(known: Known, patterns: tuple[str, ...], upto: Position) -> tuple[int, ...] | None:
    """The ids of the types that match; None where all do."""
    if not patterns or "#" in patterns:
        return None
    if not any("*" in pattern or "#" in pattern for pattern in patterns):
        ids = {known.types.id(name) for name in patterns}
        return tuple(sorted(id_ for id_ in ids if id_ is not None))
    names = known.types.upto(upto)
    found = tuple(id_ for id_, name in names.items() if matches_any(patterns, name))
    return None if names and len(found) == len(names) else found


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


def _own(view: View, catalogue: Catalogue, opener: Opener, part: _OwnPart) -> list[Event]:
    events: list[Event] = []
    decoders: dict[tuple[int, int], Callable[[bytes], Event]] = {}
    try:
        for type_, version, data, sealed in own_of(part.numbers, part.data, part.sealed):
            opened_data = opener.data(data) if has_box(data) else data
            decode = decoders.get((type_, version))
            if decode is None:
                if type_ not in part.types:
                    raise CorruptDatabase(view.layout.path(part.segment), f"the name of a type is missing ({type_})")
                decode = decoders[type_, version] = catalogue.decoder(part.types[type_], version)
            events.append(
                decode(opened_data)
                if sealed is None
                else catalogue.decode(part.types[type_], version, opened_data, sealed)
            )
    except (msgspec.DecodeError, ValueError) as error:
        connection = view.known(part.segment).connection
        row = connection.execute(queries.OWN_POSITION, (*part.wanted, len(events))).fetchone()
        raise UndecodableEvent(row[0] if row is not None else part.last, str(error)) from error
    return events
