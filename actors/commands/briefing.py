"""The course of a `brief`: which documents are under way, what came of each, and when there is nothing to wait for.

Rules: a document is done when its task has ended; one that could not be read is done from the start. When the money is
spent and the agents wait for more, waiting on is pointless: the rest is left, and goes on with the next budget.

Pure: events come in as they are heard, with their times; no clock, no client.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from actors.commands.documents import Document
from actors.personas import SUMMARISE
from bus.messages.base import ArtifactId, Microseconds, TaskId
from bus.messages.tasks import TaskSpec, TaskState

TOPICS = (
    "task.completed",
    "task.failed",
    "task.cancelled",
    "task.expired",
    "thinking.completed",
    "agent.status",
)
"""What has to be heard to follow the course."""
TITLE_CHARS_MAX = 180

EARLY_MAX = 1_000
"""Tasks whose events are kept before it is known whose they are."""

ENDS = {
    "task.completed": TaskState.COMPLETED,
    "task.failed": TaskState.FAILED,
    "task.cancelled": TaskState.CANCELLED,
    "task.expired": TaskState.EXPIRED,
}


class Row(msgspec.Struct):
    """One document, from its reading to what came of it."""

    document: str
    path: str
    task: str = ""
    state: str = "unread"
    brief: str = ""
    artifact: str = ""
    agent: str = ""
    provider: str = ""
    model: str = ""
    price_msat: int = 0
    seconds: float = 0.0
    problem: str = ""
    posted_us: Microseconds = 0

    @property
    def is_done(self) -> bool:
        return bool(self.problem) or self.state in ENDS.values()

    @property
    def has_failed(self) -> bool:
        return bool(self.problem)


class Course:
    """All documents of one `brief`."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.rows = [Row(document=path.name, path=str(path)) for path in paths]
        self._by_task: dict[str, Row] = {}
        self._waiting: set[str] = set()
        self._early: dict[str, list[tuple[str, Mapping[str, object], Microseconds]]] = {}

    @property
    def done(self) -> int:
        return sum(row.is_done for row in self.rows)

    @property
    def is_over(self) -> bool:
        return all(row.is_done for row in self.rows)

    @property
    def waits_for_money(self) -> bool:
        """Whether an agent said that it cannot go on for lack of money, and has not gone on since."""
        return bool(self._waiting)

    def read(self, index: int, document: Document) -> None:
        """A document was read, or could not be."""
        row = self.rows[index]
        row.document, row.problem = document.name, document.problem
        row.state = "unreadable" if document.problem else "read"

    def refuse(self, index: int, reason: str) -> None:
        """A document's task could not be posted."""
        self.rows[index].state, self.rows[index].problem = "refused", reason

    def post(self, index: int, task: TaskId, now_us: Microseconds) -> Row | None:
        """A document's task was posted; its row if the feed was quicker and told of its end already."""
        row = self.rows[index]
        row.task, row.state, row.posted_us = task, "posted", now_us
        self._by_task[task] = row
        ended = [self.hear(type_, data, time_us) for type_, data, time_us in self._early.pop(task, [])]
        return next((row for row in ended if row is not None), None)

    def hear(self, type_: str, data: Mapping[str, object], time_us: Microseconds) -> Row | None:
        """An event of the feed; the row of the document that it ended, if it did."""
        task = text_of(data, "task")
        row = self._by_task.get(task)
        if row is None:
            self._keep(task, type_, data, time_us)
            return None
        if row.is_done:
            return None
        match type_:
            case "thinking.completed":
                row.provider, row.model = text_of(data, "provider"), text_of(data, "model")
                self._waiting.discard(row.task)
            case "agent.status" if text_of(data, "status") == "waiting":
                self._waiting.add(row.task)
            case _ if type_ in ENDS:
                self._end(row, ENDS[type_], data, time_us)
                return row
        return None

    def _keep(self, task: str, type_: str, data: Mapping[str, object], time_us: Microseconds) -> None:
        """The task may be one whose posting is being answered; others' tasks push each other out."""
        if task:
            self._early.setdefault(task, []).append((type_, data, time_us))
            while len(self._early) > EARLY_MAX:
                del self._early[next(iter(self._early))]

    def leave_the_rest(self) -> int:
        """Mark what is still under way as waiting for money; how many those are."""
        rest = [row for row in self.rows if not row.is_done]
        for row in rest:
            row.state, row.problem = "waiting", "the budget is spent; the task waits for more"
        return len(rest)

    def _end(self, row: Row, state: TaskState, data: Mapping[str, object], time_us: Microseconds) -> None:
        row.state = state
        row.agent = text_of(data, "agent")
        row.artifact = text_of(data, "artifact")
        price = data.get("price_msat")
        row.price_msat = price if isinstance(price, int) else 0
        row.seconds = max(0.0, (time_us - row.posted_us) / 1e6)
        self._waiting.discard(row.task)
        if state is not TaskState.COMPLETED:
            row.problem = f"{state}: {text_of(data, 'reason')}"


def spec_of(document: Document, artifact: ArtifactId, *, sentences: int, reward_msat: int) -> TaskSpec:
    """The task that asks for a document's brief."""
    many = "sentence" if sentences == 1 else "sentences"
    return TaskSpec(
        title=f"Brief of {document.name}"[:TITLE_CHARS_MAX],
        instructions=(
            f"Write a brief of the document in {sentences} {many}: what it is, what it is for, and what a reader must "
            f"know. Use plain sentences without headings or lists, and say nothing that the document does not say."
        ),
        capability=SUMMARISE,
        reward_msat=reward_msat,
        input=artifact,
    )


def text_of(data: Mapping[str, object], key: str) -> str:
    """A text field of an event's data, or nothing."""
    value = data.get(key)
    return value if isinstance(value, str) else ""
