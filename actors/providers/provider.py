"""A provider as the router calls it: a prompt in, an answer out, or a typed fault.

Rules: keys come from the environment at the moment of the call and go into a request's headers, nowhere else: what a
provider says in its errors is searched for the key before anyone sees it.
"""

from collections.abc import Mapping
from typing import Protocol

import anyio.to_thread

from actors.providers import anthropic, extractive, ollama, openai
from actors.providers.dialect import Dialect, ModelReply, Prompt, ProviderFault
from actors.providers.options import ProviderOptions
from actors.providers.transport import Transport
from actors.rules.cascade import ErrorClass

KEY_MASK = "[key]"


class Provider(Protocol):
    """Who answers prompts."""

    async def complete(self, prompt: Prompt, *, limit_s: float) -> ModelReply:
        """Answer within `limit_s`. Raises `ProviderFault`."""
        ...


class HttpProvider:
    """A model behind HTTP."""

    def __init__(
        self, options: ProviderOptions, dialect: Dialect, transport: Transport, environment: Mapping[str, str]
    ) -> None:
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
            if key and key in fault.reason:
                raise ProviderFault(fault.error, fault.reason.replace(key, KEY_MASK), fault.retry_after_s) from None
            raise

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


def open_provider(options: ProviderOptions, transport: Transport, environment: Mapping[str, str]) -> Provider:
    """The provider that the options describe."""
    match options.dialect:
        case "ollama":
            return HttpProvider(options, ollama.DIALECT, transport, environment)
        case "openai":
            return HttpProvider(options, openai.DIALECT, transport, environment)
        case "anthropic":
            return HttpProvider(options, anthropic.DIALECT, transport, environment)
        case "extractive":
            return ExtractiveProvider()
