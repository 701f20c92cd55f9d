"""What of the router outlives the process: how its providers stand, and all money.

Pure.
"""

from collections.abc import Sequence

import msgspec

from actors.rules import cascade, spending
from actors.rules.cascade import Cascade
from actors.rules.spending import Limits, Spending
from bus.messages.base import Event, Microseconds
from bus.messages.completions import ProviderView, RouterView


class RouterState(msgspec.Struct):
    """All that is folded from the router's events."""

    cascade: Cascade = msgspec.field(default_factory=Cascade)
    spending: Spending = msgspec.field(default_factory=Spending)


def apply(state: RouterState, event: Event) -> None:
    """Fold an event."""
    cascade.apply(state.cascade, event)
    spending.apply(state.spending, event)


def view(
    state: RouterState, limits: Limits, providers: Sequence[ProviderView], queued: int, now_us: Microseconds
) -> RouterView:
    """The cascade and the money as anyone may see them."""
    books = state.spending
    shared = spending.shared_budgets(books, limits, now_us)
    return RouterView(
        providers=tuple(providers),
        spent_run_usd_micros=books.run,
        spent_today_usd_micros=spending.today(books, now_us),
        reserved_usd_micros=books.reserved,
        budget_run_usd_micros=spending.run_limit(books, limits),
        budget_day_usd_micros=limits.day,
        is_budget_exhausted=any(spending.is_exhausted(books, budget) for budget in shared),
        queued=queued,
    )
