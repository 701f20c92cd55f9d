"""Publish and subscribe, for what is told to whoever listens.

A subscription is to a message class or to a topic pattern over wire names, and has a queue, an overflow policy and a
lag of its own: one subscriber's slowness or fault never reaches another or the publisher. One envelope serves all.
Facts that must not be missed are not for the bus: persistent actors subscribe to the journal.

No loop: a subscription calls its `wake` when its queue becomes non-empty, and its owner pulls.
"""

from collections.abc import Callable

from bus.envelope import Envelope
from bus.mailbox import CoalesceKey, Mailbox, Overflow, Verdict
from bus.messages.base import Message
from bus.topics import matches

Interest = type[Message] | str
"""A message class (its subclasses included) or a topic pattern."""


class BusSubscription:
    """One subscriber's view of the bus."""

    __slots__ = ("_wake", "interest", "is_waiting", "queue")

    def __init__(self, interest: Interest, queue: Mailbox, wake: Callable[["BusSubscription"], None]) -> None:
        self.interest = interest
        self.queue = queue
        self.is_waiting = False
        """Whether the owner was woken and has not pulled everything yet."""
        self._wake = wake

    @property
    def lag(self) -> int:
        """Messages that were published and not pulled yet."""
        return len(self.queue)

    def offer(self, envelope: Envelope) -> bool:
        """Queue the envelope by the subscription's policy; False when it was dropped."""
        verdict, _ = self.queue.offer(envelope)
        if verdict is not Verdict.ACCEPTED:
            return False
        if not self.is_waiting:
            self.is_waiting = True
            self._wake(self)
        return True

    def pull(self) -> Envelope | None:
        """The next message; None when there is none left, and the next one wakes the owner again."""
        return self.queue.take() if self.has_more() else None

    def has_more(self) -> bool:
        """Whether there is something to pull; when there is nothing, the next message wakes the owner again."""
        self.is_waiting = bool(self.queue.data)
        return self.is_waiting

    def wants(self, kind: type[Message]) -> bool:
        """Whether messages of that class are of interest."""
        if isinstance(self.interest, str):
            return matches(self.interest, kind.wire_name)
        return issubclass(kind, self.interest)


class Bus:
    """All subscriptions, with matching cached by message class."""

    def __init__(self) -> None:
        self._subscriptions: dict[BusSubscription, None] = {}
        self._matching: dict[type[Message], tuple[BusSubscription, ...]] = {}

    def subscribe(
        self,
        interest: Interest,
        wake: Callable[[BusSubscription], None],
        *,
        size_max: int = 1_024,
        overflow: Overflow = Overflow.DROP_OLD,
        coalesce_key: CoalesceKey | None = None,
    ) -> BusSubscription:
        """Subscribe; `wake` is called when there is something to pull."""
        subscription = BusSubscription(interest, Mailbox(size_max, overflow, coalesce_key), wake)
        self._subscriptions[subscription] = None
        self._matching.clear()
        return subscription

    def unsubscribe(self, subscription: BusSubscription) -> None:
        """End a subscription; what it had queued is dropped."""
        del self._subscriptions[subscription]
        self._matching.clear()

    def publish(self, envelope: Envelope) -> int:
        """Offer to all whom it may concern; returns how many took it."""
        kind = type(envelope[0])
        matching = self._matching.get(kind)
        if matching is None:
            matching = tuple(subscription for subscription in self._subscriptions if subscription.wants(kind))
            self._matching[kind] = matching
        left_out = 0
        for subscription in matching:
            queue = subscription.queue
            data = queue.data
            if 0 < len(data) < queue.bound:  # its owner has been woken, and there is room: nobody needs to be asked
                data.append(envelope)
            elif not subscription.offer(envelope):
                left_out += 1
        return len(matching) - left_out
