"""What is found on a machine where nobody configured anything."""

import pytest

from actors.providers.discovery import OLLAMA_URL, discover, probe_http
from actors.providers.options import ProviderOptions
from tests.support.fault_server import FaultServer, Sickness, refusing_url


async def found(environment: dict[str, str], tags: bytes | None) -> list[ProviderOptions]:
    async def probe(url: str) -> bytes | None:
        assert url == f"{OLLAMA_URL}/api/tags"
        return tags

    return list(await discover(environment, probe))


async def test_with_nothing_there_the_extractive_provider_remains() -> None:
    assert [one.dialect for one in await found({}, None)] == ["extractive"]


async def test_an_ollama_that_answers_comes_first_with_its_first_model() -> None:
    first, last = await found({}, b'{"models": [{"name": "llama3.2:3b"}, {"name": "b"}]}')
    assert (first.name, first.model, last.name) == ("ollama", "llama3.2:3b", "extractive")


@pytest.mark.parametrize("tags", [b'{"models": []}', b"something else"])
async def test_an_ollama_without_a_model_is_left_out(tags: bytes) -> None:
    assert [one.name for one in await found({}, tags)] == ["extractive"]


async def test_keys_bring_their_providers_with_prices_and_never_stand_in_the_options() -> None:
    environment = {"ANTHROPIC_API_KEY": "sk-1", "OPENAI_API_KEY": "sk-2", "OPENROUTER_API_KEY": "sk-3"}
    providers = await found(environment, None)
    assert [one.name for one in providers] == ["openai", "openrouter", "anthropic", "extractive"]
    assert all(one.price.in_micros > 0 and one.price.out_micros > 0 for one in providers[:-1])
    assert "sk-" not in repr(providers)


async def test_an_empty_key_brings_nothing() -> None:
    assert [one.name for one in await found({"OPENAI_API_KEY": " "}, None)] == ["extractive"]


async def test_the_probe_reads_what_answers_and_gives_up_on_what_does_not() -> None:
    async with FaultServer() as server:
        assert b"tiny:latest" in (await probe_http(f"{server.url}/api/tags") or b"")
        server.sickness = Sickness.HANGS
        assert await probe_http(server.url) is None
        server.sickness = Sickness.UNKNOWN_MODEL
        assert await probe_http(server.url) is None
    with refusing_url() as url:
        assert await probe_http(url) is None
