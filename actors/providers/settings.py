"""What the config says of the whole cascade."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from actors.providers.options import ProviderOptions
from actors.rules import redaction
from actors.rules.breaker import BreakerOptions
from actors.rules.cascade import CascadeOptions
from actors.rules.redaction import Redactor


class RouterOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cascade and its limits. Money is in USD micros; 0 means without a limit."""

    providers: tuple[ProviderOptions, ...] = ()
    """In the order in which they are asked."""
    budget_run_usd_micros: int = 0
    """What the run may spend in all."""
    budget_day_usd_micros: int = 0
    """What may be spent in one day, UTC."""
    budget_agent_usd_micros: int = 0
    """What each agent may spend in the run."""
    allowance_usd_micros: int = 100_000
    """What is drawn in advance at a time, so that paid calls need not wait for the disk; a crash can cost so much, but
    as a rule an eighth of what a budget has left at most. It then counts in each agent's budget until it is reconciled.
    With 0 each paid call waits."""
    completions_max: int = 256
    """Completions under way or waiting at once; more are refused as overload."""
    agent_share: float = 0.75
    """The part of them that one agent may hold, so that there is always room for the others."""
    reader_gone_s: float = 20.0
    """Who has not asked for more of a stream for so long has hung up, and the call is cancelled."""
    probe: Literal["sick", "all", "off"] = "sick"
    """Which providers are looked at beside all requests: those whose breaker is open, all, or none."""
    probe_interval_s: float = 5.0
    """Between two looks at a provider."""
    log: Literal["full", "trace", "off"] = "full"
    """What is kept of each completion beside its events: all that was said, what happened without the words, nothing.
    """
    log_days: float = 30.0
    """How long it is kept."""
    log_bytes_max: int = 1_073_741_824
    """How much of it is kept at most; the oldest goes first."""
    log_local: bool = False
    """Whether the words of requests marked `local` are kept too, and shown while they are said."""
    log_redact: tuple[str, ...] = ()
    """Regular expressions: what they match is not kept. Keys of providers never are."""
    log_redact_keys: tuple[str, ...] = ("password", "secret", "token", "api_key", "authorization")
    """Names whose values are not kept, as in `"password": "..."` or `password=...`."""
    log_dir: str = ""
    """A directory for readable files beside it, one for each run, agent and day."""
    log_dir_bytes_max: int = 1_073_741_824
    """How much of them is kept at most; the oldest goes first."""
    replay: str = ""
    """Answer from recorded completions: `log` stands for this directory's own, all else names a file of
    `agora completions export`."""
    replay_miss: Literal["refuse", "ask"] = "refuse"
    """What happens to a request that was not recorded: it is refused, or its provider is asked."""
    replay_takes_time: bool = False
    """Whether a replayed answer takes as long as it took."""
    breaker: BreakerOptions = BreakerOptions()
    """When a provider counts as sick."""
    cascade: CascadeOptions = CascadeOptions()
    """How long and how often the cascade tries."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            ValueError: it names the setting.
        """
        names = [provider.name for provider in self.providers]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"`providers` has {name!r} twice")
        if min(self.budget_run_usd_micros, self.budget_day_usd_micros, self.budget_agent_usd_micros) < 0:
            raise ValueError("a budget must be at least 0")
        if self.allowance_usd_micros < 0:
            raise ValueError("`allowance_usd_micros` must be at least 0")
        if self.completions_max < 1:
            raise ValueError("`completions_max` must be at least 1")
        for name in ("reader_gone_s", "probe_interval_s", "log_days", "log_bytes_max", "log_dir_bytes_max"):
            if getattr(self, name) <= 0:
                raise ValueError(f"`{name}` must be above 0")
        redaction.check(self.log_redact)
        if not 0.0 < self.agent_share <= 1.0:
            raise ValueError("`agent_share` must be above 0 and at most 1")


def redactor_of(options: RouterOptions, environment: Mapping[str, str]) -> Redactor:
    """Who takes out of words what is neither kept nor shown; the keys of the environment are among it."""
    named = [environment.get(one.key_env, "").strip() for one in options.providers if one.key_env]
    usual = [value.strip() for name, value in environment.items() if name.endswith("_API_KEY")]
    return Redactor(options.log_redact, options.log_redact_keys, [secret for secret in (*named, *usual) if secret])
