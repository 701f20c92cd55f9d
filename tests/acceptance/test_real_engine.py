"""The cascade against an engine that no one here wrote: llama.cpp's own server, on a model of random weights."""

from pathlib import Path

import pytest
import xllamacpp

from actors.providers import ProviderOptions
from actors.providers.discovery import EXTRACTIVE
from actors.providers.options import DialectName
from bus.messages.completions import ROUTER, CompletionAttemptFailed
from tests.support.fault_server import refusing_url
from tests.support.routing import FIRST, behind, request, routing
from tests.support.tiny_model import write_tiny_model

VISIBLE_DELAY_S = 1.0
"""What a person who waits for an answer would notice."""
TOKENS_MAX = 16

pytestmark = pytest.mark.slow


class LlamaServer:
    """A running llama.cpp server; it ends with the object."""

    def __init__(self, folder: Path, *, calls_tools: bool = False) -> None:
        model = folder / "tiny.gguf"
        write_tiny_model(model, calls_tools=calls_tools)
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(model)
        parameters.n_ctx = 2_048
        parameters.n_parallel = 2
        parameters.cpuparams.n_threads = 1
        parameters.hostnames = ["127.0.0.1"]
        parameters.port = 0
        parameters.warmup = False
        parameters.verbosity = 0
        parameters.sampling.seed = 7
        self._server = xllamacpp.Server(parameters)
        self.url = str(self._server.listening_address)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> LlamaServer:
    return LlamaServer(tmp_path_factory.mktemp("engine"))


async def test_with_the_primary_dead_the_engine_answers_without_a_visible_delay(engine: LlamaServer) -> None:
    asked = request("Hello.", tokens_max=TOKENS_MAX)
    with refusing_url() as dead:
        async with routing(behind(dead, FIRST), behind(engine.url, "engine"), EXTRACTIVE) as router:
            completion = await router.system.ask(ROUTER, asked, timeout_s=VISIBLE_DELAY_S)
            assert (completion.provider, completion.finish_reason) == ("engine", "length")
            assert completion.text
            assert completion.tokens_in > 0
            assert abs(completion.tokens_out - TOKENS_MAX) <= 2  # engines count the last token one way or another
            assert [failed.provider for failed in router.events(CompletionAttemptFailed)] == [FIRST]


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
async def test_the_engine_is_understood_in_both_dialects_that_it_speaks(
    engine: LlamaServer, dialect: DialectName
) -> None:
    base_url = f"{engine.url}/v1" if dialect == "openai" else engine.url
    provider = ProviderOptions(name="engine", dialect=dialect, base_url=base_url, model="tiny")
    async with routing(provider) as router:
        completion = await router.system.ask(ROUTER, request("Hello.", tokens_max=TOKENS_MAX))
        assert (completion.provider, completion.finish_reason) == ("engine", "length")
        assert completion.tokens_in > 10


async def test_a_prompt_beyond_the_engines_context_goes_on_to_the_next_provider(engine: LlamaServer) -> None:
    long = "This is a sentence of a document that goes on for too long. " * 200
    async with routing(behind(engine.url), EXTRACTIVE) as router:
        completion = await router.system.ask(ROUTER, request(long, tokens_max=TOKENS_MAX))
        assert completion.provider == "extractive"
        assert [failed.error for failed in router.events(CompletionAttemptFailed)] == ["overflow"]
        assert (await router.provider()).is_enabled
