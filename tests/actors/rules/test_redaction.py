"""Which words of a completion are not kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.rules.redaction import MARK, Redactor, check

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
