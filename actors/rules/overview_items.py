"""What the overview is made of: one item per agent, task, artifact and provider, and the state that holds them.

The items are shown as they are, so their fields are part of the `state` view's contract; none is ever null.

Pure: plain data.
"""

import msgspec

from actors.rules.books import Book
from bus.messages import completions, tasks
from bus.messages.base import Microseconds, Position


class AgentItem(msgspec.Struct):
    """An agent as the page shows it."""

    agent: str
    status: str = "idle"
    reason: str = ""
    tasks: list[str] = []
    capabilities: tuple[str, ...] = ()
    price_msat: int = 0
    completed: int = 0
    failed: int = 0
    lost: int = 0
    earned_msat: int = 0
    since_us: Microseconds = 0


class TaskItem(msgspec.Struct):
    """A task as the page shows it; bids are a count until the auction closes."""

    task: str
    title: str
    state: str
    reward_msat: int
    capability: str
    attempt: int = 0
    bids: int = 0
    auction_opened_us: Microseconds = 0
    auction_closes_us: Microseconds = 0
    agent: str = ""
    price_msat: int = 0
    lease_s: float = 0.0
    """How long its agent keeps it without a heartbeat, while it has it."""
    artifact: str = ""
    input: str = ""
    summary: str = ""
    reason: str = ""
    explanation: str = ""
    ranking: tuple[tasks.Bid, ...] = ()
    created_us: Microseconds = 0
    updated_us: Microseconds = 0


class ArtifactItem(msgspec.Struct):
    """An artifact as the page shows it."""

    artifact: str
    name: str
    media_type: str
    size_bytes: int
    owner: str
    task: str
    created_us: Microseconds


class ProviderItem(msgspec.Struct):
    """A provider of the cascade as the page shows it."""

    provider: str
    breaker: str = completions.BreakerState.CLOSED.value
    reason: str = ""
    completed: int = 0
    failed: int = 0
    spent_usd_micros: int = 0
    is_enabled: bool = True


class AlertItem(msgspec.Struct):
    """An alert as the page shows it."""

    alert: str
    kind: str
    cause: str
    raised_us: Microseconds


class HeldMoney(msgspec.Struct, frozen=True):
    """A hold that is neither posted nor voided."""

    debit: str
    currency: str
    amount: int


class OverviewState(msgspec.Struct):
    """All that the overview knows; it goes into checkpoints as it is."""

    position: Position = Position(0)
    run: str = "main"
    step: int = 0
    """Steps that agents have ended."""
    is_budget_exhausted: bool = False
    budgets_spent: list[str] = []
    """Which of those that all share, as far as it is known which."""
    is_halted: bool = False
    alerts: dict[str, AlertItem] = {}
    positions: dict[str, Position] = {}
    """By part, the last position that changed it."""
    agents: dict[str, AgentItem] = {}
    agents_left: list[str] = []
    tasks: dict[str, TaskItem] = {}
    tasks_ended: list[str] = []
    bidders: dict[str, list[str]] = {}
    """Who bid in each open auction, so that a replaced bid is not counted twice."""
    counts: dict[str, int] = {}
    """Tasks by state, those that are no longer kept included."""
    artifacts: dict[str, ArtifactItem] = {}
    artifacts_count: int = 0
    books: dict[str, Book] = {}
    """By `account/currency`."""
    holds: dict[str, HeldMoney] = {}
    router: dict[str, ProviderItem] = {}
    spent_run_usd_micros: int = 0
    spent_day_usd_micros: int = 0
    day: int = 0
    """The UTC day of the last spend, in days since 1970."""
    budget_usd_micros: int = -1
    """The run's budget as an operator has set it, or -1: as configured."""
