"""The bounded queue of one actor.

Two lanes: control ahead of data. The data lane has a bound and a declared policy for what comes when it is full; the
control lane carries the runtime's own notices, whose number is bounded by the number of actors. Senders that may wait
are parked and admitted first in, first out, once the lane has drained to half, so that a wake-up is paid per batch.

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
    """A queued message with the same key is replaced in place; without one, the oldest is dropped."""


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
        "_control",
        "_data",
        "_overflow",
        "_parked",
        "_size_max",
        "coalesced",
        "dropped",
        "high_water",
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
        self._control: deque[Envelope] | None = None
        self._data: deque[Envelope] = deque()
        self._parked: deque[tuple[Envelope, Wake]] | None = None
        self._size_max = size_max
        self._overflow = overflow
        self._coalesce_key = coalesce_key
        self.taken = self.refused = self.dropped = self.coalesced = self.high_water = 0

    def __len__(self) -> int:
        return len(self._data) + len(self._control) if self._control else len(self._data)

    @property
    def accepted(self) -> int:
        """How many messages it has taken in: those that are queued, and those that were taken out."""
        return self.taken + len(self)

    @property
    def has_room(self) -> bool:
        """Whether a message would be accepted without its policy being asked; who is parked comes first."""
        return len(self._data) < self._size_max and not self._parked

    @property
    def size_max(self) -> int:
        """The bound of the data lane."""
        return self._size_max

    @property
    def overflow(self) -> Overflow:
        """What happens when the data lane is full."""
        return self._overflow

    @property
    def oldest(self) -> Envelope | None:
        """The message that is taken next, left where it is."""
        if self._control:
            return self._control[0]
        return self._data[0] if self._data else None

    def put(self, envelope: Envelope) -> bool:
        """Queue a message if there is room; without room its policy is to be asked by `offer`."""
        data = self._data
        depth = len(data)
        if depth >= self._size_max:
            return False
        data.append(envelope)
        if depth >= self.high_water:
            self.high_water = depth + 1
        return True

    def offer(self, envelope: Envelope) -> tuple[Verdict, Envelope | None]:
        """Queue a message. The second part is a message that had to go for it, for the dead letters."""
        return (Verdict.ACCEPTED, None) if self.put(envelope) else self._overflowing(envelope)

    def offer_control(self, envelope: Envelope) -> None:
        """Queue a notice of the runtime ahead of all messages."""
        if self._control is None:
            self._control = deque()
        self._control.append(envelope)

    def offer_beyond(self, envelope: Envelope, extra: int) -> bool:
        """Queue a fact even when the lane is full, up to `extra` over the bound; False when that is used up too."""
        if len(self._data) >= self._size_max + extra:
            return False
        self._data.append(envelope)
        self.high_water = max(self.high_water, len(self._data))
        return True

    def put_back(self, envelopes: list[Envelope]) -> None:
        """Put stashed messages in front of all others, in their order. They were counted when they came."""
        self._data.extendleft(reversed(envelopes))
        self.taken -= len(envelopes)

    def pass_through(self) -> None:
        """Count a message that was handled at once, since nothing was queued ahead of it."""
        self.taken += 1

    def take(self) -> Envelope | None:
        """The next message, or None."""
        if self._control:
            self.taken += 1
            return self._control.popleft()
        data = self._data
        if not data:
            return None
        self.taken += 1
        envelope = data.popleft()
        if self._parked and len(data) <= self._size_max // 2:
            self._admit(self._parked)
        return envelope

    def park(self, envelope: Envelope, wake: Wake) -> None:
        """Let a message wait outside until there is room. Who gives up calls `unpark`."""
        if self._parked is None:
            self._parked = deque()
        self._parked.append((envelope, wake))

    def unpark(self, envelope: Envelope) -> None:
        """Forget a message that waits outside; one that was admitted stays."""
        if self._parked:
            self._parked = deque(pair for pair in self._parked if pair[0] is not envelope)

    def remove(self, condition: Callable[[Envelope], bool]) -> list[Envelope]:
        """Take out all data messages for which `condition` holds, in order."""
        kept: deque[Envelope] = deque()
        removed: list[Envelope] = []
        for envelope in self._data:
            (removed if condition(envelope) else kept).append(envelope)
        self._data = kept
        self.taken += len(removed)
        if self._parked and len(kept) <= self._size_max // 2:
            self._admit(self._parked)
        return removed

    def drain(self) -> list[Envelope]:
        """Take everything, control first; parked senders are woken to find the mailbox gone."""
        rest = [*(self._control or ()), *self._data]
        parked, self._parked = self._parked, None
        self._control = None
        self._data.clear()
        self.taken += len(rest)
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
                oldest = self._data.popleft()
                self._data.append(envelope)
                self.taken += 1
                self.dropped += 1
                return Verdict.ACCEPTED, oldest

    def _coalesce(self, envelope: Envelope) -> Envelope | None:
        assert self._coalesce_key is not None
        key = self._coalesce_key(envelope.message)
        for place, queued in enumerate(self._data):
            if self._coalesce_key(queued.message) == key:
                self._data[place] = envelope
                self.taken += 1
                self.coalesced += 1
                return queued
        return None

    def _admit(self, parked: deque[tuple[Envelope, Wake]]) -> None:
        data = self._data
        while parked and len(data) < self._size_max:
            envelope, wake = parked.popleft()
            data.append(envelope)
            wake(True)
        self.high_water = max(self.high_water, len(data))
