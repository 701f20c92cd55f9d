"""What the config says of a provider."""

import math
from collections.abc import Mapping
from decimal import Decimal
from importlib.util import find_spec
from pathlib import PurePath
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import force_setattr

from actors.rules.breaker import Mode
from actors.rules.capabilities import EMBEDDINGS, Capability
from actors.rules.spending import Price, parse_price

_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")

DialectName = Literal["ollama", "openai", "anthropic", "gemini", "llama", "airllm", "extractive"]
WITH_EMBEDDINGS: tuple[DialectName, ...] = ("ollama", "openai", "gemini", "llama")
IN_CHILDREN: Mapping[DialectName, tuple[str, str, int]] = MappingProxyType(
    {"llama": ("xllamacpp", "local", 2), "airllm": ("airllm", "airllm", 1)}
)
"""Dialects that run a model in a process of ours: its library, the extra that brings it, and the most calls at once."""
CONTEXT_DEFAULT = 4_096
"""Of a model in a process of ours, when the config says nothing."""


class ProviderOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One provider of the cascade."""

    name: str
    """How events, views and commands call it."""
    dialect: DialectName
    """What it speaks; `openai` is what most engines and gateways speak. `llama` runs a GGUF file and `airllm` a large
    model layer by layer, each in a process of its own; `extractive` quotes, without any model."""
    base_url: str = ""
    """Where it listens: without the path for `ollama`, `anthropic` and `gemini`, with `/v1` for `openai`."""
    model: str = ""
    """The model that it is asked for; of one in a process of ours, what it is called."""
    model_path: str = ""
    """Of `llama` the GGUF file, of `airllm` the model's directory; nothing is downloaded."""
    python: str = ""
    """The interpreter that runs the process of `llama` or `airllm`, if their libraries live in another environment; it
    needs `msgspec` there."""
    memory_bytes_max: int = 32 * 1024 * 1024 * 1024
    """What the process of `llama` or `airllm` may take beside the file itself; one that wants more ends."""
    threads: int = 0
    """How many threads `llama` computes with; 0 takes half of the machine's, since they spin while they wait."""
    start_timeout_s: float = 300.0
    """How long that process may take to load its model."""
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
    """How many calls it takes at once; more wait. `llama` takes 2 at most, `airllm` one."""
    requests_per_minute: int = 0
    """How many calls it takes in a minute; 0 leaves that to the provider."""
    tokens_per_minute: int = 0
    """How many tokens it takes in a minute, read and written; 0 leaves that to the provider."""
    context_tokens: int = 0
    """How many tokens its model can hold; a longer request goes to another provider at once. 0 finds out by asking, and
    means 4,096 for `llama` and `airllm`."""
    enabled: bool = True
    """Whether it is part of the cascade; an operator may say otherwise while all runs."""
    capabilities: tuple[Capability, ...] = ("json",)
    """What its model can do beyond text: `tools`, `vision`, `json` (keep a JSON schema). What is not declared here is
    never asked of it; an answer is checked against its schema all the same."""
    embedding_model: str = ""
    """The model that turns texts into vectors; empty if it has none."""
    price_embedding: Decimal = Decimal(0)
    """USD per million tokens that are turned into vectors."""
    breaker_mode: Mode | Literal[""] = ""
    """The mode of its own breaker, whatever `router.breaker.mode` says of all; empty for that. `forced_open` here shuts
    out this provider alone."""
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
        if self.dialect in IN_CHILDREN:
            self._settle_child()
        elif self.dialect != "extractive":
            url = urlsplit(self.base_url)
            if url.scheme not in ("http", "https") or not url.hostname:
                raise ValueError(f"`base_url` of {self.name} must be an http or https address, not {self.base_url!r}")
            if url.username or url.password or url.query or url.fragment:
                raise ValueError(f"`base_url` of {self.name} must be free of credentials, query and fragment")
            if not self.model:
                raise ValueError(f"`model` of {self.name} must be set")
        times = (self.timeout_s, self.connect_timeout_s, self.needed_s, self.start_timeout_s)
        if min(*times, self.first_token_timeout_s, self.stall_timeout_s) <= 0.0:
            raise ValueError(f"the times of {self.name} must be above 0")
        if self.concurrency_max < 1:
            raise ValueError(f"`concurrency_max` of {self.name} must be at least 1")
        if min(self.requests_per_minute, self.tokens_per_minute, self.context_tokens) < 0:
            raise ValueError(f"the limits of {self.name} must be at least 0")
        if not 0.0 < self.weight < math.inf:
            raise ValueError(f"`weight` of {self.name} must be above 0")
        if self.embedding_model and self.dialect not in WITH_EMBEDDINGS:
            raise ValueError(f"`embedding_model` of {self.name} must be empty: {self.dialect} has no embeddings")
        parse_price(self.price_in)
        parse_price(self.price_out)
        parse_price(self.price_embedding)

    def _settle_child(self) -> None:
        """Raises ValueError for a process that could never serve; sets what follows from its kind."""
        library, extra, calls_max = IN_CHILDREN[self.dialect]
        if not self.model_path or self.base_url:
            raise ValueError(f"`model_path` of {self.name} must be set, and `base_url` empty: {self.dialect} runs here")
        if not self.python and find_spec(library) is None:
            raise ValueError(f"{self.dialect} of {self.name} needs {library}: pip install agora[{extra}]")
        if "vision" in self.capabilities or (self.dialect == "airllm" and "tools" in self.capabilities):
            raise ValueError(f"`capabilities` of {self.name} hold what {self.dialect} cannot do")
        if self.memory_bytes_max < 1 or self.threads < 0:
            raise ValueError(f"`memory_bytes_max` of {self.name} must be at least 1, and `threads` at least 0")
        force_setattr(self, "model", self.model or PurePath(self.model_path).stem)
        force_setattr(self, "concurrency_max", min(self.concurrency_max, calls_max))
        force_setattr(self, "context_tokens", self.context_tokens or CONTEXT_DEFAULT)

    @property
    def price(self) -> Price:
        """Its prices in integers."""
        return Price(parse_price(self.price_in), parse_price(self.price_out))

    @property
    def embedding_price(self) -> Price:
        """The price of vectors in integers."""
        return Price(parse_price(self.price_embedding))

    @property
    def abilities(self) -> frozenset[str]:
        """All that it declares; the extractive one can only quote."""
        declared: tuple[str, ...] = () if self.dialect == "extractive" else self.capabilities
        return frozenset((*declared, *((EMBEDDINGS,) if self.embedding_model else ())))

    @property
    def is_local(self) -> bool:
        """Whether what it is sent stays in the operator's own hands."""
        if self.location != "auto" or self.dialect == "extractive" or self.dialect in IN_CHILDREN:
            return self.location != "remote"
        return (urlsplit(self.base_url).hostname or "") in _THIS_MACHINE
