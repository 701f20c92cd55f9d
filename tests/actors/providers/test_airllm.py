"""The process of a large model, spoken to in lines; here it is a stand-in that does what a prompt says."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from actors.providers.airllm import AirLLMProvider, decode, encode
from actors.providers.dialect import ModelReply, Prompt, ProviderFault
from actors.providers.embeddings import Texts
from actors.providers.options import ProviderOptions
from actors.rules.cascade import ErrorClass
from bus.messages.completions import ChatMessage
from tests.actors.providers.replies import PROMPT

STAND_IN = """
import os, sys
sys.stdin.readline()
def say(line): print(line, flush=True)
say('{"ready":true}')
for line in sys.stdin:
    if "hang" in line: sys.stdin.read()
    if "die" in line: sys.exit("out of memory")
    if "long" in line: say('{"error":"overflow","reason":"too long"}'); continue
    if "fail" in line: say('{"error":"failed","reason":"a layer is missing"}'); continue
    if "babble" in line: say('babble'); continue
    say('{"part":" <think>hm</think> Al"}'); say('{"part":"l is "}'); say('{"part":"well. "}')
    said = f" <think>hm</think> All is well. {os.getpid()}"
    say('{"text":"%s","finish":"stop","tokens_in":7,"tokens_out":4}' % said)
"""


@asynccontextmanager
async def provider(folder: Path) -> AsyncIterator[AirLLMProvider]:
    worker = folder / "stand_in.py"
    worker.write_text(STAND_IN)
    options = ProviderOptions(name="large", dialect="airllm", model_path=str(folder), python=sys.executable)
    opened = AirLLMProvider(options, os.environ, worker)
    try:
        yield opened
    finally:
        await opened.close()


def asking(words: str) -> Prompt:
    return Prompt((ChatMessage("user", words),), 9, "large")


def test_a_request_is_one_line() -> None:
    line = encode(Prompt(PROMPT.messages[:2], 9, "m", temperature=0.5, stop=("END",)))
    assert orjson.loads(line) == {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello."}],
        "tokens_max": 9,
        "temperature": 0.5,
        "stop": ["END"],
    }
    assert b"\n" not in line


def test_a_line_is_words_or_the_whole_answer() -> None:
    assert decode(PROMPT, b'{"part":"Al"}') == "Al"
    whole = decode(PROMPT, b'{"text":"<think>x</think>Fine.","finish":"length","tokens_in":3,"tokens_out":2}')
    assert whole == ModelReply("Fine.", "tiny", 3, 2, "length")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b'{"error":"overflow","reason":"too long"}', ErrorClass.OVERFLOW),
        (b'{"error":"failed","reason":"x"}', ErrorClass.SERVER),
        (b'{"text":" ","finish":"stop"}', ErrorClass.EMPTY),
        (b"what", ErrorClass.GARBAGE),
    ],
)
def test_what_is_no_answer_has_its_class(line: bytes, error: ErrorClass) -> None:
    with pytest.raises(ProviderFault) as fault:
        decode(PROMPT, line)
    assert fault.value.error is error


@pytest.mark.slow
async def test_the_words_are_heard_as_they_come_and_one_process_serves_many_calls(tmp_path: Path) -> None:
    async with provider(tmp_path) as opened:
        heard: list[str] = []
        first = await opened.stream(PROMPT, heard.append, limit_s=30.0)
        assert "".join(heard) == first.text
        assert heard[:2] == ["Al", "l is"]
        second = await opened.complete(PROMPT, limit_s=30.0)
        assert first.text == second.text
        assert first.text.startswith("All is well.")
        assert (first.tokens_in, first.tokens_out, first.finish_reason, first.model) == (7, 4, "stop", "tiny")


@pytest.mark.slow
async def test_calls_take_turns(tmp_path: Path) -> None:
    async with provider(tmp_path) as opened:
        answers = await asyncio.gather(*(opened.complete(PROMPT, limit_s=30.0) for _ in range(5)))
        assert len({answer.text for answer in answers}) == 1


@pytest.mark.slow
async def test_a_refusal_of_its_own_keeps_the_process(tmp_path: Path) -> None:
    async with provider(tmp_path) as opened:
        before = await opened.complete(PROMPT, limit_s=30.0)
        for words, error in (("a long one", ErrorClass.OVERFLOW), ("fail", ErrorClass.SERVER)):
            with pytest.raises(ProviderFault) as fault:
                await opened.complete(asking(words), limit_s=30.0)
            assert fault.value.error is error
        assert (await opened.complete(PROMPT, limit_s=30.0)).text == before.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "limit_s", "error"), [("hang", 0.2, ErrorClass.TIMEOUT), ("babble", 30.0, ErrorClass.GARBAGE)]
)
async def test_one_that_does_not_answer_in_time_or_babbles_is_ended_and_a_fresh_one_answers_at_once(
    tmp_path: Path, words: str, limit_s: float, error: ErrorClass
) -> None:
    async with provider(tmp_path) as opened:
        before = await opened.complete(PROMPT, limit_s=30.0)
        with pytest.raises(ProviderFault) as fault:
            await opened.complete(asking(words), limit_s=limit_s)
        assert fault.value.error is error
        assert (await opened.complete(PROMPT, limit_s=30.0)).text != before.text


@pytest.mark.slow
async def test_a_call_that_is_cancelled_ends_the_process(tmp_path: Path) -> None:
    async with provider(tmp_path) as opened:
        before = await opened.complete(PROMPT, limit_s=30.0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await opened.complete(asking("hang"), limit_s=30.0)
        assert (await opened.complete(PROMPT, limit_s=30.0)).text != before.text


@pytest.mark.slow
async def test_one_that_dies_is_a_truncated_answer_with_its_last_words(tmp_path: Path) -> None:
    async with provider(tmp_path) as opened:
        with pytest.raises(ProviderFault, match="out of memory") as fault:
            await opened.complete(asking("die"), limit_s=30.0)
        assert fault.value.error is ErrorClass.TRUNCATED


async def test_a_directory_that_is_not_there_is_an_unknown_model_and_vectors_are_never_made_up(tmp_path: Path) -> None:
    options = ProviderOptions(name="large", dialect="airllm", model_path=str(tmp_path / "none"), python=sys.executable)
    opened = AirLLMProvider(options, {})
    with pytest.raises(ProviderFault) as missing:
        await opened.complete(PROMPT, limit_s=1.0)
    assert missing.value.error is ErrorClass.UNKNOWN_MODEL
    with pytest.raises(ProviderFault) as vectors:
        await opened.embed(Texts(("x",), "m"), limit_s=1.0)
    assert vectors.value.error is ErrorClass.REJECTED
