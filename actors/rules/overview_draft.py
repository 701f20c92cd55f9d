"""The overview while it is changed: its state, with notes of what changed at which position.

Rules: who changes an item takes it from here, so that no change goes without its note. What has ended or left is kept
for a while, the newest of it, and the notes of changes have a bound too: who is further behind takes the whole.

Pure: no clock, no loop.
"""

from typing import TypeVar

from actors.rules.books import Book
from actors.rules.overview_items import AgentItem, OverviewState, ProviderItem, TaskItem
from bus.envelope import Recorded
from bus.messages import tasks
from bus.messages.base import Microseconds, Position

TASKS_ENDED_MAX = 500
AGENTS_LEFT_MAX = 100
CHANGES_MAX = 20_000
"""Changed items that are remembered for patches: minutes of a busy system. Who is further behind takes the whole."""
DAY_US = 86_400_000_000
ENDED = (tasks.TaskState.COMPLETED, tasks.TaskState.FAILED, tasks.TaskState.CANCELLED, tasks.TaskState.EXPIRED)

Item = TypeVar("Item")


class Draft:
    """The state of the overview, and what changed in it since when."""

    def __init__(self, state: OverviewState) -> None:
        self.state = state
        self.floor = state.position
        """Patches are possible from here on."""
        self.changes: dict[tuple[str, str], Position] = {}
        """By part and item, the position that changed it last; the latest change stands last."""
        self.now_us: Microseconds = 0
        """When the event that is being applied was recorded."""

    def begin(self, record: Recorded) -> None:
        """Go on to the next event, which is about to be applied."""
        assert record.position == self.state.position + 1, "events come in order, without a gap"
        self.now_us = record.time_us
        self.state.position = record.position

    def touch(self, part: str, key: str = "") -> None:
        """Note that the current event changes a part, and which of its items."""
        self.state.positions[part] = self.state.position
        if not key:
            return
        self.changes.pop((part, key), None)
        self.changes[part, key] = self.state.position
        if len(self.changes) > CHANGES_MAX:
            oldest = next(iter(self.changes))
            self.floor = max(self.floor, self.changes.pop(oldest))

    def agent(self, name: str) -> AgentItem:
        """An agent's item, which is about to change."""
        self.touch("agents", name)
        return self.state.agents.setdefault(name, AgentItem(name, tasks=[]))

    def known_agent(self, name: str) -> AgentItem | None:
        """The item of an agent that is there, which is about to change."""
        if name not in self.state.agents:
            return None
        return self.agent(name)

    def task(self, name: str) -> TaskItem | None:
        """A task's item, which is about to change, if it is kept."""
        item = self.state.tasks.get(name)
        if item is not None:
            self.touch("tasks", name)
            item.updated_us = self.now_us
        return item

    def move(self, item: TaskItem, state: tasks.TaskState) -> None:
        """Bring a task into another state."""
        counts = self.state.counts
        counts[item.state] -= 1
        counts[state.value] += 1
        item.state = state.value
        if state in ENDED:
            self.state.bidders.pop(item.task, None)
            self._keep_newest("tasks", self.state.tasks, self.state.tasks_ended, item.task, TASKS_ENDED_MAX)

    def release(self, item: TaskItem) -> AgentItem | None:
        """Take a task from the agent that has it, if any."""
        agent = self.known_agent(item.agent) if item.agent else None
        if agent is not None and item.task in agent.tasks:
            agent.tasks.remove(item.task)
        return agent

    def leave(self, agent: AgentItem) -> None:
        """Keep an agent that left, for a while."""
        self._keep_newest("agents", self.state.agents, self.state.agents_left, agent.agent, AGENTS_LEFT_MAX)

    def book(self, account: str, currency: str) -> Book:
        """An account's book, which is about to change."""
        key = f"{account}/{currency}"
        self.touch("balances", key)
        return self.state.books.setdefault(key, Book())

    def provider(self, name: str) -> ProviderItem:
        """A provider's item, which is about to change."""
        self.touch("router", name)
        return self.state.router.setdefault(name, ProviderItem(name))

    def spend(self, cost_usd_micros: int) -> None:
        """Count what a completion has cost."""
        day = self.now_us // DAY_US
        state = self.state
        if day != state.day:
            state.day, state.spent_day_usd_micros = day, 0
        state.spent_run_usd_micros += cost_usd_micros
        state.spent_day_usd_micros += cost_usd_micros
        self.touch("spend")

    def _keep_newest(self, part: str, items: dict[str, Item], order: list[str], key: str, size_max: int) -> None:
        order.append(key)
        while len(order) > size_max:
            gone = order.pop(0)
            items.pop(gone, None)
            self.touch(part, gone)
