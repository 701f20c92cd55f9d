"""What may be asked over the live socket: each method as a scope, an actor and a request.

Rules: a method's parameters are one type, refused by name when a field is wrong; whoever holds no scope of it is told
which one is needed. What concerns the session itself (hello, subscribe, ping) stands in `web/protocol.py`.

Pure: no socket, loop or clock.
"""

import msgspec

from bus.address import Address
from bus.messages.approvals import APPROVALS, Approve, ProposalId, Reject
from bus.messages.base import Message, Position, Request, TaskId
from bus.messages.completions import ROUTER, ReadRouter
from bus.messages.ledger import LEDGER, ReadBalances
from bus.messages.system import EVENTS_LIMIT_MAX, JOURNAL, ReadEvents
from bus.messages.tasks import COORDINATOR, CancelTask, CreateTask, ListTasks, ReadTask, TaskSpec
from bus.refusals import InvalidField
from web import work
from web.auth import Principal, Scope
from web.frames import NAME_MAX, Cancel, Decide, Frame, Look
from web.wire import check_patterns, decode


class Wish(msgspec.Struct, frozen=True):
    """A request, whom it goes to, and the scope that it needs."""

    scope: Scope
    to: Address
    request: Request[Message]


def command(frame: Frame, principal: Principal) -> Wish:
    """The command of a frame. Raises InvalidField, also for a method that there is not, or NotPermitted."""
    match frame.method:
        case "task.create":
            spec = decode(frame.params, TaskSpec, "params")
            return Wish("task", COORDINATOR, CreateTask(spec, idempotency_key=frame.idem))
        case "task.cancel":
            cancel = decode(frame.params, Cancel, "params")
            return Wish("task", COORDINATOR, CancelTask(TaskId(cancel.task), cancel.reason))
        case "approval.decide":
            wish = decode(frame.params, Decide, "params")
            kind = Approve if wish.decision == "approve" else Reject
            decision = kind(
                ProposalId(wish.proposal),
                wish.hash,
                principal.name,
                wish.reason,
                wish.version,
                idempotency_key=frame.idem,
            )
            return Wish("approve", APPROVALS, decision)
        case method if method in work.METHODS:
            return Wish("agent", *work.said(method, frame.params, principal))
        case _:
            raise InvalidField("method", f"{frame.method[:NAME_MAX]!r} is not a method")


def query(look: Look) -> Wish | None:
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
        case "events":
            return Wish("read", JOURNAL, _events(look))


def _events(look: Look) -> ReadEvents:
    return ReadEvents(
        types=check_patterns("params.types", look.types),
        source=look.source,
        task=look.task,
        agent=look.agent,
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
