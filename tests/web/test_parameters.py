"""Query parameters: typed, bounded, refused by name."""

import pytest
from starlette.requests import Request

from bus.refusals import InvalidField
from web.parameters import Parameters


def parameters(query: str, *known: str) -> Parameters:
    scope = {"type": "http", "query_string": query.encode(), "headers": []}
    return Parameters(Request(scope), known)


def test_values_are_typed() -> None:
    found = parameters(
        "type=task.*,bid.#&type=agent.left&task=t-1&limit=5&after=7&minutes=1.5&since=1970-01-01T00:00:01Z",
        "type",
        "task",
        "limit",
        "after",
        "minutes",
        "since",
    )
    assert found.patterns("type") == ("task.*", "bid.#", "agent.left")
    assert found.text("task") == "t-1"
    assert found.limit() == 5
    assert found.position("after") == 7
    assert found.number("minutes", 60.0, 0.0, 100.0) == 1.5
    assert found.time("since") == 1_000_000


def test_what_is_not_given_has_its_default() -> None:
    found = parameters("", "type", "task", "limit", "after", "minutes", "since")
    assert found.patterns("type") == ()
    assert (found.text("task"), found.limit(), found.position("after"), found.time("since")) == ("", 50, 0, 0)
    assert found.number("minutes", 60.0, 0.0, 100.0) == 60.0
    assert not found.has("after")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=", "limit=-1", "limit=1&limit=2", "limit=²"]
)
def test_a_wrong_limit_is_refused_by_name(query: str) -> None:
    with pytest.raises(InvalidField) as caught:
        parameters(query, "limit").limit()
    assert caught.value.path == "limit"


@pytest.mark.parametrize("query", ["minutes=x", "minutes=nan", "minutes=inf", "minutes=-1"])
def test_a_wrong_number_is_refused_by_name(query: str) -> None:
    with pytest.raises(InvalidField, match="minutes"):
        parameters(query, "minutes").number("minutes", 60.0, 0.0, 100.0)


def test_an_unknown_parameter_is_refused_by_name() -> None:
    with pytest.raises(InvalidField, match="colour: is not known; there are limit, after"):
        parameters("colour=red", "limit", "after")


def test_a_text_is_bounded() -> None:
    with pytest.raises(InvalidField, match="longer than 256"):
        parameters("task=" + "x" * 257, "task").text("task")
