"""A live tree of supervisors as a state machine: who starts, fails, quits, is killed or dismissed, in whatever order.

A model beside it says, in OTP's words, who must stop and start, and in which order; what the tree does is what the
model says, to the last stop.
"""

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from actors.runtime import Actor, ChildSpec, Restart, Strategy, SupervisionOptions
from actors.runtime.virtual_time import Simulation, VirtualLoop
from bus.address import Address
from bus.dice import Dice
from bus.messages.base import Message
from tests.support.virtual import system_in

T = TypeVar("T")

INTENSITY_MAX = 2
PERIOD_S = 10.25
SETTLED_S = 0.5
"""No wait before a restart is nearly as long, and no multiple of it is a period."""
DEPTH_MAX = 3
TEAM_MAX = 4
PATIENT = SupervisionOptions(intensity_max=1_000, backoff_first_s=0.001, backoff_max_s=0.01)


class Hire(Message, frozen=True):
    """Start one more below you."""

    wire_name = "test.hire"

    address: Address
    restart: Restart
    strategy: Strategy


class Dismiss(Message, frozen=True):
    """Stop one of yours for good."""

    wire_name = "test.dismiss"

    address: Address


class Quit(Message, frozen=True):
    """End of your own accord."""

    wire_name = "test.quit"


class Fail(Message, frozen=True):
    """Be a bug."""

    wire_name = "test.fail"


class Diary:
    """Who started and stopped, in order; and whose next starts shall fail."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.failures: dict[Address, int] = {}


class Member(Actor):
    """One of the tree."""

    def __init__(self, diary: Diary) -> None:
        self._diary = diary
        self._is_up = False

    async def on_start(self) -> None:
        if self._diary.failures.get(self.address, 0):
            self._diary.failures[self.address] -= 1
            raise ValueError("not yet")
        self._is_up = True
        self._diary.lines.append(f"+{self.address}")

    async def on_stop(self) -> None:
        if self._is_up:
            self._diary.lines.append(f"-{self.address}")

    def on_hire(self, message: Hire) -> None:
        self.spawn(_spec(self._diary, message.address, message.restart, message.strategy))

    def on_dismiss(self, message: Dismiss) -> None:
        self.stop_child(message.address)

    def on_quit(self, message: Quit) -> None:
        self.stop()

    def on_fail(self, message: Fail) -> None:
        raise ValueError("a bug")


def _spec(diary: Diary, address: Address, restart: Restart, strategy: Strategy) -> ChildSpec:
    children = SupervisionOptions(strategy, INTENSITY_MAX, PERIOD_S, backoff_first_s=0.001, backoff_max_s=0.01)
    return ChildSpec(address, partial(Member, diary), restart=restart, children=children)


class Node:
    """What the model knows of one member, and of its team in the order of their start."""

    def __init__(self, address: Address, restart: Restart, strategy: Strategy, parent: "Node | None") -> None:
        self.address = address
        self.restart = restart
        self.strategy = strategy
        self.parent = parent
        self.team: list[Node] = []
        self.restarts_s: list[float] = []
        self.is_up = False

    @property
    def depth(self) -> int:
        return 0 if self.parent is None else self.parent.depth + 1


class Model:
    """OTP's rules, in few words and without a loop."""

    def __init__(self) -> None:
        self.top = Node(Address(""), Restart.PERMANENT, Strategy.ONE_FOR_ONE, None)
        self.lines: list[str] = []
        self.failures: dict[Address, int] = {}
        self.now_s = 0.0

    def members(self, node: Node | None = None) -> list[Node]:
        """All that there are."""
        team = (node or self.top).team
        return [found for one in team for found in (one, *self.members(one))]

    def start(self, node: Node) -> bool:
        """Start, as a new one without a team. False when it cannot."""
        node.team, node.restarts_s = [], []
        if self.failures.get(node.address, 0):
            self.failures[node.address] -= 1
            return False
        node.is_up = True
        self.lines.append(f"+{node.address}")
        return True

    def stop(self, node: Node) -> None:
        """Stop, the team first and the last started of it before all others."""
        for one in reversed(node.team):
            self.stop(one)
        node.team = []
        if node.is_up:
            node.is_up = False
            self.lines.append(f"-{node.address}")

    def remove(self, node: Node) -> None:
        """Stop for good."""
        self.stop(node)
        assert node.parent is not None
        node.parent.team.remove(node)

    def end(self, node: Node, *, is_fault: bool) -> None:
        """It has failed or quit: its supervisor decides."""
        boss = node.parent
        assert boss is not None
        if node.restart is Restart.TEMPORARY or (node.restart is Restart.TRANSIENT and not is_fault):
            self.remove(node)
            return
        if boss is not self.top:
            recent = [time_s for time_s in boss.restarts_s if self.now_s - time_s < PERIOD_S]
            if len(recent) >= INTENSITY_MAX:
                self.end(boss, is_fault=True)
                return
            boss.restarts_s = [*recent, self.now_s]
        place = boss.team.index(node)
        concerned = {
            Strategy.ONE_FOR_ONE: [node],
            Strategy.ONE_FOR_ALL: list(boss.team),
            Strategy.REST_FOR_ONE: boss.team[place:],
        }[boss.strategy]
        for one in reversed(concerned):
            self.stop(one)
        failed = [one for one in concerned if not self.start(one)]
        for one in failed:
            if one in boss.team and not one.is_up:
                self.end(one, is_fault=True)


class Trees(RuleBasedStateMachine):
    """One tree and its model."""

    @initialize(
        seed=st.integers(0, 2**32),
        strategy=st.sampled_from(Strategy),
        team=st.lists(st.sampled_from(Restart), min_size=2, max_size=TEAM_MAX),
    )
    def begin(self, seed: int, strategy: Strategy, team: list[Restart]) -> None:
        self.loop = VirtualLoop(Dice(f"{seed}/loop"))  # type: ignore[abstract]  # as in `simulate`
        self.simulation = Simulation(seed, self.loop)
        self.model = Model()
        self.diary = Diary()
        self.hired = 0
        self.run(self._open())
        boss = self._start(Restart.PERMANENT, strategy)
        for restart in team:
            self._hire(boss, restart, Strategy.ONE_FOR_ONE, 0)

    async def _open(self) -> None:
        self.system = system_in(self.simulation, supervision=PATIENT)
        await self.system.__aenter__()

    def run(self, body: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(body)

    def settle(self) -> None:
        self.run(asyncio.sleep(SETTLED_S))

    def chosen(self, data: st.DataObject) -> Node:
        self.model.now_s = self.loop.time()
        return data.draw(st.sampled_from(self.model.members()), label="who")

    @rule(restart=st.sampled_from(Restart), strategy=st.sampled_from(Strategy))
    def start_at_the_top(self, restart: Restart, strategy: Strategy) -> None:
        if len(self.model.top.team) < 2:
            self._start(restart, strategy)

    @precondition(lambda self: self.model.members())
    @rule(
        data=st.data(),
        restart=st.sampled_from(Restart),
        strategy=st.sampled_from(Strategy),
        failures=st.sampled_from((0, 0, 0, 1, 2, 3)),
    )
    def hire(self, data: st.DataObject, restart: Restart, strategy: Strategy, failures: int) -> None:
        boss = self.chosen(data)
        if boss.depth < DEPTH_MAX and len(boss.team) < TEAM_MAX:
            self._hire(boss, restart, strategy, failures)

    def _start(self, restart: Restart, strategy: Strategy) -> Node:
        node = self._fresh(self.model.top, restart, strategy)
        self.run(self.system.start(_spec(self.diary, node.address, restart, strategy)))
        self.model.start(node)
        return node

    def _hire(self, boss: Node, restart: Restart, strategy: Strategy, failures: int) -> None:
        self.model.now_s = self.loop.time()
        node = self._fresh(boss, restart, strategy)
        self.diary.failures[node.address] = self.model.failures[node.address] = failures
        self.system.tell(boss.address, Hire(node.address, restart, strategy))
        self.settle()
        if not self.model.start(node):
            self.model.end(node, is_fault=True)

    def _fresh(self, boss: Node, restart: Restart, strategy: Strategy) -> Node:
        self.hired += 1
        node = Node(Address(f"{self.hired}"), restart, strategy, boss)
        boss.team.append(node)
        return node

    @precondition(lambda self: self.model.members())
    @rule(data=st.data(), how=st.sampled_from(("fails", "fails", "is killed", "is killed", "quits", "is dismissed")))
    def end(self, data: st.DataObject, how: str) -> None:
        node = self.chosen(data)
        boss = node.parent
        assert boss is not None
        match how:
            case "fails":
                self.system.tell(node.address, Fail())
            case "is killed":
                self.system.kill(node.address)
            case "quits":
                self.system.tell(node.address, Quit())
            case _ if boss is self.model.top:
                self.run(self.system.stop_actor(node.address))
            case _:
                self.system.tell(boss.address, Dismiss(node.address))
        self.settle()
        if how == "is dismissed":
            self.model.remove(node)
        else:
            self.model.end(node, is_fault=how != "quits")

    @rule(halves=st.integers(1, 24))
    def wait(self, halves: int) -> None:
        self.run(asyncio.sleep(halves * SETTLED_S))

    @invariant()
    def the_tree_does_what_the_model_says(self) -> None:
        assert self.diary.lines == self.model.lines
        there = {statistics.address: statistics.parent for statistics in self.system.statistics()}
        assert there == {node.address: node.parent.address for node in self.model.members() if node.parent}
        assert not self.loop.problems

    def teardown(self) -> None:
        if hasattr(self, "system"):
            self.run(self.system.stop())
            self.model.stop(self.model.top)
            assert self.diary.lines == self.model.lines, "all stop in reverse, whoever is below before who is above"
            assert not asyncio.all_tasks(self.loop)
            self.loop.close()


@pytest.mark.slow
def test_whatever_happens_in_a_tree_of_supervisors_it_is_what_otp_says(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1, logger="actors.runtime")  # faults are planned here
    run_state_machine_as_test(Trees, settings=settings(max_examples=300, stateful_step_count=40, deadline=None))
