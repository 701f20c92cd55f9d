"""What is being said, as whoever watches may see it."""

from collections.abc import Mapping

import pytest

from actors.providers.calls import Call
from actors.providers.settings import RouterOptions
from actors.providers.showing import TAIL_CHARACTERS, Showing
from actors.providers.streams import Stream
from bus.address import Address
from bus.messages.base import CompletionId
from bus.messages.completions import ChatMessage, Complete, Privacy

AUDIENCE = Address("audience")
KEY = "sk-of-the-operator"


def speaking(text: str, privacy: Privacy = "any") -> Call:
    call = Call(Complete((ChatMessage("user", "x"),), 1, 1.0, privacy=privacy), 0.0)
    call.completion, call.stream = CompletionId("m-1"), Stream()
    call.say(1, text)
    return call


def showing(options: RouterOptions | None = None, environment: Mapping[str, str] | None = None) -> Showing:
    return Showing(AUDIENCE, options or RouterOptions(), environment or {})


@pytest.mark.parametrize(
    ("privacy", "log_local", "allowed"),
    [("any", False, True), ("any", True, True), ("local", False, False), ("local", True, True)],
)
def test_local_words_are_shown_only_where_they_may_be_kept(privacy: Privacy, log_local: bool, allowed: bool) -> None:
    call = speaking("All is well.", privacy)
    assert showing(RouterOptions(log_local=log_local)).allows(call) is allowed
    changed = showing()
    changed.reconfigure(RouterOptions(log_local=log_local))
    assert changed.allows(call) is allowed


def test_nothing_is_shown_to_nobody_or_of_what_has_no_name_yet() -> None:
    call = speaking("All is well.")
    assert not Showing(None, RouterOptions(), {}).allows(call)
    call.completion = CompletionId("")
    assert not showing().allows(call)


def test_the_end_of_what_was_said_is_shown_and_how_much_it_was() -> None:
    words = showing().words(speaking("word " * 1_000), is_over=True)
    assert (words.completion, words.characters, words.is_over) == ("m-1", 5_000, True)
    assert words.tail.endswith("word ")
    assert len(words.tail) <= TAIL_CHARACTERS


@pytest.mark.parametrize("is_over", [True, False])
def test_what_is_not_kept_is_not_shown(is_over: bool) -> None:
    shown = showing(RouterOptions(log_redact=("[0-9]{4}",)), {"OPENAI_API_KEY": KEY})
    words = shown.words(speaking(f"the key is {KEY} and the code 1234. That is all there is to say."), is_over=is_over)
    assert KEY not in words.tail
    assert "1234" not in words.tail
