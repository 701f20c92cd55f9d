"""Events as JSON, times, filters, and errors that name the path."""

import msgspec
import pytest

from bus.messages.base import AgentId, Position, TaskId
from bus.messages.system import EventPage, SystemInfo
from bus.messages.tasks import BidSubmitted, TaskSpec
from bus.refusals import InvalidField, Malformed
from tests.web.support import stored
from web.ring import Entry
from web.wire import Filter, WireEvent, check_patterns, decode, encode_event, encode_page, parse_time, timestamp


def test_an_event_is_shaped_like_a_cloud_event_and_its_sealed_fields_stay() -> None:
    bid = BidSubmitted(TaskId("t-1"), AgentId("scout"), 1, 424_242)
    text = encode_event(stored(7, bid, correlation="c-1"), 3)
    assert b"424242" not in text
    assert msgspec.json.decode(text) == {
        "position": 7,
        "id": "3-7",
        "type": "bid.submitted",
        "source": "coordinator",
        "subject": "t-1",
        "time": "2025-06-15T15:06:40.000007Z",
        "data": {"task": "t-1", "agent": "scout", "attempt": 1},
        "cause": 6,
        "correlation": "c-1",
        "task": "t-1",
        "agent": "scout",
    }
    assert msgspec.json.decode(text, type=WireEvent).position == 7


def test_a_page_embeds_its_events() -> None:
    page = EventPage((stored(1, SystemInfo("x")), stored(2, SystemInfo("y"))), Position(2), Position(9))
    body = msgspec.json.decode(encode_page(page, 1, Position(2)))
    assert [event["position"] for event in body["events"]] == [1, 2]
    assert (body["scanned"], body["head"], body["epoch"], body["next"]) == (2, 9, 1, 2)
    assert msgspec.json.decode(encode_page(EventPage((), Position(0), Position(0)), 1, None))["events"] == []


@pytest.mark.parametrize(
    ("time_us", "text"),
    [(0, "1970-01-01T00:00:00.000000Z"), (1_750_000_000_123_456, "2025-06-15T15:06:40.123456Z")],
)
def test_a_time_is_rfc_3339_and_back(time_us: int, text: str) -> None:
    assert timestamp(time_us) == text
    assert parse_time("since", text) == time_us
    assert parse_time("since", str(time_us)) == time_us


def test_a_time_may_have_another_zone() -> None:
    assert parse_time("since", "1970-01-01T01:00:00+01:00") == 0


@pytest.mark.parametrize("text", ["", "yesterday", "2025-06-15", "2025-06-15T15:06:40", "-5", "9" * 30])
def test_what_is_no_time_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidField, match="since"):
        parse_time("since", text)


@pytest.mark.parametrize(
    ("wanted", "is_match"),
    [
        (Filter(), True),
        (Filter(topics=("task.*",)), True),
        (Filter(topics=("agent.#", "task.created")), True),
        (Filter(topics=("agent.#",)), False),
        (Filter(types=("task.failed",)), False),
        (Filter(topics=("task.*",), types=("task.failed",)), False),
        (Filter(task="t-1", agent="scout", source="coordinator"), True),
        (Filter(task="t-2"), False),
        (Filter(agent="sage"), False),
        (Filter(source="ledger"), False),
        (Filter(run="main", correlation="c-1"), True),
        (Filter(run="r-2"), False),
        (Filter(correlation="c-2"), False),
    ],
)
def test_a_filter_matches_when_all_its_parts_do(wanted: Filter, is_match: bool) -> None:
    entry = Entry("task.created", "coordinator", "t-1", "scout", "main", "c-1", b"")
    assert wanted.matches(entry) is is_match


def test_the_journal_is_asked_for_all_that_a_filter_says_between_two_positions_that_are_both_in_it() -> None:
    wanted = Filter(
        topics=("task.*",), types=("task.failed",), task="t-1", agent="a", source="s", run="r", correlation="c"
    )
    asked = wanted.from_journal(Position(5), Position(9), 100)
    assert (asked.types, asked.task, asked.agent, asked.source) == (("task.*",), "t-1", "a", "s")
    assert (asked.run, asked.correlation, asked.limit, asked.is_newest_first) == ("r", "c", 100, False)
    assert (asked.after, asked.before) == (4, 10), "bounds of a query are not in it"


@pytest.mark.parametrize("pattern", ["", "a b", "task.", ".task", "task.<b>", "x" * 129])
def test_what_is_no_pattern_is_refused_with_its_place(pattern: str) -> None:
    with pytest.raises(InvalidField) as caught:
        check_patterns("type", ("task.*", pattern))
    assert caught.value.path == "type[1]"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"{}", "title"),
        (b'{"title":5}', "title"),
        (b'{"title":"x","colour":1}', "colour"),
        (b'{"title":"x","reward_msat":1.5}', "reward_msat"),
        (b"[]", "the body"),
    ],
)
def test_a_wrong_field_is_named(body: bytes, path: str) -> None:
    with pytest.raises(InvalidField) as caught:
        decode(body, TaskSpec)
    assert caught.value.path == path


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"nope", b'{"title":"\xff"}'])
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed, match="is not JSON"):
        decode(body, TaskSpec)
