"""A GGUF file in a process of ours, run by an engine that no one here wrote."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest

from actors.providers.child import Child, command_of
from actors.providers.dialect import ProviderFault
from actors.providers.discovery import EXTRACTIVE
from actors.providers.llama import WORKER, LlamaProvider
from actors.providers.options import ProviderOptions
from actors.providers.seats import Seats
from actors.providers.transport import Transport
from actors.rules.breaker import BreakerOptions
from actors.rules.cascade import ErrorClass
from bus.messages.completions import ROUTER, CompletionAttemptFailed
from bus.messages.embeddings import Embed
from tests.actors.providers.replies import PROMPT
from tests.actors.providers.test_child import Clock
from tests.support.routing import request, routing
from tests.support.tiny_model import write_tiny_model

TOKENS_MAX = 8
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    write_tiny_model(path)
    return path


def llama(model: Path) -> ProviderOptions:
    return ProviderOptions(name="here", dialect="llama", model_path=str(model), context_tokens=512, threads=1)


@asynccontextmanager
async def provider(options: ProviderOptions, clock: Clock | None = None) -> AsyncIterator[LlamaProvider]:
    async with Transport() as transport:
        opened = LlamaProvider(options, transport, os.environ, clock)
        try:
            yield opened
        finally:
            await opened.close()


async def fault_of(opened: LlamaProvider) -> ProviderFault:
    with pytest.raises(ProviderFault) as fault:
        await opened.complete(PROMPT, limit_s=60.0)
    return fault.value


def children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()}


async def test_the_cascade_asks_a_model_file_whole_and_streamed_and_leaves_no_process_behind(model: Path) -> None:
    before = children()
    async with routing(llama(model), environment=os.environ) as router:
        answer = await router.system.ask(ROUTER, request("Hello.", tokens_max=TOKENS_MAX, deadline_s=60), timeout_s=60)
        assert (answer.provider, answer.model, answer.finish_reason) == ("here", "tiny", "length")
        assert answer.text
        heard: list[str] = []
        streamed = await router.stream(request("Hello.", tokens_max=TOKENS_MAX, deadline_s=60), heard)
        assert "".join(heard) == streamed.text
        assert len(children() - before) == 1
    assert children() == before


async def test_a_process_that_dies_is_a_fault_at_once_and_started_again_after_a_wait(model: Path) -> None:
    before, clock = children(), Clock()
    async with provider(llama(model), clock) as opened:
        await opened.complete(PROMPT, limit_s=60.0)
        (pid,) = children() - before
        os.kill(pid, signal.SIGKILL)
        faults = [await fault_of(opened)]
        while "starts again in 1.0 s" not in faults[-1].reason:  # its end takes a moment to be known
            faults.append(await fault_of(opened))
        assert {fault.error for fault in faults} <= {ErrorClass.REFUSED, ErrorClass.TRUNCATED}
        clock.now_s += 1.0
        assert (await opened.complete(PROMPT, limit_s=60.0)).text
        assert children() - before - {pid}


async def test_while_it_is_down_the_next_provider_answers(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"no model")
    async with routing(llama(broken), EXTRACTIVE, environment=os.environ) as router:
        answers = [await router.complete(deadline_s=60) for _ in range(2)]
        assert {answer.provider for answer in answers} == {"extractive"}
        assert {failed.error for failed in router.events(CompletionAttemptFailed)} == {"refused"}


async def test_a_process_that_hangs_is_ended_after_a_call_that_it_did_not_answer(model: Path) -> None:
    before = children()
    async with provider(llama(model)) as opened:
        await opened.complete(PROMPT, limit_s=60.0)
        (pid,) = children() - before
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(ProviderFault) as hung:
            await opened.complete(PROMPT, limit_s=0.3)
        assert hung.value.error is ErrorClass.TIMEOUT
        with pytest.raises(ProviderFault) as down:
            await opened.complete(PROMPT, limit_s=60.0)
        assert down.value.error is ErrorClass.REFUSED
        async with asyncio.timeout(10):
            while children() - before:  # noqa: ASYNC110  # nobody tells when a process is gone
                await asyncio.sleep(0)


async def test_a_process_that_hangs_in_the_middle_of_a_stream_is_ended_as_well(model: Path) -> None:
    before = children()
    options = msgspec.structs.replace(llama(model), stall_timeout_s=0.3)
    async with provider(options) as opened:
        await opened.complete(PROMPT, limit_s=60.0)
        (pid,) = children() - before
        prompt = msgspec.structs.replace(PROMPT, tokens_max=400, is_streamed=True)
        with pytest.raises(ProviderFault) as stalled:
            await opened.stream(prompt, lambda _: os.kill(pid, signal.SIGSTOP), limit_s=60.0)
        assert stalled.value.error is ErrorClass.STALLED
        assert (await fault_of(opened)).error is ErrorClass.REFUSED
        async with asyncio.timeout(10):
            while children() - before:  # noqa: ASYNC110  # nobody tells when a process is gone
                await asyncio.sleep(0)


async def test_nobody_else_on_this_machine_may_ask_it(model: Path) -> None:
    settings = {"parallel": 1, "threads": 1, "key": "ours", "has_embeddings": False}
    born = Child(command_of(llama(model), WORKER, settings, os.environ))
    try:
        url = msgspec.json.decode((await born.ready(60.0)).hello, type=dict[str, str])["url"]
        body = {"messages": [{"role": "user", "content": "Hello."}], "max_tokens": 1}
        async with aiohttp.ClientSession() as client:
            for key, status in (("", 401), ("theirs", 401), ("ours", 200)):
                headers = {"authorization": f"Bearer {key}"}
                async with client.post(f"{url}/v1/chat/completions", json=body, headers=headers) as answer:
                    assert answer.status == status
    finally:
        await born.close()


async def test_each_of_two_calls_at_once_has_the_whole_context(model: Path) -> None:
    async with routing(msgspec.structs.replace(llama(model), concurrency_max=2), environment=os.environ) as router:
        asked = request("Hello there. " * 23, tokens_max=TOKENS_MAX, deadline_s=60)
        answer = await router.system.ask(ROUTER, asked, timeout_s=60)
        assert (answer.provider, 512 // 2 < answer.tokens_in < 512) == ("here", True)


async def test_a_file_that_is_not_there_or_no_model_is_a_typed_fault(tmp_path: Path) -> None:
    async with provider(llama(tmp_path / "none.gguf")) as opened:
        with pytest.raises(ProviderFault) as missing:
            await opened.complete(PROMPT, limit_s=60.0)
        assert missing.value.error is ErrorClass.UNKNOWN_MODEL
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"no model")
    async with provider(llama(broken)) as opened:
        with pytest.raises(ProviderFault) as wrong:
            await opened.complete(PROMPT, limit_s=60.0)
        assert wrong.value.error is ErrorClass.REFUSED


async def test_a_process_that_wants_more_memory_than_it_may_have_ends(model: Path) -> None:
    async with provider(msgspec.structs.replace(llama(model), memory_bytes_max=64 * 1024)) as opened:
        with pytest.raises(ProviderFault) as fault:
            await opened.complete(PROMPT, limit_s=60.0)
        assert fault.value.error is ErrorClass.REFUSED


async def test_it_turns_texts_into_vectors_where_the_config_says_so(tmp_path: Path) -> None:
    path = tmp_path / "vectors.gguf"
    write_tiny_model(path, has_pooling=True)
    options = msgspec.structs.replace(llama(path), embedding_model="tiny")
    async with routing(options, environment=os.environ) as router:
        found = await router.system.ask(ROUTER, Embed(("Hello.", "Bye."), 60.0), timeout_s=60)
        assert (len(found.vectors), {len(vector) for vector in found.vectors}) == (2, {64 * 4})
        assert found.vectors[0] != found.vectors[1]


async def test_other_settings_end_the_process_with_its_last_call_and_the_same_ones_keep_it(model: Path) -> None:
    before = children()
    async with Transport() as transport:
        seats = Seats((llama(model),), BreakerOptions(), transport, os.environ)
        await seats.seat("here").provider.complete(PROMPT, limit_s=60.0)
        first = children() - before
        seats.reconfigure((llama(model),), BreakerOptions())
        await seats.seat("here").provider.complete(PROMPT, limit_s=60.0)
        assert children() - before == first
        seats.reconfigure((msgspec.structs.replace(llama(model), context_tokens=256),), BreakerOptions())
        await seats.seat("here").provider.complete(PROMPT, limit_s=60.0)
        async with asyncio.timeout(10):
            while first <= children():  # noqa: ASYNC110  # nobody tells when a process is gone
                await asyncio.sleep(0)
        seats.reconfigure((), BreakerOptions())
        await seats.close()
    assert children() == before
