"""Approvals: what waits for a person's word before it happens, and the changes to git repositories among it.

A proposal says what shall happen; its `hash` names exactly that, and every decision carries it. Each event raises the
proposal's `version` by one.
"""

from enum import StrEnum
from typing import ClassVar, Final, Literal, NewType

import msgspec

from bus.address import Address
from bus.messages.base import AgentId, BlobId, Command, Event, Microseconds, Query, Reply

APPROVALS: Final = Address("approvals")

ProposalId = NewType("ProposalId", str)
Impact = Literal["low", "medium", "high"]
CHANGE: Final = "change"
"""The kind of a proposal that changes a branch of a git repository."""
CONTENT_BYTES_MAX = 4 * 1024 * 1024
"""The longest diff, patch or check output that is kept: nobody reviews more."""


class ProposalState(StrEnum):
    """Where a proposal stands."""

    PROPOSED = "proposed"
    CHECKING = "checking"
    READY = "ready"
    APPROVED = "approved"
    APPLYING = "applying"
    APPLIED = "applied"
    FAILED = "failed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a change is asked to change: `branch` of a configured repository, by the commits of `head` or by a patch."""

    repository: str
    branch: str
    head: str = ""
    """A branch, tag or commit; empty when a patch says what changes."""
    patch: BlobId = BlobId("")
    paths: tuple[str, ...] = ()
    """Where the change may touch files: paths, and folders that end in a slash. Empty means anywhere."""


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Exactly what an approved change does: the tree that results, from which commits, and the whole diff."""

    base: str
    head: str
    tree: str
    diff: BlobId
    diff_bytes: int
    files: int


class CheckResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the checks of a change ended."""

    command: tuple[str, ...]
    exit_code: int
    took_ms: int
    output: BlobId
    reason: str = ""
    """Why there is no exit code of its own, such as a time limit."""


class Vote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One person's yes."""

    by: str
    reason: str
    at_us: Microseconds


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a proposal's history."""

    at_us: Microseconds
    what: str
    by: str = ""
    reason: str = ""


class ProposalView(Reply, frozen=True):
    """A proposal as it stands."""

    wire_name = "proposal"

    proposal: ProposalId
    kind: str
    impact: Impact
    title: str
    detail: str
    subject: str
    proposer: str
    state: ProposalState
    version: int
    approvers: int
    """How many distinct people must say yes; 0 means that the policy is automatic."""
    hash: str
    created_us: Microseconds
    expires_us: Microseconds
    updated_us: Microseconds
    target: Target | None = None
    change: Change | None = None
    checks: CheckResult | None = None
    votes: tuple[Vote, ...] = ()
    reason: str = ""
    commit: str = ""
    """What the branch was moved to."""
    revert: ProposalId = ProposalId("")
    """The proposal that was filed because the branch had moved on when this one was to be rolled back."""
    history: tuple[Step, ...] = ()


class ProposalPage(Reply, frozen=True):
    """Proposals, newest first, without their history; `next` continues the listing and is empty at its end."""

    wire_name = "proposals"

    proposals: tuple[ProposalView, ...]
    next: ProposalId
    pending: int
    """How many wait for a person."""


class ProposalContent(Reply, frozen=True):
    """A text that belongs to a proposal: its diff or the output of its checks."""

    wire_name = "proposal.content"

    proposal: ProposalId
    text: str


class RequestApproval(Command[ProposalView], frozen=True):
    """Sent by who may not do something without a word from above. The same key with the same fields asks once."""

    wire_name = "approval.request"

    kind: str
    title: str
    proposer: str
    detail: str = ""
    impact: Impact = "medium"
    subject: str = ""
    """What it is about; a later proposal of the same proposer about the same takes an open one's place."""
    idempotency_key: str = ""


class ProposeChange(Command[ProposalView], frozen=True):
    """Sent by who wants a branch changed, with either a `head` or a `patch`."""

    wire_name = "change.propose"

    repository: str
    branch: str
    title: str
    proposer: str
    head: str = ""
    patch: str = ""
    paths: tuple[str, ...] = ()
    detail: str = ""
    impact: Impact = "medium"
    idempotency_key: str = ""


class Approve(Command[ProposalView], frozen=True):
    """Sent for a person who has read exactly what `hash` names and says yes to it."""

    wire_name = "approval.approve"

    proposal: ProposalId
    hash: str
    by: str
    reason: str
    version: int = 0
    """The version that was looked at; 0 asks for none."""
    idempotency_key: str = ""


class Reject(Command[ProposalView], frozen=True):
    """Sent for a person who says no."""

    wire_name = "approval.reject"

    proposal: ProposalId
    hash: str
    by: str
    reason: str
    version: int = 0
    idempotency_key: str = ""


class Withdraw(Command[ProposalView], frozen=True):
    """Sent for a proposer who no longer wants it."""

    wire_name = "approval.withdraw"

    proposal: ProposalId
    by: str
    reason: str
    idempotency_key: str = ""


class RollBack(Command[ProposalView], frozen=True):
    """Sent for a person who wants an applied change undone."""

    wire_name = "approval.rollback"

    proposal: ProposalId
    hash: str
    by: str
    reason: str
    idempotency_key: str = ""


class ReadProposal(Query[ProposalView], frozen=True):
    """Sent by whoever wants to know how a proposal stands."""

    wire_name = "approval.read"

    proposal: ProposalId


class AwaitDecision(Query[ProposalView], frozen=True):
    """Sent by who goes on only when it is decided; answered then. After a restart it is asked again."""

    wire_name = "approval.await"

    proposal: ProposalId


class ListProposals(Query[ProposalPage], frozen=True):
    """Sent by whoever wants to see proposals."""

    wire_name = "approval.list"

    state: ProposalState | None = None
    limit: int = 50
    after: ProposalId = ProposalId("")


class ReadProposalContent(Query[ProposalContent], frozen=True):
    """Sent by who reads a diff or what checks have said; asynchronous, since it is on disk."""

    wire_name = "approval.read_content"

    proposal: ProposalId
    part: Literal["diff", "output"]


class ApprovalsEpoch(Event, frozen=True):
    """Recorded when the approvals go on in another history, after a restore or in a fork, and with the first proposal.

    What was being applied then may have been, or may yet be, applied by the other: it is looked up and not repeated.
    """

    wire_name = "approvals.epoch"
    is_kept: ClassVar[bool] = True

    epoch: int


class ProposalEvent(Event, frozen=True):
    """What all events of a proposal have. `agent` is the proposer, if an agent proposed."""

    about: ClassVar[str] = "proposal"
    is_kept: ClassVar[bool] = True

    proposal: ProposalId
    agent: AgentId
    at_us: Microseconds


class ProposalProposed(ProposalEvent, frozen=True):
    """Recorded when something was asked for, with what the policy in effect asks in return."""

    wire_name = "proposal.proposed"
    personal: ClassVar[tuple[str, ...]] = ("title", "detail")

    kind: str
    impact: Impact
    title: str
    detail: str
    subject: str
    proposer: str
    approvers: int
    expires_us: Microseconds
    hash: str
    """Empty for a change, until it has been worked out."""
    target: Target | None = None
    idempotency_key: str = ""


class ProposalChecking(ProposalEvent, frozen=True):
    """Recorded when a change has been worked out; its checks begin."""

    wire_name = "proposal.checking"

    change: Change
    hash: str


class ProposalReady(ProposalEvent, frozen=True):
    """Recorded when nothing but decisions is missing."""

    wire_name = "proposal.ready"

    hash: str
    change: Change | None = None
    checks: CheckResult | None = None


class ProposalOutdated(ProposalEvent, frozen=True):
    """Recorded when its branch has moved under an open change: it is worked out anew, and every yes is void."""

    wire_name = "proposal.outdated"

    reason: str


class DecisionEvent(ProposalEvent, frozen=True):
    """What a person has said, of exactly what `hash` names."""

    personal: ClassVar[tuple[str, ...]] = ("reason",)

    by: str
    reason: str
    hash: str
    idempotency_key: str = ""


class ProposalVoted(DecisionEvent, frozen=True):
    """Recorded for each yes."""

    wire_name = "proposal.voted"


class ProposalApproved(ProposalEvent, frozen=True):
    """Recorded when enough have said yes, or the policy asks nobody: who waited for it may go on."""

    wire_name = "proposal.approved"

    hash: str
    kind: str
    subject: str


class ProposalApplying(ProposalEvent, frozen=True):
    """Recorded before the branch is touched."""

    wire_name = "proposal.applying"

    hash: str


class ProposalApplied(ProposalEvent, frozen=True):
    """Recorded when the branch stands at `commit`, whose tree is the approved one."""

    wire_name = "proposal.applied"

    commit: str


class ProposalFailed(ProposalEvent, frozen=True):
    """Recorded when it cannot be: it could not be worked out, its checks failed, or the branch was not as approved."""

    wire_name = "proposal.failed"

    reason: str
    checks: CheckResult | None = None


class ProposalRejected(DecisionEvent, frozen=True):
    """Recorded when someone has said no."""

    wire_name = "proposal.rejected"


class ProposalExpired(ProposalEvent, frozen=True):
    """Recorded when nobody had decided in time."""

    wire_name = "proposal.expired"


class ProposalSuperseded(ProposalEvent, frozen=True):
    """Recorded when a newer proposal takes its place."""

    wire_name = "proposal.superseded"

    successor: ProposalId


class ProposalWithdrawn(ProposalEvent, frozen=True):
    """Recorded when its proposer took it back."""

    wire_name = "proposal.withdrawn"
    personal: ClassVar[tuple[str, ...]] = ("reason",)

    by: str
    reason: str
    idempotency_key: str = ""


class ProposalRollingBack(DecisionEvent, frozen=True):
    """Recorded before an applied change is undone."""

    wire_name = "proposal.rolling_back"


class ProposalRolledBack(ProposalEvent, frozen=True):
    """Recorded when the branch stands where it stood before the change."""

    wire_name = "proposal.rolled_back"


class ProposalNotRolledBack(ProposalEvent, frozen=True):
    """Recorded when the change stays: the branch has moved on. `revert` is the proposal that would undo it."""

    wire_name = "proposal.not_rolled_back"

    reason: str
    revert: ProposalId = ProposalId("")
