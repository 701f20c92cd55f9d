"""Tool calls, images and their answers: the same conversation in every dialect, and the same calls back."""

import orjson
import pytest

from actors.providers import anthropic, gemini, ollama, openai
from actors.providers.dialect import ModelReply, Prompt, ProviderFault
from actors.providers.options import DialectName, ProviderOptions
from actors.providers.streaming import CALLS_MAX, Dialect, Draft, StreamReader
from actors.rules.cascade import ErrorClass
from bus.messages.completions import ChatMessage, Image, Tool, ToolCall
from tests.actors.providers.replies import PROMPT, reply
from tests.support.model_replies import Called, streamed_tool_reply, tool_reply

BY_NAME: dict[DialectName, Dialect] = {
    "openai": openai.DIALECT,
    "anthropic": anthropic.DIALECT,
    "gemini": gemini.DIALECT,
    "ollama": ollama.DIALECT,
}
PATHS: dict[DialectName, str] = {
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/m:streamGenerateContent",
    "ollama": "/api/chat",
}
CALLED = (Called("c1", "look", {"at": "the sky", "deep": {"n": [1, 2]}}), Called("c2", "say", {}))
HAS_IDS = ("openai", "anthropic")


def wanted(dialect: DialectName) -> tuple[ToolCall, ...]:
    ids = [call.id for call in CALLED] if dialect in HAS_IDS else ["call_4_0", "call_4_1"]
    return tuple(ToolCall(id_, call.name, call.text) for id_, call in zip(ids, CALLED, strict=True))


def read_stream(dialect: DialectName, pieces: list[bytes]) -> ModelReply:
    reader = StreamReader(PROMPT, BY_NAME[dialect].follow)
    said = "".join(reader.feed(piece) for piece in pieces)
    assert said == ""
    return reader.end()[1]


@pytest.mark.parametrize("dialect", BY_NAME)
def test_calls_are_the_same_in_every_dialect_whole_or_streamed(dialect: DialectName) -> None:
    whole = BY_NAME[dialect].decode(PROMPT, reply(tool_reply(PATHS[dialect], CALLED)))
    streamed = read_stream(dialect, streamed_tool_reply(PATHS[dialect], CALLED))
    assert whole.tool_calls == streamed.tool_calls == wanted(dialect)
    assert (whole.text, whole.finish_reason) == (streamed.text, streamed.finish_reason) == ("", "tool_calls")
    assert (whole.tokens_in, whole.tokens_out) == (streamed.tokens_in, streamed.tokens_out) == (10, 5)


@pytest.mark.parametrize("cut", [1, 7, 50])
@pytest.mark.parametrize("dialect", BY_NAME)
def test_a_streamed_call_is_the_same_wherever_the_network_cuts_it(dialect: DialectName, cut: int) -> None:
    data = b"".join(streamed_tool_reply(PATHS[dialect], CALLED))
    pieces = [data[at : at + cut] for at in range(0, len(data), cut)]
    assert read_stream(dialect, pieces).tool_calls == wanted(dialect)


CONVERSATION = Prompt(
    (
        ChatMessage("system", "Be brief."),
        ChatMessage("user", "Here: . See?", images=(Image("image/png", "AAAA", 6),)),
        ChatMessage("assistant", "I look.", (ToolCall("c1", "look", '{"at":"sky"}'), ToolCall("c2", "say", "{}"))),
        ChatMessage("tool", "Blue.", tool_call="c1"),
        ChatMessage("tool", '{"said":true}', tool_call="c2"),
        ChatMessage("user", "And?"),
    ),
    tokens_max=9,
    model="m",
    tools=(Tool("look", "Looks.", '{"type":"object"}'), Tool("say")),
)
SCHEMA = {"type": "object"}
NOTHING = {"type": "object", "properties": {}}


def encoded(dialect: DialectName, prompt: Prompt = CONVERSATION) -> dict[str, object]:
    options = ProviderOptions(name="p", dialect=dialect, base_url="https://host", model="m")
    body: dict[str, object] = orjson.loads(BY_NAME[dialect].encode(options, "", prompt).body)
    return body


def test_openai_gets_parts_functions_and_tool_messages() -> None:
    body = encoded("openai")
    called = [
        {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at":"sky"}'}},
        {"id": "c2", "type": "function", "function": {"name": "say", "arguments": "{}"}},
    ]
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Here: "},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "text", "text": ". See?"},
            ],
        },
        {"role": "assistant", "content": "I look.", "tool_calls": called},
        {"role": "tool", "content": "Blue.", "tool_call_id": "c1"},
        {"role": "tool", "content": '{"said":true}', "tool_call_id": "c2"},
        {"role": "user", "content": "And?"},
    ]
    assert body["tools"] == [
        {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": SCHEMA}},
        {"type": "function", "function": {"name": "say", "parameters": NOTHING}},
    ]
    assert "tool_choice" not in body


def test_anthropic_gets_blocks_and_answers_of_tools_in_the_users_turn() -> None:
    body = encoded("anthropic")
    assert body["system"] == "Be brief."
    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Here: "},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "text", "text": ". See?"},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": "sky"}},
                {"type": "tool_use", "id": "c2", "name": "say", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "Blue."},
                {"type": "tool_result", "tool_use_id": "c2", "content": '{"said":true}'},
                {"type": "text", "text": "And?"},
            ],
        },
    ]
    assert body["tools"] == [
        {"name": "look", "description": "Looks.", "input_schema": SCHEMA},
        {"name": "say", "description": "", "input_schema": NOTHING},
    ]
    assert body["tool_choice"] == {"type": "auto"}


def test_gemini_gets_parts_and_answers_by_the_tools_name() -> None:
    body = encoded("gemini")
    look = {"functionCall": {"name": "look", "args": {"at": "sky"}}}
    sign = {"thoughtSignature": "skip_thought_signature_validator"}
    assert body["contents"] == [
        {
            "role": "user",
            "parts": [
                {"text": "Here: "},
                {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                {"text": ". See?"},
            ],
        },
        {
            "role": "model",
            "parts": [{"text": "I look."}, look | sign, {"functionCall": {"name": "say", "args": {}}} | sign],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "look", "response": {"result": "Blue."}}},
                {"functionResponse": {"name": "say", "response": {"said": True}}},
            ],
        },
        {"role": "user", "parts": [{"text": "And?"}]},
    ]
    assert body["tools"] == [
        {
            "functionDeclarations": [
                {"name": "look", "description": "Looks.", "parametersJsonSchema": SCHEMA},
                {"name": "say", "description": "", "parametersJsonSchema": NOTHING},
            ]
        }
    ]


def test_an_older_gemini_gets_no_signature() -> None:
    prompt = Prompt(CONVERSATION.messages, 9, "gemini-2.5-flash")
    assert "thoughtSignature" not in str(encoded("gemini", prompt))


def test_ollama_gets_images_beside_the_text_and_arguments_as_objects() -> None:
    messages = encoded("ollama")["messages"]
    assert messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Here: . See?", "images": ["AAAA"]},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"function": {"name": "look", "arguments": {"at": "sky"}}},
                {"function": {"name": "say", "arguments": {}}},
            ],
        },
        {"role": "tool", "content": "Blue.", "tool_name": "look"},
        {"role": "tool", "content": '{"said":true}', "tool_name": "say"},
        {"role": "user", "content": "And?"},
    ]


@pytest.mark.parametrize(
    ("dialect", "choice", "key", "said"),
    [
        ("openai", "none", "tool_choice", "none"),
        ("openai", "required", "tool_choice", "required"),
        ("openai", "say", "tool_choice", {"type": "function", "function": {"name": "say"}}),
        ("anthropic", "none", "tool_choice", {"type": "none"}),
        ("anthropic", "required", "tool_choice", {"type": "any", "disable_parallel_tool_use": True}),
        ("anthropic", "say", "tool_choice", {"type": "tool", "name": "say", "disable_parallel_tool_use": True}),
        ("gemini", "none", "toolConfig", {"functionCallingConfig": {"mode": "NONE"}}),
        ("gemini", "required", "toolConfig", {"functionCallingConfig": {"mode": "ANY"}}),
        (
            "gemini",
            "say",
            "toolConfig",
            {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["say"]}},
        ),
        ("ollama", "none", "tools", None),
    ],
)
def test_the_choice_of_a_tool_is_said_in_each_dialects_words(
    dialect: DialectName, choice: str, key: str, said: object
) -> None:
    prompt = Prompt(PROMPT.messages, 9, "m", tools=CONVERSATION.tools, tool_choice=choice, has_parallel_calls=False)
    body = encoded(dialect, prompt)
    assert body.get(key) == said
    assert body.get("parallel_tool_calls", True) is (dialect != "openai")


def test_arguments_that_come_as_an_object_or_not_at_all_become_text() -> None:
    calls = [{"function": {"name": "a", "arguments": {"x": 1}}}, {"function": {"name": "b", "arguments": None}}, {}]
    body = {"choices": [{"message": {"tool_calls": calls}, "finish_reason": "stop"}]}
    found = openai.decode(PROMPT, reply(body))
    assert [(call.name, call.arguments) for call in found.tool_calls] == [("a", '{"x":1}'), ("b", "{}"), ("", "{}")]
    assert (found.finish_reason, found.tool_calls[0].id) == ("tool_calls", "call_4_0")


def test_streamed_calls_without_a_number_or_with_one_for_all_are_told_apart_by_their_ids() -> None:
    draft = Draft(PROMPT)
    for number, id_, text in ((None, "a", "{"), (None, "", "}"), (0, "b", "{}"), (0, "c", '{"n":1}'), (0, "", " ")):
        draft.call(number, id_).arguments.append(text)
    assert [(call.id, call.arguments) for call in draft.tool_calls] == [("a", "{}"), ("b", "{}"), ("c", '{"n":1}')]


def test_an_answer_that_calls_tools_without_end_is_garbage() -> None:
    draft = Draft(PROMPT)
    for number in range(CALLS_MAX):
        draft.call(number, "")
    with pytest.raises(ProviderFault) as fault:
        draft.call(CALLS_MAX, "")
    assert fault.value.error is ErrorClass.GARBAGE


def test_a_gateway_that_gives_the_whole_input_at_once_is_understood() -> None:
    events = [
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "tool_use", "id": "x", "name": "t", "input": {"a": 1}},
        },
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 1}},
    ]
    found = read_stream("anthropic", [b"data: " + orjson.dumps(event) + b"\n\n" for event in events])
    assert found.tool_calls == (ToolCall("x", "t", '{"a":1}'),)
