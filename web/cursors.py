"""What a cursor on the timeline has to be sent next. It is one client's, or is shared by all who are at its place.

Rules: positions are scanned one after another, from the ring, or from storage when they are older; what cannot be sent
is told as a gap, and who lags is told once. A conflating cursor skips to the newest events when it falls behind, and
says so. The `state` is always conflated: the whole, then patches.

Pure: no socket, loop or clock.
"""

from bus.messages.base import Position
from web.frames import Due, Horizon, Limits, ReadRing, ReadState, ReadStorage, Send, Subscription
from web.wire import encode

LAG_EVENTS = 1_000
"""From this distance on a client is told that it lags, once until it has caught up."""
CONFLATED_KEPT = 256
"""What a conflating subscription is left with when it skips, where the ring holds as much."""


def next_due(subscription: Subscription, horizon: Horizon, limits: Limits) -> Due | None:
    """What is to be sent next to whoever follows with this cursor; None when it is at the head."""
    if subscription.wanted is None:
        return ReadState(subscription, subscription.next) if subscription.next < horizon.head else None
    if subscription.next > horizon.head:
        subscription.is_behind = False
        return None
    notice = _notice(subscription, horizon)
    if notice is not None:
        return notice
    if subscription.next < horizon.ring_first:
        return ReadStorage(subscription, subscription.wanted, subscription.next)
    last = min(horizon.head, subscription.next + limits.batch_events - 1)
    return ReadRing(subscription, subscription.wanted, subscription.next, Position(last))


def scanned(subscription: Subscription, last: Position) -> None:
    """A batch up to `last`, or the state at `last`, goes to whoever follows with this cursor."""
    subscription.next = Position(last + 1) if subscription.wanted is not None else last


def _notice(subscription: Subscription, horizon: Horizon) -> Send | None:
    """What must be told before a batch: that something is skipped, or that the client lags."""
    behind = horizon.head - subscription.next + 1
    if subscription.next < horizon.oldest:
        return _skip(subscription, horizon.oldest, "pruned")
    if subscription.is_conflating and (behind > LAG_EVENTS or subscription.next < horizon.ring_first):
        newest = Position(max(horizon.head - CONFLATED_KEPT + 1, horizon.ring_first))
        return _skip(subscription, newest, "conflated")
    if behind > LAG_EVENTS and not subscription.is_behind:
        subscription.is_behind = True
        return Send(encode({"t": "lag", "sub": subscription.name, "behind": behind}).decode())
    return None


def _skip(subscription: Subscription, to: Position, reason: str) -> Send:
    first, subscription.next = subscription.next, to
    gap = {"t": "gap", "sub": subscription.name, "from": first, "to": to - 1, "reason": reason}
    return Send(encode(gap).decode())
