"""Words in two halves: both give the words back, one of them gives nothing."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from actors.rules.veils import lifted, veiled

KEY, OTHER = "5" * 64, "6" * 64
WORDS = st.lists(st.text(st.characters(codec="utf-8"), max_size=80), max_size=4).map(tuple)


@given(WORDS)
def test_both_halves_give_the_words_back(words: tuple[str, ...]) -> None:
    assert lifted(veiled(words, KEY), KEY) == words


@given(WORDS.filter(lambda words: len("".join(words)) > 8))
def test_another_key_gives_nothing(words: tuple[str, ...]) -> None:
    assert lifted(veiled(words, KEY), OTHER) is None


def test_the_public_half_does_not_hold_the_words() -> None:
    public = base64.b64decode(veiled(("the vault is under the lime tree",), KEY))
    assert b"vault" not in public
    assert b"lime" not in public


def test_equal_words_look_different_under_different_keys() -> None:
    assert veiled(("the same",), KEY) != veiled(("the same",), OTHER)


def test_a_redacted_half_gives_nothing() -> None:
    assert lifted("[redacted]", KEY) is None
    assert lifted("", KEY) is None
    assert lifted("AAAA", KEY) is None
