"""A provider as the router calls it: a prompt in, an answer out, or a typed fault.

Rules: keys come from the environment at the moment of the call and go into a request's headers, nowhere else: what a
provider says in its errors is searched for the key before anyone sees it.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import anyio.to_thread

from actors.providers import extractive
from actors.providers.dialect import (
    CUT,
    HttpReply,
    HttpRequest,
    ModelReply,
    Prompt,
    ProviderFault,
    fault_of,
    refuse_garbage,
)
from actors.providers.embeddings import EMBEDDERS, Texts
from actors.providers.options import ProviderOptions
from actors.providers.streaming import Dialect, StreamReader
from actors.providers.transport import Limits, Streamed, Transport
from actors.rules.cascade import ErrorClass

KEY_MASK = "[key]"
KEY_BEGIN = 4
"""So many characters of a key are common to many; with more of them, the end of words that were cut is masked."""
TAIL_S = 2.0
"""Once a stream has said why it ended, so long is waited for what may follow: sizes, and the mark of its end. A dialect
may have no such mark, as Gemini's has none, and a server may leave it out."""

Say = Callable[[str], None]
"""Takes the words of an answer as they come."""


class Provider(Protocol):
    """Who answers prompts."""

    async def complete(self, prompt: Prompt, *, limit_s: float) -> ModelReply:
        """Answer within `limit_s`. Raises `ProviderFault`."""
        ...

    async def stream(self, prompt: Prompt, say: Say, *, limit_s: float) -> ModelReply:
        """Answer within `limit_s`, and say the words as they come. Raises `ProviderFault`."""
        ...

    async def embed(self, asked: Texts, *, limit_s: float) -> ModelReply:
        """Turn texts into vectors within `limit_s`. Raises `ProviderFault`."""
        ...

    def release(self) -> None:
        """Nobody will ask it any more: end what it has started, once its last call is over."""
        ...

    async def close(self) -> None:
        """End what it has started, and wait for that."""
        ...


class HttpProvider:
    """A model behind HTTP."""

    def __init__(
        self,
        options: ProviderOptions,
        dialect: Dialect,
        transport: Transport,
        environment: Mapping[str, str],
        *,
        tail_s: float = TAIL_S,
    ) -> None:
        self._tail_s = tail_s
        self._options = options
        self._dialect = dialect
        self._transport = transport
        self._environment = environment

    async def complete(self, prompt: Prompt, *, limit_s: float) -> ModelReply:
        """Ask once. Raises `ProviderFault`."""
        options = self._options
        key = self._key()
        try:
            request = self._dialect.encode(options, key, prompt)
            reply = await self._transport.post(request, connect_s=options.connect_timeout_s, limit_s=limit_s)
            return self._dialect.decode(prompt, reply)
        except ProviderFault as fault:
            raise _masked(fault, key) from None

    async def stream(self, prompt: Prompt, say: Say, *, limit_s: float) -> ModelReply:
        """Ask once, and say what comes. Raises `ProviderFault`."""
        key = self._key()
        reader = StreamReader(prompt, self._dialect.follow)
        try:
            return await self._follow(self._dialect.encode(self._options, key, prompt), reader, say, limit_s)
        except ProviderFault as fault:
            if not reader.is_finished:
                raise _masked(fault, key) from None
        words, reply = reader.end()  # it had said why it ended: what became of the connection after that is all one
        _say(say, words)
        return reply

    async def embed(self, asked: Texts, *, limit_s: float) -> ModelReply:
        """Ask once for vectors. Raises `ProviderFault`."""
        options, embedder = self._options, EMBEDDERS.get(self._options.dialect)
        if embedder is None:
            raise ProviderFault(ErrorClass.REJECTED, f"{options.dialect} has no embeddings")
        key = self._key()
        try:
            request = embedder.encode(options, key, asked)
            reply = await self._transport.post(request, connect_s=options.connect_timeout_s, limit_s=limit_s)
            return embedder.decode(asked, reply)
        except ProviderFault as fault:
            raise _masked(fault, key) from None

    def release(self) -> None:
        """Nothing: the transport is everybody's."""

    async def close(self) -> None:
        """Nothing: the transport is everybody's."""

    async def _follow(self, request: HttpRequest, reader: StreamReader, say: Say, limit_s: float) -> ModelReply:
        options = self._options
        limits = Limits(options.connect_timeout_s, limit_s, options.first_token_timeout_s, options.stall_timeout_s)
        async with self._transport.stream(request, limits) as streamed:
            if streamed.status != 200 or "application/json" in streamed.headers.get("content-type", ""):
                return await self._unstreamed(streamed, reader, say)
            if "text/html" in streamed.headers.get("content-type", ""):
                refuse_garbage("the reply is a web page")
            while not reader.is_over and (data := await streamed.next()):
                words = reader.feed(data)
                _say(say, words)
                if reader.is_finished and (words or not streamed.is_ending):
                    streamed.end_within(self._tail_s)
            streamed.leave()
        words, reply = reader.end()
        _say(say, words)
        return reply

    async def _unstreamed(self, streamed: Streamed, reader: StreamReader, say: Say) -> ModelReply:
        """A failure, or an answer in one piece from a provider that does not stream."""
        whole = HttpReply(streamed.status, streamed.headers, await streamed.rest())
        if whole.status != 200:
            raise fault_of(whole)
        reply = self._dialect.decode(reader.draft.prompt, whole)
        _say(say, reply.text)
        return reply

    def _key(self) -> str:
        name = self._options.key_env
        if not name:
            return ""
        key = self._environment.get(name, "").strip()
        if not key:
            raise ProviderFault(ErrorClass.UNAUTHORISED, f"the environment variable {name} is not set")
        if not (key.isascii() and key.isprintable()):
            raise ProviderFault(ErrorClass.UNAUTHORISED, f"the environment variable {name} does not hold a key")
        return key


class ExtractiveProvider:
    """No model at all: it quotes the text that it is given. In a thread, since long texts take their time."""

    async def complete(self, prompt: Prompt, *, limit_s: float) -> ModelReply:
        """Quote the best sentences. Raises `ProviderFault`."""
        try:
            with anyio.fail_after(limit_s):
                return await anyio.to_thread.run_sync(extractive.answer, prompt, abandon_on_cancel=True)
        except TimeoutError as error:
            raise ProviderFault(ErrorClass.TIMEOUT, f"the text was not read within {limit_s:.3g} s") from error

    async def stream(self, prompt: Prompt, say: Say, *, limit_s: float) -> ModelReply:
        """Quote the best sentences, in one piece: they are chosen together. Raises `ProviderFault`."""
        reply = await self.complete(prompt, limit_s=limit_s)
        say(reply.text)
        return reply

    async def embed(self, asked: Texts, *, limit_s: float) -> ModelReply:
        """It has no vectors, and makes none up. Raises `ProviderFault`."""
        raise ProviderFault(ErrorClass.REJECTED, "quoting has no embeddings")

    def release(self) -> None:
        """Nothing."""

    async def close(self) -> None:
        """Nothing."""


def _masked(fault: ProviderFault, key: str) -> ProviderFault:
    """The fault without the key, which a provider may have repeated."""
    if not key:
        return fault
    reason = fault.reason.replace(key, KEY_MASK)
    if reason.endswith(CUT):  # perhaps in the middle of the key
        words = reason.removesuffix(CUT)
        begun = next((size for size in range(len(key) - 1, KEY_BEGIN - 1, -1) if words.endswith(key[:size])), 0)
        reason = f"{words[:-begun]}{KEY_MASK}{CUT}" if begun else reason
    return ProviderFault(fault.error, reason, fault.retry_after_s) if reason != fault.reason else fault


def _say(say: Say, words: str) -> None:
    if words:
        say(words)
