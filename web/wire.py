"""What goes over the wire: events as JSON, times, and typed reading of what clients send.

Rules: an event is encoded once, with the journal's bytes as they are; sealed fields are never part of it. What a
client sends is parsed into types at the edge, and an error names the path of the field.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol, TypeVar

import msgspec

from bus.envelope import StoredEvent
from bus.messages.base import Microseconds, Position
from bus.messages.system import EventChain, EventPage, ReadEvents
from bus.refusals import InvalidField, Malformed
from bus.topics import is_valid_pattern, matches_any

T = TypeVar("T")

WHOLE = "the body"
"""The path of what is wrong as a whole."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PATTERNS_MAX = 64
"""Patterns in one filter: more than there are event types is a mistake."""


class WireEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event in the shape of a CloudEvent. `id` is its epoch and position, `data` its fields."""

    position: Position
    id: str
    type: str
    source: str
    subject: str
    time: str
    """RFC 3339, UTC, microseconds."""
    data: msgspec.Raw
    cause: Position
    correlation: str
    task: str = ""
    agent: str = ""
    run: str = ""
    """The run that it names; one that names none is of the run whose journal it is."""


class Attributes(Protocol):
    """What an event is filtered by."""

    @property
    def type(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def agent(self) -> str: ...
    @property
    def run(self) -> str: ...
    @property
    def correlation(self) -> str: ...


class Filter(msgspec.Struct, frozen=True):
    """Which events a subscriber wants. Empty fields match all; hashable, so that equal filters share frames."""

    topics: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    task: str = ""
    agent: str = ""
    source: str = ""
    run: str = ""
    correlation: str = ""

    def matches(self, event: Attributes) -> bool:
        """Whether an event with these attributes is wanted."""
        return (
            (not self.task or self.task == event.task)
            and (not self.agent or self.agent == event.agent)
            and (not self.source or self.source == event.source)
            and (not self.run or self.run == event.run)
            and (not self.correlation or self.correlation == event.correlation)
            and self.matches_type(event.type)
        )

    def matches_type(self, type_: str) -> bool:
        """Whether events of a type are wanted, whatever else there is to say of them."""
        return (not self.topics or matches_any(self.topics, type_)) and (
            not self.types or matches_any(self.types, type_)
        )

    def from_journal(self, first: Position, head: Position, limit: int) -> ReadEvents:
        """What asks the journal for them, from one position to another.

        It looks at one list of types: who has two asks `matches_type` of what comes back.
        """
        return ReadEvents(
            types=self.topics or self.types,
            source=self.source,
            task=self.task,
            agent=self.agent,
            run=self.run,
            correlation=self.correlation,
            after=Position(first - 1),
            before=Position(head + 1),
            limit=limit,
            is_newest_first=False,
        )


_encoder = msgspec.json.Encoder()


def encode(value: object) -> bytes:
    """JSON of a message or of plain data."""
    return _encoder.encode(value)


def encode_event(event: StoredEvent, epoch: int) -> bytes:
    """The event as clients see it."""
    return _encoder.encode(
        WireEvent(
            position=event.position,
            id=f"{epoch}-{event.position}",
            type=event.type,
            source=event.source,
            subject=event.subject,
            time=timestamp(event.time_us),
            data=msgspec.Raw(event.data),
            cause=event.cause,
            correlation=event.correlation,
            task=event.task,
            agent=event.agent,
            run=event.run,
        )
    )


def encode_page(page: EventPage, epoch: int, next_: Position | None) -> bytes:
    """A page of a query as clients see it."""
    events = b",".join(encode_event(event, epoch) for event in page.events)
    tail = _encoder.encode({"scanned": page.scanned, "head": page.head, "epoch": epoch, "next": next_})
    return b'{"events":[' + events + b"]," + tail[1:]


def encode_chain(chain: EventChain, epoch: int) -> bytes:
    """An event with its causes, the nearest first, and its effects, as clients see them."""
    causes, effects = (
        msgspec.Raw(b"[" + b",".join(encode_event(event, epoch) for event in events) + b"]")
        for events in (chain.causes, chain.effects)
    )
    event = msgspec.Raw(encode_event(chain.event, epoch))
    whole = {"event": event, "causes": causes, "effects": effects, "is_whole": chain.is_whole, "head": chain.head}
    return _encoder.encode(whole)


def timestamp(time_us: Microseconds) -> str:
    """RFC 3339 in UTC with microseconds."""
    seconds, micros = divmod(time_us, 1_000_000)
    return f"{_second(seconds)}.{micros:06d}Z"


def parse_time(path: str, text: str) -> Microseconds:
    """Microseconds of an RFC 3339 time or a plain number of microseconds. Raises InvalidField."""
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidField(path, "is neither an RFC 3339 time nor microseconds since 1970") from error
    if time.tzinfo is None:
        raise InvalidField(path, "has no time zone; add Z for UTC")
    return (time - EPOCH) // timedelta(microseconds=1)


def check_patterns(path: str, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The patterns, if they are all valid. Raises InvalidField."""
    if len(patterns) > PATTERNS_MAX:
        raise InvalidField(path, f"has more than {PATTERNS_MAX} patterns")
    for index, pattern in enumerate(patterns):
        if len(pattern) > 128 or not is_valid_pattern(pattern):
            raise InvalidField(f"{path}[{index}]", "is not an event type or a pattern of words, * and #")
    return patterns


def decode(body: bytes | msgspec.Raw, kind: type[T], path: str = "") -> T:
    """What a client sent, as a type. Raises Malformed when it is not JSON, InvalidField when a field is wrong."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _invalid(str(error), path) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(path or WHOLE, "is not JSON") from error


def _invalid(text: str, path: str) -> InvalidField:
    """msgspec says `Expected ... - at $.a.b`; clients read the path first."""
    reason, _, where = text.partition(" - at `$")
    inner = where.rstrip("`").lstrip(".")
    named = re.search(r"(?:unknown|required) field `([^`]*)`", reason)
    if named:
        inner = f"{inner}.{named[1]}" if inner else named[1]
        reason = "is not known" if "unknown" in reason else "is required"
    full = f"{path}.{inner}" if path and inner else path or inner or WHOLE
    return InvalidField(full, reason[0].lower() + reason[1:])


@lru_cache(maxsize=1_024)
def _second(seconds: int) -> str:
    return (EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
