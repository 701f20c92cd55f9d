"""Which words of a completion are not kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.rules.redaction import LIVE_MAX, MARK, Redactor, check

KEY = "not-a-known-shape-but-secret"
REDACTOR = Redactor((r"\b\d{3}-\d{2}-\d{4}\b",), ("password", "api_key"), (KEY, "short"))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"the key is {KEY}.", f"the key is {MARK}."),
        ("sk-" + "x" * 24, MARK),
        ("authorization: Bearer abcdefghijklmnopqrstuv", f"authorization: {MARK}"),
        ("my number is 123-45-6789", f"my number is {MARK}"),
        ('{"password": "hunter2 and more", "user": "x"}', f'{{"password": "{MARK}", "user": "x"}}'),
        ("API_KEY=abc; next", f"API_KEY={MARK}; next"),
        ("password: 'it''s'", f"password: '{MARK}''s'"),
        ("a short word stays", "a short word stays"),
        ("the password was forgotten", "the password was forgotten"),
    ],
)
def test_a_secret_leaves_a_mark_and_the_rest_stays(text: str, kept: str) -> None:
    assert REDACTOR.text(text) == kept


def test_every_text_of_a_tree_is_redacted_and_the_value_of_a_named_field_whole() -> None:
    tree = {"messages": [{"content": f"{KEY}!"}], "n": 3, "arguments": {"Password": "two words"}, "none": None}
    assert REDACTOR.tree(tree) == {
        "messages": [{"content": f"{MARK}!"}],
        "n": 3,
        "arguments": {"Password": MARK},
        "none": None,
    }


@given(st.text(), st.text())
def test_a_key_is_never_kept_whatever_stands_around_it(before: str, after: str) -> None:
    assert KEY not in REDACTOR.text(before + KEY + after)


def test_without_names_and_expressions_only_keys_go() -> None:
    assert Redactor((), (), ()).text("password=x") == "password=x"


def test_an_expression_that_is_none_is_refused_by_its_words() -> None:
    with pytest.raises(ValueError, match=r"log_redact.*'\('.*no regular expression"):
        check(("fine", "("))


SPOKEN = "Zq1#Zq2 Zq3!Zq4-Zq5"
"""A secret with spaces: no piece of it that is as long as `Zq1` may be seen."""
LIVE = Redactor((r"\bcard Zq\d Zq\d\b",), ("password",), (SPOKEN,))


@pytest.mark.parametrize(
    "secret",
    [
        SPOKEN,
        "sk-Zq1234567890Zq1234567890",
        "Bearer   Zq1234567890Zq1234567890",
        'password: "Zq1 and Zq2, and more"',
        "password='Zq1",
        "Password=Zq1",
        "card Zq1 Zq2",
    ],
)
@given(before=st.text("a .\n", max_size=8), after=st.text("b .\n", max_size=8), size_max=st.integers(1, 60))
def test_no_piece_of_a_secret_is_shown_while_it_is_said(secret: str, before: str, after: str, size_max: int) -> None:
    text = f"{before} {secret} {after}"
    for size in range(len(text)):
        assert "Zq" not in LIVE.tail(text[:size], size_max)
    if not secret.endswith("Zq1") or secret.startswith("Password"):
        assert "Zq" not in LIVE.tail(text, size_max, is_over=True)


@given(st.text("abc ", max_size=80))
def test_words_without_a_secret_are_shown_once_they_are_whole_and_all_of_them_at_the_end(text: str) -> None:
    plain = Redactor((), ("password",), ("not-in-here-at-all",))
    shown = plain.tail(text, 1_000)
    assert text.startswith(shown)
    assert len(text) - len(shown) <= len(text.rsplit(" ", maxsplit=1)[-1])
    assert plain.tail(text, 1_000, is_over=True) == text


def test_of_a_long_answer_only_the_end_is_looked_at_and_nothing_is_shown_that_could_begin_within_a_secret() -> None:
    words = "word " * (LIVE_MAX // 5 + 10)
    assert LIVE.tail(words, 10, is_over=True) == "word word "
    secrets = f"{SPOKEN} " * (LIVE_MAX // len(SPOKEN) + 10)
    assert LIVE.tail(secrets, 600, is_over=True) in {"", (f"{MARK} " * 100)[-600:]}
