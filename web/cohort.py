"""Clients that follow the same and stand at the same place: one cursor and one frame for all of them.

Rules: who is in a cohort has been sent everything up to its cursor, or waits in `waiting` for the frames of this tick.
Who does not take them leaves, with a cursor of its own in front of the first frame that it was not sent, and comes back
when it has caught up. So a tick costs a write per client and nothing else, and a client that does not read costs the
others nothing at all.
"""

from typing import NamedTuple, Protocol

import msgspec

from bus.messages.base import Position
from web.cursors import next_due
from web.frames import Horizon, Limits, ReadRing, ReadState, ReadStorage, Send, Subscription
from web.framing import ReadyFrame


class Step(NamedTuple):
    """A frame, and where the cursor stood before it."""

    frame: ReadyFrame
    next: Position
    is_behind: bool


class Member(Protocol):
    """A client, as its cohort sees it."""

    def deliver(self, cohort: "Cohort") -> None:
        """Write the cohort's steps, as far as the client takes them; leave if it does not take all."""
        ...

    def leave(self, cohort: "Cohort", place: Subscription) -> None:
        """Go on alone from this place."""
        ...


class Frames(Protocol):
    """Who makes frames: the hub."""

    horizon: Horizon
    frames_shared: int

    def frame(self, due: Send | ReadRing | ReadState, bytes_max: int) -> ReadyFrame:
        """The frame for what is due; its cursor moves past it."""
        ...


class Cohort:
    """One shared cursor and those who stand at it."""

    __slots__ = ("cursor", "limits", "members", "steps", "waiting")

    def __init__(self, cursor: Subscription, limits: Limits) -> None:
        self.cursor = cursor
        cursor.is_shared = True
        self.limits = limits
        self.members: dict[Member, None] = {}
        """In the order in which they came: a set's order would differ from run to run."""
        self.waiting: dict[Member, None] = {}
        """Who has not been sent the steps yet."""
        self.steps: list[Step] = []

    def advance(self, frames: Frames) -> None:
        """Move the cursor to the head; everyone waits for what lies between. Past the ring everyone goes on alone."""
        assert not self.waiting, "a tick ends before the next begins"
        self.steps = []
        while True:
            place = Step(ReadyFrame(b""), self.cursor.next, self.cursor.is_behind)
            due = next_due(self.cursor, frames.horizon, self.limits)
            if due is None:
                break
            if isinstance(due, ReadStorage):
                for member in tuple(self.members):
                    member.leave(self, self.copy())
                return
            self.steps.append(place._replace(frame=frames.frame(due, self.limits.batch_bytes)))
        if self.steps:
            self.waiting = dict(self.members)
            frames.frames_shared += len(self.steps) * (len(self.members) - 1 if self.members else 0)

    def part(self, member: Member, step: Step) -> None:
        """Let a member go who was not sent this step and what follows."""
        member.leave(self, self.copy(step))

    def copy(self, step: Step | None = None) -> Subscription:
        """The cursor, as it is or as it was before a step, for one client alone."""
        if step is None:
            return msgspec.structs.replace(self.cursor, is_shared=False)
        return msgspec.structs.replace(self.cursor, next=step.next, is_behind=step.is_behind, is_shared=False)

    def drop(self, member: Member) -> None:
        """Forget a member."""
        self.members.pop(member, None)
        self.waiting.pop(member, None)
