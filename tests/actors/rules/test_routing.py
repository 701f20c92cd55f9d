"""What of the router outlives the process."""

from collections import Counter

from actors.rules import routing
from actors.rules.routing import RouterState
from actors.rules.spending import Limits
from bus.messages.completions import BudgetSpent, ProviderDisabled
from bus.messages.routing import CascadeReordered


def test_events_reach_both_the_cascade_and_the_money() -> None:
    state = RouterState()
    routing.apply(state, ProviderDisabled(provider="a", reason="x"))
    routing.apply(state, BudgetSpent(budget="run", spent_usd_micros=1, limit_usd_micros=5))
    routing.apply(state, CascadeReordered(providers=("b", "a")))
    assert (state.cascade.providers["a"].is_enabled, state.cascade.order) == (False, ("b", "a"))
    view = routing.view(state, Limits(run=5), (), Counter(x=3), 0)
    assert (view.is_budget_exhausted, view.queued, view.budget_run_usd_micros) == (True, 3, 5)
