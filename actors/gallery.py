"""The gallery: those who wait for what becomes of proposals, and those who watch their checks run.

Rules: who waits for a decision hears of it when the proposal is decided, whatever the decision. Who watches checks
hears what they have said since; when nothing new is said for a while, that; and when they have ended, that. Both are
bounded, and both live in memory alone: after a restart they ask again.
"""

from actors.rules.docket import OPEN
from actors.runtime import Actor, Deferred
from bus.messages.approvals import ProposalId, ProposalState, ProposalView
from bus.messages.base import Message
from bus.messages.repositories import OutputPart
from bus.refusals import Overloaded

WAITING_MAX = 1_024
"""Askers that wait for decisions at once."""
FOLLOWERS_MAX = 64
"""Watchers of running checks that wait at once."""
FOLLOW_S = 10.0
"""How long a watcher waits for something to be said."""
SAID_BYTES_MAX = 64 * 1024
"""What is kept of the words of running checks for who watches; all of it is kept when they have ended."""


class FollowDue(Message, frozen=True):
    """Told to the approvals when those who watch checks have waited long enough for nothing."""

    wire_name = "proposal.follow_due"

    proposal: ProposalId


class Said:
    """What the running checks of a proposal have said: the last of it, and where that begins."""

    def __init__(self) -> None:
        self.begins = 0
        self.words = bytearray()

    def add(self, words: bytes) -> None:
        """Keep what was said, as far as there is room."""
        self.words += words
        over = max(0, len(self.words) - SAID_BYTES_MAX)
        del self.words[:over]
        self.begins += over

    @property
    def ends(self) -> int:
        return self.begins + len(self.words)

    def since(self, after: int) -> bytes:
        """What came after so many bytes, as far as it is kept."""
        return bytes(self.words[max(0, after - self.begins) :])


class Gallery:
    """Those who wait and watch; used only within the turns of their actor."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._waiting: dict[ProposalId, list[Deferred[ProposalView]]] = {}
        self._waiting_count = 0
        self._said: dict[ProposalId, Said] = {}
        self._followers: dict[ProposalId, list[tuple[int, Deferred[OutputPart]]]] = {}

    def await_decision(self, view: ProposalView) -> ProposalView | None:
        """The proposal if it is decided; else who has asked waits. Raises Overloaded."""
        if view.state not in OPEN:
            return view
        if self._waiting_count >= WAITING_MAX:
            raise Overloaded("waiting for decisions", retry_after_s=5.0)
        self._waiting_count += 1
        self._waiting.setdefault(view.proposal, []).append(self._actor.defer())
        return None

    def follow(self, view: ProposalView, after: int) -> OutputPart | None:
        """What its checks have said after so many bytes, if there is anything; else who has asked waits.

        Raises Overloaded.
        """
        said = self._said.get(view.proposal)
        if view.state is not ProposalState.CHECKING or (said is not None and said.ends != after):
            return self._part(view, after)
        if sum(map(len, self._followers.values())) >= FOLLOWERS_MAX:
            raise Overloaded("watching checks", retry_after_s=5.0)
        self._followers.setdefault(view.proposal, []).append((after, self._actor.defer()))
        self._actor.start_timer(f"follow/{view.proposal}", FOLLOW_S, FollowDue(view.proposal))
        return None

    def hear(self, view: ProposalView, said: bytes) -> None:
        """Its checks have said something; what comes after their end is no longer theirs."""
        if view.state is ProposalState.CHECKING:
            self._said.setdefault(view.proposal, Said()).add(said)
            self.answer_followers(view)

    def move(self, view: ProposalView) -> None:
        """The proposal has moved: who waited for its decision hears it, and who watched its checks, that they ended."""
        if view.state not in OPEN:
            self._answer_waiting(view)
        if view.proposal in self._said or view.proposal in self._followers:
            self.answer_followers(view)
            self._said.pop(view.proposal, None)

    def answer_followers(self, view: ProposalView) -> None:
        """Tell those who watch its checks how far they are."""
        self._actor.cancel_timer(f"follow/{view.proposal}")
        for after, deferred in self._followers.pop(view.proposal, []):
            if deferred.is_open:
                deferred.answer(self._part(view, after))

    def _answer_waiting(self, view: ProposalView) -> None:
        waiting = self._waiting.pop(view.proposal, [])
        self._waiting_count -= len(waiting)
        for deferred in waiting:
            if deferred.is_open:
                deferred.answer(view)

    def _part(self, view: ProposalView, after: int) -> OutputPart:
        """What was said since; who asks for more than was said watches checks that have begun again."""
        said = self._said.get(view.proposal) or Said()
        words = said.since(after if after <= said.ends else 0).decode(errors="replace")
        return OutputPart(view.proposal, words, said.ends, view.state is not ProposalState.CHECKING)
