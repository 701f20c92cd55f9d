"""What repositories keep of proposals, below `refs/agora/proposals/`: told to who asks, and let go of when it is old.

Rules: who asks hears what is there now; those who ask at once are answered together, and there is room for so many.
What is kept of a proposal goes some time after its end, a few at a time, whoever looks. It lives in memory alone.
"""

from actors.git.errands import Errands, RefsFound
from actors.rules import docket
from actors.rules.docket import Docket
from actors.runtime import Deferred, PersistentActor
from bus.messages.approvals import ProposalId
from bus.messages.base import Message
from bus.messages.repositories import Branch, BranchPage
from bus.refusals import Overloaded

ASKERS_MAX = 32
"""Who may wait for a list at once."""
SWEEP_FIRST_S = 5.0
SWEEP_S = 3_600.0
"""Between two looks at what is kept of ended proposals."""
SWEPT_MAX = 100


class SweepDue(Message, frozen=True):
    """Told to the approvals when it is time to look at what is kept of ended proposals."""

    wire_name = "proposal.sweep"


class Branches:
    """Those of one docket; used only within the turns of its actor."""

    def __init__(self, actor: PersistentActor[Docket], errands: Errands, keep_s: float) -> None:
        self._actor = actor
        self._errands = errands
        self._keep_us = round(keep_s * 1e6)
        self._askers: list[Deferred[BranchPage]] = []

    def begin(self) -> None:
        """The actor starts: the first sweep is soon."""
        self._actor.start_timer("sweep", SWEEP_FIRST_S, SweepDue())

    def list(self) -> None:
        """Answer the current request with what is there. Raises Overloaded."""
        if len(self._askers) >= ASKERS_MAX:
            raise Overloaded("listing branches", retry_after_s=1.0)
        self._askers.append(self._actor.defer())
        self._actor.perform_at_once(self._errands.find_refs)

    def sweep(self) -> None:
        """Look at what is kept, and again in a while."""
        self._actor.start_timer("sweep", SWEEP_S, SweepDue())
        if self._actor.state.proposals:
            self._actor.perform_at_once(self._errands.find_refs)

    def take(self, found: RefsFound) -> None:
        """This is what is there: whoever waits for it hears it, and what is old goes."""
        branches = [
            Branch(repository, ProposalId(name), commit, self._state(ProposalId(name)))
            for repository, name, commit in found.refs
        ]
        page = BranchPage(tuple(branches))
        for asker in self._askers:
            asker.answer(page)
        self._askers.clear()
        before_us = self._actor.now_us - self._keep_us
        names = dict.fromkeys(branch.proposal for branch in branches)
        over = docket.forgettable(self._actor.state, tuple(names), before_us)
        if over:
            self._actor.perform(self._errands.forget, over[:SWEPT_MAX])

    def _state(self, proposal: ProposalId) -> str:
        view = self._actor.state.proposals.get(proposal)
        return view.state if view is not None else ""
