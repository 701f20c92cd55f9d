"""A model too large for this machine's memory, run layer by layer by AirLLM in a process of ours.

Rules: one call at a time, in lines of JSON. Nothing can interrupt a layer, so a call that is cancelled or out of time
ends the process; the next one starts a fresh one. It is slow, minutes for an answer, so only the call's whole limit
counts. Tools and images are nothing that it knows.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import anyio
import msgspec

from actors.providers.child import Child, Run, command_of
from actors.providers.dialect import ModelReply, Prompt, ProviderFault, answer, shorten
from actors.providers.embeddings import Texts
from actors.providers.options import ProviderOptions
from actors.providers.provider import Say
from actors.providers.streaming import Speech
from actors.rules.cascade import ErrorClass

WORKER: Final = Path(__file__).with_name("airllm_worker.py")


class _Line(msgspec.Struct):
    """What the process says: a part, the end, or what is wrong."""

    part: str | None = None
    text: str | None = None
    finish: Literal["stop", "length"] = "stop"
    tokens_in: int = 0
    tokens_out: int = 0
    error: str = ""
    reason: str = ""


_decoder = msgspec.json.Decoder(_Line)


def encode(prompt: Prompt) -> bytes:
    """The request for one answer, as a line."""
    return msgspec.json.encode(
        {
            "messages": [{"role": message.role, "content": message.content} for message in prompt.messages],
            "tokens_max": prompt.tokens_max,
            "temperature": prompt.temperature,
            "stop": prompt.stop,
        }
    )


def decode(prompt: Prompt, line: bytes) -> str | ModelReply:
    """Words of an answer, or all of it. Raises ProviderFault."""
    try:
        said = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProviderFault(ErrorClass.GARBAGE, shorten(f"the process says what makes no sense: {error}")) from error
    if said.error:
        kind = ErrorClass.OVERFLOW if said.error == "overflow" else ErrorClass.SERVER
        raise ProviderFault(kind, shorten(said.reason))
    if said.text is None:
        return said.part or ""
    return answer(prompt, said.text, prompt.model, said.tokens_in, said.tokens_out, said.finish)


class AirLLMProvider:
    """The model and its process."""

    def __init__(self, options: ProviderOptions, environment: Mapping[str, str], worker: Path = WORKER) -> None:
        self._options = options
        self._child = Child(command_of(options, worker, {}, environment))
        self._turn = asyncio.Lock()

    async def complete(self, prompt: Prompt, *, limit_s: float) -> ModelReply:
        """Ask the process. Raises `ProviderFault`."""
        return await self.stream(prompt, _unheard, limit_s=limit_s)

    async def stream(self, prompt: Prompt, say: Say, *, limit_s: float) -> ModelReply:
        """Ask the process, and say the words as they come. Raises `ProviderFault`."""
        until_s = anyio.current_time() + limit_s
        if not await anyio.Path(self._options.model_path).is_dir():
            raise ProviderFault(ErrorClass.UNKNOWN_MODEL, f"there is no directory {self._options.model_path}")
        with self._child.used():
            async with self._turn:
                run = await self._child.ready(until_s - anyio.current_time())
                return await self._ask(run, prompt, say, until_s)

    def release(self) -> None:
        """End the process once its last call is over."""
        self._child.release()

    async def embed(self, asked: Texts, *, limit_s: float) -> ModelReply:
        """It has no vectors, and makes none up. Raises `ProviderFault`."""
        raise ProviderFault(ErrorClass.REJECTED, "AirLLM has no embeddings")

    async def close(self) -> None:
        """End the process."""
        await self._child.close()

    async def _ask(self, run: Run, prompt: Prompt, say: Say, until_s: float) -> ModelReply:
        """One call; a process that is still at work on it when it ends is of no use to the next."""
        run.send(encode(prompt))
        is_at_work = True
        try:
            reply = await self._follow(run, prompt, say, until_s)
            is_at_work = False
            return reply
        except ProviderFault as fault:
            is_at_work = fault.error in (ErrorClass.TIMEOUT, ErrorClass.GARBAGE)
            raise
        finally:
            if is_at_work:
                self._child.drop(run, "its answer is no longer wanted")

    async def _follow(self, run: Run, prompt: Prompt, say: Say, until_s: float) -> ModelReply:
        speech = Speech()
        said = ""
        while True:
            heard = decode(prompt, await self._child.line(run, until_s - anyio.current_time()))
            words = speech.feed(heard) if isinstance(heard, str) else heard.text[len(said) :]
            if words:
                said += words
                say(words)
            if isinstance(heard, ModelReply):
                return heard


def _unheard(_: str) -> None:
    """Nobody listens to the words as they come."""
