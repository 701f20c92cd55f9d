"""The dialect of Gemini."""

import msgspec
import orjson
import pytest

from actors.providers import gemini
from actors.providers.dialect import ProviderFault
from actors.providers.options import ProviderOptions
from actors.rules.cascade import ErrorClass
from tests.actors.providers.replies import PROMPT, reply

OPTIONS = ProviderOptions(name="x", dialect="gemini", base_url="https://host/", model="m")


def whole(finish: str | None = "STOP", parts: list[object] | None = None) -> dict[str, object]:
    content = {"role": "model", "parts": [{"text": "Fine."}] if parts is None else parts}
    return {
        "candidates": [{"content": content, "finishReason": finish}],
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 3},
        "modelVersion": "m-001",
    }


def test_the_system_travels_apart_and_the_assistant_is_the_model() -> None:
    request = gemini.encode(OPTIONS, "key", PROMPT)
    body = orjson.loads(request.body)
    assert request.url == "https://host/v1beta/models/tiny:generateContent"
    assert request.headers["x-goog-api-key"] == "key"
    assert [turn["role"] for turn in body["contents"]] == ["user", "model", "user"]
    assert body["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert body["generationConfig"] == {"maxOutputTokens": 64}


def test_a_stream_a_schema_and_settings_are_asked_for_in_its_words() -> None:
    prompt = msgspec.structs.replace(PROMPT, is_streamed=True, schema='{"a":1}', temperature=0.5, stop=("x",))
    request = gemini.encode(OPTIONS, "", prompt)
    assert request.url.endswith(":streamGenerateContent?alt=sse")
    config = orjson.loads(request.body)["generationConfig"]
    assert (config["responseJsonSchema"], config["temperature"], config["stopSequences"]) == ({"a": 1}, 0.5, ["x"])


def test_an_answer_is_what_is_no_thought_and_thoughts_are_counted() -> None:
    parts: list[object] = [{"text": "Hm.", "thought": True}, {"text": "Fi"}, {"text": "ne."}]
    answer = gemini.decode(PROMPT, reply(whole(parts=parts)))
    assert (answer.text, answer.model, answer.tokens_in, answer.tokens_out) == ("Fine.", "m-001", 9, 7)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (whole(None), ErrorClass.TRUNCATED),
        (whole("SAFETY"), ErrorClass.FILTERED),
        (whole("TURNED_BLUE"), ErrorClass.GARBAGE),
        (whole(parts=[]), ErrorClass.EMPTY),
        ({"candidates": []}, ErrorClass.GARBAGE),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, ErrorClass.FILTERED),
    ],
)
def test_what_is_no_answer_has_a_class(body: dict[str, object], error: ErrorClass) -> None:
    with pytest.raises(ProviderFault) as fault:
        gemini.decode(PROMPT, reply(body))
    assert fault.value.error is error
