"""What a client of Anthropic's dialect asks, read."""

import pytest

from actors.rules.requests import check
from bus.messages.base import AgentId
from bus.messages.completions import ChatMessage, Complete, Image, Tool, ToolCall
from bus.refusals import InvalidField
from web.messages_body import MessagesBody, as_written, command_of
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
        (b'{"max_tokens":1,"messages":[],"tool_choice":{"type":"tool","name":"none"}}', "tool_choice.name"),
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


SAID = b'"messages":[{"role":"user","content":"Hello."}]'
ASKED_AND_ANSWERED = (
    b'"system":"Be brief.","messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"c"},'
    b'{"type":"text","text":"And?"}]},{"role":"user","content":"Hello."}]'
)
"""Nobody made the call that is answered here; in Agora's terms it is the second message of four."""
PICTURE_OF_AN_ASSISTANT = (
    b'"system":"Be brief.","messages":[{"role":"user","content":"Hello."},{"role":"assistant","content":'
    b'[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]}]'
)


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        (b'"max_tokens":0,' + SAID, "max_tokens"),
        (b'"max_tokens":9,"temperature":3,' + SAID, "temperature"),
        (b'"max_tokens":9,"stop_sequences":[%s],' % b",".join([b'"x"'] * 17) + SAID, "stop_sequences"),
        (b'"max_tokens":9,"tools":[{"name":"a","input_schema":1}],' + SAID, "tools.0.input_schema"),
        (b'"max_tokens":9,"tools":[{"name":"a b"}],' + SAID, "tools.0.name"),
        (b'"max_tokens":9,"tool_choice":{"type":"any"},' + SAID, "tool_choice"),
        (
            b'"max_tokens":9,"output_config":{"format":{"type":"json_schema","schema":{"type":"thing"}}},' + SAID,
            "output_config.format.schema.type",
        ),
        (b'"max_tokens":9,' + ASKED_AND_ANSWERED, "messages.0.content"),
        (b'"max_tokens":9,' + PICTURE_OF_AN_ASSISTANT, "messages.1.content"),
        (b'"max_tokens":9,"messages":[]', "messages"),
    ],
)
def test_what_the_cascade_refuses_has_the_name_that_the_client_wrote(wrong: bytes, path: str) -> None:
    body = decode(b"{" + wrong + b"}", MessagesBody)
    with pytest.raises(InvalidField) as refused:
        check(command_of(body, AgentId("x")))
    named = as_written(refused.value, body)
    assert (named.path, named.reason) == (path, refused.value.reason)
