"""Anthropic's dialect."""

import orjson
import pytest

from actors.providers.anthropic import VERSION, decode, encode
from actors.providers.dialect import ModelReply, Prompt, ProviderFault
from actors.providers.options import ProviderOptions
from actors.rules.cascade import ErrorClass
from bus.messages.completions import ChatMessage
from tests.actors.providers.replies import PROMPT, reply

OPTIONS = ProviderOptions(name="a", dialect="anthropic", base_url="https://api.anthropic.com", model="tiny")
WHOLE: dict[str, object] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "thinking", "thinking": "How am I?"}, {"type": "text", "text": "Fine."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 12, "cache_read_input_tokens": 3, "output_tokens": 6},
}


def test_system_messages_travel_apart_and_the_key_in_its_header() -> None:
    request = encode(OPTIONS, "k", PROMPT)
    body = orjson.loads(request.body)
    assert request.url == "https://api.anthropic.com/v1/messages"
    assert (request.headers["x-api-key"], request.headers["anthropic-version"]) == ("k", VERSION)
    assert (body["system"], body["max_tokens"], body["model"]) == ("Be brief.", 64, "tiny")
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]


def test_neighbours_of_one_role_are_joined_and_no_system_is_sent_without_one() -> None:
    prompt = Prompt((ChatMessage("user", "One."), ChatMessage("user", "Two.")), tokens_max=1, model="m")
    request = encode(OPTIONS, "", prompt)
    body = orjson.loads(request.body)
    assert body["messages"] == [{"role": "user", "content": "One.\n\nTwo."}]
    assert "system" not in body
    assert "x-api-key" not in request.headers


def test_a_whole_reply_is_an_answer_without_its_thinking() -> None:
    assert decode(PROMPT, reply(WHOLE)) == ModelReply("Fine.", "claude", 15, 6, "stop")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
    ],
)
def test_finish_reasons_have_one_name(given: str, reason: str) -> None:
    assert decode(PROMPT, reply(WHOLE | {"stop_reason": given})).finish_reason == reason


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"stop_reason": None}, ErrorClass.TRUNCATED),
        ({"stop_reason": "refusal"}, ErrorClass.FILTERED),
        ({"stop_reason": "pause_turn"}, ErrorClass.GARBAGE),
        ({"content": []}, ErrorClass.EMPTY),
        ({"content": [{"type": "thinking", "thinking": "…"}]}, ErrorClass.EMPTY),
        ({"content": None}, ErrorClass.GARBAGE),
        ({"content": "Fine."}, ErrorClass.GARBAGE),
    ],
)
def test_what_is_not_a_whole_answer_is_a_fault(change: dict[str, object], error: ErrorClass) -> None:
    with pytest.raises(ProviderFault) as fault:
        decode(PROMPT, reply(WHOLE | change))
    assert fault.value.error is error


def test_usage_that_is_missing_is_estimated() -> None:
    assert decode(PROMPT, reply(WHOLE | {"usage": None})).is_usage_estimated


def test_an_overloaded_provider_is_in_trouble() -> None:
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    with pytest.raises(ProviderFault, match="Overloaded") as fault:
        decode(PROMPT, reply(body, 529))
    assert fault.value.error is ErrorClass.SERVER
