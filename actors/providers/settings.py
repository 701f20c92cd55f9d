"""What the config says of the whole cascade."""

import msgspec

from actors.providers.options import ProviderOptions
from actors.rules.breaker import BreakerOptions
from actors.rules.cascade import CascadeOptions


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
    never more than an eighth of what a budget has left. With 0, and where agents have budgets, each call waits."""
    completions_max: int = 256
    """Completions under way or waiting at once; more are refused as overload."""
    agent_share: float = 0.75
    """The part of them that one agent may hold, so that there is always room for the others."""
    reader_gone_s: float = 20.0
    """Who has not asked for more of a stream for so long has hung up, and the call is cancelled."""
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
        if self.reader_gone_s <= 0.0:
            raise ValueError("`reader_gone_s` must be above 0")
        if not 0.0 < self.agent_share <= 1.0:
            raise ValueError("`agent_share` must be above 0 and at most 1")
