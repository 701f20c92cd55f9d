"""Events as a society makes them: eleven per task, two of them about money, in the sizes that the real ones have."""

from bus.address import Address
from bus.envelope import Recorded
from bus.messages.agents import ActionExecuted, StepCompleted, StepStarted, ThinkingCompleted, ToolCalled, ToolCompleted
from bus.messages.base import AccountId, AgentId, ArtifactId, CompletionId, Event, Position, TaskId, TransferId
from bus.messages.ledger import TREASURY, TransferHeld, TransferPosted
from bus.messages.tasks import BidSubmitted, TaskCompleted, TaskStarted

START_US = 1_750_000_000_000_000
AGENTS = ("scout", "analyst", "editor")


def task_events(number: int) -> tuple[tuple[str, Event], ...]:
    """The events of one task, each with the address of its source."""
    task, agent = TaskId(f"t-{number}"), AgentId(AGENTS[number % len(AGENTS)])
    completion = CompletionId(f"m-{number}")
    hold = TransferId(f"hold/{task}")
    worker = f"agents/{agent}"
    now_us = START_US + number * 1_000
    return (
        ("ledger", TransferHeld(hold, TREASURY, AccountId("escrow"), "msat", 1_000, 0, "the reward of a task")),
        ("coordinator", BidSubmitted(task, agent, 1, 300 + number % 90)),
        (worker, StepStarted(task=task, agent=agent, attempt=1, attempt_try=1, started_us=now_us)),
        ("coordinator", TaskStarted(task, agent, 1)),
        (worker, ToolCalled(agent, task, "read_artifact", f"a-{number}")),
        (worker, ToolCompleted(agent, task, "read_artifact", "12,345 characters of text/plain")),
        (worker, ThinkingCompleted(agent, task, completion, "extractive", "extractive-1", 3_210, 140, 0)),
        (worker, ActionExecuted(agent, task, "write_artifact", "executed", "", 1, ArtifactId(f"a-{number}"))),
        ("coordinator", TaskCompleted(task, agent, 1, 320, ArtifactId(f"a-{number}"), "Five sentences. " * 12)),
        ("ledger", _posted(task, agent, hold)),
        (worker, StepCompleted(agent, task, 1, "completed", 1.25)),
    )


def records(count: int, after: int = 0) -> list[Recorded]:
    """So many events at the positions after `after`, as the runtime would record them."""
    found: list[Recorded] = []
    task = after
    while len(found) < count:
        task += 1
        for source, event in task_events(task):
            position = after + len(found) + 1
            found.append(
                Recorded(
                    event,
                    Position(position),
                    START_US + position * 50,
                    Address(source),
                    Position(max(0, position - 1)),
                    f"task/{task}",
                    Position(max(0, position - 2)),
                )
            )
    return found[:count]


def _posted(task: TaskId, agent: AgentId, hold: TransferId) -> TransferPosted:
    credit = AccountId(f"agents/{agent}")
    return TransferPosted(TransferId(f"post/{task}"), TREASURY, credit, "msat", 320, hold, "the price of a task")
