"""What of the router outlives the process: how its providers stand, and all money.

Pure.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

from actors.rules import records, spending
from actors.rules.records import Cascade
from actors.rules.spending import Limits, Spending
from bus.messages.base import Event, Microseconds
from bus.messages.completions import ProviderView, RouterView


class RouterState(msgspec.Struct):
    """All that is folded from the router's events."""

    cascade: Cascade = msgspec.field(default_factory=Cascade)
    spending: Spending = msgspec.field(default_factory=Spending)


def apply(state: RouterState, event: Event) -> None:
    """Fold an event."""
    records.apply(state.cascade, event)
    spending.apply(state.spending, event)


AT_NEXT_START = ("log", "replay")
"""What the names of settings begin with that are read once."""


def changes(before: msgspec.Struct, after: msgspec.Struct, path: str = "") -> tuple[str, ...]:
    """The settings that differ and count at once, each with both values; a list's entries are told by their names."""
    if before == after:
        return ()
    found: list[str] = []
    for name in before.__struct_fields__:
        one, other = getattr(before, name), getattr(after, name)
        where = f"{path}.{name}" if path else name
        if one == other or (not path and name.startswith(AT_NEXT_START)):
            continue
        if isinstance(one, msgspec.Struct) and isinstance(other, msgspec.Struct):
            found += changes(one, other, where)
        elif where == "providers":
            found += _provider_changes(one, other)
        else:
            found.append(f"{where}: {one} -> {other}")
    return tuple(found)


def _provider_changes(before: Sequence[msgspec.Struct], after: Sequence[msgspec.Struct]) -> list[str]:
    old = {_name_of(one): one for one in before}
    new = {_name_of(one): one for one in after}
    found = [f"{name}: left" for name in old if name not in new]
    found += [f"{name}: joined" for name in new if name not in old]
    for name, options in new.items():
        if name in old:
            found += changes(old[name], options, name)
    if list(old) != list(new) and set(old) == set(new):
        found.append(f"order: {', '.join(new)}")
    return found


def _name_of(options: msgspec.Struct) -> str:
    return str(getattr(options, "name", ""))


def view(
    state: RouterState, limits: Limits, providers: Sequence[ProviderView], waiting: Counter[str], now_us: Microseconds
) -> RouterView:
    """The cascade, with those who wait for each provider, and the money, as anyone may see them."""
    books = state.spending
    shared = spending.shared_budgets(books, limits, now_us)
    return RouterView(
        providers=tuple(msgspec.structs.replace(each, queued=waiting[each.name]) for each in providers),
        spent_run_usd_micros=books.run,
        spent_today_usd_micros=spending.today(books, now_us),
        reserved_usd_micros=books.reserved,
        budget_run_usd_micros=spending.run_limit(books, limits),
        budget_day_usd_micros=limits.day,
        is_budget_exhausted=any(spending.is_exhausted(books, budget) for budget in shared),
        queued=waiting.total(),
    )
