"""Schemas, tools and a context that overflows, at an engine that no one here wrote, in both dialects that it speaks."""

import anthropic
import msgspec
import openai
import orjson
import pytest

from actors.providers import ProviderFault, ProviderOptions, Transport, open_provider
from actors.providers.dialect import ModelReply, Prompt
from actors.providers.discovery import EXTRACTIVE
from actors.providers.options import DialectName
from actors.rules.cascade import ErrorClass
from actors.rules.schema import fault_of
from bus.messages.completions import ROUTER, ChatMessage, CompletionAttemptFailed, Tool
from tests.acceptance.test_real_engine import LlamaServer
from tests.support.cascade_server import cascade_server
from tests.support.routing import able, request, routing
from tests.web.support import TOKEN

SCHEMA = (
    '{"type":"object","properties":{"ok":{"type":"boolean"},"kind":{"enum":["good","bad"]}},'
    '"required":["ok","kind"],"additionalProperties":false}'
)
LOOK = Tool("look", "Looks somewhere.", SCHEMA)
TOKENS_MAX = 256
LONG = "This is a sentence of a document that goes on for too long. " * 200
pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("is_streamed", [False, True]),
    pytest.mark.parametrize("dialect", ["openai", "anthropic"]),
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> LlamaServer:
    return LlamaServer(tmp_path_factory.mktemp("engine"), calls_tools=True)


def behind(engine: LlamaServer, dialect: DialectName) -> ProviderOptions:
    base_url = f"{engine.url}/v1" if dialect == "openai" else engine.url
    return able(ProviderOptions(name="engine", dialect=dialect, base_url=base_url, model="tiny"))


async def ask(options: ProviderOptions, prompt: Prompt) -> ModelReply:
    async with Transport() as transport:
        provider = open_provider(options, transport, {})
        if not prompt.is_streamed:
            return await provider.complete(prompt, limit_s=30.0)
        heard: list[str] = []
        reply = await provider.stream(prompt, heard.append, limit_s=30.0)
        assert "".join(heard) == reply.text
        return reply


async def test_the_engine_keeps_a_schema(engine: LlamaServer, dialect: DialectName, is_streamed: bool) -> None:
    prompt = Prompt((ChatMessage("user", "Well?"),), TOKENS_MAX, "tiny", is_streamed=is_streamed, schema=SCHEMA)
    reply = await ask(behind(engine, dialect), prompt)
    assert fault_of(SCHEMA, reply.text) == ""
    assert not reply.tool_calls
    async with routing(behind(engine, dialect)) as router:
        asked = msgspec.structs.replace(request("Well?", tokens_max=TOKENS_MAX), schema=SCHEMA)
        answer = await (router.stream(asked) if is_streamed else router.system.ask(ROUTER, asked, timeout_s=30))
        assert (fault_of(SCHEMA, answer.text), answer.provider) == ("", "engine")


async def test_the_engine_calls_a_tool_that_it_must_call(
    engine: LlamaServer, dialect: DialectName, is_streamed: bool
) -> None:
    messages = (ChatMessage("user", "Look."),)
    prompt = Prompt(
        messages,
        TOKENS_MAX,
        "tiny",
        is_streamed=is_streamed,
        tools=(LOOK,),
        tool_choice="required",
        has_parallel_calls=False,
    )
    reply = await ask(behind(engine, dialect), prompt)
    assert {call.name for call in reply.tool_calls} == {"look"}
    assert fault_of(SCHEMA, reply.tool_calls[0].arguments) == ""
    assert reply.tool_calls[0].id


async def test_a_context_that_overflows_is_told_apart_and_the_next_provider_answers(
    engine: LlamaServer, dialect: DialectName, is_streamed: bool
) -> None:
    prompt = Prompt((ChatMessage("user", LONG),), TOKENS_MAX, "tiny", is_streamed=is_streamed)
    with pytest.raises(ProviderFault) as fault:
        await ask(behind(engine, dialect), prompt)
    assert fault.value.error is ErrorClass.OVERFLOW
    async with routing(behind(engine, dialect), EXTRACTIVE) as router:
        asked = request(LONG, tokens_max=TOKENS_MAX)
        answer = await (router.stream(asked) if is_streamed else router.system.ask(ROUTER, asked, timeout_s=30))
        assert answer.provider == "extractive"
        assert [failed.error for failed in router.events(CompletionAttemptFailed)] == ["overflow"]
        assert (await router.provider("engine")).is_enabled


async def test_clients_of_both_dialects_get_tool_calls_of_the_engine_through_the_cascade(
    engine: LlamaServer, dialect: DialectName, is_streamed: bool
) -> None:
    async with cascade_server(behind(engine, dialect)) as (url, _):
        arguments: list[object] = []
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=TOKEN, max_retries=0) as api:
            parameters: dict[str, object] = orjson.loads(SCHEMA)
            if is_streamed:
                stream = await api.chat.completions.create(
                    model="agora",
                    messages=[{"role": "user", "content": "Look."}],
                    tools=[{"type": "function", "function": {"name": "look", "parameters": parameters}}],
                    tool_choice="required",
                    parallel_tool_calls=False,
                    max_tokens=TOKENS_MAX,
                    stream=True,
                )
                deltas = [call async for chunk in stream for call in chunk.choices[0].delta.tool_calls or ()]
                arguments += [orjson.loads(one.function.arguments or "") for one in deltas if one.function is not None]
            else:
                whole = await api.chat.completions.create(
                    model="agora",
                    messages=[{"role": "user", "content": "Look."}],
                    tools=[{"type": "function", "function": {"name": "look", "parameters": parameters}}],
                    tool_choice="required",
                    parallel_tool_calls=False,
                    max_tokens=TOKENS_MAX,
                )
                calls = [call for call in whole.choices[0].message.tool_calls or () if call.type == "function"]
                arguments += [orjson.loads(call.function.arguments) for call in calls]
        async with (
            anthropic.AsyncAnthropic(base_url=url, api_key=TOKEN, max_retries=0) as client,
            client.messages.stream(
                model="agora",
                messages=[{"role": "user", "content": "Look."}],
                tools=[{"name": "look", "input_schema": parameters}],
                tool_choice={"type": "any", "disable_parallel_tool_use": True},
                max_tokens=TOKENS_MAX,
            ) as events,
        ):
            heard = await events.get_final_message()
            arguments += [block.input for block in heard.content if block.type == "tool_use"]
        assert len(arguments) == 2
        assert [fault_of(SCHEMA, orjson.dumps(one).decode()) for one in arguments] == ["", ""]
