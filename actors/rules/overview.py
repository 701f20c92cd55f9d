"""The whole at a glance: what the committed events add up to, for people who watch.

Rules: the overview at a position is a function of the events up to it. It keeps all open tasks, agents, accounts and
providers; of ended tasks and of artifacts the newest. Every item has always the same keys and none is null, so that a
patch that names changed items whole, and removed ones as null, is a merge patch (RFC 7396): the overview at p with the
patch from p to q is the overview at q.

Pure: no clock, no loop.
"""

from collections.abc import Mapping

from actors.rules.books import Book, available, net
from actors.rules.overview_draft import Draft
from actors.rules.overview_events import apply
from actors.rules.overview_items import OverviewState, ProviderItem
from bus.envelope import Recorded
from bus.messages.base import Position
from bus.messages.tasks import TaskState

PARTS = ("agents", "tasks", "artifacts", "balances", "router", "spend", "alerts")


class Overview:
    """The overview and what changed in it since when. `apply` events in order; read `view` and `patch` between."""

    def __init__(
        self,
        state: OverviewState | None = None,
        *,
        providers: tuple[str, ...] = (),
        budget_run_usd_micros: int = 0,
        budget_day_usd_micros: int = 0,
    ) -> None:
        self.state = state if state is not None else OverviewState()
        self._budget_usd_micros = budget_run_usd_micros
        self._budget_day_usd_micros = budget_day_usd_micros
        self._draft = Draft(self.state)
        for state_name in TaskState:
            self.state.counts.setdefault(state_name.value, 0)
        for name in providers:
            self.state.router.setdefault(name, ProviderItem(name))

    @property
    def position(self) -> Position:
        """The last position that was applied."""
        return self.state.position

    def apply(self, record: Recorded) -> None:
        """Take the next event. Total: what it does not know changes the position alone."""
        apply(self._draft, record)

    def view(self) -> dict[str, object]:
        """The whole, ready to be encoded. Its items are live: encode before the next event."""
        state = self.state
        view: dict[str, object] = self._top()
        view["agents"] = {"position": self._of("agents"), "items": state.agents}
        view["tasks"] = {"position": self._of("tasks"), "counts": state.counts, "items": state.tasks}
        view["artifacts"] = {
            "position": self._of("artifacts"),
            "count": state.artifacts_count,
            "items": state.artifacts,
        }
        view["balances"] = {
            "position": self._of("balances"),
            "items": {key: _balance(key, book) for key, book in state.books.items()},
        }
        view["router"] = {"position": self._of("router"), "items": state.router}
        view["spend"] = self._spend()
        view["alerts"] = {"position": self._of("alerts"), "items": state.alerts}
        return view

    def patch(self, after: Position) -> dict[str, object] | None:
        """The merge patch from the overview at `after` to this one, or None: too old, take the whole."""
        if after < self._draft.floor or after > self.state.position:
            return None
        patch = self._top()
        parts: dict[str, dict[str, object]] = {}
        for name in PARTS:
            if self._of(name) > after:
                parts[name] = self._part_top(name)
        for (part, key), position in reversed(self._draft.changes.items()):
            if position <= after:
                break
            items = parts[part].setdefault("items", {})
            assert isinstance(items, dict)
            items[key] = self._item(part, key)
        patch.update(parts)
        return patch

    def _top(self) -> dict[str, object]:
        state = self.state
        return {
            "position": state.position,
            "run": state.run,
            "step": state.step,
            "status": self._status(),
        }

    def _status(self) -> str:
        if self.state.is_halted:
            return "halted"
        return "budget_exhausted" if self.state.is_budget_exhausted else "running"

    def _part_top(self, part: str) -> dict[str, object]:
        match part:
            case "spend":
                return self._spend()
            case "tasks":
                return {"position": self._of(part), "counts": self.state.counts}
            case "artifacts":
                return {"position": self._of(part), "count": self.state.artifacts_count}
            case _:
                return {"position": self._of(part)}

    def _spend(self) -> dict[str, object]:
        state = self.state
        return {
            "position": self._of("spend"),
            "run_usd_micros": state.spent_run_usd_micros,
            "today_usd_micros": state.spent_day_usd_micros,
            "budget_run_usd_micros": self._budget_usd_micros
            if state.budget_usd_micros < 0
            else state.budget_usd_micros,
            "budget_day_usd_micros": self._budget_day_usd_micros,
        }

    def _of(self, part: str) -> Position:
        return self.state.positions.get(part, Position(0))

    def _item(self, part: str, key: str) -> object:
        if part == "balances":
            book = self.state.books.get(key)
            return None if book is None else _balance(key, book)
        items: dict[str, Mapping[str, object]] = {
            "agents": self.state.agents,
            "tasks": self.state.tasks,
            "artifacts": self.state.artifacts,
            "router": self.state.router,
            "alerts": self.state.alerts,
        }
        return items[part].get(key)


def _balance(key: str, book: Book) -> dict[str, object]:
    account, _, currency = key.rpartition("/")
    return {
        "account": account,
        "currency": currency,
        "incoming": book.incoming,
        "outgoing": book.outgoing,
        "fees": book.fees,
        "net": net(book),
        "held_out": book.held_out,
        "available": available(book),
    }
