"""The approvals: it keeps what waits for a person's word, and applies changes to git repositories when it is given.

Its state is the docket (`actors.rules.docket`), a fold of its own events; who may decide what is in
`actors.rules.approvals`; who waits for that, or watches checks, stands in the gallery (`actors.gallery`). What happens
outside, in `actors.git`, happens in jobs: a job begins after the commit of the event that announces it, and its outcome
comes back as a message. After a restart what was announced and has no outcome is begun again; each of these steps can
be done twice. Only what another history had begun, before a restore or in the origin of a fork, is looked up instead.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, ClassVar, Concatenate, ParamSpec

import msgspec

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
from actors.rules import approvals, docket
from actors.rules.approvals import Terms
from actors.rules.docket import OPEN, Docket, proposal_of
from actors.rules.policies import Policy
from actors.runtime import Deferred, Job, PersistentActor
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
from bus.messages.base import BlobId, Event, Message
from bus.messages.repositories import Branch, BranchPage, FollowOutput, ListBranches, OutputPart, ReadRepositoryFile
from bus.messages.upgrades import SUPERVISOR, UpgradeAsked
from bus.refusals import InvalidField, NotFound, Overloaded

P = ParamSpec("P")

READS_MAX = 32
"""Diffs, outputs and files that are read at once."""
SWEEP_FIRST_S = 5.0
SWEEP_S = 3_600.0
"""Between two looks at what is kept of ended proposals."""
SWEPT_MAX = 100
TIMER_MAX_S = 86_400.0
"""A proposal's end is looked at daily at least: the wall clock may be set meanwhile."""


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


class ProposalDue(Message, frozen=True):
    """Told to oneself when a proposal may have waited long enough."""

    wire_name = "proposal.due"

    proposal: ProposalId


class SweepDue(Message, frozen=True):
    """Told to oneself when it is time to look at what is kept of ended proposals."""

    wire_name = "proposal.sweep"


class Approvals(PersistentActor[Docket]):
    """The one actor that knows what was approved."""

    state_type: ClassVar[type[Docket]] = Docket

    def __init__(self, options: ApprovalsOptions, work: Path, *, is_supervised: bool = False) -> None:
        self._options = options
        self._terms = Terms(options.policies, round(options.expiry_s * 1e6))
        self._git = Changes(options.changes, work)
        at = work.parent if is_supervised else None
        self._errands = Errands(self._git, read_timeout_s=options.read_timeout_s, supervised_at=at)
        self._gallery = Gallery(self)
        self._read_count = 0
        self._jobs: dict[ProposalId, Job] = {}
        self._listing: list[Deferred[BranchPage]] = []

    def initial(self) -> Docket:
        return Docket()

    def apply(self, event: Event) -> None:
        docket.apply(self.state, event)

    def on_recovered(self) -> None:
        elsewhere = approvals.decide_epoch(self.state, self._epoch)
        if elsewhere and self.state.proposals:
            self.persist(*elsewhere)
        self.start_timer("sweep", SWEEP_FIRST_S, SweepDue())
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
        self._begin_read()
        self.perform(self._reading, self._errands.read_blob, query.proposal, blob, self.defer())

    def on_read_repository_file(self, query: ReadRepositoryFile) -> None:
        self._git.check_known(query.repository)
        self._begin_read()
        self.perform(self._reading, self._errands.read_file, query, self.defer())

    def on_follow_output(self, query: FollowOutput) -> OutputPart | None:
        return self._gallery.follow(proposal_of(self.state, query.proposal), query.after)

    def on_list_branches(self, _: ListBranches) -> None:
        if len(self._listing) >= READS_MAX:
            raise Overloaded("listing branches", retry_after_s=1.0)
        self._listing.append(self.defer())
        self.perform_at_once(self._errands.find_refs)

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
        found = [
            Branch(repository, ProposalId(name), commit, state.state if (state := self._known(name)) else "")
            for repository, name, commit in message.refs
        ]
        for deferred in self._listing:
            deferred.answer(BranchPage(tuple(found)))
        self._listing.clear()
        names = dict.fromkeys(branch.proposal for branch in found)
        over = docket.forgettable(
            self.state, tuple(names), self.now_us - round(self._options.changes.keep_refs_s * 1e6)
        )
        if over:
            self.perform(self._errands.forget, over[:SWEPT_MAX])

    def on_sweep_due(self, _: SweepDue) -> None:
        self.start_timer("sweep", SWEEP_S, SweepDue())
        if self.state.proposals:
            self.perform_at_once(self._errands.find_refs)

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
        self._await_end(self.state.proposals[message.proposal])

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
        """Begin, or begin again, what the proposal's state asks for."""
        if view.state in OPEN:
            self._await_end(view)
        else:
            self.cancel_timer(f"end/{view.proposal}")
        if (job := self._jobs.pop(view.proposal, None)) is not None:
            job.cancel()  # it has ended, or nobody waits for it any more
        self._gallery.move(view)
        if view.proposal in self.state.foreign:
            self.perform(self._errands.look_up, view)
            return
        match view.state:
            case ProposalState.PROPOSED:
                self._jobs[view.proposal] = self.perform(self._errands.prepare, view)
            case ProposalState.CHECKING:
                self._jobs[view.proposal] = self.perform(self._errands.check, view)
            case ProposalState.APPLYING:
                self.perform(self._errands.apply, view)
            case ProposalState.ROLLING_BACK:
                self.perform(self._errands.roll_back, view)

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

    def _await_end(self, view: ProposalView) -> None:
        if view.state in OPEN:
            left_s = max(0.0, (view.expires_us - self.now_us) / 1e6)
            self.start_timer(f"end/{view.proposal}", min(left_s, TIMER_MAX_S), ProposalDue(view.proposal))

    @property
    def _epoch(self) -> int:
        return self._context.core.log.epoch

    def _known(self, proposal: str) -> ProposalView | None:
        return self.state.proposals.get(ProposalId(proposal))

    def _begin_read(self) -> None:
        if self._read_count >= READS_MAX:
            raise Overloaded("reading", retry_after_s=1.0)
        self._read_count += 1

    async def _reading(
        self, job: Job, read: Callable[Concatenate[Job, P], Awaitable[None]], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        try:
            await read(job, *args, **kwargs)
        finally:
            self._read_count -= 1
