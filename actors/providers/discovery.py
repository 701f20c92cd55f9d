"""Find providers when none is configured: what runs here, what there are keys for, and last the extractive one.

Rules: local first. Looking takes at most a third of a second. A key is named by its variable and never read here.
"""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal

from actors.providers.dialect import ProviderFault
from actors.providers.extractive import MODEL as EXTRACTIVE_MODEL
from actors.providers.ollama import TAGS_PATH, first_model
from actors.providers.options import ProviderOptions
from actors.providers.transport import Transport

OLLAMA_URL = "http://127.0.0.1:11434"
PROBE_LIMIT_S = 0.3
"""An Ollama on this machine answers within milliseconds; a start without one must not be felt."""

Probe = Callable[[str], Awaitable[bytes | None]]
"""Fetches an address; None when nobody answers in time."""

EXTRACTIVE = ProviderOptions(name="extractive", dialect="extractive", model=EXTRACTIVE_MODEL, needed_s=0.5)

WITH_KEYS = (
    ProviderOptions(
        name="openai",
        dialect="openai",
        base_url="https://api.openai.com/v1",
        model="gpt-4o-mini",
        key_env="OPENAI_API_KEY",
        price_in=Decimal("0.15"),
        price_out=Decimal("0.60"),
        capabilities=("tools", "vision", "json"),
        embedding_model="text-embedding-3-small",
        price_embedding=Decimal("0.02"),
    ),
    ProviderOptions(
        name="openrouter",
        dialect="openai",
        base_url="https://openrouter.ai/api/v1",
        model="openai/gpt-4o-mini",
        key_env="OPENROUTER_API_KEY",
        price_in=Decimal("0.15"),
        price_out=Decimal("0.60"),
        capabilities=("tools", "vision", "json"),
    ),
    ProviderOptions(
        name="anthropic",
        dialect="anthropic",
        base_url="https://api.anthropic.com",
        model="claude-haiku-4-5",
        key_env="ANTHROPIC_API_KEY",
        price_in=Decimal(1),
        price_out=Decimal(5),
        capabilities=("tools", "vision", "json"),
    ),
)
"""Small models at their list prices: whoever wants another one says so in the config."""


async def discover(environment: Mapping[str, str], probe: Probe) -> tuple[ProviderOptions, ...]:
    """The cascade for this machine, in its order."""
    found: list[ProviderOptions] = []
    tags = await probe(OLLAMA_URL + TAGS_PATH)
    if tags is not None and (model := first_model(tags)):
        found.append(ProviderOptions(name="ollama", dialect="ollama", base_url=OLLAMA_URL, model=model))
    found.extend(options for options in WITH_KEYS if environment.get(options.key_env, "").strip())
    return (*found, EXTRACTIVE)


async def probe_http(url: str) -> bytes | None:
    """Fetch `url`, with a short patience."""
    async with Transport() as transport:
        try:
            reply = await transport.get(url, limit_s=PROBE_LIMIT_S)
        except ProviderFault:
            return None  # nobody there is the usual answer, not an error
    return reply.body if reply.status == 200 else None
