"""What may be asked over the live socket: each method as a scope, an actor and a request.

Rules: a method's parameters are one type, refused by name when a field is wrong; whoever holds no scope of it is told
which one is needed. What concerns the session itself (hello, subscribe, ping) stands in `web/protocol.py`.

Pure: no socket, loop or clock.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec

from bus.address import Address
from bus.messages.approvals import APPROVALS, Approve, ProposalId, ProposalView, Reject
from bus.messages.base import Done, Message, Position, Request, TaskId
from bus.messages.checkpoints import CheckpointDifferences, CheckpointProof, CompareCheckpoints, VerifyCheckpoint
from bus.messages.completions import ROUTER, ReadRouter
from bus.messages.ledger import LEDGER, ReadBalances
from bus.messages.memory import MEMORY, CorrectFact, EndFact, FactId, FactView, ListFacts, Recall, Remember
from bus.messages.monitor import MONITOR, HaltSystem, ResumeSystem
from bus.messages.schedules import (
    SCHEDULER,
    CancelSchedule,
    CreateSchedule,
    ListSchedules,
    ScheduleSpec,
    ScheduleView,
)
from bus.messages.system import (
    EVENTS_LIMIT_MAX,
    JOURNAL,
    CheckpointsPruned,
    CheckpointView,
    ListCheckpoints,
    PinCheckpoint,
    PruneCheckpoints,
    ReadEvents,
    SaveCheckpoint,
)
from bus.messages.tasks import COORDINATOR, CancelTask, CreateTask, ListTasks, ReadTask, TaskAccepted, TaskSpec
from bus.messages.triggers import TRIGGERS, CancelTrigger, CreateTrigger, ListTriggers, TriggerSpec, TriggerView
from bus.refusals import InvalidField, NotPermitted
from web import work
from web.auth import ANONYMOUS, Principal, Scope
from web.frames import (
    NAME_MAX,
    BetterFact,
    Cancel,
    Decide,
    Empty,
    EndSchedule,
    EndTrigger,
    Frame,
    Halt,
    KeptCheckpoints,
    Look,
    NewCheckpoint,
    NewFact,
    OneCheckpoint,
    PastFact,
    StayingCheckpoint,
    TwoCheckpoints,
)
from web.gateway import ASK_TIMEOUT_S, CHECKPOINT_TIMEOUT_S
from web.wire import check_patterns, decode
from web.work import Say


class Wish(msgspec.Struct, frozen=True):
    """A request, whom it goes to, and the scope that it needs."""

    scope: Scope
    to: Address
    request: Request[Message]
    timeout_s: float = ASK_TIMEOUT_S


P = TypeVar("P", bound=msgspec.Struct)


class Method(msgspec.Struct, Generic[P], frozen=True):
    """A command of the socket: what it needs, takes and answers."""

    scope: Scope
    params: type[P]
    answer: type[Message]
    build: Callable[[P, Frame, Principal], tuple[Address, Request[Message]]]
    timeout_s: float = ASK_TIMEOUT_S

    def wish(self, frame: Frame, principal: Principal) -> Wish:
        """The wish of a frame. Raises InvalidField, Malformed or NotPermitted."""
        to, request = self.build(decode(frame.params, self.params, "params"), frame, principal)
        return Wish(self.scope, to, request, self.timeout_s)


def _create(spec: TaskSpec, frame: Frame, principal: Principal) -> tuple[Address, Request[Message]]:
    return COORDINATOR, CreateTask(spec, idempotency_key=frame.idem)


def _cancel(cancel: Cancel, frame: Frame, principal: Principal) -> tuple[Address, Request[Message]]:
    return COORDINATOR, CancelTask(TaskId(cancel.task), cancel.reason)


def _schedule(spec: ScheduleSpec, frame: Frame, principal: Principal) -> tuple[Address, Request[Message]]:
    return SCHEDULER, CreateSchedule(spec, frame.idem)


def _cancel_schedule(cancel: EndSchedule, frame: Frame, principal: Principal) -> tuple[Address, Request[Message]]:
    return SCHEDULER, CancelSchedule(cancel.schedule)


def _remember(new: NewFact, frame: Frame, principal: Principal) -> tuple[Address, Request[Message]]:
    command = Remember(
        subject=new.subject,
        text=new.text,
        by=principal.name,
        audience=new.audience,
        readers=new.readers,
        valid_from_us=new.valid_from_us,
        valid_to_us=new.valid_to_us,
        task=TaskId(new.task),
        idempotency_key=frame.idem,
    )
    return MEMORY, command


def _correct(better: BetterFact, frame: Frame, principal: Principal) -> tuple[Address, Request[Message]]:
    command = CorrectFact(
        fact=FactId(better.fact),
        text=better.text,
        by=principal.name,
        reason=better.reason,
        valid_from_us=better.valid_from_us,
        valid_to_us=better.valid_to_us,
        is_operator=principal.may("admin"),
        idempotency_key=frame.idem,
    )
    return MEMORY, command


def _end(past: PastFact, frame: Frame, principal: Principal) -> tuple[Address, Request[Message]]:
    return MEMORY, EndFact(FactId(past.fact), principal.name, past.reason, principal.may("admin"))


def _decide(wish: Decide, frame: Frame, principal: Principal) -> tuple[Address, Request[Message]]:
    kind = Approve if wish.decision == "approve" else Reject
    proposal = ProposalId(wish.proposal)
    return APPROVALS, kind(proposal, wish.hash, principal.name, wish.reason, wish.version, idempotency_key=frame.idem)


def _halt(halt: Halt, frame: Frame, principal: Principal) -> tuple[Address, Request[Message]]:
    return MONITOR, HaltSystem(halt.reason, principal.name)


def _resume(empty: Empty, frame: Frame, principal: Principal) -> tuple[Address, Request[Message]]:
    return MONITOR, ResumeSystem(principal.name)


def _save(new: NewCheckpoint, frame: Frame, principal: Principal) -> tuple[Address, Request[Message]]:
    return JOURNAL, SaveCheckpoint(label=new.label)


def _pin(one: StayingCheckpoint, frame: Frame, principal: Principal) -> tuple[Address, Request[Message]]:
    return JOURNAL, PinCheckpoint(one.checkpoint, one.pinned)


def _prune(kept: KeptCheckpoints, frame: Frame, principal: Principal) -> tuple[Address, Request[Message]]:
    return JOURNAL, PruneCheckpoints(kept.keep)


def _verify(one: OneCheckpoint, frame: Frame, principal: Principal) -> tuple[Address, Request[Message]]:
    return JOURNAL, VerifyCheckpoint(one.checkpoint)


def _diff(two: TwoCheckpoints, frame: Frame, principal: Principal) -> tuple[Address, Request[Message]]:
    return JOURNAL, CompareCheckpoints(two.checkpoint, two.to)


def _trigger(spec: TriggerSpec, frame: Frame, principal: Principal) -> tuple[Address, Request[Message]]:
    if spec.wake and not principal.may("admin"):
        raise NotPermitted(f"{principal.name} lacks the scope admin, which waking an actor needs")
    return TRIGGERS, CreateTrigger(spec, frame.idem)


def _cancel_trigger(cancel: EndTrigger, frame: Frame, principal: Principal) -> tuple[Address, Request[Message]]:
    return TRIGGERS, CancelTrigger(cancel.trigger)


def _say(say: Say, frame: Frame, principal: Principal) -> tuple[Address, Request[Message]]:
    return work.request_of(frame.method, say, principal)


COMMANDS: Final[Mapping[str, Method[Any]]] = {  # each with parameters of its own type
    "task.create": Method("task", TaskSpec, TaskAccepted, _create),
    "task.cancel": Method("task", Cancel, TaskAccepted, _cancel),
    "schedule.create": Method("task", ScheduleSpec, ScheduleView, _schedule),
    "schedule.cancel": Method("task", EndSchedule, ScheduleView, _cancel_schedule),
    "memory.remember": Method("agent", NewFact, FactView, _remember),
    "memory.correct": Method("agent", BetterFact, FactView, _correct),
    "memory.end": Method("agent", PastFact, FactView, _end),
    "approval.decide": Method("approve", Decide, ProposalView, _decide),
    "trigger.create": Method("task", TriggerSpec, TriggerView, _trigger),
    "trigger.cancel": Method("task", EndTrigger, TriggerView, _cancel_trigger),
    "checkpoint.create": Method("admin", NewCheckpoint, CheckpointView, _save, CHECKPOINT_TIMEOUT_S),
    "checkpoint.pin": Method("admin", StayingCheckpoint, CheckpointView, _pin),
    "checkpoint.prune": Method("admin", KeptCheckpoints, CheckpointsPruned, _prune),
    "checkpoint.verify": Method("read", OneCheckpoint, CheckpointProof, _verify, CHECKPOINT_TIMEOUT_S),
    "checkpoint.diff": Method("read", TwoCheckpoints, CheckpointDifferences, _diff, CHECKPOINT_TIMEOUT_S),
    "system.halt": Method("admin", Halt, Done, _halt),
    "system.resume": Method("admin", Empty, Done, _resume),
    **{name: Method("agent", Say, answer, _say) for name, answer in work.ANSWERS.items()},
}
"""The methods that ask an actor for something, by name."""


def command(frame: Frame, principal: Principal) -> Wish:
    """The command of a frame. Raises InvalidField, also for a method that there is not, or NotPermitted."""
    method = COMMANDS.get(frame.method)
    if method is None:
        raise InvalidField("method", f"{frame.method[:NAME_MAX]!r} is not a method")
    return method.wish(frame, principal)


def query(look: Look, principal: Principal = ANONYMOUS) -> Wish | None:  # noqa: PLR0911  # a table
    """The query behind `what`; None for the state, which no actor is asked for. Raises InvalidField."""
    match look.what:
        case "state":
            return None
        case "task":
            return Wish("read", COORDINATOR, ReadTask(TaskId(look.task)))
        case "tasks":
            return Wish("read", COORDINATOR, ListTasks(limit=_limit(look.limit)))
        case "balances":
            return Wish("read", LEDGER, ReadBalances())
        case "router":
            return Wish("read", ROUTER, ReadRouter())
        case "schedules":
            return Wish("read", SCHEDULER, ListSchedules())
        case "checkpoints":
            return Wish("read", JOURNAL, ListCheckpoints())
        case "triggers":
            return Wish("read", TRIGGERS, ListTriggers())
        case "memory":
            return Wish("read", MEMORY, _facts(look, principal))
        case "events":
            return Wish("read", JOURNAL, _events(look))


def _facts(look: Look, principal: Principal) -> Recall | ListFacts:
    limit, is_operator = _limit(look.limit), principal.may("admin")
    if look.words.strip():
        return Recall(look.words, principal.name, limit, is_operator=is_operator)
    return ListFacts(principal.name, limit, is_operator=is_operator)


def _events(look: Look) -> ReadEvents:
    return ReadEvents(
        types=check_patterns("params.types", look.types),
        source=look.source,
        task=look.task,
        agent=look.agent,
        run=look.run,
        correlation=look.correlation,
        after=Position(max(0, look.after)),
        before=Position(max(0, look.before)),
        limit=_limit(look.limit),
        is_newest_first=not look.after,
    )


def _limit(limit: int) -> int:
    if not 1 <= limit <= EVENTS_LIMIT_MAX:
        raise InvalidField("params.limit", f"is not between 1 and {EVENTS_LIMIT_MAX}")
    return limit
