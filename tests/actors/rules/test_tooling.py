"""What a request may say of tools and images, and which calls are an answer to it."""

import msgspec
import pytest

from actors.rules.tooling import IMAGE_BYTES_MAX, IMAGES_MAX, TOOL_BYTES_MAX, TOOLS_MAX, check, fault_of, kept
from bus.messages.completions import ChatMessage, Complete, Image, Tool, ToolCall
from bus.refusals import InvalidField

LOOK, SAY = Tool("look", "Looks.", '{"type":"object"}'), Tool("say")
CALL = ToolCall("c1", "look", '{"at":"sky"}')
PNG = Image("image/png", "AAAA")
ASKED = Complete((ChatMessage("user", "Look."),), 9, 1.0, tools=(LOOK, SAY))


def conversation(*messages: ChatMessage) -> Complete:
    return msgspec.structs.replace(ASKED, messages=messages)


def test_a_conversation_with_calls_and_their_answers_is_fine() -> None:
    check(
        conversation(
            ChatMessage("user", "Look.", images=(PNG,)),
            ChatMessage("assistant", "", (CALL, ToolCall("c2", "say", "{}"))),
            ChatMessage("tool", "Blue.", tool_call="c1"),
            ChatMessage("tool", "Said.", tool_call="c2"),
        )
    )


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        (msgspec.structs.replace(ASKED, tools=(Tool("no spaces"),)), "tools.0.name"),
        (msgspec.structs.replace(ASKED, tools=(Tool("auto"),)), "tools.0.name"),
        (msgspec.structs.replace(ASKED, tools=(LOOK, LOOK)), "tools.1.name"),
        (msgspec.structs.replace(ASKED, tools=(Tool("x", "y" * TOOL_BYTES_MAX),)), "tools.0"),
        (msgspec.structs.replace(ASKED, tools=(Tool("x", "", "[]"),)), "tools.0.parameters"),
        (msgspec.structs.replace(ASKED, tools=(Tool("x", "", "{"),)), "tools.0.parameters"),
        (msgspec.structs.replace(ASKED, tools=tuple(Tool(f"t{n}") for n in range(TOOLS_MAX + 1))), "tools"),
        (msgspec.structs.replace(ASKED, tool_choice="listen"), "tool_choice"),
        (msgspec.structs.replace(ASKED, tools=(), tool_choice="required"), "tool_choice"),
        (conversation(ChatMessage("tool", "Blue.", tool_call="c1")), "messages.0.tool_call_id"),
        (conversation(ChatMessage("user", "Blue.", tool_call="c1")), "messages.0.tool_call_id"),
        (conversation(ChatMessage("user", "", (CALL,))), "messages.0.tool_calls"),
        (conversation(ChatMessage("assistant", "", (ToolCall("c", "look", "1"),))), "messages.0.tool_calls"),
        (conversation(ChatMessage("assistant", "", (ToolCall("", "look", "{}"),))), "messages.0.tool_calls"),
        (conversation(ChatMessage("assistant", "", images=(PNG,))), "messages.0.images"),
        (conversation(ChatMessage("user", "", images=(Image("image/tiff", "AAAA"),))), "messages.0.images"),
        (conversation(ChatMessage("user", "", images=(Image("image/png", "not base64"),))), "messages.0.images"),
        (conversation(ChatMessage("user", "", images=(Image("image/png", "AAA"),))), "messages.0.images"),
        (conversation(ChatMessage("user", "", images=(Image("image/png", "AAAA", 1),))), "messages.0.images"),
        (
            conversation(ChatMessage("user", "", images=(Image("image/png", "A" * (IMAGE_BYTES_MAX + 4)),))),
            "messages.0.images",
        ),
        (conversation(ChatMessage("user", "", images=(PNG,) * (IMAGES_MAX + 1))), "messages"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(wrong: Complete, path: str) -> None:
    with pytest.raises(InvalidField) as refused:
        check(wrong)
    assert refused.value.path == path


@pytest.mark.parametrize(
    ("asked", "calls", "words"),
    [
        (ASKED, (), ""),
        (ASKED, (CALL,), ""),
        (ASKED, (CALL, ToolCall("c2", "say", "{}")), ""),
        (ASKED, (ToolCall("c", "listen", "{}"),), "it calls 'listen', which was not offered"),
        (ASKED, (ToolCall("c", "look", '{"at":'),), "the arguments of 'look' are no JSON object"),
        (msgspec.structs.replace(ASKED, tool_choice="none"), (CALL,), "it calls 'look', which was not offered"),
        (msgspec.structs.replace(ASKED, tool_choice="required"), (), "it calls no tool"),
        (msgspec.structs.replace(ASKED, tool_choice="required"), (CALL,), ""),
        (msgspec.structs.replace(ASKED, tool_choice="say"), (CALL,), "it calls another tool than 'say'"),
        (msgspec.structs.replace(ASKED, tool_choice="look"), (CALL,), ""),
    ],
)
def test_calls_are_an_answer_only_if_they_were_asked_for(
    asked: Complete, calls: tuple[ToolCall, ...], words: str
) -> None:
    assert fault_of(asked, calls) == words


def test_where_one_call_at_a_time_is_wanted_the_first_counts() -> None:
    calls = (CALL, ToolCall("c2", "say", "{}"))
    assert kept(ASKED, calls) == calls
    assert kept(msgspec.structs.replace(ASKED, has_parallel_calls=False), calls) == (CALL,)
