"""Providers as the router calls them; one contract for all dialects."""

import asyncio
from typing import Literal

import msgspec
import pytest

from actors.providers.dialect import REASON_CHARACTERS_MAX, Prompt, ProviderFault
from actors.providers.opening import DIALECTS, open_provider
from actors.providers.options import DialectName, ProviderOptions
from actors.providers.provider import HttpProvider
from actors.providers.transport import Transport
from actors.rules.cascade import ErrorClass
from bus.messages.completions import ChatMessage
from tests.support.fault_server import TEXT, TOKENS_IN, TOKENS_OUT, FaultServer, Sickness

HttpDialect = Literal["ollama", "openai", "anthropic", "gemini"]
PROMPT = Prompt((ChatMessage("user", "This is a whole sentence of a document."),), tokens_max=50, model="tiny")
HTTP: tuple[HttpDialect, ...] = ("ollama", "openai", "anthropic", "gemini")


def options(dialect: DialectName, url: str, key_env: str = "") -> ProviderOptions:
    base_url = f"{url}/v1" if dialect == "openai" else url
    return ProviderOptions(name="x", dialect=dialect, base_url=base_url, model="tiny", key_env=key_env)


@pytest.mark.parametrize("dialect", HTTP)
async def test_a_healthy_provider_answers_in_every_dialect(dialect: DialectName) -> None:
    async with FaultServer() as server, Transport() as transport:
        reply = await open_provider(options(dialect, server.url), transport, {}).complete(PROMPT, limit_s=5.0)
        assert (reply.text, reply.finish_reason, reply.model) == (TEXT, "stop", "tiny")
        assert (reply.tokens_in, reply.tokens_out, reply.is_usage_estimated) == (TOKENS_IN, TOKENS_OUT, False)


@pytest.mark.parametrize("dialect", HTTP)
@pytest.mark.parametrize(
    ("sickness", "error"),
    [
        (Sickness.NO_FINISH, ErrorClass.TRUNCATED),
        (Sickness.EMPTY, ErrorClass.EMPTY),
        (Sickness.GARBAGE, ErrorClass.GARBAGE),
        (Sickness.SERVER_ERROR, ErrorClass.SERVER),
        (Sickness.UNKNOWN_MODEL, ErrorClass.UNKNOWN_MODEL),
    ],
)
async def test_a_sick_provider_is_the_same_fault_in_every_dialect(
    dialect: DialectName, sickness: Sickness, error: ErrorClass
) -> None:
    async with FaultServer(sickness) as server, Transport() as transport:
        with pytest.raises(ProviderFault) as fault:
            await open_provider(options(dialect, server.url), transport, {}).complete(PROMPT, limit_s=5.0)
        assert fault.value.error is error


@pytest.mark.parametrize("dialect", ["ollama", "openai", "anthropic"])
async def test_a_stream_ends_at_the_mark_of_its_end_whatever_becomes_of_the_connection(dialect: HttpDialect) -> None:
    """Nothing else can end it here: every limit is longer than the test may take."""
    asked = msgspec.structs.replace(PROMPT, is_streamed=True)
    async with FaultServer(Sickness.LEFT_OPEN) as server, Transport() as transport, asyncio.timeout(60.0):
        patient = msgspec.structs.replace(
            options(dialect, server.url), first_token_timeout_s=600.0, stall_timeout_s=600.0
        )
        provider = HttpProvider(patient, DIALECTS[dialect], transport, {}, tail_s=600.0)
        heard: list[str] = []
        reply = await provider.stream(asked, heard.append, limit_s=600.0)
        assert ("".join(heard), reply.text, reply.finish_reason) == (TEXT, TEXT, "stop")
        assert (reply.tokens_in, reply.tokens_out) == (TOKENS_IN, TOKENS_OUT)


@pytest.mark.parametrize("dialect", HTTP)
async def test_a_stream_without_such_a_mark_ends_soon_after_it_has_said_why(dialect: HttpDialect) -> None:
    asked = msgspec.structs.replace(PROMPT, is_streamed=True)
    async with FaultServer(Sickness.NO_MARK) as server, Transport() as transport, asyncio.timeout(60.0):
        patient = msgspec.structs.replace(
            options(dialect, server.url), first_token_timeout_s=600.0, stall_timeout_s=600.0
        )
        provider = HttpProvider(patient, DIALECTS[dialect], transport, {}, tail_s=0.05)
        heard: list[str] = []
        reply = await provider.stream(asked, heard.append, limit_s=600.0)
        assert (reply.text, reply.finish_reason) == (TEXT, "stop")
        await server.all_closed()


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, "is not set"),
        ({"THE_KEY": "  "}, "is not set"),
        ({"THE_KEY": "se\ncret"}, "does not hold a key"),
        ({"THE_KEY": "schlüssel"}, "does not hold a key"),
    ],
)
async def test_without_a_usable_key_nothing_is_sent(environment: dict[str, str], reason: str) -> None:
    async with FaultServer() as server, Transport() as transport:
        provider = open_provider(options("openai", server.url, "THE_KEY"), transport, environment)
        with pytest.raises(ProviderFault, match=f"THE_KEY {reason}") as fault:
            await provider.complete(PROMPT, limit_s=5.0)
        assert (fault.value.error, server.calls) == (ErrorClass.UNAUTHORISED, 0)


async def test_a_key_that_comes_back_in_an_error_is_masked() -> None:
    async with FaultServer(Sickness.BAD_REQUEST) as server, Transport() as transport:
        server.words = "what is {authorization}?"
        provider = open_provider(options("openai", server.url, "THE_KEY"), transport, {"THE_KEY": "sk-1"})
        with pytest.raises(ProviderFault, match=r"what is Bearer \[key\]\?"):
            await provider.complete(PROMPT, limit_s=5.0)


@pytest.mark.parametrize("room", range(5, 25, 3))
async def test_not_even_a_part_of_a_key_is_left_where_an_error_is_cut(room: int) -> None:
    key = "sk-0123456789abcdefgh"
    async with FaultServer(Sickness.BAD_REQUEST) as server, Transport() as transport:
        server.words = "x" * (REASON_CHARACTERS_MAX - len("status 400: Bearer ") - 1 - room) + " {authorization}"
        provider = open_provider(options("openai", server.url, "THE_KEY"), transport, {"THE_KEY": key})
        with pytest.raises(ProviderFault, match=r"Bearer \[key\]") as fault:
            await provider.complete(PROMPT, limit_s=5.0)
        assert key[:5] not in fault.value.reason


async def test_the_extractive_provider_says_what_it_is() -> None:
    async with Transport() as transport:
        provider = open_provider(ProviderOptions(name="x", dialect="extractive"), transport, {})
        reply = await provider.complete(PROMPT, limit_s=5.0)
        assert (reply.text, reply.model) == ("This is a whole sentence of a document.", "extractive-1")
