"""What tests of tasks need: a board that is filled, and commands in few words."""

from collections.abc import Iterable

import msgspec

from actors.rules import board as boards
from actors.rules import market
from actors.rules.board import Board
from actors.rules.market import Terms
from bus.messages.agents import AgentJoined, AgentLeft, AgentStatus, AgentStatusName, Persona
from bus.messages.base import AgentId, ArtifactId, Event, TaskId
from bus.messages.tasks import (
    CompleteTask,
    CreateTask,
    FailTask,
    RenewLease,
    StartWork,
    SubmitBid,
    TaskSpec,
    TaskState,
)

NOW_US = 1_800_000_000_000_000
TERMS = Terms(bid_window_s=2.0, lease_s=60.0)


def spec(title: str = "Brief anyio", reward_msat: int = 1_000, capability: str = "", attempts_max: int = 3) -> TaskSpec:
    return TaskSpec(title, capability=capability, reward_msat=reward_msat, attempts_max=attempts_max)


def create(title: str = "Brief anyio", key: str = "") -> CreateTask:
    return CreateTask(spec(title), key)


def persona(name: str, *capabilities: str, concurrency_max: int = 1) -> Persona:
    return Persona(name, capabilities, "You are an agent.", 100, concurrency_max=concurrency_max)


def joined(name: str, *capabilities: str, concurrency_max: int = 1) -> AgentJoined:
    return AgentJoined(AgentId(name), persona(name, *capabilities, concurrency_max=concurrency_max))


def left(name: str) -> AgentLeft:
    return AgentLeft(AgentId(name), "it is no longer configured")


def status(name: str, now: AgentStatusName) -> AgentStatus:
    return AgentStatus(AgentId(name), now)


def bid(task: TaskId, agent: str, price_msat: int) -> SubmitBid:
    return SubmitBid(task, AgentId(agent), price_msat)


def start(task: TaskId, agent: str, attempt: int = 1) -> StartWork:
    return StartWork(task, AgentId(agent), attempt)


def renew(task: TaskId, agent: str, attempt: int = 1) -> RenewLease:
    return RenewLease(task, AgentId(agent), attempt)


def complete(task: TaskId, agent: str, attempt: int = 1, artifact: str = "a-1") -> CompleteTask:
    return CompleteTask(task, AgentId(agent), attempt, ArtifactId(artifact), "it is done")


def fail(task: TaskId, agent: str, attempt: int = 1, *, is_retryable: bool = True) -> FailTask:
    return FailTask(task, AgentId(agent), attempt, "it is too hard", is_retryable)


class Desk:
    """A board with the events that made it."""

    def __init__(self) -> None:
        self.board = Board()
        self.events: list[Event] = []
        self.now_us = NOW_US

    def record(self, events: Iterable[Event]) -> list[str]:
        """Fold the events; their names."""
        names = []
        for event in events:
            boards.apply(self.board, event)
            self.events.append(event)
            names.append(event.wire_name)
        return names

    def join(self, name: str, *capabilities: str, concurrency_max: int = 1) -> None:
        self.record(market.decide_member(self.board, joined(name, *capabilities, concurrency_max=concurrency_max)))

    def post(self, of: TaskSpec | None = None) -> TaskId:
        """A task whose first auction is open."""
        (created,) = market.decide_create(self.board, CreateTask(of or spec()), self.now_us)
        self.record((created,))
        self.record(market.decide_held(self.board, created.task, self.now_us, TERMS))
        return created.task

    def bid(self, task: TaskId, agent: str, price_msat: int) -> list[str]:
        return self.record(market.decide_bid(self.board, bid(task, agent, price_msat)))

    def close(self, task: TaskId, *, may_wait: bool = False) -> list[str]:
        return self.record(market.decide_close(self.board, task, self.now_us, TERMS, may_wait=may_wait))

    def assigned(self, of: TaskSpec | None = None, agent: str = "scout") -> TaskId:
        """A task that the agent has won for 100 msat."""
        task = self.post(of)
        self.bid(task, agent, 100)
        self.close(task)
        return task

    def state(self, task: TaskId) -> TaskState:
        return self.board.tasks[task].state

    def folded(self) -> Board:
        """The fold of all events so far."""
        board = Board()
        for event in self.events:
            boards.apply(board, event)
        return board

    def through_json(self) -> Board:
        """The board as a checkpoint gives it back."""
        return msgspec.json.decode(msgspec.json.encode(self.board), type=Board)
