"""All proposals, and how events move them.

Rules: `TABLE` says which event may follow on which state, and nothing else moves a proposal. What an approval stands
for has a name: the hash of the branch, the base, the head, the merged tree and the whole diff, or of the request's own
words. Steps and their reasons are kept for ever.

Pure: no clock, no disk, no git. `apply` is the only mutator.
"""

import hashlib
from typing import Final

import msgspec

from actors.rules import idempotency
from actors.rules.fields import check_integer
from actors.rules.idempotency import Keys
from bus.canonical import canonical
from bus.messages.approvals import (
    ApprovalsEpoch,
    Change,
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
    ProposalOutdated,
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
    Step,
    Target,
    Vote,
)
from bus.messages.base import BlobId, Event, Microseconds
from bus.refusals import InvalidField, NotFound

S = ProposalState
OPEN: Final = frozenset({S.PROPOSED, S.CHECKING, S.READY})
"""Not decided yet."""
TABLE: Final[dict[type[ProposalEvent], tuple[frozenset[ProposalState], ProposalState | None]]] = {
    ProposalChecking: (frozenset({S.PROPOSED}), S.CHECKING),
    ProposalReady: (frozenset({S.PROPOSED, S.CHECKING}), S.READY),
    ProposalOutdated: (frozenset({S.CHECKING, S.READY}), S.PROPOSED),
    ProposalVoted: (frozenset({S.READY}), None),
    ProposalApproved: (frozenset({S.READY}), S.APPROVED),
    ProposalApplying: (frozenset({S.APPROVED}), S.APPLYING),
    ProposalApplied: (frozenset({S.APPLYING}), S.APPLIED),
    ProposalFailed: (frozenset({S.PROPOSED, S.CHECKING, S.APPROVED, S.APPLYING}), S.FAILED),
    ProposalRejected: (frozenset({S.CHECKING, S.READY}), S.REJECTED),
    ProposalExpired: (OPEN, S.EXPIRED),
    ProposalSuperseded: (OPEN, S.SUPERSEDED),
    ProposalWithdrawn: (OPEN, S.WITHDRAWN),
    ProposalRollingBack: (frozenset({S.APPLIED}), S.ROLLING_BACK),
    ProposalRolledBack: (frozenset({S.ROLLING_BACK}), S.ROLLED_BACK),
    ProposalNotRolledBack: (frozenset({S.ROLLING_BACK}), S.APPLIED),
}
"""Event, the states that it may follow on, and the state that it leads to (None: the same)."""
OUTSIDE: Final = frozenset({S.APPROVED, S.APPLYING, S.ROLLING_BACK})
"""What of a change may have begun outside."""
PAGE_MAX = 200
"""The most proposals on one page."""


class Docket(msgspec.Struct):
    """All proposals, in the order in which they were made."""

    proposals: dict[ProposalId, ProposalView] = {}
    keys: Keys = msgspec.field(default_factory=Keys)
    open: dict[ProposalId, None] = {}
    """Those that are not decided yet, oldest first."""
    pending: int = 0
    """How many are ready for a decision."""
    epoch: int = 0
    """The history that it goes on in; 0 before the first proposal."""
    foreign: dict[ProposalId, None] = {}
    """What another history had begun to apply or to roll back: looked up, never done again."""


def proposal_of(docket: Docket, proposal: ProposalId) -> ProposalView:
    """The proposal, or NotFound."""
    found = docket.proposals.get(proposal)
    if found is None:
        raise NotFound("proposal", proposal)
    return found


def repeated(docket: Docket, key: str, now_us: Microseconds) -> ProposalView:
    """The proposal that a repeated key has made already."""
    return docket.proposals[ProposalId(idempotency.subject_of(docket.keys, key, now_us).partition(" ")[0])]


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


def forgettable(docket: Docket, names: tuple[ProposalId, ...], before_us: Microseconds) -> tuple[ProposalView, ...]:
    """The changes among these that have ended before a time: nothing need be kept of them in their repositories."""
    known = [docket.proposals[name] for name in names if name in docket.proposals]
    ended = (view for view in known if view.state not in OPEN | OUTSIDE and view.updated_us <= before_us)
    return tuple(view for view in ended if view.target is not None and view.change is not None)


def change_hash(target: Target, change: Change) -> str:
    """The name of exactly what is approved: which branch of what, base, head, merged tree and the whole diff."""
    return _sha256([target.repository, target.branch, change.base, change.head, change.tree, change.diff])


def apply(docket: Docket, event: Event) -> None:
    """Fold one event."""
    if isinstance(event, ApprovalsEpoch):
        docket.epoch = event.epoch
        moving = (view for view in docket.proposals.values() if view.target is not None and view.state in OUTSIDE)
        docket.foreign = {view.proposal: None for view in moving}
    if not isinstance(event, ProposalEvent):
        return
    _remember(docket, event)
    if isinstance(event, ProposalProposed):
        docket.proposals[event.proposal] = _view(event)
        docket.open[event.proposal] = None
        return
    before = docket.proposals[event.proposal]
    after = docket.proposals[event.proposal] = _moved(before, event)
    docket.pending += (after.state is ProposalState.READY) - (before.state is ProposalState.READY)
    if after.state not in OPEN:
        docket.open.pop(event.proposal, None)
    if after.state not in OUTSIDE:
        docket.foreign.pop(event.proposal, None)


def _moved(view: ProposalView, event: ProposalEvent) -> ProposalView:
    allowed, state = TABLE[type(event)]
    assert view.state in allowed, f"{view.proposal} is {view.state}; {event.wire_name} cannot follow"
    step = Step(event.at_us, event.wire_name, getattr(event, "by", ""), getattr(event, "reason", ""))
    moved = msgspec.structs.replace(
        view,
        state=state or view.state,
        version=view.version + 1,
        updated_us=event.at_us,
        reason=step.reason or view.reason,
        history=(*view.history, step),
    )
    match event:
        case ProposalChecking():
            moved = msgspec.structs.replace(moved, change=event.change, hash=event.hash)
        case ProposalReady():
            change, checks = event.change or view.change, event.checks or view.checks
            moved = msgspec.structs.replace(moved, change=change, checks=checks, hash=event.hash)
        case ProposalOutdated():
            moved = msgspec.structs.replace(moved, hash="", votes=(), checks=None)
        case ProposalVoted():
            moved = msgspec.structs.replace(moved, votes=(*view.votes, Vote(event.by, event.reason, event.at_us)))
        case ProposalApplied():
            moved = msgspec.structs.replace(moved, commit=event.commit)
        case ProposalFailed():
            moved = msgspec.structs.replace(moved, checks=event.checks or view.checks)
        case ProposalSuperseded():
            moved = msgspec.structs.replace(moved, reason=f"{event.successor} takes its place")
        case ProposalNotRolledBack():
            moved = msgspec.structs.replace(moved, revert=event.revert)
        case _:
            pass
    return moved


def _remember(docket: Docket, event: ProposalEvent) -> None:
    match event:
        case ProposalProposed():
            words = request_words(event)
        case ProposalVoted():
            words = decision_words("approve", event.proposal, event.by)
        case ProposalRejected():
            words = decision_words("reject", event.proposal, event.by)
        case ProposalWithdrawn():
            words = decision_words("withdraw", event.proposal, event.by)
        case ProposalRollingBack():
            words = decision_words("rollback", event.proposal, event.by)
        case _:
            return
    idempotency.remember(docket.keys, event.idempotency_key, f"{event.proposal} {words}", event.at_us)


def blob_id(content: bytes) -> BlobId:
    """The name of a blob: what it contains."""
    return BlobId(hashlib.sha256(content).hexdigest())


def decision_words(word: str, proposal: ProposalId, by: str) -> str:
    """What a key of a decision stands for."""
    return f"{word} {proposal} {by}"


def request_hash(event: ProposalProposed) -> str:
    """The name of exactly what is approved when nothing but words was proposed."""
    return _sha256([event.kind, event.impact, event.title, event.detail, event.subject, event.proposer])


def request_words(event: ProposalProposed) -> str:
    """What a key of a request stands for."""
    target = msgspec.to_builtins(event.target)
    return "request " + _sha256([request_hash(event), target])


def _view(event: ProposalProposed) -> ProposalView:
    return ProposalView(
        proposal=event.proposal,
        kind=event.kind,
        impact=event.impact,
        title=event.title,
        detail=event.detail,
        subject=event.subject,
        proposer=event.proposer,
        state=ProposalState.PROPOSED,
        version=1,
        approvers=event.approvers,
        hash=event.hash,
        created_us=event.at_us,
        expires_us=event.expires_us,
        updated_us=event.at_us,
        target=event.target,
        history=(Step(event.at_us, event.wire_name, event.proposer),),
    )


def _sha256(value: object) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()
