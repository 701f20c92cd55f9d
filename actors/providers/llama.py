"""A GGUF file, run by llama.cpp's own server in a process of ours, which is spoken to in OpenAI's dialect.

Rules: the process takes calls from this one alone: it listens on loopback and knows a key that is made for it. After a
call that it did not answer in time it must say that it is well before it is asked again; one that cannot is ended, and
a fresh one started.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import anyio
import msgspec

from actors.providers import openai
from actors.providers.child import Child, Run, command_of
from actors.providers.dialect import ModelReply, Prompt, ProviderFault
from actors.providers.embeddings import Texts
from actors.providers.options import ProviderOptions
from actors.providers.provider import HttpProvider, Say
from actors.providers.transport import Transport
from actors.rules.cascade import ErrorClass

WORKER: Final = Path(__file__).with_name("llama_worker.py")
HEALTH_LIMIT_S = 2.0
"""A server that is well says so within milliseconds, however busy its model is."""
_KEY = "KEY"
_SUSPICIOUS = frozenset((ErrorClass.TIMEOUT, ErrorClass.STALLED, ErrorClass.CONNECT))


class _Hello(msgspec.Struct):
    url: str


class LlamaProvider:
    """The model and its process."""

    def __init__(
        self,
        options: ProviderOptions,
        transport: Transport,
        environment: Mapping[str, str],
        now_s: Callable[[], float] | None = None,
    ) -> None:
        self._options = options
        self._transport = transport
        self._key = secrets.token_urlsafe(24)
        self._child = Child(command_of(options, WORKER, self._settings(), environment), now_s)
        self._run: Run | None = None
        self._served: HttpProvider | None = None
        self._url = ""
        self._is_suspect = False

    async def complete(self, prompt: Prompt, *, limit_s: float) -> ModelReply:
        """Ask the process. Raises `ProviderFault`."""
        with self._watched():
            served, left_s = await self._open(limit_s)
            return await served.complete(prompt, limit_s=left_s)

    async def stream(self, prompt: Prompt, say: Say, *, limit_s: float) -> ModelReply:
        """Ask the process, and say the words as they come. Raises `ProviderFault`."""
        with self._watched():
            served, left_s = await self._open(limit_s)
            return await served.stream(prompt, say, limit_s=left_s)

    async def embed(self, asked: Texts, *, limit_s: float) -> ModelReply:
        """Ask the process for vectors. Raises `ProviderFault`."""
        with self._watched():
            served, left_s = await self._open(limit_s)
            return await served.embed(asked, limit_s=left_s)

    def release(self) -> None:
        """End the process once its last call is over."""
        self._child.release()

    async def close(self) -> None:
        """End the process."""
        await self._child.close()

    async def _open(self, limit_s: float) -> tuple[HttpProvider, float]:
        """The server once it is ready, and what is left of the time."""
        begun_s = anyio.current_time()
        if not await anyio.Path(self._options.model_path).is_file():
            raise ProviderFault(ErrorClass.UNKNOWN_MODEL, f"there is no file {self._options.model_path}")
        if self._is_suspect:
            await self._examine()
        run = await self._child.ready(limit_s)
        if run is not self._run or self._served is None:
            self._url = msgspec.json.decode(run.hello, type=_Hello).url
            options = msgspec.structs.replace(
                self._options, dialect="openai", base_url=f"{self._url}/v1", model_path="", key_env=_KEY
            )
            self._served = HttpProvider(options, openai.DIALECT, self._transport, {_KEY: self._key})
            self._run = run
        return self._served, max(limit_s - (anyio.current_time() - begun_s), 0.001)

    async def _examine(self) -> None:
        """End a process that does not say that it is well."""
        self._is_suspect = False
        if self._run is None or not self._run.is_alive:
            return
        try:
            await self._transport.get(f"{self._url}/health", limit_s=HEALTH_LIMIT_S)
        except ProviderFault:
            self._run.kill("it did not say that it is well")

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """A call is under way; one that is not answered in time makes the process suspect."""
        with self._child.used():
            try:
                yield
            except ProviderFault as fault:
                self._is_suspect = self._is_suspect or fault.error in _SUSPICIOUS
                raise

    def _settings(self) -> dict[str, object]:
        return {
            "parallel": self._options.concurrency_max,
            "threads": self._options.threads,
            "key": self._key,
            "has_embeddings": bool(self._options.embedding_model),
        }
