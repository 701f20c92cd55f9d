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
from bus.messages.base import Message, Position, Request, TaskId
from bus.messages.completions import ROUTER, ReadRouter
from bus.messages.ledger import LEDGER, ReadBalances
from bus.messages.memory import MEMORY, CorrectFact, EndFact, FactId, FactView, ListFacts, Recall, Remember
from bus.messages.schedules import (
    SCHEDULER,
    CancelSchedule,
    CreateSchedule,
    ListSchedules,
    ScheduleSpec,
    ScheduleView,
)
from bus.messages.system import EVENTS_LIMIT_MAX, JOURNAL, ReadEvents
from bus.messages.tasks import COORDINATOR, CancelTask, CreateTask, ListTasks, ReadTask, TaskAccepted, TaskSpec
from bus.refusals import InvalidField
from web import work
from web.auth import ANONYMOUS, Principal, Scope
from web.frames import NAME_MAX, BetterFact, Cancel, Decide, EndSchedule, Frame, Look, NewFact, PastFact
from web.wire import check_patterns, decode
from web.work import Say


class Wish(msgspec.Struct, frozen=True):
    """A request, whom it goes to, and the scope that it needs."""

    scope: Scope
    to: Address
    request: Request[Message]


P = TypeVar("P", bound=msgspec.Struct)


class Method(msgspec.Struct, Generic[P], frozen=True):
    """A command of the socket: what it needs, takes and answers."""

    scope: Scope
    params: type[P]
    answer: type[Message]
    build: Callable[[P, Frame, Principal], tuple[Address, Request[Message]]]

    def wish(self, frame: Frame, principal: Principal) -> Wish:
        """The wish of a frame. Raises InvalidField, Malformed or NotPermitted."""
        return Wish(self.scope, *self.build(decode(frame.params, self.params, "params"), frame, principal))


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
    **{name: Method("agent", Say, answer, _say) for name, answer in work.ANSWERS.items()},
}
"""The methods that act, by name."""


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
