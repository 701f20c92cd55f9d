"""The dialect of /chat/completions, as its many speakers speak it."""

import orjson
import pytest

from actors.providers.dialect import ModelReply, ProviderFault
from actors.providers.openai import decode, encode
from actors.providers.options import ProviderOptions
from actors.rules.cascade import ErrorClass
from tests.actors.providers.replies import PROMPT, reply

OPTIONS = ProviderOptions(name="o", dialect="openai", base_url="http://127.0.0.1:8000/v1/", model="tiny")


def chat(message: object, finish_reason: str | None = "stop", **more: object) -> dict[str, object]:
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29}
    return {"id": "x", "model": "big-1", "choices": [choice], "usage": usage, **more}


def test_a_prompt_is_asked_without_a_stream_and_with_its_limit() -> None:
    request = encode(OPTIONS, "k", PROMPT)
    body = orjson.loads(request.body)
    assert request.url == "http://127.0.0.1:8000/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer k"
    assert (body["model"], body["max_tokens"], body["stream"]) == ("tiny", 64, False)
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert "authorization" not in encode(OPTIONS, "", PROMPT).headers


def test_openai_itself_gets_the_newer_name_of_the_limit() -> None:
    options = ProviderOptions(name="o", dialect="openai", base_url="https://api.openai.com/v1", model="m")
    body = orjson.loads(encode(options, "k", PROMPT).body)
    assert body["max_completion_tokens"] == 64
    assert "max_tokens" not in body


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "Fine."},
        {"role": "assistant", "content": "Fine.", "reasoning_content": "How am I?", "tool_calls": None},
        {"content": "<think>How am I?</think>\nFine."},
        {"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": "Fine."}]},
    ],
)
def test_a_whole_reply_is_an_answer_without_its_reasoning(message: object) -> None:
    assert decode(PROMPT, reply(chat(message))) == ModelReply("Fine.", "big-1", 19, 10, "stop")


@pytest.mark.parametrize(
    ("given", "reason"), [("stop", "stop"), ("eos", "stop"), ("length", "length"), ("max_tokens", "length")]
)
def test_finish_reasons_have_one_name(given: str, reason: str) -> None:
    assert decode(PROMPT, reply(chat({"content": "Fine."}, given))).finish_reason == reason


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (chat({"content": "Fi"}, None), ErrorClass.TRUNCATED),
        (chat({"content": ""}), ErrorClass.EMPTY),
        (chat({"content": None, "reasoning": "long thoughts"}, "length"), ErrorClass.EMPTY),
        (chat({"content": "F"}, "content_filter"), ErrorClass.FILTERED),
        (chat({"content": None}, "tool_calls"), ErrorClass.EMPTY),
        (chat(None), ErrorClass.GARBAGE),
        (chat({"content": 5}), ErrorClass.GARBAGE),
        ({"choices": []}, ErrorClass.GARBAGE),
        ({"choices": None}, ErrorClass.GARBAGE),
        ([], ErrorClass.GARBAGE),
        (b"", ErrorClass.GARBAGE),
        ({"error": {"code": 429, "message": "rate limited upstream"}}, ErrorClass.THROTTLED),
        ({"error": {"code": "server_error", "message": "oops"}}, ErrorClass.SERVER),
        ({"error": "oops"}, ErrorClass.SERVER),
    ],
)
def test_what_is_not_a_whole_answer_is_a_fault(body: object, error: ErrorClass) -> None:
    with pytest.raises(ProviderFault) as fault:
        decode(PROMPT, reply(body))
    assert fault.value.error is error


def test_usage_that_is_missing_is_estimated() -> None:
    assert decode(PROMPT, reply(chat({"content": "Fine."}, usage=None))).is_usage_estimated
