"""The approvals: it keeps what waits for a person's word, and applies changes to git repositories when it is given.

Its state is the docket (`actors.rules.docket`), a fold of its own events; who may decide what is in
`actors.rules.approvals`. What happens outside, in `actors.git`, happens in jobs: a job begins after the commit of the
event that announces it, and its outcome comes back as a message. After a restart what was announced and has no outcome
is begun again; each of these steps can be done twice.
"""

from pathlib import Path
from typing import Annotated, ClassVar

import msgspec

from actors.git.changes import Changes, ChangesOptions
from actors.git.repository import Told
from actors.rules import approvals, docket
from actors.rules.approvals import Terms
from actors.rules.docket import OPEN, Docket, proposal_of
from actors.rules.policies import Policy
from actors.runtime import Deferred, Job, PersistentActor
from bus.errors import AgoraError
from bus.messages.approvals import (
    CONTENT_BYTES_MAX,
    Approve,
    AwaitDecision,
    Change,
    CheckResult,
    ListProposals,
    ProposalContent,
    ProposalEvent,
    ProposalId,
    ProposalPage,
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
from bus.messages.system import JOURNAL, ReadBlob
from bus.refusals import InvalidField, NotFound, Overloaded

WAITING_MAX = 1_024
"""Askers that wait for decisions at once."""
READS_MAX = 32
"""Contents that are read at once."""
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


class Prepared(Message, frozen=True):
    """Told to oneself when a change has been worked out, with its diff."""

    wire_name = "change.prepared"

    proposal: ProposalId
    change: Change
    diff: bytes


class ChecksEnded(Message, frozen=True):
    """Told to oneself when checks have ended, with what they said."""

    wire_name = "change.checks_ended"

    proposal: ProposalId
    result: CheckResult
    output: bytes


class StepEnded(Message, frozen=True):
    """Told to oneself when a step outside has ended otherwise: where the branch stands, or why it does not."""

    wire_name = "change.step_ended"

    proposal: ProposalId
    commit: str = ""
    error: str = ""


class Undone(Message, frozen=True):
    """Told to oneself when a rollback has ended; `revert` is the head that would undo what others have built on."""

    wire_name = "change.undone"

    proposal: ProposalId
    revert: str = ""
    error: str = ""


class ProposalDue(Message, frozen=True):
    """Told to oneself when a proposal may have waited long enough."""

    wire_name = "proposal.due"

    proposal: ProposalId


class Approvals(PersistentActor[Docket]):
    """The one actor that knows what was approved."""

    state_type: ClassVar[type[Docket]] = Docket

    def __init__(self, options: ApprovalsOptions, work: Path) -> None:
        self._options = options
        self._terms = Terms(options.policies, round(options.expiry_s * 1e6))
        self._git = Changes(options.changes, work)
        self._waiting: dict[ProposalId, list[Deferred[ProposalView]]] = {}
        self._waiting_count = 0
        self._read_count = 0
        self._jobs: dict[ProposalId, Job] = {}

    def initial(self) -> Docket:
        return Docket()

    def apply(self, event: Event) -> None:
        docket.apply(self.state, event)

    def on_recovered(self) -> None:
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
        view = proposal_of(self.state, query.proposal)
        if view.state not in OPEN:
            return view
        if self._waiting_count >= WAITING_MAX:
            raise Overloaded("waiting for decisions", retry_after_s=5.0)
        self._waiting_count += 1
        self._waiting.setdefault(query.proposal, []).append(self.defer())
        return None

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
        if self._read_count >= READS_MAX:
            raise Overloaded("reading diffs", retry_after_s=1.0)
        self._read_count += 1
        self.perform(self._read, query.proposal, blob, self.defer())

    # What comes back from outside

    def on_prepared(self, message: Prepared) -> None:
        view = proposal_of(self.state, message.proposal)
        has_checks = self._git.has_checks(view.target)
        events = approvals.decide_worked_out(view, message.change, self.now_us, has_checks=has_checks)
        self._record(events, (message.diff,))

    def on_checks_ended(self, message: ChecksEnded) -> None:
        view = proposal_of(self.state, message.proposal)
        self._record(approvals.decide_checked(view, message.result, self.now_us), (message.output,))

    def on_step_ended(self, message: StepEnded) -> None:
        view = proposal_of(self.state, message.proposal)
        self._record(approvals.decide_outcome(view, message.commit, message.error, self.now_us))

    def on_undone(self, message: Undone) -> None:
        view = proposal_of(self.state, message.proposal)
        if message.revert:
            self._record(approvals.decide_revert(self.state, view, message.revert, self.now_us, self._terms))
        else:
            self._record(approvals.decide_undone(view, message.error, self.now_us))

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
        self.persist(*events, blobs=blobs)
        for proposal in dict.fromkeys(event.proposal for event in events):
            self._go_on(self.state.proposals[proposal])
        return self.state.proposals[events[0].proposal]

    def _go_on(self, view: ProposalView) -> None:
        """Begin, or begin again, what the proposal's state asks for."""
        if view.state in OPEN:
            self._await_end(view)
        else:
            self._answer_waiting(view)
        if (job := self._jobs.pop(view.proposal, None)) is not None:
            job.cancel()  # it has ended, or nobody waits for it any more
        match view.state:
            case ProposalState.PROPOSED:
                self._jobs[view.proposal] = self.perform(self._prepare, view)
            case ProposalState.CHECKING:
                self._jobs[view.proposal] = self.perform(self._check, view)
            case ProposalState.APPLYING:
                self.perform(self._apply, view)
            case ProposalState.ROLLING_BACK:
                self.perform(self._roll_back, view)

    def _await_end(self, view: ProposalView) -> None:
        if view.state in OPEN:
            left_s = max(0.0, (view.expires_us - self.now_us) / 1e6)
            self.start_timer(f"end/{view.proposal}", min(left_s, TIMER_MAX_S), ProposalDue(view.proposal))

    def _answer_waiting(self, view: ProposalView) -> None:
        self.cancel_timer(f"end/{view.proposal}")
        waiting = self._waiting.pop(view.proposal, [])
        self._waiting_count -= len(waiting)
        for deferred in waiting:
            if deferred.is_open:
                deferred.answer(view)

    async def _prepare(self, job: Job, view: ProposalView) -> None:
        assert view.target is not None, "only changes wait to be worked out"
        try:
            patch = b""
            if view.target.patch:
                query = ReadBlob(view.target.patch)
                patch = (await job.ask(JOURNAL, query, timeout_s=self._options.read_timeout_s)).content
            change, diff = await self._git.work_out(view.target, patch, told(view))
        except AgoraError as error:  # whatever it is, it is the proposal's end and its reason
            job.tell(self.address, StepEnded(view.proposal, error=str(error)))
        else:
            job.tell(self.address, Prepared(view.proposal, change, diff))

    async def _check(self, job: Job, view: ProposalView) -> None:
        assert view.target is not None, "only changes have steps outside"
        assert view.change is not None, "it has been worked out"
        try:
            checked = await self._git.check(view.target, view.change, told(view), view.proposal)
        except AgoraError as error:  # as above
            job.tell(self.address, StepEnded(view.proposal, error=str(error)))
        else:
            command = self._git.checks_of(view.target)
            output = docket.blob_id(checked.output)
            result = CheckResult(command, checked.exit_code, checked.took_ms, output, checked.reason)
            job.tell(self.address, ChecksEnded(view.proposal, result, checked.output))

    async def _apply(self, job: Job, view: ProposalView) -> None:
        assert view.target is not None, "only changes have steps outside"
        assert view.change is not None, "it has been worked out"
        try:
            commit = await self._git.apply(view.target, view.change, told(view))
        except AgoraError as error:  # as above; the branch is as it was
            job.tell(self.address, StepEnded(view.proposal, error=str(error)))
        else:
            job.tell(self.address, StepEnded(view.proposal, commit=commit))

    async def _roll_back(self, job: Job, view: ProposalView) -> None:
        assert view.target is not None, "only changes have steps outside"
        assert view.change is not None, "it has been applied"
        try:
            revert = await self._git.roll_back(view.target, view.change, view.commit, told(view))
        except AgoraError as error:  # as above; the branch is as it was
            job.tell(self.address, Undone(view.proposal, error=str(error)))
        else:
            job.tell(self.address, Undone(view.proposal, revert=revert))

    async def _read(self, job: Job, proposal: ProposalId, blob: BlobId, deferred: Deferred[ProposalContent]) -> None:
        try:
            found = await job.ask(JOURNAL, ReadBlob(blob), timeout_s=self._options.read_timeout_s)
        except AgoraError as error:  # whatever it is, it is the asker's answer
            deferred.refuse(error)
        else:
            deferred.answer(ProposalContent(proposal, found.content.decode(errors="replace")))
        finally:
            self._read_count -= 1


def told(view: ProposalView) -> Told:
    """What the commit of a proposal says: nothing that another attempt would say otherwise."""
    text = f"{view.title}\n\n{view.detail}".strip()
    return Told(f"{text}\n\nProposal: {view.proposal}\nProposed-by: {view.proposer}\n", view.created_us)
