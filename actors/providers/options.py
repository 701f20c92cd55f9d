"""What the config says of a provider."""

from decimal import Decimal
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from actors.rules.spending import Price, parse_price

DialectName = Literal["ollama", "openai", "anthropic", "extractive"]


class ProviderOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One provider of the cascade."""

    name: str
    """How events, views and commands call it."""
    dialect: DialectName
    """What it speaks; `openai` is what most engines and gateways speak."""
    base_url: str = ""
    """Where it listens: without the path for `ollama` and `anthropic`, with `/v1` for `openai`."""
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
    needed_s: float = 2.0
    """What the providers before it leave it of a completion's deadline, if they can."""
    concurrency_max: int = 8
    """How many calls it takes at once; more wait."""

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
        if min(self.timeout_s, self.connect_timeout_s, self.needed_s) <= 0.0:
            raise ValueError(f"the times of {self.name} must be above 0")
        if self.concurrency_max < 1:
            raise ValueError(f"`concurrency_max` of {self.name} must be at least 1")
        parse_price(self.price_in)
        parse_price(self.price_out)

    @property
    def price(self) -> Price:
        """Its prices in integers."""
        return Price(parse_price(self.price_in), parse_price(self.price_out))
