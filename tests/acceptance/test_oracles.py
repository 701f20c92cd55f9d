"""The SDKs of OpenAI and Anthropic as oracles: from the same bytes they and our decoders read the same.

The bytes were recorded from llama.cpp's server, whole and streamed, in both dialects; one stream with thinking is as
Anthropic documents it. A server sends them to either reader.
"""

from pathlib import Path
from typing import NamedTuple

import anthropic
import openai
import orjson
import pytest
from anthropic.types import Message

from actors.providers import ProviderOptions, Transport, open_provider
from actors.providers.dialect import ModelReply, Prompt
from bus.messages.completions import ChatMessage, FinishReason
from tests.support.fault_server import FaultServer

RECORDED = Path(__file__).with_name("recorded")
PROMPT = Prompt((ChatMessage("user", "Hello."),), 256, "tiny")
OPENAI_FINISH: dict[str, FinishReason] = {"stop": "stop", "length": "length", "tool_calls": "tool_calls"}
ANTHROPIC_FINISH: dict[str, FinishReason] = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls"}


class Read(NamedTuple):
    """What a reader made of an answer."""

    text: str
    calls: list[tuple[str, str, object]]
    """Id, name and arguments."""
    finish: FinishReason
    tokens_in: int
    tokens_out: int


@pytest.mark.parametrize("name", ["openai-text", "openai-tools"])
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_the_openai_sdk_and_our_decoder_read_the_same_from_the_same_bytes(name: str, is_streamed: bool) -> None:
    async with FaultServer() as server:
        server.recorded = recorded(name, is_streamed)
        options = ProviderOptions(name="p", dialect="openai", base_url=f"{server.url}/v1", model="tiny")
        ours = await read_ours(options, is_streamed)
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0) as api:
            theirs = await (read_openai_stream(api) if is_streamed else read_openai(api))
    assert ours == theirs


@pytest.mark.parametrize(
    ("name", "is_streamed"),
    [
        ("anthropic-text", False),
        ("anthropic-text", True),
        ("anthropic-tools", False),
        ("anthropic-tools", True),
        ("anthropic-thinking", True),
    ],
)
async def test_the_anthropic_sdk_and_our_decoder_read_the_same_from_the_same_bytes(
    name: str, is_streamed: bool
) -> None:
    async with FaultServer() as server:
        server.recorded = recorded(name, is_streamed)
        options = ProviderOptions(name="p", dialect="anthropic", base_url=server.url, model="tiny")
        ours = await read_ours(options, is_streamed)
        async with anthropic.AsyncAnthropic(base_url=server.url, api_key="x", max_retries=0) as api:
            theirs = await read_anthropic(api, is_streamed)
    assert ours == theirs


def recorded(name: str, is_streamed: bool) -> tuple[str, bytes]:
    content = (RECORDED / f"{name}.{'stream' if is_streamed else 'whole'}").read_bytes()
    return "text/event-stream" if is_streamed else "application/json", content


async def read_ours(options: ProviderOptions, is_streamed: bool) -> Read:
    async with Transport() as transport:
        provider = open_provider(options, transport, {})
        if is_streamed:
            heard: list[str] = []
            reply: ModelReply = await provider.stream(PROMPT, heard.append, limit_s=10.0)
            assert "".join(heard) == reply.text
        else:
            reply = await provider.complete(PROMPT, limit_s=10.0)
    assert not reply.is_usage_estimated
    calls = [(call.id, call.name, orjson.loads(call.arguments)) for call in reply.tool_calls]
    return Read(reply.text, calls, reply.finish_reason, reply.tokens_in, reply.tokens_out)


async def read_openai(api: openai.AsyncOpenAI) -> Read:
    whole = await api.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "Hello."}])
    choice = whole.choices[0]
    assert whole.usage is not None
    calls = [one for one in choice.message.tool_calls or () if one.type == "function"]
    return Read(
        (choice.message.content or "").strip(),
        [(call.id, call.function.name, orjson.loads(call.function.arguments)) for call in calls],
        OPENAI_FINISH[choice.finish_reason],
        whole.usage.prompt_tokens,
        whole.usage.completion_tokens,
    )


async def read_openai_stream(api: openai.AsyncOpenAI) -> Read:
    stream = await api.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "Hello."}], stream=True
    )
    text, finish, sizes = "", "", (0, 0)
    calls: dict[int, tuple[str, str, str]] = {}
    async for chunk in stream:
        if chunk.usage is not None:
            sizes = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
            for call in choice.delta.tool_calls or ():
                id_, name, arguments = calls.get(call.index, ("", "", ""))
                function = call.function
                more = ((function.name or ""), (function.arguments or "")) if function is not None else ("", "")
                calls[call.index] = (id_ or call.id or "", name or more[0], arguments + more[1])
    found: list[tuple[str, str, object]] = [(id_, name, orjson.loads(words)) for id_, name, words in calls.values()]
    return Read(text.strip(), found, OPENAI_FINISH[finish], *sizes)


async def read_anthropic(api: anthropic.AsyncAnthropic, is_streamed: bool) -> Read:
    message: Message
    if is_streamed:
        async with api.messages.stream(
            model="tiny", max_tokens=256, messages=[{"role": "user", "content": "Hello."}]
        ) as stream:
            message = await stream.get_final_message()
    else:
        message = await api.messages.create(
            model="tiny", max_tokens=256, messages=[{"role": "user", "content": "Hello."}]
        )
    usage = message.usage
    cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    return Read(
        "".join(block.text for block in message.content if block.type == "text").strip(),
        [(block.id, block.name, block.input) for block in message.content if block.type == "tool_use"],
        ANTHROPIC_FINISH[message.stop_reason or ""],
        usage.input_tokens + cached,
        usage.output_tokens,
    )
