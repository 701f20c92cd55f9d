"""Methods of the live socket: which actor is asked what, and with which scope."""

import msgspec
import pytest

from bus.address import Address
from bus.messages.agents import PauseAgent, agent_address
from bus.messages.approvals import APPROVALS, Approve, ProposalId, Reject
from bus.messages.base import AgentId, Position, TaskId
from bus.messages.checkpoints import CompareCheckpoints, VerifyCheckpoint
from bus.messages.completions import ROUTER, ReadRouter
from bus.messages.ledger import LEDGER, ReadBalances
from bus.messages.memory import MEMORY, CorrectFact, EndFact, FactId, ListFacts, Recall, Remember
from bus.messages.monitor import MONITOR, HaltSystem, ResumeSystem
from bus.messages.schedules import SCHEDULER, CancelSchedule, CreateSchedule, ListSchedules, ScheduleSpec
from bus.messages.system import (
    JOURNAL,
    ListCheckpoints,
    PinCheckpoint,
    PruneCheckpoints,
    ReadEvents,
    SaveCheckpoint,
)
from bus.messages.tasks import COORDINATOR, CancelTask, CreateTask, ListTasks, ReadTask, TaskSpec
from bus.messages.triggers import TRIGGERS, CancelTrigger, CreateTrigger, ListTriggers, TriggerSpec
from bus.refusals import InvalidField, NotPermitted
from web.auth import SCOPES, Principal
from web.frames import Frame, Look
from web.gateway import CHECKPOINT_TIMEOUT_S
from web.methods import Wish, command, query
from web.wire import encode

OPERATOR = Principal("operator", SCOPES)
AT_NINE = TriggerSpec(at=Position(9), wake=Address("memory"))


def framed(method: str, idem: str = "", **params: object) -> Frame:
    return Frame(1, method, msgspec.Raw(encode(params)), idem)


@pytest.mark.parametrize(
    ("frame", "wish"),
    [
        (
            framed("task.create", "k", title="a", reward_msat=5),
            Wish("task", COORDINATOR, CreateTask(TaskSpec("a", reward_msat=5), idempotency_key="k")),
        ),
        (
            framed("task.cancel", task="t-1", reason="no"),
            Wish("task", COORDINATOR, CancelTask(TaskId("t-1"), "no")),
        ),
        (
            framed("approval.decide", "k", proposal="p-1", hash="f", decision="approve", reason="yes", version=2),
            Wish("approve", APPROVALS, Approve(ProposalId("p-1"), "f", OPERATOR.name, "yes", 2, idempotency_key="k")),
        ),
        (
            framed("approval.decide", proposal="p-1", hash="f", decision="reject", reason="no"),
            Wish("approve", APPROVALS, Reject(ProposalId("p-1"), "f", OPERATOR.name, "no")),
        ),
        (
            framed("schedule.create", "k", task={"title": "a"}, cron="0 9 * * *", zone="Europe/Berlin"),
            Wish(
                "task",
                SCHEDULER,
                CreateSchedule(ScheduleSpec(TaskSpec("a"), cron="0 9 * * *", zone="Europe/Berlin"), "k"),
            ),
        ),
        (framed("schedule.cancel", schedule="s-1"), Wish("task", SCHEDULER, CancelSchedule("s-1"))),
        (
            framed("memory.remember", "k", subject="a", text="b", audience="named", readers=["ann"], task="t-1"),
            Wish("agent", MEMORY, Remember("a", "b", "operator", "named", ("ann",), 0, 0, TaskId("t-1"), "k")),
        ),
        (
            framed("memory.correct", "k", fact="f-1", text="c", reason="d", valid_from_us=7),
            Wish("agent", MEMORY, CorrectFact(FactId("f-1"), "c", "operator", "d", 7, 0, TaskId(""), True, "k")),
        ),
        (
            framed("memory.end", fact="f-1", reason="d"),
            Wish("agent", MEMORY, EndFact(FactId("f-1"), "operator", "d", is_operator=True)),
        ),
        (framed("trigger.create", "k", at=9, wake="memory"), Wish("task", TRIGGERS, CreateTrigger(AT_NINE, "k"))),
        (framed("trigger.cancel", trigger="g-1"), Wish("task", TRIGGERS, CancelTrigger("g-1"))),
        (
            framed("checkpoint.create", label="before"),
            Wish("admin", JOURNAL, SaveCheckpoint(label="before"), CHECKPOINT_TIMEOUT_S),
        ),
        (framed("checkpoint.pin", checkpoint="c-1"), Wish("admin", JOURNAL, PinCheckpoint("c-1"))),
        (
            framed("checkpoint.pin", checkpoint="newest", pinned=False),
            Wish("admin", JOURNAL, PinCheckpoint("newest", is_pinned=False)),
        ),
        (framed("checkpoint.prune", keep=2), Wish("admin", JOURNAL, PruneCheckpoints(2))),
        (
            framed("checkpoint.verify", checkpoint="step:3"),
            Wish("read", JOURNAL, VerifyCheckpoint("step:3"), CHECKPOINT_TIMEOUT_S),
        ),
        (
            framed("checkpoint.diff", checkpoint="c-1"),
            Wish("read", JOURNAL, CompareCheckpoints("c-1", "newest"), CHECKPOINT_TIMEOUT_S),
        ),
        (framed("system.halt", reason="look"), Wish("admin", MONITOR, HaltSystem("look", OPERATOR.name))),
        (framed("system.resume"), Wish("admin", MONITOR, ResumeSystem(OPERATOR.name))),
        (framed("agent.pause", agent="scout"), Wish("agent", agent_address(AgentId("scout")), PauseAgent())),
    ],
)
def test_a_command_names_its_actor_and_its_scope(frame: Frame, wish: Wish) -> None:
    assert command(frame, OPERATOR) == wish


@pytest.mark.parametrize(
    ("frame", "path"),
    [
        (framed("task.forget"), "method"),
        (framed("x" * 1_000), "method"),
        (framed("task.create", title=1), "params.title"),
        (framed("task.cancel"), "params.task"),
        (framed("task.cancel", task="t-1", why="x"), "params.why"),
        (framed("checkpoint.create", name="x"), "params.name"),
        (framed("checkpoint.prune", keep=0), "params.keep"),
        (framed("checkpoint.diff"), "params.checkpoint"),
        (framed("agent.pause"), "params.agent"),
        (framed("system.resume", reason="x"), "params.reason"),
    ],
)
def test_a_wrong_command_is_refused_by_the_name_of_what_is_wrong(frame: Frame, path: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        command(frame, OPERATOR)
    assert refusal.value.path == path
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    ("look", "wish"),
    [
        (Look("state"), None),
        (Look("task", task="t-1"), Wish("read", COORDINATOR, ReadTask(TaskId("t-1")))),
        (Look("tasks", limit=3), Wish("read", COORDINATOR, ListTasks(limit=3))),
        (Look("balances"), Wish("read", LEDGER, ReadBalances())),
        (Look("router"), Wish("read", ROUTER, ReadRouter())),
        (Look("checkpoints"), Wish("read", JOURNAL, ListCheckpoints())),
        (Look("triggers"), Wish("read", TRIGGERS, ListTriggers())),
        (
            Look("events", types=("task.*",), run="main", after=4, limit=9),
            Wish(
                "read",
                JOURNAL,
                ReadEvents(types=("task.*",), run="main", after=Position(4), limit=9, is_newest_first=False),
            ),
        ),
    ],
)
def test_a_query_goes_to_who_knows(look: Look, wish: Wish | None) -> None:
    assert query(look) == wish


@pytest.mark.parametrize("look", [Look("tasks", limit=0), Look("events", limit=1_001), Look("events", types=("a..b",))])
def test_a_query_out_of_bounds_is_refused(look: Look) -> None:
    with pytest.raises(InvalidField):
        query(look)


def test_the_memory_is_looked_at_by_who_asks() -> None:
    reader = Principal("ann", frozenset(("read",)))
    assert query(Look("memory", words="the key"), reader) == Wish("read", MEMORY, Recall("the key", "ann", 50))
    assert query(Look("memory"), OPERATOR) == Wish("read", MEMORY, ListFacts("operator", is_operator=True))


def test_waking_an_actor_needs_all_rights() -> None:
    poster = Principal("ann", frozenset(("read", "task")))
    with pytest.raises(NotPermitted, match="ann lacks the scope admin"):
        command(framed("trigger.create", at=9, wake="memory"), poster)


def test_schedules_can_be_looked_at() -> None:
    assert query(Look("schedules")) == Wish("read", SCHEDULER, ListSchedules())
