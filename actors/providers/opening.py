"""Which provider the options describe."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from actors.providers import anthropic, gemini, ollama, openai
from actors.providers.airllm import AirLLMProvider
from actors.providers.llama import LlamaProvider
from actors.providers.options import ProviderOptions
from actors.providers.provider import ExtractiveProvider, HttpProvider, Provider
from actors.providers.streaming import Dialect
from actors.providers.transport import Transport

DIALECTS: Mapping[Literal["ollama", "openai", "anthropic", "gemini"], Dialect] = MappingProxyType(
    {"ollama": ollama.DIALECT, "openai": openai.DIALECT, "anthropic": anthropic.DIALECT, "gemini": gemini.DIALECT}
)


def open_provider(options: ProviderOptions, transport: Transport, environment: Mapping[str, str]) -> Provider:
    """The provider; a process of ours is started by its first call."""
    match options.dialect:
        case "llama":
            return LlamaProvider(options, transport, environment)
        case "airllm":
            return AirLLMProvider(options, environment)
        case "extractive":
            return ExtractiveProvider()
        case name:
            return HttpProvider(options, DIALECTS[name], transport, environment)
