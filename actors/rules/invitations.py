"""Who still has to answer which open auction, and whom to ask again once it has a hand free.

Rules: an auction can close early when no agent that could take the task has yet to answer. An agent that has its hands
full is not held to its answer: it is owed another invitation, oldest auction first, when it is free. One that is free
and silent may only be slow, as all are after a start with much to catch up on: so a window in which nobody bid uses up
no attempt while somebody has yet to answer, for `SILENT_WINDOWS_MAX` looks at most, each after twice the time. What is
kept here is a convenience, not a promise: it is never journaled, and after a restart everyone who has not bid is asked
again.

Pure: no clock, no messages sent.
"""

import heapq
from collections.abc import Callable, Iterable

import msgspec

from bus.messages.base import AgentId, TaskId

DOUBLINGS_MAX = 16
SILENT_WINDOWS_MAX = 3
"""With the usual window of two seconds a silent agent has half a minute."""


class Round(msgspec.Struct, gc=False):
    """One open auction. A group that nobody is in is None: a hundred thousand auctions may wait with nobody about."""

    unanswered: set[AgentId] | None = None
    invited_late: set[AgentId] | None = None
    """Those of the unanswered that were invited since the last time the window was over."""
    owed: set[AgentId] | None = None
    is_past: bool = False
    """The window is over: the first bid that can be used closes the auction."""
    waits: int = 0
    """How often the window was over while somebody could still come free."""


class Invitations:
    """All open auctions, by task."""

    def __init__(self) -> None:
        self._rounds: dict[TaskId, Round] = {}
        self._owed: dict[AgentId, dict[TaskId, None]] = {}

    def open(self, task: TaskId, free: Iterable[AgentId], later: Iterable[AgentId]) -> None:
        """An auction opens: the free hear of it now, the others of those that can do it when they are free."""
        self.close(task)
        self._rounds[task] = Round(set(free) or None)
        for agent in later:
            self.owe(task, agent)

    def is_open(self, task: TaskId) -> bool:
        """Whether the task has an auction."""
        return task in self._rounds

    def remind(self, task: TaskId) -> None:
        """Who is awaited may not have heard of the auction, or its answer was lost: it is to be asked again."""
        one = self._rounds[task]
        for agent in one.unanswered or ():
            one.owed = _joined(one.owed, agent)
            self._owed.setdefault(agent, {})[task] = None

    def close(self, task: TaskId) -> None:
        """The auction is over; a task without one is fine."""
        closed = self._rounds.pop(task, None)
        if closed is not None:
            for agent in closed.owed or ():
                self._owed[agent].pop(task, None)

    def answer(self, task: TaskId, agent: AgentId) -> None:
        """The agent has bid or declined."""
        one = self._rounds.get(task)
        if one is not None:
            _leave(one, agent)
            self._settle(one, task, agent)

    def owe(self, task: TaskId, agent: AgentId) -> None:
        """The agent could not answer for want of a free hand: it is asked again later."""
        one = self._rounds.get(task)
        if one is not None:
            _leave(one, agent)
            one.owed = _joined(one.owed, agent)
            self._owed.setdefault(agent, {})[task] = None

    def take_owed(
        self, agent: AgentId, count_max: int, urgency: Callable[[TaskId], float] = lambda task: 0.0
    ) -> tuple[TaskId, ...]:
        """Up to `count_max` auctions to invite the agent to now, its answers are awaited again.

        The most urgent come first, among equals the oldest.
        """
        taken = tuple(heapq.nlargest(count_max, self._owed.get(agent, {}), key=urgency))
        for task in taken:
            one = self._rounds[task]
            self._settle(one, task, agent)
            one.unanswered = _joined(one.unanswered, agent)
            one.invited_late = _joined(one.invited_late, agent)
        return taken

    def is_awaiting(self, task: TaskId, is_free: Callable[[AgentId], bool]) -> bool:
        """Whether an agent that could take the task has yet to answer, and has time to."""
        one = self._rounds[task]
        return not one.is_past and any(is_free(agent) for agent in one.unanswered or ())

    def pass_window(
        self,
        task: TaskId,
        bidders: Iterable[AgentId],
        is_busy: Callable[[AgentId], bool],
        is_free: Callable[[AgentId], bool],
    ) -> bool:
        """The window is over without a bid that can be used: whether somebody may still take it.

        That is who may come free, who is free and still owed its invitation (those in `owed_to` are to be invited now),
        and for a few windows also who is free and has not answered yet.
        """
        one = self._rounds[task]
        one.is_past = True
        for agent in [agent for agent in one.unanswered or () if is_busy(agent)]:
            self.owe(task, agent)
        is_slow = bool(one.unanswered) and one.waits < SILENT_WINDOWS_MAX
        is_owed = any(is_busy(agent) or is_free(agent) for agent in one.owed or ())
        may_come = is_slow or is_owed or bool(one.invited_late) or any(map(is_busy, bidders))
        one.invited_late = None
        one.waits += 1
        return may_come

    def owed_to(self, task: TaskId) -> tuple[AgentId, ...]:
        """Who is to be asked again."""
        return tuple(self._rounds[task].owed or ())

    def patience(self, task: TaskId) -> int:
        """How many windows to wait before the next look: doubled each time, so that waiting costs little."""
        return 1 << min(self._rounds[task].waits, DOUBLINGS_MAX)

    def forget(self, agent: AgentId) -> None:
        """The agent has left."""
        for task in self._owed.pop(agent, {}):
            (self._rounds[task].owed or set()).discard(agent)
        for one in self._rounds.values():
            _leave(one, agent)

    def _settle(self, one: Round, task: TaskId, agent: AgentId) -> None:
        if one.owed is not None:
            one.owed.discard(agent)
        self._owed.get(agent, {}).pop(task, None)


def _joined(group: set[AgentId] | None, agent: AgentId) -> set[AgentId]:
    """The group with the agent in it."""
    if group is None:
        return {agent}
    group.add(agent)
    return group


def _leave(one: Round, agent: AgentId) -> None:
    """The agent is awaited no more."""
    if one.unanswered is not None:
        one.unanswered.discard(agent)
    if one.invited_late is not None:
        one.invited_late.discard(agent)
