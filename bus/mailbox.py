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


class Mailbox:
    """The queue. Whoever is parked holds a `wake` callback, called once when there is room."""

    __slots__ = (
        "_coalesce_key",
        "_control",
        "_data",
        "_overflow",
        "_parked",
        "_size_max",
        "accepted",
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
        self._control: deque[Envelope] = deque()
        self._data: deque[Envelope] = deque()
        self._parked: deque[Callable[[], None]] = deque()
        self._size_max = size_max
        self._overflow = overflow
        self._coalesce_key = coalesce_key
        self.accepted = self.taken = self.refused = self.dropped = self.coalesced = self.high_water = 0

    def __len__(self) -> int:
        return len(self._control) + len(self._data)

    @property
    def has_room(self) -> bool:
        """Whether a message would be accepted without its policy being asked."""
        return len(self._data) < self._size_max

    @property
    def size_max(self) -> int:
        """The bound of the data lane."""
        return self._size_max

    @property
    def overflow(self) -> Overflow:
        """What happens when the data lane is full."""
        return self._overflow

    def offer(self, envelope: Envelope) -> tuple[Verdict, Envelope | None]:
        """Queue a message. The second part is a message that had to go for it, for the dead letters."""
        data = self._data
        if len(data) < self._size_max:
            data.append(envelope)
            self.accepted += 1
            self.high_water = max(self.high_water, len(data))
            return Verdict.ACCEPTED, None
        return self._overflowing(envelope)

    def offer_control(self, envelope: Envelope) -> None:
        """Queue a notice of the runtime ahead of all messages."""
        self._control.append(envelope)
        self.accepted += 1

    def offer_beyond(self, envelope: Envelope, extra: int) -> bool:
        """Queue a fact even when the lane is full, up to `extra` over the bound; False when that is used up too."""
        if len(self._data) >= self._size_max + extra:
            return False
        self._data.append(envelope)
        self.accepted += 1
        self.high_water = max(self.high_water, len(self._data))
        return True

    def put_back(self, envelopes: list[Envelope]) -> None:
        """Put stashed messages in front of all others, in their order. They were counted when they came."""
        self._data.extendleft(reversed(envelopes))
        self.taken -= len(envelopes)

    def take(self) -> Envelope | None:
        """The next message, or None."""
        if self._control:
            self.taken += 1
            return self._control.popleft()
        if not self._data:
            return None
        self.taken += 1
        envelope = self._data.popleft()
        if self._parked and len(self._data) <= self._size_max // 2:
            self._admit()
        return envelope

    def take_control(self) -> Envelope | None:
        """The next control notice, or None."""
        if not self._control:
            return None
        self.taken += 1
        return self._control.popleft()

    def park(self, wake: Callable[[], None]) -> None:
        """Remember a sender that waits for room. `wake` is called once; who gives up calls `unpark`."""
        self._parked.append(wake)

    def unpark(self, wake: Callable[[], None]) -> None:
        """Forget a sender that no longer waits."""
        if wake in self._parked:
            self._parked.remove(wake)

    def remove(self, condition: Callable[[Envelope], bool]) -> list[Envelope]:
        """Take out all data messages for which `condition` holds, in order."""
        kept: deque[Envelope] = deque()
        removed: list[Envelope] = []
        for envelope in self._data:
            (removed if condition(envelope) else kept).append(envelope)
        self._data = kept
        self.taken += len(removed)
        return removed

    def drain(self) -> list[Envelope]:
        """Take everything, control first; parked senders are woken to find the mailbox gone."""
        rest = [*self._control, *self._data]
        self._control.clear()
        self._data.clear()
        self.taken += len(rest)
        self._admit(all_of_them=True)
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
            parked=len(self._parked),
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
                self.accepted += 1
                self.taken += 1
                self.dropped += 1
                return Verdict.ACCEPTED, oldest

    def _coalesce(self, envelope: Envelope) -> Envelope | None:
        assert self._coalesce_key is not None
        key = self._coalesce_key(envelope.message)
        for place, queued in enumerate(self._data):
            if self._coalesce_key(queued.message) == key:
                self._data[place] = envelope
                self.accepted += 1
                self.taken += 1
                self.coalesced += 1
                return queued
        return None

    def _admit(self, *, all_of_them: bool = False) -> None:
        room = self._size_max - len(self._data)
        while self._parked and (all_of_them or room > 0):
            self._parked.popleft()()
            room -= 1
