"""What a client of Anthropic's dialect asks, read."""

import pytest

from bus.messages.base import AgentId
from bus.messages.completions import ChatMessage, Complete, Image, Tool, ToolCall
from bus.refusals import InvalidField
from web.messages_body import MessagesBody, command_of
from web.wire import decode


def read(body: bytes) -> Complete:
    return command_of(decode(body, MessagesBody), AgentId("x"))


def test_a_conversation_with_tools_and_images_is_understood() -> None:
    asked = read(
        b'{"max_tokens": 9, "model": "m",'
        b'"system": [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief."}],'
        b'"tools": [{"name": "look", "input_schema": {"type":"object"}}],'
        b'"tool_choice": {"type": "tool", "name": "look", "disable_parallel_tool_use": true},'
        b'"messages": [{"role": "user", "content": [{"type": "text", "text": "See: "},'
        b'{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]},'
        b'{"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"},'
        b'{"type": "text", "text": "I look."}, {"type": "tool_use", "id": "c", "name": "look", "input": {"a":1}}]},'
        b'{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c",'
        b' "content": [{"type": "text", "text": "A cat."}]}, {"type": "text", "text": "And?"}]}]}'
    )
    assert asked.messages == (
        ChatMessage("system", "Be\n\nbrief."),
        ChatMessage("user", "See: ", images=(Image("image/png", "AAAA", 5),)),
        ChatMessage("assistant", "I look.", (ToolCall("c", "look", '{"a":1}'),)),
        ChatMessage("tool", "A cat.", tool_call="c"),
        ChatMessage("user", "And?"),
    )
    assert asked.tools == (Tool("look", "", '{"type":"object"}'),)
    assert (asked.tool_choice, asked.has_parallel_calls, asked.tokens_max, asked.model) == ("look", False, 9, "m")


@pytest.mark.parametrize(("given", "choice"), [("auto", "auto"), ("any", "required"), ("none", "none")])
def test_a_choice_of_tools_has_agoras_name(given: str, choice: str) -> None:
    assert read(b'{"max_tokens":1,"messages":[],"tool_choice":{"type":"%s"}}' % given.encode()).tool_choice == choice


def test_a_schema_reaches_the_cascade() -> None:
    body = (
        b'{"max_tokens":1,"messages":[],"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}}'
    )
    assert read(body).schema == '{"type":"object"}'


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"messages": []}', "max_tokens"),
        (b'{"max_tokens":1,"messages":[],"deadline_s":0}', "deadline_s"),
        (b'{"max_tokens":1,"messages":[],"tools":[{"type":"web_search_20250305","name":"w"}]}', "tools.0.type"),
        (b'{"max_tokens":1,"messages":[],"system":[{"type":"image"}]}', "system"),
        (
            b'{"max_tokens":1,"messages":[{"role":"user","content":[{"type":"document"}]}]}',
            "messages.0.content",
        ),
        (
            b'{"max_tokens":1,"messages":[{"role":"user","content":[{"type":"image","source":'
            b'{"type":"url","url":"https://x/y.png"}}]}]}',
            "messages.0.content",
        ),
    ],
)
def test_what_is_not_understood_is_refused_and_nothing_is_fetched(body: bytes, path: str) -> None:
    with pytest.raises(InvalidField) as refused:
        read(body)
    assert refused.value.path == path
