"""Single fields."""

import pytest

from actors.rules.fields import check_id, check_integer, check_line, check_seconds, check_text, shorten
from bus.refusals import InvalidField


@pytest.mark.parametrize("value", ["treasury", "agents/scout", "t-1", "A.b_c:d@e+f", "x" * 128])
def test_a_sane_id_is_taken_as_it_is(value: str) -> None:
    assert check_id("spec.poster", value) == value


@pytest.mark.parametrize("value", ["", " a", "a b", "/a", "-a", "a\n", "ä", "x" * 129, "a\x00"])
def test_an_id_of_another_shape_is_refused_with_the_fields_path(value: str) -> None:
    with pytest.raises(InvalidField, match="must be") as refused:
        check_id("spec.poster", value)
    assert refused.value.path == "spec.poster"


def test_an_empty_id_is_taken_where_none_is_needed() -> None:
    assert check_id("spec.input", "", may_be_empty=True) == ""


def test_a_line_loses_the_white_space_around_it() -> None:
    assert check_line("title", "  Brief anyio \n", 200) == "Brief anyio"


@pytest.mark.parametrize(("value", "reason"), [(" \n", "is empty"), ("x" * 201, "longer"), ("\ud800", "Unicode")])
def test_a_line_that_is_empty_too_long_or_not_unicode_is_refused(value: str, reason: str) -> None:
    with pytest.raises(InvalidField, match=reason):
        check_line("title", value, 200)


def test_a_text_is_measured_as_the_journal_keeps_it() -> None:
    assert check_text("text", "x" * 10, 10)
    for value in ("x" * 11, "ä" * 6, "\x00" * 2, '"' * 6):
        with pytest.raises(InvalidField, match="longer than 10 bytes"):
            check_text("text", value, 10)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 60.1])
def test_a_time_that_is_not_finite_or_out_of_bounds_is_refused(value: float) -> None:
    with pytest.raises(InvalidField, match="from 0 to 60 seconds"):
        check_seconds("lease_s", value, 60.0)


def test_times_and_integers_at_their_bounds_are_taken() -> None:
    assert [check_seconds("lease_s", value, 60.0) for value in (0.0, 60.0)] == [0.0, 60.0]
    assert [check_integer("limit", value, 1, 3) for value in (1, 3)] == [1, 3]


@pytest.mark.parametrize("value", [0, 4, -(10**30)])
def test_an_integer_out_of_bounds_is_refused(value: int) -> None:
    with pytest.raises(InvalidField, match="from 1 to 3"):
        check_integer("limit", value, 1, 3)


def test_a_long_text_is_shortened_with_an_ellipsis_and_stays_unicode() -> None:
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abcdefg", 6) == "abcde…"
    assert shorten("a\ud800", 6) == "a?"
