"""Events to bytes and back: names, versions, sealed fields and upcasters.

A stored event's meaning never changes. When a type's fields change, its `version` rises and an upcaster turns the
fields of the older version into those of the next; decoding applies them one after another.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from operator import attrgetter
from typing import get_args, get_type_hints

import msgspec
import orjson

from bus.envelope import EncodedEvent, Recorded, StoredEvent
from bus.errors import AgoraError
from bus.messages.base import BlobId, Event, Fields

EVENT_BYTES_MAX = 32 * 1024
"""A fact is small; what is larger belongs in a blob."""


class UnknownEvent(AgoraError):
    """A stored event has a type or version that this program does not know."""

    code = "unknown_event"

    def __init__(self, type_: str, version: int) -> None:
        super().__init__(f"event {type_} version {version} is not known to this program")
        self.type = type_
        self.version = version


class EventTooLarge(AgoraError):
    """An event is over its bound: a bug in the actor that made it."""

    code = "event_too_large"

    def __init__(self, type_: str, size_bytes: int) -> None:
        super().__init__(f"event {type_} has {size_bytes} bytes; {EVENT_BYTES_MAX} are allowed")
        self.type = type_
        self.size_bytes = size_bytes


class Attributes(msgspec.Struct, frozen=True):
    """What the journal can be queried by; empty where an event has no such field."""

    subject: str
    task: str
    agent: str
    run: str


class Catalogue:
    """The event types of a journal."""

    def __init__(self, events: Iterable[type[Event]]) -> None:
        self._types = {kind.wire_name: kind for kind in events}
        self._decoders = {name: msgspec.json.Decoder(kind) for name, kind in self._types.items()}
        self._versions = {name: kind.version for name, kind in self._types.items()}
        self._encoder = msgspec.json.Encoder()
        self._attributes = {kind: _attributes(kind) for kind in self._types.values()}

    def is_kept(self, type_: str) -> bool:
        """Whether events of the type stay for good."""
        return self._types[type_].is_kept

    @property
    def personal(self) -> dict[str, tuple[str, ...]]:
        """The fields with personal text, of the types that have any."""
        return {name: kind.personal for name, kind in self._types.items() if kind.personal}

    @property
    def with_blobs(self) -> tuple[str, ...]:
        """The types whose events may name blobs."""
        return tuple(name for name, kind in self._types.items() if _names_blobs(kind, set()))

    @property
    def names(self) -> tuple[str, ...]:
        """All type names."""
        return tuple(self._types)

    def encode(self, event: Event) -> tuple[bytes, bytes | None]:
        """The event's public fields and, where the type has any, its sealed ones, as JSON. Raises EventTooLarge."""
        data = self._encoder.encode(event)
        if len(data) > EVENT_BYTES_MAX:
            raise EventTooLarge(event.wire_name, len(data))
        if not event.sealed:
            return data, None
        public = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        sealed = {name: public.pop(name) for name in event.sealed}
        return self._encoder.encode(public), self._encoder.encode(sealed)

    def decode(self, type_: str, version: int, data: bytes, sealed: bytes | None = None) -> Event:
        """The event as it was, upcast to the current version. Raises UnknownEvent or msgspec.ValidationError."""
        kind = self._types.get(type_)
        if kind is None or version > kind.version:
            raise UnknownEvent(type_, version)
        if version == kind.version:
            return self._decoders[type_].decode(data if sealed is None else _joined(data, sealed))
        fields: Fields = orjson.loads(data)
        if sealed is not None:
            fields.update(orjson.loads(sealed))
        for old in range(version, kind.version):
            if not 1 <= old <= len(kind.upcasters):
                raise UnknownEvent(type_, old)
            fields = kind.upcasters[old - 1](fields)
        return msgspec.convert(fields, kind)

    def decoder(self, type_: str, version: int) -> Callable[[bytes], Event]:
        """Decodes events of that type and version that have no sealed fields, at less a piece. Raises UnknownEvent."""
        kind = self._types.get(type_)
        if kind is None or version > kind.version:
            raise UnknownEvent(type_, version)
        return self._decoders[type_].decode if version == kind.version else partial(self.decode, type_, version)

    def today(self, events: Iterable[StoredEvent]) -> list[StoredEvent]:
        """Stored events, each `upcast` where it was recorded with other fields than its type has today."""
        version_of = self._versions.get
        return [event if event.version >= version_of(event.type, 0) else self.upcast(event) for event in events]

    def upcast(self, stored: StoredEvent) -> StoredEvent:
        """A stored event with the fields that its type has today; the same where it has them.

        One of a type that is not known any more, or not yet, is left as it is: who reads it sees what was recorded.
        """
        kind = self._types.get(stored.type)
        if kind is None or stored.version >= kind.version:
            return stored
        data, sealed = self.encode(self.decode(stored.type, stored.version, stored.data, stored.sealed))
        return msgspec.structs.replace(stored, version=kind.version, data=data, sealed=sealed)

    def encode_record(self, record: Recorded) -> EncodedEvent:
        """The event and its place, ready for the row. Raises EventTooLarge, or what says that it has no encoding."""
        event = record.event
        data, sealed = self.encode(event)
        record.correlation.encode()  # the one text that comes from outside the event: SQLite takes no lone surrogate
        subject, task, agent, run = self._attributes[type(event)](event)
        return (
            record.position,
            record.time_us,
            event.wire_name,
            event.version,
            record.source,
            subject if type(subject) is str else str(subject),
            task if type(task) is str else str(task),
            agent if type(agent) is str else str(agent),
            run if type(run) is str else str(run),
            record.correlation,
            record.cause,
            record.cursor,
            data,
            sealed,
        )

    def attributes(self, event: Event) -> Attributes:
        """What the journal can query the event by."""
        subject, task, agent, run = self._attributes[type(event)](event)
        return Attributes(str(subject), str(task), str(agent), str(run))

    def blobs_of(self, event: Event) -> tuple[BlobId, ...]:
        """The blobs that the event names."""
        return tuple(_blobs_in(event, type(event)))


def _joined(data: bytes, sealed: bytes) -> bytes:
    """Public and sealed fields, both JSON objects, as one."""
    if b"{}" in (data, sealed):
        return sealed if data == b"{}" else data
    return b"%b,%b" % (data[:-1], sealed[1:])


def _names_blobs(annotation: object, seen: set[object]) -> bool:
    """Whether a value of that type may have a blob's name in it, however deep."""
    if annotation is BlobId:
        return True
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct) and annotation not in seen:
        seen.add(annotation)
        hints = get_type_hints(annotation)
        return any(_names_blobs(hints[name], seen) for name in annotation.__struct_fields__)
    return any(_names_blobs(one, seen) for one in get_args(annotation))


def _blobs_in(value: object, annotation: object) -> Iterator[BlobId]:
    """The names of blobs in a value of that type, however deep; an empty one is none."""
    if annotation is BlobId:
        if isinstance(value, str) and value:
            yield BlobId(value)
    elif isinstance(value, msgspec.Struct):
        hints = get_type_hints(type(value))
        for name in value.__struct_fields__:
            if _names_blobs(hints[name], set()):
                yield from _blobs_in(getattr(value, name), hints[name])
    elif isinstance(value, (tuple, list, dict)):
        for one in value.values() if isinstance(value, dict) else value:
            for inner in get_args(annotation):
                yield from _blobs_in(one, inner)
    elif value is not None:
        for inner in get_args(annotation):
            yield from _blobs_in(value, inner)


def _attributes(kind: type[Event]) -> Callable[[Event], tuple[object, ...]]:
    """Gives subject, task, agent and run of an event, in one step since every event pays for it."""
    fields = kind.__struct_fields__
    found: Callable[[Event], tuple[object, ...]] = attrgetter(
        *(name if name in fields else "nothing" for name in (kind.about, "task", "agent", "run"))
    )
    return found
