"""What the config says of a provider."""

import math
from decimal import Decimal
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from actors.rules.spending import Price, parse_price

_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")

DialectName = Literal["ollama", "openai", "anthropic", "gemini", "extractive"]


class ProviderOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One provider of the cascade."""

    name: str
    """How events, views and commands call it."""
    dialect: DialectName
    """What it speaks; `openai` is what most engines and gateways speak."""
    base_url: str = ""
    """Where it listens: without the path for `ollama`, `anthropic` and `gemini`, with `/v1` for `openai`."""
    model: str = ""
    """The model that it is asked for."""
    models: tuple[str, ...] = ()
    """Other models of this provider that a request may name."""
    key_env: str = ""
    """The environment variable that holds the key; the key itself stands in no file."""
    price_in: Decimal = Decimal(0)
    """USD per million tokens read."""
    price_out: Decimal = Decimal(0)
    """USD per million tokens written."""
    timeout_s: float = 120.0
    """The most that one attempt may take."""
    connect_timeout_s: float = 3.0
    """The most that connecting may take."""
    first_token_timeout_s: float = 60.0
    """The most that the first bytes of a streamed answer may take; a large model on a processor reads slowly."""
    stall_timeout_s: float = 20.0
    """The most that may pass between two pieces of a streamed answer."""
    needed_s: float = 2.0
    """What the providers before it leave it of a completion's deadline, if they can."""
    concurrency_max: int = 8
    """How many calls it takes at once; more wait."""
    requests_per_minute: int = 0
    """How many calls it takes in a minute; 0 leaves that to the provider."""
    tokens_per_minute: int = 0
    """How many tokens it takes in a minute, read and written; 0 leaves that to the provider."""
    context_tokens: int = 0
    """How many tokens its model can hold; a longer request goes to another provider at once. 0 finds out by asking."""
    weight: float = 1.0
    """Its share of the calls where the policy is `weighted`."""
    location: Literal["auto", "local", "remote"] = "auto"
    """Whether a request marked `local` may reach it; `auto` trusts this machine's own addresses alone."""

    def __post_init__(self) -> None:
        """Refuse what could never work.

        Raises:
            ValueError: it names the setting.
        """
        if not self.name or not self.name.isprintable() or len(self.name) > 64:
            raise ValueError("`name` must have from 1 to 64 printable characters")
        if self.dialect != "extractive":
            url = urlsplit(self.base_url)
            if url.scheme not in ("http", "https") or not url.hostname:
                raise ValueError(f"`base_url` of {self.name} must be an http or https address, not {self.base_url!r}")
            if url.username or url.password or url.query or url.fragment:
                raise ValueError(f"`base_url` of {self.name} must be free of credentials, query and fragment")
            if not self.model:
                raise ValueError(f"`model` of {self.name} must be set")
        times = (self.timeout_s, self.connect_timeout_s, self.needed_s)
        if min(*times, self.first_token_timeout_s, self.stall_timeout_s) <= 0.0:
            raise ValueError(f"the times of {self.name} must be above 0")
        if self.concurrency_max < 1:
            raise ValueError(f"`concurrency_max` of {self.name} must be at least 1")
        if min(self.requests_per_minute, self.tokens_per_minute, self.context_tokens) < 0:
            raise ValueError(f"the limits of {self.name} must be at least 0")
        if not 0.0 < self.weight < math.inf:
            raise ValueError(f"`weight` of {self.name} must be above 0")
        parse_price(self.price_in)
        parse_price(self.price_out)

    @property
    def price(self) -> Price:
        """Its prices in integers."""
        return Price(parse_price(self.price_in), parse_price(self.price_out))

    @property
    def is_local(self) -> bool:
        """Whether what it is sent stays in the operator's own hands."""
        if self.location != "auto" or self.dialect == "extractive":
            return self.location != "remote"
        return (urlsplit(self.base_url).hostname or "") in _THIS_MACHINE
