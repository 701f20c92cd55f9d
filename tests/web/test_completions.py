"""The cascade behind the dialect that every client speaks, met by the client that everybody uses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import openai
import pytest

from actors.providers import ProviderOptions
from actors.providers.discovery import EXTRACTIVE
from bus.messages.base import AgentId
from bus.messages.completions import CompletionCompleted, CompletionFailed
from bus.refusals import InvalidField
from tests.support.cascade_server import cascade_server
from tests.support.fault_server import TEXT, TOKENS_IN, TOKENS_OUT, FaultServer, Sickness
from tests.support.routing import DOCUMENT, Routing, behind
from tests.web.support import READER, TOKEN
from web.completions import ChatBody, command_of
from web.wire import decode

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": DOCUMENT}]


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
    async with FaultServer(Sickness.HANGS) as sick, cascade_server(behind(sick.url)) as (url, router):
        body = {"model": "agora", "messages": MESSAGES, "stream": is_streamed}
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            asked = asyncio.create_task(session.post(f"{url}/v1/chat/completions", json=body))
            await sick.called(1)
            asked.cancel()
            await asyncio.wait([asked])
        await sick.all_closed()
        async with asyncio.timeout(5):
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


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"n": 2, "messages": []}', "n"),
        (b'{"tools": [{}], "messages": []}', "tools"),
        (b'{"deadline_s": 0, "messages": []}', "deadline_s"),
        (b'{"messages": [{"role": "tool", "content": "x"}]}', "messages.0.role"),
        (b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', "messages.0.content"),
        (b'{"response_format": {"type": "grammar"}, "messages": []}', "response_format"),
    ],
)
def test_what_would_change_the_answer_and_is_not_understood_is_refused(body: bytes, path: str) -> None:
    with pytest.raises(InvalidField) as refused:
        command_of(decode(body, ChatBody), AgentId("x"))
    assert refused.value.path == path


def test_a_schema_and_a_privacy_reach_the_cascade() -> None:
    body = (
        b'{"messages": [{"role": "developer", "content": "Hi."}], "privacy": "local", "max_completion_tokens": 7,'
        b' "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type":"object"}}}}'
    )
    command = command_of(decode(body, ChatBody), AgentId("x"))
    assert (command.privacy, command.schema, command.tokens_max) == ("local", '{"type":"object"}', 7)
    assert command.messages[0].role == "system"
