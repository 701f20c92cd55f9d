"""How a schema is asked for in Anthropic's dialect, and how its answer is read."""

import orjson
import pytest

from actors.providers.anthropic import DIALECT, decode, encode
from actors.providers.anthropic_turns import is_answered_by_tool
from actors.providers.dialect import Prompt
from actors.providers.options import ProviderOptions
from actors.providers.streaming import StreamReader
from bus.messages.completions import ChatMessage, Tool
from tests.actors.providers.replies import reply
from tests.support.model_replies import Called, streamed_tool_reply, tool_reply

OPTIONS = ProviderOptions(name="a", dialect="anthropic", base_url="https://host", model="m")
OBJECT = '{"type":"object","properties":{"ok":{"type":"boolean"}}}'
CALLED = (Called("t", "answer", {"ok": True}),)


def prompt(schema: str, tools: tuple[Tool, ...] = ()) -> Prompt:
    return Prompt((ChatMessage("user", "Well?"),), 9, "m", schema=schema, tools=tools)


def test_an_objects_schema_is_a_tool_that_must_be_called() -> None:
    body = orjson.loads(encode(OPTIONS, "", prompt(OBJECT)).body)
    assert body["tools"] == [{"name": "answer", "input_schema": orjson.loads(OBJECT)}]
    assert body["tool_choice"] == {"type": "tool", "name": "answer", "disable_parallel_tool_use": True}


@pytest.mark.parametrize(
    "asked", [prompt('{"type":"array"}'), prompt('{"enum":["object"]}'), prompt(OBJECT, (Tool("t"),))]
)
def test_any_other_schema_is_a_format(asked: Prompt) -> None:
    body = orjson.loads(encode(OPTIONS, "", asked).body)
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": orjson.loads(asked.schema)}}
    assert not is_answered_by_tool(asked)


def test_the_tools_arguments_are_the_answer_whole_or_streamed() -> None:
    asked = prompt(OBJECT)
    whole = decode(asked, reply(tool_reply("/v1/messages", CALLED)))
    reader = StreamReader(asked, DIALECT.follow)
    said = "".join(reader.feed(piece) for piece in streamed_tool_reply("/v1/messages", CALLED))
    last, streamed = reader.end()
    assert said + last == streamed.text == whole.text == '{"ok":true}'
    assert (whole.finish_reason, whole.tool_calls) == (streamed.finish_reason, streamed.tool_calls) == ("stop", ())
