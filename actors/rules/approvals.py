"""What may become of a proposal, who may say so, and on what.

Rules: `TABLE` says which event may follow on which state; nothing else moves a proposal. A decision names the hash of
exactly what was reviewed, and the version if it likes; anything else than what stands is refused. A proposer never
approves, and nobody counts twice. A proposal that is open too long expires. Reasons are kept for ever.

Pure: no clock, no disk, no git. `apply` is the only mutator.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, assert_never

import msgspec

from actors.rules import idempotency
from actors.rules.fields import check_id, check_integer, check_line, check_text
from actors.rules.idempotency import Keys
from actors.rules.policies import Policy, approvers_needed
from bus.canonical import canonical
from bus.errors import (
    IdempotencyConflict,
    IllegalTransition,
    InvalidField,
    NotFound,
    NotPermitted,
    OwnProposal,
    StaleDecision,
)
from bus.messages.approvals import (
    CHANGE,
    Approve,
    Change,
    CheckResult,
    ListProposals,
    ProposalApplied,
    ProposalApplying,
    ProposalApproved,
    ProposalChecking,
    ProposalEvent,
    ProposalExpired,
    ProposalFailed,
    ProposalId,
    ProposalNotRolledBack,
    ProposalPage,
    ProposalProposed,
    ProposalReady,
    ProposalRejected,
    ProposalRolledBack,
    ProposalRollingBack,
    ProposalState,
    ProposalSuperseded,
    ProposalView,
    ProposalVoted,
    ProposalWithdrawn,
    ProposeChange,
    Reject,
    RequestApproval,
    RollBack,
    Step,
    Target,
    Vote,
    Withdraw,
)
from bus.messages.base import AgentId, Event, Microseconds

S = ProposalState
OPEN: Final = frozenset({S.PROPOSED, S.CHECKING, S.READY})
"""Not decided yet."""
TABLE: Final[dict[type[ProposalEvent], tuple[frozenset[ProposalState], ProposalState | None]]] = {
    ProposalChecking: (frozenset({S.PROPOSED}), S.CHECKING),
    ProposalReady: (frozenset({S.PROPOSED, S.CHECKING}), S.READY),
    ProposalVoted: (frozenset({S.READY}), None),
    ProposalApproved: (frozenset({S.READY}), S.APPROVED),
    ProposalApplying: (frozenset({S.APPROVED}), S.APPLYING),
    ProposalApplied: (frozenset({S.APPLYING}), S.APPLIED),
    ProposalFailed: (frozenset({S.PROPOSED, S.CHECKING, S.APPLYING}), S.FAILED),
    ProposalRejected: (frozenset({S.CHECKING, S.READY}), S.REJECTED),
    ProposalExpired: (OPEN, S.EXPIRED),
    ProposalSuperseded: (OPEN, S.SUPERSEDED),
    ProposalWithdrawn: (OPEN, S.WITHDRAWN),
    ProposalRollingBack: (frozenset({S.APPLIED}), S.ROLLING_BACK),
    ProposalRolledBack: (frozenset({S.ROLLING_BACK}), S.ROLLED_BACK),
    ProposalNotRolledBack: (frozenset({S.ROLLING_BACK}), S.APPLIED),
}
"""Event, the states that it may follow on, and the state that it leads to (None: the same)."""
TITLE_CHARS_MAX = 200
REASON_CHARS_MAX = 2_000
DETAIL_BYTES_MAX = 8 * 1024
PAGE_MAX = 200
_AGENTS = "agents/"


class Docket(msgspec.Struct):
    """All proposals, in the order in which they were made."""

    proposals: dict[ProposalId, ProposalView] = {}
    keys: Keys = msgspec.field(default_factory=Keys)
    pending: int = 0
    """How many are ready for a decision."""


class Terms(msgspec.Struct, frozen=True):
    """What is configured."""

    policies: tuple[Policy, ...] = ()
    expiry_us: Microseconds = 7 * 86_400_000_000


def decide_request(
    docket: Docket, command: RequestApproval, now_us: Microseconds, terms: Terms
) -> tuple[ProposalEvent, ...]:
    """A new proposal, ready for decisions or approved at once; a repeated key causes nothing."""
    kind = check_id("kind", command.kind)
    if kind == CHANGE:
        raise InvalidField("kind", "a change is proposed with its repository and branch")
    proposed = _proposed(docket, command, now_us, terms, kind, command.subject, None)
    proposed = msgspec.structs.replace(proposed, hash=_hash_of_request(proposed))
    if _is_repeat(docket, command.idempotency_key, _words(proposed), now_us):
        return ()
    ready = ProposalReady(proposed.proposal, proposed.agent, now_us, hash=proposed.hash)
    return (proposed, *_superseded(docket, proposed), ready, *_automatic(proposed, ready, now_us))


def decide_change(
    docket: Docket, command: ProposeChange, target: Target, now_us: Microseconds, terms: Terms
) -> tuple[ProposalEvent, ...]:
    """A new proposal of a change, which is yet to be worked out."""
    if bool(command.head) is bool(command.patch):
        raise InvalidField("head", "either a head or a patch says what changes")
    check_line("branch", command.branch, 200)
    for path in command.paths:
        check_line("paths", path, 400)
    subject = f"{target.repository}:{target.branch}:{target.head or ' '.join(target.paths)}"
    proposed = _proposed(docket, command, now_us, terms, CHANGE, subject, target)
    if _is_repeat(docket, command.idempotency_key, _words(proposed), now_us):
        return ()
    return (proposed, *_superseded(docket, proposed))


def proposal_of(docket: Docket, proposal: ProposalId) -> ProposalView:
    """The proposal, or NotFound."""
    found = docket.proposals.get(proposal)
    if found is None:
        raise NotFound("proposal", proposal)
    return found


def repeated(docket: Docket, key: str, now_us: Microseconds) -> ProposalView:
    """The proposal that a repeated key has made already."""
    return docket.proposals[ProposalId(idempotency.subject_of(docket.keys, key, now_us).partition(" ")[0])]


def decide_worked_out(
    view: ProposalView, change: Change, now_us: Microseconds, *, has_checks: bool
) -> tuple[ProposalEvent, ...]:
    """A change has been worked out; what is no longer waited for causes nothing."""
    if view.state is not S.PROPOSED:
        return ()
    assert view.target is not None, "only changes are worked out"
    name = change_hash(view.target, change)
    if has_checks:
        return (ProposalChecking(view.proposal, _agent(view.proposer), now_us, change=change, hash=name),)
    ready = ProposalReady(view.proposal, _agent(view.proposer), now_us, hash=name, change=change)
    return (ready, *_automatic(view, ready, now_us))


def decide_checked(view: ProposalView, checks: CheckResult, now_us: Microseconds) -> tuple[ProposalEvent, ...]:
    """The checks have ended: judged by their exit code alone."""
    if view.state is not S.CHECKING:
        return ()
    agent = _agent(view.proposer)
    if checks.exit_code != 0 or checks.reason:
        why = checks.reason or f"the checks ended with exit code {checks.exit_code}"
        return (ProposalFailed(view.proposal, agent, now_us, reason=why, checks=checks),)
    ready = ProposalReady(view.proposal, agent, now_us, hash=view.hash, checks=checks)
    return (ready, *_automatic(view, ready, now_us))


def decide_approve(docket: Docket, command: Approve, now_us: Microseconds) -> tuple[ProposalEvent, ...]:
    """One yes; with enough of them it is approved, and a change begins to be applied."""
    view = proposal_of(docket, command.proposal)
    if _is_repeat(docket, command.idempotency_key, f"{view.proposal} approve {command.by}", now_us):
        return ()
    _check_decision(view, command, ProposalVoted)
    if command.by == view.proposer:
        raise OwnProposal(view.proposal, command.by)
    if any(vote.by == command.by for vote in view.votes):
        raise IllegalTransition(f"proposal {view.proposal}", f"approved by {command.by} already", "approved")
    voted = ProposalVoted(
        view.proposal,
        _agent(view.proposer),
        now_us,
        by=check_line("by", command.by, 128),
        reason=_reason(command.reason),
        hash=command.hash,
        idempotency_key=idempotency.check_key(command.idempotency_key),
    )
    if len(view.votes) + 1 < view.approvers:
        return (voted,)
    return (voted, *_approved(view, view.hash, now_us))


def decide_reject(docket: Docket, command: Reject, now_us: Microseconds) -> tuple[ProposalEvent, ...]:
    """One no is enough."""
    view = proposal_of(docket, command.proposal)
    if _is_repeat(docket, command.idempotency_key, f"{view.proposal} reject {command.by}", now_us):
        return ()
    _check_decision(view, command, ProposalRejected)
    rejected = ProposalRejected(
        view.proposal,
        _agent(view.proposer),
        now_us,
        by=check_line("by", command.by, 128),
        reason=_reason(command.reason),
        hash=command.hash,
        idempotency_key=idempotency.check_key(command.idempotency_key),
    )
    return (rejected,)


def decide_withdraw(docket: Docket, command: Withdraw, now_us: Microseconds) -> tuple[ProposalEvent, ...]:
    """Its proposer takes it back."""
    view = proposal_of(docket, command.proposal)
    if _is_repeat(docket, command.idempotency_key, f"{view.proposal} withdraw {command.by}", now_us):
        return ()
    _check(view, ProposalWithdrawn, "withdrawn")
    if command.by != view.proposer:
        raise NotPermitted(f"{view.proposal} was proposed by {view.proposer}; {command.by} cannot withdraw it")
    key = idempotency.check_key(command.idempotency_key)
    reason = _reason(command.reason)
    agent = _agent(view.proposer)
    return (ProposalWithdrawn(view.proposal, agent, now_us, by=command.by, reason=reason, idempotency_key=key),)


def decide_roll_back(docket: Docket, command: RollBack, now_us: Microseconds) -> tuple[ProposalEvent, ...]:
    """An applied change shall be undone."""
    view = proposal_of(docket, command.proposal)
    if _is_repeat(docket, command.idempotency_key, f"{view.proposal} rollback {command.by}", now_us):
        return ()
    _check(view, ProposalRollingBack, "rolled back")
    _check_hash(view, command.hash)
    rolling = ProposalRollingBack(
        view.proposal,
        _agent(view.proposer),
        now_us,
        by=check_line("by", command.by, 128),
        reason=_reason(command.reason),
        hash=command.hash,
        idempotency_key=idempotency.check_key(command.idempotency_key),
    )
    return (rolling,)


def decide_expire(view: ProposalView, now_us: Microseconds) -> tuple[ProposalEvent, ...]:
    """Nobody has decided in time."""
    if view.state not in OPEN or now_us < view.expires_us:
        return ()
    return (ProposalExpired(view.proposal, _agent(view.proposer), now_us),)


def decide_outcome(view: ProposalView, commit: str, error: str, now_us: Microseconds) -> tuple[ProposalEvent, ...]:
    """What became of working out, checking or applying: `commit` where the branch stands now, or an error."""
    agent = _agent(view.proposer)
    if error and view.state in TABLE[ProposalFailed][0]:
        return (ProposalFailed(view.proposal, agent, now_us, reason=error),)
    if not error and view.state is S.APPLYING:
        return (ProposalApplied(view.proposal, agent, now_us, commit=commit),)
    return ()


def decide_undone(view: ProposalView, error: str, now_us: Microseconds) -> tuple[ProposalEvent, ...]:
    """What became of a rollback that filed no proposal."""
    if view.state is not S.ROLLING_BACK:
        return ()
    agent = _agent(view.proposer)
    if error:
        return (ProposalNotRolledBack(view.proposal, agent, now_us, reason=error),)
    return (ProposalRolledBack(view.proposal, agent, now_us),)


def decide_revert(
    docket: Docket, view: ProposalView, head: str, now_us: Microseconds, terms: Terms
) -> tuple[ProposalEvent, ...]:
    """The branch has moved on: a proposal that would undo the change takes the place of the rollback."""
    if view.state is not S.ROLLING_BACK or view.target is None:
        return ()
    by = next(step.by for step in reversed(view.history) if step.what == ProposalRollingBack.wire_name)
    command = ProposeChange(
        view.target.repository,
        view.target.branch,
        f"Revert {view.proposal}: {view.title}"[:TITLE_CHARS_MAX],
        by,
        head=head,
        impact=view.impact,
    )
    target = Target(view.target.repository, view.target.branch, head)
    filed = decide_change(docket, command, target, now_us, terms)
    reason = f"{view.target.branch} has moved on from {view.commit[:12]}; {filed[0].proposal} would revert it"
    kept = ProposalNotRolledBack(
        view.proposal, _agent(view.proposer), now_us, reason=reason, revert=filed[0].proposal
    )
    return (kept, *filed)


def page(docket: Docket, query: ListProposals) -> ProposalPage:
    """One page, newest first; InvalidField for a limit or a cursor that makes no sense."""
    check_integer("limit", query.limit, 1, PAGE_MAX)
    end = len(docket.proposals)
    if query.after:
        digits = query.after.removeprefix("p-")
        if digits == query.after or not digits.isascii() or not digits.isdigit() or len(digits) > 18:
            raise InvalidField("after", f"{query.after!r} is no proposal id")
        end = min(end, int(digits) - 1)
    views: list[ProposalView] = []
    for number in range(end, 0, -1):
        view = docket.proposals[ProposalId(f"p-{number}")]
        if query.state is None or view.state is query.state:
            if len(views) == query.limit:
                return ProposalPage(tuple(views), views[-1].proposal, docket.pending)
            views.append(msgspec.structs.replace(view, history=()))
    return ProposalPage(tuple(views), ProposalId(""), docket.pending)


def change_hash(target: Target, change: Change) -> str:
    """The name of exactly what is approved: which branch of what, base, head, merged tree and the whole diff."""
    return _sha256([target.repository, target.branch, change.base, change.head, change.tree, change.diff])


def apply(docket: Docket, event: Event) -> None:
    """Fold one event."""
    if isinstance(event, ProposalProposed):
        docket.proposals[event.proposal] = _view(event)
        idempotency.remember(docket.keys, event.idempotency_key, _words(event), event.at_us)
    elif isinstance(event, ProposalEvent):
        before = docket.proposals[event.proposal]
        after = _moved(before, event)
        docket.pending += (after.state is S.READY) - (before.state is S.READY)
        docket.proposals[event.proposal] = after
        _remember_decision(docket, event)


def _moved(view: ProposalView, event: ProposalEvent) -> ProposalView:
    allowed, state = TABLE[type(event)]
    assert view.state in allowed, f"{view.proposal} is {view.state}; {event.wire_name} cannot follow"
    step = Step(event.at_us, event.wire_name, getattr(event, "by", ""), getattr(event, "reason", ""))
    moved = msgspec.structs.replace(
        view,
        state=state or view.state,
        version=view.version + 1,
        updated_us=event.at_us,
        history=(*view.history, step),
    )
    match event:
        case ProposalChecking():
            return msgspec.structs.replace(moved, change=event.change, hash=event.hash)
        case ProposalReady():
            change, checks = event.change or view.change, event.checks or view.checks
            return msgspec.structs.replace(moved, change=change, checks=checks, hash=event.hash)
        case ProposalVoted():
            vote = Vote(event.by, event.reason, event.at_us)
            return msgspec.structs.replace(moved, votes=(*view.votes, vote))
        case ProposalApplied():
            return msgspec.structs.replace(moved, commit=event.commit)
        case ProposalFailed():
            return msgspec.structs.replace(moved, reason=event.reason, checks=event.checks or view.checks)
        case ProposalRejected() | ProposalWithdrawn() | ProposalRollingBack():
            return msgspec.structs.replace(moved, reason=event.reason)
        case ProposalSuperseded():
            return msgspec.structs.replace(moved, reason=f"{event.successor} takes its place")
        case ProposalNotRolledBack():
            return msgspec.structs.replace(moved, reason=event.reason, revert=event.revert)
        case _:
            return moved


def _remember_decision(docket: Docket, event: ProposalEvent) -> None:
    match event:
        case ProposalVoted():
            word = "approve"
        case ProposalRejected():
            word = "reject"
        case ProposalWithdrawn():
            word = "withdraw"
        case ProposalRollingBack():
            word = "rollback"
        case _:
            return
    idempotency.remember(docket.keys, event.idempotency_key, f"{event.proposal} {word} {event.by}", event.at_us)
