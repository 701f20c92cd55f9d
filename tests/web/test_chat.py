"""What a client of OpenAI's dialect asks, read."""

import pytest

from actors.rules.requests import check
from bus.messages.base import AgentId
from bus.messages.completions import ChatMessage, Complete, Image, Tool, ToolCall
from bus.refusals import InvalidField
from web.chat import DEADLINE_MAX_S, ChatBody, as_written, check_deadline, command_of
from web.wire import decode


def read(body: bytes) -> Complete:
    return command_of(decode(body, ChatBody), AgentId("x"))


def test_a_conversation_with_tools_and_images_is_understood() -> None:
    asked = read(
        b'{"messages": [{"role": "user", "content": [{"type": "text", "text": "See: "},'
        b'{"type": "image_url", "image_url": {"url": "data:image/PNG;base64,AAAA", "detail": "low"}},'
        b'{"type": "text", "text": "?"}]},'
        b'{"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function",'
        b'"function": {"name": "look", "arguments": "{}"}}]},'
        b'{"role": "tool", "tool_call_id": "c", "content": "A cat."}],'
        b'"tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}},'
        b'{"type": "function", "function": {"name": "say", "description": "Says.", "strict": true}}],'
        b'"tool_choice": {"type": "function", "function": {"name": "look"}}, "parallel_tool_calls": false}'
    )
    assert asked.messages == (
        ChatMessage("user", "See: ?", images=(Image("image/png", "AAAA", 5),)),
        ChatMessage("assistant", "", (ToolCall("c", "look", "{}"),)),
        ChatMessage("tool", "A cat.", tool_call="c"),
    )
    assert asked.tools == (Tool("look", "", '{"type": "object"}'), Tool("say", "Says."))
    assert (asked.tool_choice, asked.has_parallel_calls) == ("look", False)


@pytest.mark.parametrize("deadline_s", [0.0, -1.0, DEADLINE_MAX_S + 1.0])
def test_a_deadline_is_above_0_and_bounded(deadline_s: float) -> None:
    with pytest.raises(InvalidField):
        check_deadline(deadline_s)


def test_what_is_agoras_own_is_passed_on() -> None:
    said = b'"messages": [{"role": "user", "content": "x"}]'
    asked = read(b'{"privacy": "local", "deadline_s": 9, "hedge_after_s": 0.5, ' + said + b"}")
    assert (asked.privacy, asked.deadline_s, asked.hedge_after_s) == ("local", 9.0, 0.5)
    asked = read(b"{" + said + b"}")
    assert (asked.privacy, asked.hedge_after_s) == ("any", 0.0)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"n": 2, "messages": []}', "n"),
        (b'{"tools": [{"type": "custom", "function": {"name": "x"}}], "messages": []}', "tools.0.type"),
        (b'{"tool_choice": "any", "messages": []}', "tool_choice"),
        (b'{"tool_choice": {"function": {"name": "none"}}, "messages": []}', "tool_choice.function.name"),
        (b'{"deadline_s": 0, "messages": []}', "deadline_s"),
        (b'{"messages": [{"role": "function", "content": "x"}]}', "messages.0.role"),
        (b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', "messages.0.content"),
        (
            b'{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y"}}]}]}',
            "messages.0.content",
        ),
        (b'{"response_format": {"type": "grammar"}, "messages": []}', "response_format"),
    ],
)
def test_what_would_change_the_answer_and_is_not_understood_is_refused(body: bytes, path: str) -> None:
    with pytest.raises(InvalidField) as refused:
        read(body)
    assert refused.value.path == path


SAID = b'"messages": [{"role": "user", "content": "Hello."}]'


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        (b'"max_tokens": 0', "max_tokens"),
        (b'"max_completion_tokens": 0', "max_completion_tokens"),
        (b'"max_tokens": 0, "max_completion_tokens": 9', "max_tokens"),
        (b'"temperature": 3', "temperature"),
        (b'"hedge_after_s": -1', "hedge_after_s"),
        (b'"stop": [%s]' % b",".join([b'"x"'] * 17), "stop"),
        (b'"tool_choice": "required"', "tool_choice"),
        (b'"tools": [{"function": {"name": "a b"}}]', "tools.0.function.name"),
        (b'"tools": [{"function": {"name": "a", "parameters": 1}}]', "tools.0.function.parameters"),
        (
            b'"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "thing"}}}',
            "response_format.json_schema.schema.type",
        ),
        (
            b'"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url":'
            b' "data:image/tiff;base64,AAAA"}}]}]',
            "messages.0.content",
        ),
        (b'"messages": [{"role": "user", "content": "x"}, {"role": "tool"}]', "messages.1.tool_call_id"),
        (b'"messages": []', "messages"),
    ],
)
def test_what_the_cascade_refuses_has_the_name_that_the_client_wrote(wrong: bytes, path: str) -> None:
    said = b"" if b'"messages"' in wrong else b", " + SAID
    body = decode(b"{" + wrong + said + b"}", ChatBody)
    with pytest.raises(InvalidField) as refused:
        check(command_of(body, AgentId("x")))
    named = as_written(refused.value, body)
    assert (named.path, named.reason) == (path, refused.value.reason)


def test_a_schema_and_a_privacy_reach_the_cascade() -> None:
    body = (
        b'{"messages": [{"role": "developer", "content": "Hi."}], "privacy": "local", "max_completion_tokens": 7,'
        b' "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type":"object"}}}}'
    )
    command = read(body)
    assert (command.privacy, command.schema, command.tokens_max) == ("local", '{"type":"object"}', 7)
    assert command.messages[0].role == "system"
