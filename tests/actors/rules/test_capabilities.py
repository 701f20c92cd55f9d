"""Who can do what a request needs."""

import pytest

from actors.rules.capabilities import needed, refusal
from bus.messages.completions import ChatMessage, Complete, Image, Tool

PLAIN = (ChatMessage("user", "x"),)
SEEN = (ChatMessage("user", "x", images=(Image("image/png", "AAAA"),)),)


@pytest.mark.parametrize(
    ("asked", "needs"),
    [
        (Complete(PLAIN, 1, 1.0), ()),
        (Complete(PLAIN, 1, 1.0, tools=(Tool("t"),)), ("tools",)),
        (Complete(SEEN, 1, 1.0, schema="{}"), ("vision", "json")),
    ],
)
def test_what_a_request_needs_is_read_off_it(asked: Complete, needs: tuple[str, ...]) -> None:
    assert needed(asked) == needs


def test_one_who_lacks_nothing_is_enough() -> None:
    assert refusal(("tools",), {"a": ("tools",), "b": ()}) is None
    assert refusal((), {}) is None


def test_the_refusal_names_what_nobody_has() -> None:
    refused = refusal(("tools", "vision"), {"a": ("vision",), "b": ("tools", "vision")})
    assert refused is not None
    assert (refused.capability, refused.reason) == ("vision", "a has no vision; b has no tools and no vision")


def test_where_nobody_has_all_of_it_the_refusal_names_all() -> None:
    refused = refusal(("tools", "vision"), {"a": ("vision",), "b": ("tools",)})
    assert refused is not None
    assert refused.capability == "tools and vision"
