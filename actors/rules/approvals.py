"""What may become of a proposal, who may say so, and on what.

Rules: a decision names the hash of exactly what was reviewed, and the version if it likes; anything else than what
stands is refused. A proposer never approves, and nobody counts twice; one no is enough. Checks are judged by their exit
code alone. A proposal that is open too long expires; a newer one of the same proposer about the same takes its place.
When a branch moves by one, the other open changes of it are worked out anew, and every yes to them is void. What
another history had begun outside is looked up and never done again.

Pure: no clock, no disk, no git. `actors.rules.docket` folds the events.
"""

from typing import TypeVar

import msgspec

from actors.rules import idempotency
from actors.rules.docket import (
    OPEN,
    TABLE,
    Docket,
    change_hash,
    decision_words,
    proposal_of,
    request_hash,
    request_words,
)
from actors.rules.fields import check_id, check_line, check_text
from actors.rules.policies import Policy, approvers_needed
from bus.messages.approvals import (
    CHANGE,
    ApprovalsEpoch,
    Approve,
    Change,
    CheckResult,
    ProposalApplied,
    ProposalApplying,
    ProposalApproved,
    ProposalChecking,
    ProposalEvent,
    ProposalExpired,
    ProposalFailed,
    ProposalId,
    ProposalNotRolledBack,
    ProposalOutdated,
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
    Target,
    Withdraw,
)
from bus.messages.base import AgentId, Event, Microseconds
from bus.refusals import IdempotencyConflict, IllegalTransition, InvalidField, NotPermitted, OwnProposal, StaleDecision

S = ProposalState
Said = TypeVar("Said", ProposalVoted, ProposalRejected, ProposalRollingBack)
TITLE_CHARS_MAX = 200
REASON_CHARS_MAX = 2_000
DETAIL_BYTES_MAX = 8 * 1024
PATHS_MAX = 100
ELSEWHERE = "the history in which it had begun was left by a restore or a fork; propose it anew"
_AGENTS = "agents/"


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
    proposed = _proposed(docket, command, now_us, terms, kind=kind, subject=command.subject, target=None)
    proposed = msgspec.structs.replace(proposed, hash=request_hash(proposed))
    if _is_repeat(docket, command.idempotency_key, request_words(proposed), now_us):
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
    if len(command.paths) > PATHS_MAX:
        raise InvalidField("paths", f"are more than {PATHS_MAX}")
    for path in command.paths:
        check_line("paths", path, 400)
    subject = f"{target.repository}:{target.branch}:{target.head or ' '.join(target.paths)}"
    proposed = _proposed(docket, command, now_us, terms, kind=CHANGE, subject=subject, target=target)
    if _is_repeat(docket, command.idempotency_key, request_words(proposed), now_us):
        return ()
    return (proposed, *_superseded(docket, proposed))


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
    if _is_repeat(docket, command.idempotency_key, decision_words("approve", view.proposal, command.by), now_us):
        return ()
    _check_decision(view, command, ProposalVoted)
    if command.by == view.proposer:
        raise OwnProposal(f"{command.by} proposed {view.proposal} and cannot approve it")
    if any(vote.by == command.by for vote in view.votes):
        raise IllegalTransition(f"proposal {view.proposal}", f"approved by {command.by} already", "approved")
    voted = _said(ProposalVoted, view, command, now_us)
    if len(view.votes) + 1 < view.approvers:
        return (voted,)
    return (voted, *_approved(view, view.hash, now_us))


def decide_reject(docket: Docket, command: Reject, now_us: Microseconds) -> tuple[ProposalEvent, ...]:
    """One no is enough."""
    view = proposal_of(docket, command.proposal)
    if _is_repeat(docket, command.idempotency_key, decision_words("reject", view.proposal, command.by), now_us):
        return ()
    _check_decision(view, command, ProposalRejected)
    return (_said(ProposalRejected, view, command, now_us),)


def decide_withdraw(docket: Docket, command: Withdraw, now_us: Microseconds) -> tuple[ProposalEvent, ...]:
    """Its proposer takes it back."""
    view = proposal_of(docket, command.proposal)
    if _is_repeat(docket, command.idempotency_key, decision_words("withdraw", view.proposal, command.by), now_us):
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
    if _is_repeat(docket, command.idempotency_key, decision_words("rollback", view.proposal, command.by), now_us):
        return ()
    _check(view, ProposalRollingBack, "rolled back")
    _check_hash(view, command.hash)
    return (_said(ProposalRollingBack, view, command, now_us),)


def decide_expire(view: ProposalView, now_us: Microseconds) -> tuple[ProposalEvent, ...]:
    """Nobody has decided in time."""
    if view.state not in OPEN or now_us < view.expires_us:
        return ()
    return (ProposalExpired(view.proposal, _agent(view.proposer), now_us),)


def decide_epoch(docket: Docket, epoch: int) -> tuple[Event, ...]:
    """The history that the docket goes on in, if it is another one than before."""
    return (ApprovalsEpoch(epoch),) if docket.epoch != epoch else ()


def decide_looked_up(view: ProposalView, commit: str, now_us: Microseconds) -> tuple[ProposalEvent, ...]:
    """What has become of a step outside that another history had begun: `commit` if the branch has the change."""
    agent = _agent(view.proposer)
    match view.state:
        case S.APPLYING if commit:
            return (ProposalApplied(view.proposal, agent, now_us, commit=commit),)
        case S.APPROVED | S.APPLYING:
            return (ProposalFailed(view.proposal, agent, now_us, reason=f"it was not applied: {ELSEWHERE}"),)
        case S.ROLLING_BACK if commit:
            return (ProposalNotRolledBack(view.proposal, agent, now_us, reason=f"it was not undone: {ELSEWHERE}"),)
        case S.ROLLING_BACK:
            return (ProposalRolledBack(view.proposal, agent, now_us),)
        case _:
            return ()


def decide_outdated(docket: Docket, moved: ProposalView, now_us: Microseconds) -> tuple[ProposalEvent, ...]:
    """The open changes of the branch that one has moved."""
    return tuple(
        ProposalOutdated(view.proposal, _agent(view.proposer), now_us, reason=f"{moved.proposal} has moved the branch")
        for view in map(docket.proposals.__getitem__, docket.open)
        if view.state in TABLE[ProposalOutdated][0] and is_beside(view, moved)
    )


def is_beside(view: ProposalView, other: ProposalView) -> bool:
    """Whether two proposals would change the same branch."""
    if view.target is None or other.target is None or view.proposal == other.proposal:
        return False
    return (view.target.repository, view.target.branch) == (other.target.repository, other.target.branch)


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
    kept = ProposalNotRolledBack(view.proposal, _agent(view.proposer), now_us, reason=reason, revert=filed[0].proposal)
    return (kept, *filed)


def _proposed(
    docket: Docket,
    command: RequestApproval | ProposeChange,
    now_us: Microseconds,
    terms: Terms,
    *,
    kind: str,
    subject: str,
    target: Target | None,
) -> ProposalProposed:
    proposer = check_id("proposer", command.proposer)
    return ProposalProposed(
        ProposalId(f"p-{len(docket.proposals) + 1}"),
        _agent(proposer),
        now_us,
        kind=kind,
        impact=command.impact,
        title=check_line("title", command.title, TITLE_CHARS_MAX),
        detail=check_text("detail", command.detail, DETAIL_BYTES_MAX),
        subject=check_text("subject", subject, 1_000),
        proposer=proposer,
        approvers=approvers_needed(terms.policies, kind, command.impact),
        expires_us=now_us + terms.expiry_us,
        hash="",
        target=target,
        idempotency_key=idempotency.check_key(command.idempotency_key),
    )


def _superseded(docket: Docket, proposed: ProposalProposed) -> tuple[ProposalEvent, ...]:
    """The open proposals whose place it takes. Without a subject it takes nobody's."""
    if not proposed.subject:
        return ()
    return tuple(
        ProposalSuperseded(view.proposal, proposed.agent, proposed.at_us, successor=proposed.proposal)
        for view in map(docket.proposals.__getitem__, docket.open)
        if view.subject == proposed.subject and view.kind == proposed.kind and view.proposer == proposed.proposer
    )


def _automatic(
    asked: ProposalView | ProposalProposed, ready: ProposalReady, now_us: Microseconds
) -> tuple[ProposalEvent, ...]:
    return () if asked.approvers else _approved(asked, ready.hash, now_us)


def _approved(asked: ProposalView | ProposalProposed, name: str, now_us: Microseconds) -> tuple[ProposalEvent, ...]:
    agent = _agent(asked.proposer)
    approved = ProposalApproved(asked.proposal, agent, now_us, hash=name, kind=asked.kind, subject=asked.subject)
    if asked.target is None:
        return (approved,)
    return (approved, ProposalApplying(asked.proposal, agent, now_us, hash=name))


def _said(event: type[Said], view: ProposalView, command: Approve | Reject | RollBack, now_us: Microseconds) -> Said:
    """What a person has said of a proposal: by whom, why, and on exactly what."""
    return event(
        view.proposal,
        _agent(view.proposer),
        now_us,
        by=check_line("by", command.by, 128),
        reason=_reason(command.reason),
        hash=command.hash,
        idempotency_key=idempotency.check_key(command.idempotency_key),
    )


def _check_decision(view: ProposalView, command: Approve | Reject, event: type[ProposalEvent]) -> None:
    _check(view, event, "decided on")
    if command.version and command.version != view.version:
        raise StaleDecision(view.proposal, "version", str(command.version), str(view.version))
    _check_hash(view, command.hash)


def _check_hash(view: ProposalView, given: str) -> None:
    if given != view.hash:
        raise StaleDecision(view.proposal, "hash", given[:12], view.hash[:12])


def _check(view: ProposalView, event: type[ProposalEvent], word: str) -> None:
    if view.state not in TABLE[event][0]:
        raise IllegalTransition(f"proposal {view.proposal}", view.state, word)


def _is_repeat(docket: Docket, key: str, words: str, now_us: Microseconds) -> bool:
    known = idempotency.subject_of(docket.keys, key, now_us)
    if known and known.partition(" ")[2] != words:
        raise IdempotencyConflict(f"key {key}")
    return bool(known)


def _reason(text: str) -> str:
    return check_line("reason", text, REASON_CHARS_MAX)


def _agent(proposer: str) -> AgentId:
    return AgentId(proposer.removeprefix(_AGENTS) if proposer.startswith(_AGENTS) else "")
