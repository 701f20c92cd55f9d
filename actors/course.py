"""The course of proposals: what the state of each asks for is begun, and its end is awaited.

Rules: a proposal that moves ends the work on what it was (working it out, its checks); what moves a branch is never
ended. What another history had begun, before a restore or in the origin of a fork, is looked up and never done again.
An end is a time of day: whoever is told of one awaits it again, should the wall clock have been set back.

It lives in memory and is made again at a start: each step outside can be done twice.
"""

from actors.git.errands import Errands
from actors.rules.docket import OPEN
from actors.runtime import Actor, Job
from bus.messages.approvals import ProposalId, ProposalState, ProposalView
from bus.messages.base import Message

TIMER_MAX_S = 86_400.0
"""A proposal's end is looked at daily at least: the wall clock may be set meanwhile."""


class ProposalDue(Message, frozen=True):
    """Told to the approvals when a proposal may have waited long enough."""

    wire_name = "proposal.due"

    proposal: ProposalId


class Course:
    """What is under way of proposals; used only within the turns of their actor."""

    def __init__(self, actor: Actor, errands: Errands) -> None:
        self._actor = actor
        self._errands = errands
        self._jobs: dict[ProposalId, Job] = {}

    def go_on(self, view: ProposalView, *, is_foreign: bool) -> None:
        """Begin, or begin again, what the proposal's state asks for."""
        if view.state in OPEN:
            self.await_end(view)
        else:
            self._actor.cancel_timer(f"end/{view.proposal}")
        if (job := self._jobs.pop(view.proposal, None)) is not None:
            job.cancel()  # it has ended, or nobody waits for it any more
        if is_foreign:
            self._actor.perform(self._errands.look_up, view)
            return
        match view.state:
            case ProposalState.PROPOSED:
                self._jobs[view.proposal] = self._actor.perform(self._errands.prepare, view)
            case ProposalState.CHECKING:
                self._jobs[view.proposal] = self._actor.perform(self._errands.check, view)
            case ProposalState.APPLYING:
                self._actor.perform(self._errands.apply, view)
            case ProposalState.ROLLING_BACK:
                self._actor.perform(self._errands.roll_back, view)

    def await_end(self, view: ProposalView) -> None:
        """Await the time at which an open proposal has waited long enough."""
        if view.state in OPEN:
            left_s = max(0.0, (view.expires_us - self._actor.now_us) / 1e6)
            self._actor.start_timer(f"end/{view.proposal}", min(left_s, TIMER_MAX_S), ProposalDue(view.proposal))
