"""The approvals: it keeps what waits for a person's word, and applies changes to git repositories when it is given.

Its state is the docket (`actors.rules.docket`), a fold of its own events; who may decide what is in
`actors.rules.approvals`; who waits for that, or watches checks, stands in the gallery (`actors.gallery`). What a state
asks for is begun in `actors.course`. It happens outside, in `actors.git`, in jobs: a job begins after the commit of the
event that announces it, and its outcome comes back as a message. After a restart what was announced and has no outcome
is begun again.
"""

from pathlib import Path
from typing import Annotated, ClassVar

import msgspec

from actors.branches import Branches, SweepDue
from actors.course import Course, ProposalDue
from actors.gallery import FollowDue, Gallery
from actors.git.changes import Changes, ChangesOptions
from actors.git.errands import (
    ChecksEnded,
    ChecksSaid,
    Errands,
    LookedUp,
    Prepared,
    RefsFound,
    StepEnded,
    Undone,
)
from actors.reads import Reads
from actors.rules import approvals, docket
from actors.rules.approvals import Terms
from actors.rules.docket import Docket, proposal_of
from actors.rules.policies import Policy
from actors.runtime import PersistentActor
from bus.messages.approvals import (
    CONTENT_BYTES_MAX,
    Approve,
    AwaitDecision,
    ListProposals,
    ProposalApplied,
    ProposalEvent,
    ProposalId,
    ProposalPage,
    ProposalRolledBack,
    ProposalState,
    ProposalView,
    ProposeChange,
    ReadProposal,
    ReadProposalContent,
    Reject,
    RequestApproval,
    RollBack,
    Target,
    Withdraw,
)
from bus.messages.base import BlobId, Event
from bus.messages.repositories import FollowOutput, ListBranches, OutputPart, ReadRepositoryFile
from bus.messages.upgrades import SUPERVISOR, UpgradeAsked
from bus.refusals import InvalidField, NotFound

READS_MAX = 32
"""Diffs, outputs and files that are read at once."""


class ApprovalsOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What needs whose word, and which repositories may be changed."""

    policies: tuple[Policy, ...] = ()
    """By kind and impact; the first that matches counts, and where none does one person must approve."""
    expiry_s: Annotated[float, msgspec.Meta(gt=0, le=864_000)] = 604_800.0
    """How long a proposal may wait for its decision; git forgets what nothing points to after two weeks."""
    read_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 10.0
    """How long the journal may take to find a diff."""
    changes: ChangesOptions = ChangesOptions()
    """Changes to git repositories."""


class Approvals(PersistentActor[Docket]):
    """The one actor that knows what was approved."""

    state_type: ClassVar[type[Docket]] = Docket

    def __init__(self, options: ApprovalsOptions, work: Path, *, is_supervised: bool = False) -> None:
        self._terms = Terms(options.policies, round(options.expiry_s * 1e6))
        self._git = Changes(options.changes, work)
        at = work.parent if is_supervised else None
        self._errands = Errands(self._git, read_timeout_s=options.read_timeout_s, supervised_at=at)
        self._course = Course(self, self._errands)
        self._gallery = Gallery(self)
        self._branches = Branches(self, self._errands, options.changes.keep_refs_s)
        self._reads = Reads(self, "reading", READS_MAX)

    def initial(self) -> Docket:
        return Docket()

    def apply(self, event: Event) -> None:
        docket.apply(self.state, event)

    def on_recovered(self) -> None:
        elsewhere = approvals.decide_epoch(self.state, self._epoch)
        if elsewhere and self.state.proposals:
            self.persist(*elsewhere)
        self._branches.begin()
        for view in self.state.proposals.values():
            self._go_on(view)

    # Proposers

    def on_request_approval(self, command: RequestApproval) -> ProposalView:
        events = approvals.decide_request(self.state, command, self.now_us, self._terms)
        return self._record(events) or docket.repeated(self.state, command.idempotency_key, self.now_us)

    def on_propose_change(self, command: ProposeChange) -> ProposalView:
        self._git.check_known(command.repository)
        patch = command.patch.encode(errors="surrogatepass")
        if len(patch) > CONTENT_BYTES_MAX:
            raise InvalidField("patch", f"is longer than {CONTENT_BYTES_MAX} bytes")
        name = docket.blob_id(patch) if patch else BlobId("")
        target = Target(command.repository, command.branch, command.head, name, command.paths)
        events = approvals.decide_change(self.state, command, target, self.now_us, self._terms)
        blobs = (patch,) if patch else ()
        return self._record(events, blobs) or docket.repeated(self.state, command.idempotency_key, self.now_us)

    def on_withdraw(self, command: Withdraw) -> ProposalView:
        return self._decided(command.proposal, approvals.decide_withdraw(self.state, command, self.now_us))

    def on_await_decision(self, query: AwaitDecision) -> ProposalView | None:
        return self._gallery.await_decision(proposal_of(self.state, query.proposal))

    # People

    def on_approve(self, command: Approve) -> ProposalView:
        return self._decided(command.proposal, approvals.decide_approve(self.state, command, self.now_us))

    def on_reject(self, command: Reject) -> ProposalView:
        return self._decided(command.proposal, approvals.decide_reject(self.state, command, self.now_us))

    def on_roll_back(self, command: RollBack) -> ProposalView:
        return self._decided(command.proposal, approvals.decide_roll_back(self.state, command, self.now_us))

    def on_read_proposal(self, query: ReadProposal) -> ProposalView:
        return proposal_of(self.state, query.proposal)

    def on_list_proposals(self, query: ListProposals) -> ProposalPage:
        return docket.page(self.state, query)

    def on_read_proposal_content(self, query: ReadProposalContent) -> None:
        view = proposal_of(self.state, query.proposal)
        blob = view.change.diff if query.part == "diff" and view.change else BlobId("")
        if query.part == "output" and view.checks:
            blob = view.checks.output
        if not blob:
            raise NotFound(query.part, query.proposal)
        self._reads.begin(self._errands.read_blob, query.proposal, blob)

    def on_read_repository_file(self, query: ReadRepositoryFile) -> None:
        self._git.check_known(query.repository)
        self._reads.begin(self._errands.read_file, query)

    def on_follow_output(self, query: FollowOutput) -> OutputPart | None:
        return self._gallery.follow(proposal_of(self.state, query.proposal), query.after)

    def on_list_branches(self, _: ListBranches) -> None:
        self._branches.list()

    # What comes back from outside

    def on_prepared(self, message: Prepared) -> None:
        view = proposal_of(self.state, message.proposal)
        has_checks = self._git.has_checks(view.target)
        events = approvals.decide_worked_out(view, message.change, self.now_us, has_checks=has_checks)
        self._record(events, (message.diff,))

    def on_checks_ended(self, message: ChecksEnded) -> None:
        view = proposal_of(self.state, message.proposal)
        self._record(approvals.decide_checked(view, message.result, self.now_us), (message.output,))

    def on_checks_said(self, message: ChecksSaid) -> None:
        self._gallery.hear(proposal_of(self.state, message.proposal), message.said)

    def on_follow_due(self, message: FollowDue) -> None:
        self._gallery.answer_followers(proposal_of(self.state, message.proposal))

    def on_step_ended(self, message: StepEnded) -> None:
        view = proposal_of(self.state, message.proposal)
        events = approvals.decide_outcome(view, message.commit, message.error, self.now_us)
        self._record(events)
        if view.change is not None and ProposalApplied in map(type, events):
            self._ask_for_upgrade(view, view.change.base, message.commit)

    def on_looked_up(self, message: LookedUp) -> None:
        view = proposal_of(self.state, message.proposal)
        if view.proposal in self.state.foreign:
            self._record(approvals.decide_looked_up(view, message.commit, self.now_us))

    def on_refs_found(self, message: RefsFound) -> None:
        self._branches.take(message)

    def on_sweep_due(self, _: SweepDue) -> None:
        self._branches.sweep()

    def on_undone(self, message: Undone) -> None:
        view = proposal_of(self.state, message.proposal)
        if message.revert:
            self._record(approvals.decide_revert(self.state, view, message.revert, self.now_us, self._terms))
            return
        events = approvals.decide_undone(view, message.error, self.now_us)
        self._record(events)
        is_by_a_person = next(step.by for step in reversed(view.history) if step.by) != SUPERVISOR
        if view.change is not None and is_by_a_person and ProposalRolledBack in map(type, events):
            self._ask_for_upgrade(view, view.commit, view.change.base)

    def on_proposal_due(self, message: ProposalDue) -> None:
        view = proposal_of(self.state, message.proposal)
        self._record(approvals.decide_expire(view, self.now_us))
        self._course.await_end(self.state.proposals[message.proposal])

    # What follows from events

    def _decided(self, proposal: ProposalId, events: tuple[ProposalEvent, ...]) -> ProposalView:
        self._record(events)
        return self.state.proposals[proposal]

    def _record(self, events: tuple[ProposalEvent, ...], blobs: tuple[bytes, ...] = ()) -> ProposalView | None:
        """Persist, and do what follows for each proposal that moved. Returns the first of them."""
        if not events:
            return None
        self.persist(*events, *approvals.decide_epoch(self.state, self._epoch), blobs=blobs)
        for event in events:
            if isinstance(event, ProposalApplied | ProposalRolledBack):
                self._outdate_beside(self.state.proposals[event.proposal])
        for proposal in dict.fromkeys(event.proposal for event in events):
            self._go_on(self.state.proposals[proposal])
        return self.state.proposals[events[0].proposal]

    def _go_on(self, view: ProposalView) -> None:
        self._gallery.move(view)
        self._course.go_on(view, is_foreign=view.proposal in self.state.foreign)

    def _ask_for_upgrade(self, view: ProposalView, base: str, commit: str) -> None:
        """If it is what the server runs on that has moved, it takes effect: recorded with the move itself."""
        if view.target is not None and self._git.restarts(view.target):
            path = self._git.path_of(view.target)
            self.persist(UpgradeAsked(view.proposal, commit, view.hash, path, view.target.branch, base))

    def _outdate_beside(self, moved: ProposalView) -> None:
        """A branch has moved: what else is open for it is worked out anew."""
        for view in [self.state.proposals[proposal] for proposal in self.state.open]:
            if view.state is ProposalState.PROPOSED and approvals.is_beside(view, moved):
                self._go_on(view)
        self._record(approvals.decide_outdated(self.state, moved, self.now_us))

    @property
    def _epoch(self) -> int:
        return self._context.core.log.epoch
