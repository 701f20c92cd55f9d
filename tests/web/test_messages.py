"""The cascade behind Anthropic's dialect, met by that dialect's own client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anthropic
import pytest
from anthropic.types import MessageParam, ToolParam

from actors.providers import ProviderOptions
from actors.providers.discovery import EXTRACTIVE
from actors.providers.options import DialectName
from bus.messages.completions import CompletionCompleted, CompletionFailed
from tests.support.cascade_server import cascade_server
from tests.support.fault_server import TEXT, TOKENS_IN, TOKENS_OUT, FaultServer, Sickness
from tests.support.model_replies import Called
from tests.support.routing import DOCUMENT, Routing, able, behind
from tests.web.support import READER, TOKEN

HELLO: list[MessageParam] = [{"role": "user", "content": "Hello."}]
WEATHER: ToolParam = {
    "name": "weather",
    "description": "Tells the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
CALLED = Called("call_1", "weather", {"city": "Paris"})
DIALECTS: tuple[DialectName, ...] = ("openai", "anthropic", "gemini", "ollama")


@asynccontextmanager
async def client(
    *providers: ProviderOptions, token: str = TOKEN
) -> AsyncIterator[tuple[anthropic.AsyncAnthropic, Routing]]:
    async with (
        cascade_server(*providers) as (url, router),
        anthropic.AsyncAnthropic(base_url=url, api_key=token, max_retries=0) as api,
    ):
        yield api, router


async def test_an_anthropic_client_gets_an_answer_from_the_cascade() -> None:
    async with FaultServer() as server, client(behind(server.url)) as (api, router):
        answer = await api.messages.create(
            model="agora", max_tokens=50, messages=HELLO, system="Be brief.", stop_sequences=["END"]
        )
        assert [block.text for block in answer.content if block.type == "text"] == [TEXT]
        assert (answer.stop_reason, answer.model, answer.role) == ("end_turn", "tiny", "assistant")
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (TOKENS_IN, TOKENS_OUT)
        assert [done.agent for done in router.events(CompletionCompleted)] == ["operator"]
        assert b'{"role":"system","content":"Be brief."}' in server.bodies[0]
        assert b'"stop":["END"]' in server.bodies[0]


async def test_an_anthropic_client_reads_a_stream_word_by_word() -> None:
    async with FaultServer(Sickness.STREAM_HELD) as held, client(behind(held.url)) as (api, _):
        async with api.messages.stream(model="agora", max_tokens=50, messages=HELLO) as stream:
            heard: list[str] = []
            async for words in stream.text_stream:
                heard.append(words)
                held.release()
            whole = await stream.get_final_message()
        assert ("".join(heard), len(heard) > 1) == (TEXT, True)
        assert [block.text for block in whole.content if block.type == "text"] == [TEXT]
        assert (whole.stop_reason, whole.usage.input_tokens, whole.usage.output_tokens) == (
            "end_turn",
            TOKENS_IN,
            TOKENS_OUT,
        )


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_tool_is_called_and_answered_through_every_dialect(dialect: DialectName, is_streamed: bool) -> None:
    async with FaultServer() as server, client(able(behind(server.url, dialect=dialect))) as (api, _):
        server.tool_calls = (CALLED,)
        if is_streamed:
            async with api.messages.stream(model="agora", max_tokens=50, messages=HELLO, tools=[WEATHER]) as stream:
                heard = await stream.get_final_message()
            (call,) = [block for block in heard.content if block.type == "tool_use"]
        else:
            asked = await api.messages.create(model="agora", max_tokens=50, messages=HELLO, tools=[WEATHER])
            (call,) = [block for block in asked.content if block.type == "tool_use"]
        assert (call.name, call.input) == ("weather", {"city": "Paris"})
        server.tool_calls = ()
        turns: list[MessageParam] = [
            *HELLO,
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "Sunny."}]},
        ]
        told = await api.messages.create(model="agora", max_tokens=50, messages=turns, tools=[WEATHER])
        assert [block.text for block in told.content if block.type == "text"] == [TEXT]
        assert b"Sunny." in server.bodies[-1]


async def test_an_image_reaches_a_model_that_sees() -> None:
    async with FaultServer() as server, client(able(behind(server.url))) as (api, _):
        turns: list[MessageParam] = [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                ],
            }
        ]
        await api.messages.create(model="agora", max_tokens=50, messages=turns)
        assert b'"url":"data:image/png;base64,AAAA"' in server.bodies[0]


async def test_what_goes_wrong_is_an_error_of_the_dialect() -> None:
    async with FaultServer(Sickness.BAD_REQUEST) as server, client(behind(server.url)) as (api, _):
        with pytest.raises(anthropic.UnprocessableEntityError) as rejected:
            await api.messages.create(model="agora", max_tokens=50, messages=HELLO)
        assert "the request is wrong" in rejected.value.message
        with pytest.raises(anthropic.UnprocessableEntityError) as incapable:
            await api.messages.create(model="agora", max_tokens=50, messages=HELLO, tools=[WEATHER])
        assert "tools" in incapable.value.message
    async with FaultServer() as server, client(behind(server.url), token=READER) as (api, _):
        with pytest.raises(anthropic.PermissionDeniedError):
            await api.messages.create(model="agora", max_tokens=50, messages=HELLO)
    async with FaultServer() as server, client(behind(server.url), token="wrong") as (api, _):
        with pytest.raises(anthropic.AuthenticationError):
            await api.messages.create(model="agora", max_tokens=50, messages=HELLO)
        assert server.calls == 0


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_wrong_field_is_named_as_the_client_wrote_it(is_streamed: bool) -> None:
    async with FaultServer() as server, client(behind(server.url)) as (api, _):
        with pytest.raises(anthropic.UnprocessableEntityError, match="max_tokens: must be"):
            await api.messages.create(model="agora", max_tokens=0, messages=HELLO, stream=is_streamed)
        assert server.calls == 0


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_deadline_that_leaves_no_time_to_ask_anybody_is_a_timeout(is_streamed: bool) -> None:
    async with FaultServer() as server, client(behind(server.url)) as (api, _):
        with pytest.raises(anthropic.InternalServerError, match="the deadline leaves no time") as late:
            await api.messages.create(
                model="agora", max_tokens=9, messages=HELLO, stream=is_streamed, extra_body={"deadline_s": 0.001}
            )
        assert (late.value.status_code, server.calls) == (504, 0)
        assert "timeout_error" in str(late.value.body)


async def test_a_stream_that_breaks_says_so() -> None:
    async with FaultServer(Sickness.BREAKS) as server, client(behind(server.url)) as (api, _):
        with pytest.raises(anthropic.APIStatusError):
            async with api.messages.stream(model="agora", max_tokens=50, messages=HELLO) as stream:
                await stream.get_final_message()


async def test_an_answer_that_is_not_streamed_survives_a_stream_that_breaks_at_the_provider() -> None:
    turns: list[MessageParam] = [{"role": "user", "content": DOCUMENT}]
    async with FaultServer(Sickness.BREAKS) as server, client(behind(server.url), EXTRACTIVE) as (api, _):
        answer = await api.messages.create(model="agora", max_tokens=500, messages=turns)
        assert [block.text for block in answer.content if block.type == "text"] == [DOCUMENT]


async def test_a_client_that_hangs_up_closes_the_providers_socket() -> None:
    async with FaultServer(Sickness.STALLS) as stalling, client(behind(stalling.url, stall_s=60.0)) as (api, router):
        stream = await api.messages.create(model="agora", max_tokens=50, messages=HELLO, stream=True)
        await anext(stream)
        await stream.close()
        await stalling.all_closed()
        assert [failed.error for failed in router.events(CompletionFailed)] == ["cancelled"]
