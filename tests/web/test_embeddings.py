"""Texts as vectors, asked for by the client that everybody uses."""

import base64
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import msgspec
import openai
import pytest

from actors.providers import ProviderOptions
from actors.providers.discovery import EXTRACTIVE
from actors.providers.options import DialectName
from bus.messages.base import AgentId
from bus.messages.completions import CompletionAttemptFailed, CompletionCompleted
from bus.refusals import InvalidField
from tests.support.cascade_server import cascade_server
from tests.support.fault_server import FaultServer, Sickness
from tests.support.routing import Routing, behind
from tests.web.support import READER, TOKEN
from web.embeddings import EmbeddingsBody, command_of
from web.wire import decode

DIALECTS: tuple[DialectName, ...] = ("openai", "ollama", "gemini")


def embedding(url: str, name: str = "vectors", dialect: DialectName = "openai", price: str = "0") -> ProviderOptions:
    options = behind(url, name, dialect=dialect)
    return msgspec.structs.replace(options, embedding_model="tiny-embed", price_embedding=Decimal(price))


@asynccontextmanager
async def client(*providers: ProviderOptions, token: str = TOKEN) -> AsyncIterator[tuple[openai.AsyncOpenAI, Routing]]:
    async with (
        cascade_server(*providers) as (url, router),
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0) as api,
    ):
        yield api, router


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_openai_client_gets_a_vector_for_each_text_in_its_order(dialect: DialectName) -> None:
    async with FaultServer() as server, client(embedding(server.url, dialect=dialect)) as (api, router):
        answer = await api.embeddings.create(model="agora", input=["one", "three"], encoding_format="float")
        assert [(one.index, one.embedding) for one in answer.data] == [(0, [0, 3, 0.5, -0.25]), (1, [1, 5, 0.5, -0.25])]
        completed = router.events(CompletionCompleted)
        assert [(done.agent, done.provider) for done in completed] == [("operator", "vectors")]
        assert answer.usage.prompt_tokens == completed[0].tokens_in > 0
        assert completed[0].is_usage_estimated == (dialect == "gemini")


async def test_the_sdk_takes_vectors_as_base64_by_itself() -> None:
    async with FaultServer() as server, client(embedding(server.url)) as (api, _):
        answer = await api.embeddings.create(model="agora", input="hello")
        assert answer.data[0].embedding == [0, 5, 0.5, -0.25]
        raw = await api.embeddings.with_raw_response.create(model="agora", input="hello", encoding_format="base64")
        sent: dict[str, list[dict[str, str]]] = msgspec.json.decode(raw.content, type=dict, strict=False)
        assert struct.unpack("<4f", base64.b64decode(sent["data"][0]["embedding"])) == (0, 5, 0.5, -0.25)


async def test_without_a_provider_of_embeddings_the_refusal_names_them_and_nothing_is_made_up() -> None:
    async with FaultServer() as server, client(behind(server.url), EXTRACTIVE) as (api, _):
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            await api.embeddings.create(model="agora", input="hello")
        assert refused.value.code == "not_capable"
        assert "embeddings" in refused.value.message
        assert server.calls == 0


async def test_a_deadline_that_leaves_no_time_to_ask_anybody_is_a_timeout() -> None:
    async with FaultServer() as server, client(embedding(server.url)) as (api, _):
        with pytest.raises(openai.InternalServerError, match="the deadline leaves no time") as late:
            await api.embeddings.create(model="agora", input="hello", extra_body={"deadline_s": 0.001})
        assert (late.value.status_code, late.value.code, server.calls) == (504, "no_time_left", 0)


async def test_a_dead_provider_of_embeddings_is_left_for_the_next() -> None:
    async with (
        FaultServer(Sickness.SERVER_ERROR) as sick,
        FaultServer() as well,
        client(embedding(sick.url, "sick"), embedding(well.url, "well")) as (api, router),
    ):
        await api.embeddings.create(model="agora", input="hello")
        assert [failed.provider for failed in router.events(CompletionAttemptFailed)] == ["sick"]
        assert [done.provider for done in router.events(CompletionCompleted)] == ["well"]


async def test_no_byte_of_a_local_text_reaches_a_provider_that_is_not() -> None:
    async with FaultServer() as far, FaultServer(Sickness.SERVER_ERROR) as sick, FaultServer() as near:
        remote = msgspec.structs.replace(embedding(far.url, "far"), location="remote")
        async with client(remote, embedding(sick.url, "sick"), embedding(near.url, "near")) as (api, router):
            local = {"privacy": "local"}
            await api.embeddings.create(model="agora", input="A secret that stays here.", extra_body=local)
            assert (far.connections, sick.calls, near.calls) == (set(), 1, 1)
            assert [done.provider for done in router.events(CompletionCompleted)] == ["near"]
            await api.embeddings.create(model="agora", input="Anybody may read this.")
            assert far.calls == 1
        async with client(remote) as (api, _):
            with pytest.raises(openai.InternalServerError, match="far: not local"):
                await api.embeddings.create(model="agora", input="A secret that stays here.", extra_body=local)
            assert far.calls == 1


async def test_vectors_cost_what_their_price_says() -> None:
    async with FaultServer() as server, client(embedding(server.url, price="1000")) as (api, router):
        await api.embeddings.create(model="agora", input="hello")
        assert [done.cost_usd_micros for done in router.events(CompletionCompleted)] == [7_000]
        assert (await router.view()).spent_run_usd_micros == 7_000


async def test_more_vectors_than_texts_are_no_answer() -> None:
    async with FaultServer() as server, client(embedding(server.url)) as (api, router):
        server.recorded = ("application/json", b'{"data": [{"embedding": [1]}, {"embedding": [2]}]}')
        with pytest.raises(openai.InternalServerError):
            await api.embeddings.create(model="agora", input="hello")
        assert {failed.error for failed in router.events(CompletionAttemptFailed)} == {"garbage"}


async def test_without_a_token_that_may_act_nothing_is_embedded() -> None:
    async with FaultServer() as server, client(embedding(server.url), token=READER) as (api, _):
        with pytest.raises(openai.PermissionDeniedError):
            await api.embeddings.create(model="agora", input="hello")
        assert server.calls == 0


@pytest.mark.parametrize("texts", [b"[]", b'[""]', b'["' + b'", "'.join([b"x"] * 129) + b'"]'])
async def test_texts_that_make_no_sense_are_refused_before_anyone_is_asked(texts: bytes) -> None:
    async with FaultServer() as server, client(embedding(server.url)) as (api, _):
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            await api.embeddings.create(model="agora", input=msgspec.json.decode(texts, type=list[str]))
        assert (refused.value.param, server.calls) == ("input", 0)


def test_the_request_reaches_the_cascade_whole() -> None:
    body = b'{"input": "x", "model": "m", "dimensions": 3, "privacy": "local", "deadline_s": 9}'
    asked = command_of(decode(body, EmbeddingsBody), AgentId("a"))
    assert (asked.texts, asked.model, asked.dimensions, asked.privacy) == (("x",), "m", 3, "local")
    with pytest.raises(InvalidField):
        command_of(decode(b'{"input": "x", "deadline_s": 0}', EmbeddingsBody), AgentId("a"))
