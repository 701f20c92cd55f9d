"""Keys and what they were used for."""

import pytest

from actors.rules import idempotency
from actors.rules.idempotency import KEPT_US, KEYS_MAX, Keys, check_key, remember, subject_of
from bus.refusals import InvalidField


def test_a_key_leads_to_what_it_was_first_used_for() -> None:
    keys = Keys()
    remember(keys, "k", "t-1", 100)
    assert subject_of(keys, "k", 101) == "t-1"
    assert subject_of(keys, "other", 101) == ""


def test_no_key_is_never_remembered() -> None:
    keys = Keys()
    remember(keys, "", "t-1", 100)
    assert keys.uses == {}
    assert subject_of(keys, "", 100) == ""


def test_a_key_is_forgotten_after_a_day() -> None:
    keys = Keys()
    remember(keys, "k", "t-1", 100)
    assert subject_of(keys, "k", 99 + KEPT_US) == "t-1"
    assert subject_of(keys, "k", 100 + KEPT_US) == ""


def test_old_keys_go_when_a_new_one_comes() -> None:
    keys = Keys()
    for n in range(3):
        remember(keys, f"old-{n}", "t-1", n)
    remember(keys, "new", "t-2", 2 + KEPT_US)
    assert list(keys.uses) == ["new"]


def test_a_forgotten_key_that_is_used_again_is_young_again() -> None:
    keys = Keys()
    remember(keys, "k", "t-1", 0)
    remember(keys, "other", "t-2", KEPT_US // 2)
    remember(keys, "k", "t-3", KEPT_US + 1)
    assert subject_of(keys, "k", KEPT_US + 2) == "t-3"
    assert list(keys.uses) == ["other", "k"]


def test_at_most_so_many_keys_are_kept_and_the_oldest_go_first() -> None:
    keys = Keys()
    for n in range(KEYS_MAX + 2):
        remember(keys, f"k-{n}", "t-1", 5)
    assert len(keys.uses) == KEYS_MAX
    assert next(iter(keys.uses)) == "k-2"


def test_a_key_must_be_a_short_line() -> None:
    assert check_key("") == ""
    assert check_key("order 7") == "order 7"
    for key in (" ", "x" * (idempotency.KEY_CHARS_MAX + 1)):
        with pytest.raises(InvalidField, match="idempotency_key"):
            check_key(key)
