"""The course of a brief, event by event."""

from pathlib import Path

import pytest

from actors.commands import briefing
from actors.commands.briefing import Course
from actors.commands.documents import Document
from bus.messages.base import ArtifactId, TaskId
from bus.messages.tasks import TaskState

PATHS = (Path("a.md"), Path("b.md"))
DONE = {"task": "t-1", "agent": "scout", "price_msat": 300, "artifact": "a-7"}


def course(*, posted: int = 2) -> Course:
    one = Course(PATHS)
    for index, path in enumerate(PATHS[:posted]):
        one.read(index, Document(path, path.name, "Text."))
        one.post(index, TaskId(f"t-{index + 1}"), 1_000_000)
    return one


def test_a_completed_task_fills_its_row() -> None:
    one = course()
    thought = {"task": "t-1", "provider": "ollama", "model": "small"}
    assert one.hear("thinking.completed", thought, 2_000_000) is None
    row = one.hear("task.completed", DONE, 3_500_000)
    assert row is one.rows[0]
    assert (row.agent, row.provider, row.model, row.price_msat, row.artifact, row.seconds) == (
        "scout",
        "ollama",
        "small",
        300,
        "a-7",
        2.5,
    )
    assert (one.done, one.is_over, row.has_failed) == (1, False, False)


@pytest.mark.parametrize(
    ("type_", "state"),
    [
        ("task.failed", TaskState.FAILED),
        ("task.cancelled", TaskState.CANCELLED),
        ("task.expired", TaskState.EXPIRED),
    ],
)
def test_a_task_that_came_to_nothing_says_why(type_: str, state: TaskState) -> None:
    row = course().hear(type_, {"task": "t-1", "reason": "nobody bid"}, 2_000_000)
    assert row is not None
    assert row.has_failed
    assert row.problem == f"{state}: nobody bid"


def test_an_unreadable_document_and_a_refused_task_are_done_from_the_start() -> None:
    one = Course(PATHS)
    one.read(0, Document(PATHS[0], "a.md", problem="empty: it holds no text"))
    one.refuse(1, "no server")
    assert one.is_over
    assert [row.state for row in one.rows] == ["unreadable", "refused"]


def test_an_end_that_is_heard_before_the_answer_to_the_posting_is_not_lost() -> None:
    one = course(posted=1)
    assert one.hear("task.completed", DONE | {"task": "t-2"}, 2_000_000) is None
    one.read(1, Document(PATHS[1], "b.md", "Text."))
    row = one.post(1, TaskId("t-2"), 1_500_000)
    assert row is one.rows[1]
    assert row.state == TaskState.COMPLETED


def test_events_of_other_tasks_and_repeated_ends_change_nothing() -> None:
    one = course()
    for number in range(briefing.EARLY_MAX + 10):
        one.hear("task.failed", {"task": f"t-9{number}", "reason": ""}, 0)
    one.hear("system.info", {"text": "no task"}, 0)
    one.hear("task.completed", DONE, 2_000_000)
    assert one.hear("task.failed", {"task": "t-1", "reason": "late"}, 3_000_000) is None
    assert one.done == 1


def test_waiting_for_money_is_noticed_until_the_work_goes_on() -> None:
    one = course()
    noticed = []
    for type_, status in (("agent.status", "working"), ("agent.status", "waiting"), ("thinking.completed", "")):
        one.hear(type_, {"task": "t-1", "agent": "scout", "status": status}, 0)
        noticed.append(one.waits_for_money)
    assert noticed == [False, True, False]


def test_what_waits_for_money_at_the_end_is_counted_and_says_so() -> None:
    one = course()
    one.hear("task.completed", DONE, 2_000_000)
    assert one.leave_the_rest() == 1
    assert one.rows[1].problem == "the budget is spent; the task waits for more"


def test_the_task_says_how_many_sentences_are_wanted_and_what_is_paid() -> None:
    document = Document(Path("a.md"), "x" * 500, "Text.")
    spec = briefing.spec_of(document, ArtifactId("a-1"), sentences=5, reward_msat=700)
    assert "in 5 sentences:" in spec.instructions
    assert (spec.capability, spec.reward_msat, spec.input) == ("summarise", 700, "a-1")
    assert len(spec.title) == briefing.TITLE_CHARS_MAX
    assert "in 1 sentence:" in briefing.spec_of(document, ArtifactId("a-1"), sentences=1, reward_msat=1).instructions
