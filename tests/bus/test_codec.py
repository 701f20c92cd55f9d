"""Events to bytes and back."""

from typing import ClassVar

import msgspec
import pytest

from bus.codec import EVENT_BYTES_MAX, Attributes, Catalogue, EventTooLarge, UnknownEvent
from bus.envelope import StoredEvent
from bus.messages.base import AgentId, Event, Fields, Position, TaskId


class Noted(Event, frozen=True):
    """An event with the fields that the journal can be queried by."""

    wire_name = "test.noted"
    about = "task"

    task: TaskId
    agent: AgentId
    text: str = ""


class Bid(Event, frozen=True):
    """An event with a sealed field."""

    wire_name = "test.bid"
    sealed = ("price",)

    agent: AgentId
    price: int


def name_to_title(fields: Fields) -> Fields:
    return {"title": fields["name"]}


def add_size(fields: Fields) -> Fields:
    return {**fields, "size": len(fields["title"])}


class Renamed(Event, frozen=True):
    """An event whose fields have changed twice."""

    wire_name = "test.renamed"
    version: ClassVar[int] = 3
    upcasters = (name_to_title, add_size)

    title: str
    size: int


NOTED = Noted(TaskId("t-1"), AgentId("scout"), "as it is")
CATALOGUE = Catalogue((Noted, Bid, Renamed))


def stored(type_: str, version: int, data: bytes) -> StoredEvent:
    return StoredEvent(
        Position(1), 0, type_, version, "x", "", "", "", "", "", Position(0), Position(0), data, None, b""
    )


def test_stored_events_are_read_with_the_fields_of_today_and_unknown_ones_as_they_are() -> None:
    events = [
        stored("test.renamed", 1, b'{"name":"abc"}'),
        stored("test.noted", 1, b"{}"),
        stored("test.gone", 1, b"{}"),
        stored("test.renamed", 4, b"{}"),
    ]
    assert CATALOGUE.today(events) == [stored("test.renamed", 3, b'{"title":"abc","size":3}'), *events[1:]]


def test_an_event_comes_back_as_it_was() -> None:
    data, sealed = CATALOGUE.encode(NOTED)
    assert sealed is None
    assert CATALOGUE.decode("test.noted", 1, data) == NOTED


def test_a_sealed_field_is_kept_apart_and_merged_back() -> None:
    bid = Bid(AgentId("scout"), 42)
    data, sealed = CATALOGUE.encode(bid)
    assert (data, sealed) == (b'{"agent":"scout"}', b'{"price":42}')
    assert CATALOGUE.decode("test.bid", 1, data, sealed) == bid
    assert CATALOGUE.decode("test.bid", 1, b"{}", b'{"agent":"scout","price":42}') == bid
    assert CATALOGUE.decode("test.bid", 1, b'{"agent":"scout","price":42}', b"{}") == bid


def test_an_older_version_is_lifted_step_by_step() -> None:
    assert CATALOGUE.decode("test.renamed", 1, b'{"name":"abc"}') == Renamed("abc", 3)
    assert CATALOGUE.decode("test.renamed", 2, b'{"title":"abcd"}') == Renamed("abcd", 4)


@pytest.mark.parametrize(("type_", "version"), [("test.nothing", 1), ("test.noted", 2), ("test.noted", 0)])
def test_a_type_or_version_that_is_not_known_is_an_error(type_: str, version: int) -> None:
    with pytest.raises(UnknownEvent):
        CATALOGUE.decode(type_, version, b"{}")
    with pytest.raises(UnknownEvent):
        CATALOGUE.decoder(type_, version)(b"{}")


def test_a_decoder_reads_one_type_in_one_version_whichever_that_is() -> None:
    assert CATALOGUE.decoder("test.noted", 1)(CATALOGUE.encode(NOTED)[0]) == NOTED
    assert CATALOGUE.decoder("test.renamed", 1)(b'{"name":"abc"}') == Renamed("abc", 3)


def test_fields_that_are_not_the_events_are_an_error() -> None:
    with pytest.raises(msgspec.ValidationError):
        CATALOGUE.decode("test.noted", 1, b'{"task":"t-1","agent":"scout","more":1}')


def test_an_event_over_its_bound_is_an_error() -> None:
    with pytest.raises(EventTooLarge):
        CATALOGUE.encode(Noted(TaskId("t-1"), AgentId("scout"), "x" * EVENT_BYTES_MAX))


def test_the_attributes_are_those_that_an_event_has() -> None:
    assert CATALOGUE.attributes(NOTED) == Attributes(subject="t-1", task="t-1", agent="scout", run="")
    assert CATALOGUE.attributes(Renamed("a", 1)) == Attributes("", "", "", "")
    assert set(CATALOGUE.names) == {"test.noted", "test.bid", "test.renamed"}
