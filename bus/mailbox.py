"""The bounded queue of one actor.

Two lanes: control ahead of data. The data lane has a bound and a declared policy for what comes when it is full; the
control lane carries the runtime's own notices, whose number is bounded by the number of actors. Senders that may wait
are parked and admitted first in, first out, once the lane has drained to half, so that a wake-up is paid per batch.

The data lane is a plain deque that the runtime's two hottest lines touch themselves, since a call costs as much as all
that they do: who tells puts into `data` while it holds something and less than `bound`, and a batch takes out of it
between `open_batch` and `close_batch`. Whatever else happens goes through the methods.

No clock, no loop: the runtime decides when to take and how long a parked sender waits.
"""

from collections import deque
from collections.abc import Callable, Hashable
from enum import StrEnum

import msgspec

from bus.envelope import Envelope
from bus.messages.base import Message

SIZE_MAX_DEFAULT = 1_024
"""Enough for a burst, small enough that a stuck actor is noticed before memory is."""

CoalesceKey = Callable[[Message], Hashable]


class Overflow(StrEnum):
    """What happens to a message for which there is no room."""

    WAIT = "wait"
    """A `send` waits for room until its deadline; a `tell` is refused."""
    REFUSE = "refuse"
    DROP_NEW = "drop_new"
    DROP_OLD = "drop_old"
    COALESCE = "coalesce"
    """The newest queued message with the same key is replaced in place; without one, the oldest is dropped."""


class Verdict(StrEnum):
    """What became of an offered message."""

    ACCEPTED = "accepted"
    FULL = "full"
    """Not taken: the sender waits or gives up, as it likes."""
    DROPPED = "dropped"
    """Not taken, by policy."""


class MailboxStatistics(msgspec.Struct, frozen=True):
    """Counts since the mailbox was made, and what it holds now."""

    depth: int
    size_max: int
    high_water: int
    accepted: int
    taken: int
    refused: int
    dropped: int
    coalesced: int
    parked: int


Wake = Callable[[bool], None]
"""Called once: True when the message was admitted, False when the mailbox is gone."""


class Mailbox:
    """The queue. Lanes that are seldom used are made when they are first needed: idle actors are many."""

    __slots__ = (
        "_coalesce_key",
        "_is_closed",
        "_most_seen",
        "_overflow",
        "_parked",
        "_size_max",
        "bound",
        "coalesced",
        "control",
        "data",
        "dropped",
        "refused",
        "taken",
    )

    def __init__(
        self,
        size_max: int = SIZE_MAX_DEFAULT,
        overflow: Overflow = Overflow.WAIT,
        coalesce_key: CoalesceKey | None = None,
    ) -> None:
        assert size_max > 0, "a mailbox holds at least one message"
        assert (overflow is Overflow.COALESCE) == (coalesce_key is not None), "a key is for coalescing"
        self.data: deque[Envelope] = deque()
        """The data lane, oldest first."""
        self.bound = size_max
        """How many messages it may hold before somebody has to be asked; 0 when somebody always has to."""
        self.control: deque[Envelope] | None = None
        """The control lane, once there was something in it."""
        self._parked: deque[tuple[Envelope, Wake]] | None = None
        self._size_max = size_max
        self._overflow = overflow
        self._coalesce_key = coalesce_key
        self._is_closed = False
        self._most_seen = 0
        self.taken = self.refused = self.dropped = self.coalesced = 0

    def __len__(self) -> int:
        return len(self.data) + len(self.control) if self.control else len(self.data)

    @property
    def accepted(self) -> int:
        """How many messages it has taken in: those that are queued, and those that were taken out."""
        return self.taken + len(self.data) + (len(self.control) if self.control else 0)

    @property
    def has_room(self) -> bool:
        """Whether a message would be accepted without its policy being asked; who is parked comes first."""
        return len(self.data) < self.bound

    @property
    def size_max(self) -> int:
        """The bound of the data lane."""
        return self._size_max

    @property
    def overflow(self) -> Overflow:
        """What happens when the data lane is full."""
        return self._overflow

    @property
    def high_water(self) -> int:
        """The most that the data lane has held; it is looked at whenever something is taken out."""
        return max(self._most_seen, len(self.data))

    def put(self, envelope: Envelope) -> bool:
        """Queue a message if there is room; without room its policy is to be asked by `offer`."""
        if len(self.data) >= self._size_max:
            return False
        self.data.append(envelope)
        return True

    def offer(self, envelope: Envelope) -> tuple[Verdict, Envelope | None]:
        """Queue a message. The second part is a message that had to go for it, for the dead letters."""
        return (Verdict.ACCEPTED, None) if self.put(envelope) else self._overflowing(envelope)

    def offer_control(self, envelope: Envelope) -> None:
        """Queue a notice of the runtime ahead of all messages."""
        if self.control is None:
            self.control = deque()
        self.control.append(envelope)

    def offer_beyond(self, envelope: Envelope, extra: int) -> bool:
        """Queue a fact even when the lane is full, up to `extra` over the bound; False when that is used up too."""
        if len(self.data) >= self._size_max + extra:
            return False
        self.data.append(envelope)
        return True

    def put_back(self, envelopes: list[Envelope]) -> None:
        """Put stashed messages in front of all others, in their order. They were counted when they came."""
        self.data.extendleft(reversed(envelopes))
        self.taken -= len(envelopes)

    def pass_through(self) -> None:
        """Count a message that was handled at once, since nothing was queued ahead of it."""
        self.taken += 1

    def take(self) -> Envelope | None:
        """The next message, or None."""
        if self.control:
            self.taken += 1
            return self.control.popleft()
        data = self.data
        if not data:
            return None
        if len(data) > self._most_seen:  # noqa: PLR1730  # a hot line: max() would cost a call
            self._most_seen = len(data)
        self.taken += 1
        envelope = data.popleft()
        if self._parked and len(data) <= self._size_max // 2:
            self._admit(self._parked)
        return envelope

    def open_batch(self, budget: int) -> int:
        """How many messages may be taken out of `data` now, one by one."""
        depth = len(self.data)
        if depth > self._most_seen:  # noqa: PLR1730  # as above
            self._most_seen = depth
        return depth if depth < budget else budget

    def close_batch(self, count: int) -> None:
        """That many messages were taken out of `data`."""
        self.taken += count
        if self._parked and len(self.data) <= self._size_max // 2:
            self._admit(self._parked)

    def close(self) -> None:
        """Its owner takes no more messages: who has one must ask."""
        self._is_closed = True
        self.bound = 0

    def park(self, envelope: Envelope, wake: Wake) -> None:
        """Let a message wait outside until there is room. Who gives up calls `unpark`."""
        if self._parked is None:
            self._parked = deque()
        self._parked.append((envelope, wake))
        self.bound = 0

    def unpark(self, envelope: Envelope) -> None:
        """Forget a message that waits outside; one that was admitted stays."""
        if self._parked:
            self._parked = deque(pair for pair in self._parked if pair[0] is not envelope)
            self._look_again()

    def remove(self, condition: Callable[[Envelope], bool]) -> list[Envelope]:
        """Take out all data messages for which `condition` holds, in order."""
        kept: list[Envelope] = []
        removed: list[Envelope] = []
        for envelope in self.data:
            (removed if condition(envelope) else kept).append(envelope)
        self.data.clear()
        self.data.extend(kept)
        self.close_batch(len(removed))
        return removed

    def drain(self) -> list[Envelope]:
        """Take everything, control first; parked senders are woken to find the mailbox gone."""
        rest = [*(self.control or ()), *self.data]
        parked, self._parked = self._parked, None
        self.control = None
        self.data.clear()
        self.taken += len(rest)
        self._look_again()
        for _, wake in parked or ():
            wake(False)
        return rest

    def statistics(self) -> MailboxStatistics:
        """What the mailbox has seen."""
        return MailboxStatistics(
            depth=len(self),
            size_max=self._size_max,
            high_water=self.high_water,
            accepted=self.accepted,
            taken=self.taken,
            refused=self.refused,
            dropped=self.dropped,
            coalesced=self.coalesced,
            parked=len(self._parked or ()),
        )

    def _overflowing(self, envelope: Envelope) -> tuple[Verdict, Envelope | None]:
        match self._overflow:
            case Overflow.WAIT | Overflow.REFUSE:
                self.refused += 1
                return Verdict.FULL, None
            case Overflow.DROP_NEW:
                self.dropped += 1
                return Verdict.DROPPED, None
            case Overflow.COALESCE if (replaced := self._coalesce(envelope)) is not None:
                return Verdict.ACCEPTED, replaced
            case Overflow.DROP_OLD | Overflow.COALESCE:
                oldest = self.data.popleft()
                self.data.append(envelope)
                self.taken += 1
                self.dropped += 1
                return Verdict.ACCEPTED, oldest

    def _coalesce(self, envelope: Envelope) -> Envelope | None:
        assert self._coalesce_key is not None
        key = self._coalesce_key(envelope[0])
        for place in range(len(self.data) - 1, -1, -1):  # the newest of them: each sender's order is kept
            queued = self.data[place]
            if self._coalesce_key(queued[0]) == key:
                self.data[place] = envelope
                self.taken += 1
                self.coalesced += 1
                return queued
        return None

    def _admit(self, parked: deque[tuple[Envelope, Wake]]) -> None:
        while parked and len(self.data) < self._size_max:
            envelope, wake = parked.popleft()
            self.data.append(envelope)
            wake(True)
        self._look_again()

    def _look_again(self) -> None:
        self.bound = 0 if self._parked or self._is_closed else self._size_max
