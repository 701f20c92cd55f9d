"""Streams of an engine that no one here wrote, and SDKs that no one here wrote beside our decoders."""

import anthropic
import msgspec
import openai
import pytest

from actors.providers import ProviderOptions
from actors.providers.options import DialectName
from bus.messages.completions import CompletionCompleted
from tests.acceptance.test_real_engine import LlamaServer
from tests.support.cascade_server import cascade_server
from tests.support.fault_server import FaultServer
from tests.support.routing import behind, request, routing
from tests.web.support import TOKEN

TOKENS_MAX = 16
MANY = 300
"""So many that a reader must see some before the last."""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> LlamaServer:
    return LlamaServer(tmp_path_factory.mktemp("engine"))


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
async def test_the_engine_streams_in_both_dialects_that_it_speaks(engine: LlamaServer, dialect: DialectName) -> None:
    base_url = f"{engine.url}/v1" if dialect == "openai" else engine.url
    provider = ProviderOptions(name="engine", dialect=dialect, base_url=base_url, model="tiny")
    async with routing(provider) as router:
        heard: list[str] = []
        completion = await router.stream(request("Hello.", tokens_max=MANY), heard)
        assert (completion.finish_reason, "".join(heard)) == ("length", completion.text)
        assert len(heard) > 1
        assert abs(completion.tokens_out - MANY) <= 2  # engines count the last token one way or another
        assert not router.events(CompletionCompleted)[0].is_usage_estimated


async def test_an_openai_client_talks_to_the_engine_through_the_cascade(engine: LlamaServer) -> None:
    async with cascade_server(behind(engine.url)) as (url, _):
        api = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=TOKEN, max_retries=0)
        async with api:
            stream = await api.chat.completions.create(
                model="agora", messages=[{"role": "user", "content": "Hello."}], max_tokens=TOKENS_MAX, stream=True
            )
            finishes = [chunk.choices[0].finish_reason async for chunk in stream if chunk.choices]
            assert finishes[-1] == "length"


async def test_the_anthropic_sdk_and_our_decoder_read_the_same() -> None:
    async with FaultServer() as server:
        provider = ProviderOptions(name="a", dialect="anthropic", base_url=server.url, model="tiny")
        async with routing(provider) as router:
            ours = await router.complete()
        asked: anthropic.types.MessageParam = {"role": "user", "content": "Hello."}
        async with anthropic.AsyncAnthropic(base_url=server.url, api_key="x", max_retries=0) as api:
            theirs = await api.messages.create(model="tiny", max_tokens=5, messages=[asked])
        text = "".join(block.text for block in theirs.content if block.type == "text")
        assert (text, theirs.usage.input_tokens) == (ours.text, ours.tokens_in)
        assert theirs.usage.output_tokens == ours.tokens_out


async def test_the_anthropic_sdk_and_our_decoder_read_the_same_stream(engine: LlamaServer) -> None:
    provider = ProviderOptions(name="a", dialect="anthropic", base_url=engine.url, model="tiny")
    async with routing(provider) as router:
        ours = await router.stream(msgspec.structs.replace(request("Hello.", tokens_max=TOKENS_MAX), temperature=0.0))
    asked: anthropic.types.MessageParam = {"role": "user", "content": "Hello."}
    api = anthropic.AsyncAnthropic(base_url=engine.url, api_key="x", max_retries=0)
    async with (
        api,
        api.messages.stream(
            model="tiny", max_tokens=TOKENS_MAX, messages=[asked], extra_body={"temperature": 0.0}
        ) as stream,
    ):
        theirs = await stream.get_final_message()
    text = "".join(block.text for block in theirs.content if block.type == "text")
    assert (text.strip(), theirs.usage.output_tokens) == (ours.text, ours.tokens_out)
    read = theirs.usage.input_tokens + (theirs.usage.cache_read_input_tokens or 0)
    assert (read, theirs.stop_reason) == (ours.tokens_in, "max_tokens")


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_the_openai_sdk_and_our_decoder_read_the_same(is_streamed: bool) -> None:
    async with FaultServer() as server:
        async with routing(behind(server.url)) as router:
            ours = await (router.stream(request()) if is_streamed else router.complete())
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0) as api:
            if is_streamed:
                stream = await api.chat.completions.create(
                    model="tiny", messages=[{"role": "user", "content": "Hello."}], stream=True
                )
                parts = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
                text = "".join(parts)
            else:
                whole = await api.chat.completions.create(
                    model="tiny", messages=[{"role": "user", "content": "Hello."}]
                )
                text = whole.choices[0].message.content or ""
        assert text == ours.text
