"""Ollama's native dialect."""

import orjson
import pytest

from actors.providers.dialect import ModelReply, ProviderFault
from actors.providers.ollama import decode, encode, first_model
from actors.providers.options import ProviderOptions
from actors.rules.cascade import ErrorClass
from tests.actors.providers.replies import PROMPT, reply

OPTIONS = ProviderOptions(name="o", dialect="ollama", base_url="http://127.0.0.1:11434/", model="tiny")
WHOLE: dict[str, object] = {
    "model": "llama3.2",
    "created_at": "2026-01-01T00:00:00Z",
    "message": {"role": "assistant", "content": "Fine.", "thinking": "How am I?"},
    "done": True,
    "done_reason": "stop",
    "total_duration": 5191566416,
    "prompt_eval_count": 26,
    "eval_count": 298,
}


def test_a_prompt_is_asked_without_a_stream_and_with_its_limit() -> None:
    request = encode(OPTIONS, "", PROMPT)
    body = orjson.loads(request.body)
    assert request.url == "http://127.0.0.1:11434/api/chat"
    assert request.headers == {"content-type": "application/json"}
    assert (body["model"], body["stream"], body["options"]) == ("tiny", False, {"num_predict": 64})
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "user"]


def test_a_key_for_a_gateway_goes_into_a_header() -> None:
    assert encode(OPTIONS, "k", PROMPT).headers["authorization"] == "Bearer k"


def test_a_whole_reply_is_an_answer_without_its_thinking() -> None:
    assert decode(PROMPT, reply(WHOLE)) == ModelReply("Fine.", "llama3.2", 26, 298, "stop")
    assert decode(PROMPT, reply(WHOLE | {"done_reason": "length"})).finish_reason == "length"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"done": False}, ErrorClass.TRUNCATED),
        ({"done_reason": None}, ErrorClass.TRUNCATED),
        ({"done_reason": "load"}, ErrorClass.GARBAGE),
        ({"message": None}, ErrorClass.GARBAGE),
        ({"message": {"content": ""}}, ErrorClass.EMPTY),
        ({"message": {}}, ErrorClass.EMPTY),
        ({"message": "Fine."}, ErrorClass.GARBAGE),
    ],
)
def test_what_is_not_a_whole_answer_is_a_fault(change: dict[str, object], error: ErrorClass) -> None:
    with pytest.raises(ProviderFault) as fault:
        decode(PROMPT, reply(WHOLE | change))
    assert fault.value.error is error


def test_a_model_that_is_not_there_is_unknown() -> None:
    with pytest.raises(ProviderFault, match="model 'x' not found") as fault:
        decode(PROMPT, reply({"error": "model 'x' not found"}, 404))
    assert fault.value.error is ErrorClass.UNKNOWN_MODEL


def test_the_first_listed_model_is_found() -> None:
    assert first_model(b'{"models": [{"name": "a:latest"}, {"name": "b"}]}') == "a:latest"
    assert [first_model(body) for body in (b'{"models": []}', b"{}", b"Ollama is running", b"\xff")] == [""] * 4
