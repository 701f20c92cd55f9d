"""The cascade behind the dialect that every client speaks, met by the client that everybody uses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
import openai
import pytest
from openai.types.chat import (
    ChatCompletionContentPartImageParam,
    ChatCompletionToolParam,
    ChatCompletionUserMessageParam,
)

from actors.providers import ProviderOptions
from actors.providers.discovery import EXTRACTIVE
from actors.providers.options import DialectName
from bus.messages.completions import CompletionAttemptFailed, CompletionCompleted, CompletionFailed
from tests.support.cascade_server import cascade_server
from tests.support.fault_server import TEXT, TOKENS_IN, TOKENS_OUT, FaultServer, Sickness
from tests.support.model_replies import Called
from tests.support.routing import DOCUMENT, Routing, able, behind
from tests.web.support import READER, TOKEN

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": DOCUMENT}]

HELLO: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Hello."}]


@asynccontextmanager
async def client(*providers: ProviderOptions, token: str = TOKEN) -> AsyncIterator[tuple[openai.AsyncOpenAI, Routing]]:
    async with cascade_server(*providers) as (url, router):
        api = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0)
        async with api:
            yield api, router


async def test_an_openai_client_gets_an_answer_from_the_cascade() -> None:
    async with FaultServer() as well, client(behind(well.url)) as (api, router):
        answer = await api.chat.completions.create(
            model="agora",
            messages=[{"role": "user", "content": [{"type": "text", "text": "Hello."}]}],
            max_tokens=50,
            temperature=0.5,
            stop="END",
        )
        assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (TEXT, "stop")
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (TOKENS_IN, TOKENS_OUT)
        assert (answer.model, [done.agent for done in router.events(CompletionCompleted)]) == ("tiny", ["operator"])
        assert b'"temperature":0.5' in well.bodies[0]
        assert b'"stop":["END"]' in well.bodies[0]


async def test_an_openai_client_reads_a_stream_word_by_word() -> None:
    async with FaultServer(Sickness.STREAM_HELD) as held, client(behind(held.url)) as (api, _):
        stream = await api.chat.completions.create(
            model="agora",
            messages=[{"role": "user", "content": "Hello."}],
            stream=True,
            stream_options={"include_usage": True},
        )
        words: list[str] = []
        finish, tokens = None, 0
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                words.append(chunk.choices[0].delta.content)
                held.release()
            finish = chunk.choices[0].finish_reason if chunk.choices else finish
            tokens = chunk.usage.completion_tokens if chunk.usage else tokens
        assert ("".join(words), len(words) > 1, finish, tokens) == (TEXT, True, "stop", TOKENS_OUT)


async def test_what_goes_wrong_before_the_first_word_is_an_error_of_the_dialect() -> None:
    async with FaultServer(Sickness.BAD_REQUEST) as sick, client(behind(sick.url)) as (api, _):
        for is_streamed in (False, True):
            with pytest.raises(openai.UnprocessableEntityError, match="the request is wrong") as refused:
                await api.chat.completions.create(
                    model="agora", messages=[{"role": "user", "content": "Hello."}], stream=is_streamed
                )
            assert refused.value.code == "request_rejected"


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_wrong_field_is_named_as_the_client_wrote_it(is_streamed: bool) -> None:
    async with FaultServer() as well, client(behind(well.url)) as (api, _):
        asked = partial(api.chat.completions.create, model="agora", messages=HELLO, stream=is_streamed)
        with pytest.raises(openai.UnprocessableEntityError, match="max_tokens: must be") as refused:
            await asked(max_tokens=0)
        assert refused.value.param == "max_tokens"
        with pytest.raises(openai.UnprocessableEntityError, match="max_completion_tokens: must be") as refused:
            await asked(max_completion_tokens=0)
        assert refused.value.param == "max_completion_tokens"
        assert well.calls == 0


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_deadline_that_leaves_no_time_to_ask_anybody_is_a_timeout(is_streamed: bool) -> None:
    async with FaultServer() as well, client(behind(well.url)) as (api, _):
        with pytest.raises(openai.InternalServerError, match="the deadline leaves no time") as late:
            await api.chat.completions.create(
                model="agora", messages=HELLO, stream=is_streamed, extra_body={"deadline_s": 0.001}
            )
        assert (late.value.status_code, late.value.code, well.calls) == (504, "no_time_left", 0)


async def test_a_stream_that_breaks_says_so_to_the_client() -> None:
    async with FaultServer(Sickness.BREAKS) as sick, client(behind(sick.url), EXTRACTIVE) as (api, _):
        stream = await api.chat.completions.create(
            model="agora", messages=[{"role": "user", "content": "Hello."}], stream=True
        )
        with pytest.raises(openai.APIError, match="broke off"):
            async for _chunk in stream:
                pass


async def test_a_dead_primary_is_not_the_clients_business() -> None:
    async with FaultServer(Sickness.SERVER_ERROR) as sick, client(behind(sick.url), EXTRACTIVE) as (api, _):
        answer = await api.chat.completions.create(model="agora", messages=[{"role": "user", "content": DOCUMENT}])
        assert answer.choices[0].message.content == DOCUMENT


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_client_that_hangs_up_closes_the_providers_socket(is_streamed: bool) -> None:
    patient = 600.0  # whoever ends the call, it is not the provider's own limits
    async with (
        FaultServer(Sickness.HANGS) as sick,
        cascade_server(behind(sick.url, timeout_s=patient, stall_s=patient)) as (url, router),
    ):
        body = {"model": "agora", "messages": MESSAGES, "stream": is_streamed}
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            asked = asyncio.create_task(session.post(f"{url}/v1/chat/completions", json=body))
            await sick.called(1)
            asked.cancel()
            await asyncio.wait([asked])
        await sick.all_closed()
        async with asyncio.timeout(30.0):
            while not router.events(CompletionFailed):  # noqa: ASYNC110  # the socket closes before it is recorded
                await asyncio.sleep(0)
        assert router.events(CompletionFailed)[0].error == "cancelled"


async def test_without_a_token_that_may_act_nothing_is_asked() -> None:
    async with FaultServer() as well:
        async with client(behind(well.url), token="agora_unknown") as (api, _):
            with pytest.raises(openai.AuthenticationError):
                await api.chat.completions.create(model="agora", messages=[{"role": "user", "content": "Hello."}])
        async with client(behind(well.url), token=READER) as (api, _):
            with pytest.raises(openai.PermissionDeniedError):
                await api.chat.completions.create(model="agora", messages=[{"role": "user", "content": "Hello."}])
        assert well.calls == 0


async def test_the_models_are_the_cascade_and_those_of_its_providers() -> None:
    async with FaultServer() as well, client(behind(well.url)) as (api, _):
        assert [model.id async for model in api.models.list()] == ["agora", "tiny"]


WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALLED = Called("call_1", "weather", {"city": "Paris"})


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "gemini", "ollama"])
async def test_a_tool_is_called_and_answered_through_every_dialect(dialect: DialectName) -> None:
    async with FaultServer() as server, client(able(behind(server.url, dialect=dialect))) as (api, _):
        server.tool_calls = (CALLED,)
        asked = await api.chat.completions.create(
            model="agora", messages=[{"role": "user", "content": "Hello."}], tools=[WEATHER], tool_choice="required"
        )
        assert (asked.choices[0].finish_reason, asked.choices[0].message.content) == ("tool_calls", None)
        (call,) = [one for one in asked.choices[0].message.tool_calls or () if one.type == "function"]
        assert (call.function.name, call.function.arguments) == ("weather", '{"city":"Paris"}')
        server.tool_calls = ()
        told = await api.chat.completions.create(
            model="agora",
            messages=[
                {"role": "user", "content": "Hello."},
                {
                    "role": "assistant",
                    "tool_calls": [
                        {
                            "id": call.id,
                            "type": "function",
                            "function": {"name": call.function.name, "arguments": call.function.arguments},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": call.id, "content": "Sunny."},
            ],
            tools=[WEATHER],
        )
        assert told.choices[0].message.content == TEXT
        assert b"Sunny." in server.bodies[-1]


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "gemini", "ollama"])
async def test_a_streamed_call_arrives_whole_before_the_finish(dialect: DialectName) -> None:
    async with FaultServer() as server, client(able(behind(server.url, dialect=dialect))) as (api, _):
        server.tool_calls = (CALLED, CALLED._replace(id="call_2"))
        stream = await api.chat.completions.create(
            model="agora", messages=[{"role": "user", "content": "Hello."}], tools=[WEATHER], stream=True
        )
        chunks = [chunk.choices[0] async for chunk in stream]
        calls = [call for chunk in chunks for call in chunk.delta.tool_calls or ()]
        assert [call.index for call in calls] == [0, 1]
        assert {call.function.arguments for call in calls if call.function is not None} == {'{"city":"Paris"}'}
        assert len({call.id for call in calls}) == 2
        assert chunks[-1].finish_reason == "tool_calls"


async def test_a_call_of_a_tool_that_was_not_offered_is_asked_of_the_next_provider() -> None:
    async with FaultServer() as wrong, FaultServer() as right:
        wrong.tool_calls, right.tool_calls = (Called("c", "shutdown", {}),), (CALLED,)
        providers = (able(behind(wrong.url, "wrong")), able(behind(right.url, "right")))
        async with client(*providers) as (api, router):
            asked = await api.chat.completions.create(
                model="agora", messages=[{"role": "user", "content": "Hello."}], tools=[WEATHER]
            )
            assert asked.choices[0].message.tool_calls is not None
            assert [failed.error for failed in router.events(CompletionAttemptFailed)] == ["invalid"]
            assert [done.provider for done in router.events(CompletionCompleted)] == ["right"]


IMAGE: ChatCompletionContentPartImageParam = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("dialect", "sent"),
    [
        ("openai", b'"url":"data:image/png;base64,AAAA"'),
        ("anthropic", b'"media_type":"image/png","data":"AAAA"'),
        ("gemini", b'"mimeType":"image/png","data":"AAAA"'),
        ("ollama", b'"images":["AAAA"]'),
    ],
)
async def test_an_image_goes_only_to_a_model_that_sees(dialect: DialectName, sent: bytes) -> None:
    async with FaultServer() as blind, FaultServer() as seeing:
        providers = (behind(blind.url, "blind"), able(behind(seeing.url, "seeing", dialect=dialect)))
        async with client(*providers) as (api, _):
            await api.chat.completions.create(
                model="agora",
                messages=[{"role": "user", "content": [{"type": "text", "text": "What is this?"}, IMAGE]}],
            )
        assert (blind.calls, seeing.calls) == (0, 1)
        assert sent in seeing.bodies[0]


async def test_where_nobody_sees_the_refusal_names_vision_and_nobody_is_asked() -> None:
    async with FaultServer() as server, client(behind(server.url), EXTRACTIVE) as (api, _):
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            await api.chat.completions.create(model="agora", messages=[{"role": "user", "content": [IMAGE]}])
        assert (refused.value.code, server.calls) == ("not_capable", 0)
        assert "vision" in refused.value.message


async def test_an_image_elsewhere_is_refused_and_never_fetched() -> None:
    async with FaultServer() as server, client(able(behind(server.url))) as (api, _):
        part: ChatCompletionContentPartImageParam = {"type": "image_url", "image_url": {"url": f"{server.url}/x.png"}}
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            await api.chat.completions.create(model="agora", messages=[{"role": "user", "content": [part]}])
        assert (refused.value.param, server.calls) == ("messages.0.content", 0)


async def test_an_answer_that_is_not_streamed_survives_a_stream_that_breaks_at_the_provider() -> None:
    async with FaultServer(Sickness.BREAKS) as server, client(behind(server.url), EXTRACTIVE) as (api, router):
        answer = await api.chat.completions.create(model="agora", messages=[{"role": "user", "content": DOCUMENT}])
        assert answer.choices[0].message.content == DOCUMENT
        assert [failed.error for failed in router.events(CompletionAttemptFailed)] == ["truncated"]
