"""Durable subscriptions: which recorded events are told to which actors.

A fact goes into the mailbox of each subscriber at once, in order, without waiting for its commit. It cannot be refused:
when a mailbox has no room even beyond its bound, the subscriber lags and reads what was left out from the past. A fact
that crashes its subscriber several times parks the subscription, so that one poison fact never stops an actor for good.
"""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

import msgspec

from actors.runtime.cell import FACTS_BEYOND_MAX, POISON_TRIES, Cell
from actors.runtime.lifecycle import Lifecycle
from actors.runtime.log import History
from bus.envelope import Envelope, Origin, Recorded
from bus.messages.base import Event, Position
from bus.topics import matches

WINDOW_POSITIONS = 10_000
"""How far one look into the past reaches: a few megabytes of facts at most."""


class _Route(msgspec.Struct):
    """Who hears of one event type: everyone listed, and by agent."""

    everyone: list[Cell]
    by_agent: dict[str, list[Cell]]


class FactRoutes:
    """All durable subscriptions of a system, matched once per event type."""

    def __init__(self, lag: Callable[[Cell], None], touch: Callable[[Cell], None]) -> None:
        """`lag` hears of an actor that cannot keep up, and `touch` of every one that a fact is for."""
        self._cells: dict[Cell, None] = {}
        self._routes: dict[type[Event], _Route] = {}
        self._lag = lag
        self._touch = touch

    def register(self, cell: Cell) -> None:
        """Route facts to the cell from now on, by its subscriptions."""
        self.unregister(cell)
        if cell.subscriptions:
            self._cells[cell] = None
            self._routes.clear()

    def unregister(self, cell: Cell) -> None:
        """Route nothing to the cell any more."""
        if cell in self._cells:
            del self._cells[cell]
            self._routes.clear()

    def route(self, records: Sequence[Recorded], hops: int) -> Iterator[Cell]:
        """Queue the events with all who must react; yields each actor that has new work."""
        if not self._cells:
            return
        for record in records:
            route = self._routes.get(type(record.event)) or self._match(type(record.event))
            envelope: Envelope | None = None
            for cell in route.everyone:
                envelope = envelope or self.envelope(record, hops)
                if self._queue(cell, envelope):
                    yield cell
            if route.by_agent:
                for cell in route.by_agent.get(getattr(record.event, "agent", ""), ()):
                    envelope = envelope or self.envelope(record, hops)
                    if self._queue(cell, envelope):
                        yield cell

    def envelope(self, record: Recorded, hops: int) -> Envelope:
        """The envelope in which a fact is told."""
        return record.event, Origin(
            sender=record.source,
            after=record.position,
            cause=record.position,
            correlation=record.correlation,
            hops=hops,
            position=record.position,
        )

    async def past(
        self, history: History, cell: Cell, after: Position, upto: Position
    ) -> AsyncGenerator[Recorded, None]:
        """The facts that the cell has not handled, in order, read in windows so that no history is too long."""
        topics_by_agent: dict[str | None, list[str]] = {}
        for subscription in cell.subscriptions:
            topics_by_agent.setdefault(subscription.agent, []).append(subscription.topic)
        for start in range(after, upto, WINDOW_POSITIONS):
            found: dict[Position, Recorded] = {}
            end = Position(min(start + WINDOW_POSITIONS, upto))
            for agent, topics in topics_by_agent.items():
                async for batch in history.facts(tuple(topics), agent, Position(start), end):
                    found.update((record.position, record) for record in batch if record.source != cell.address)
            for position in sorted(found):
                yield found[position]

    def note_failure(self, cell: Cell, envelope: Envelope) -> bool:
        """Count a fact that crashed its subscriber; True when the subscription is now parked."""
        position = envelope[1].position
        if not position:
            return False
        if cell.fact_failures is None:
            cell.fact_failures = {}
        tries = cell.fact_failures[position] = cell.fact_failures.get(position, 0) + 1
        if tries < POISON_TRIES:
            return False
        cell.parked_at = position
        cell.subscriptions = ()
        cell.is_lagging = False
        self.unregister(cell)
        return True

    def _queue(self, cell: Cell, envelope: Envelope) -> bool:
        if cell.address == envelope[1].sender:
            return False
        self._touch(cell)
        if cell.is_lagging:
            return False
        if cell.state in (Lifecycle.STOPPING, Lifecycle.STOPPED, Lifecycle.RESTARTING):
            return False
        if cell.mailbox.offer_beyond(envelope, FACTS_BEYOND_MAX):
            return True
        cell.is_lagging = True
        self._lag(cell)
        return False

    def _match(self, kind: type[Event]) -> _Route:
        route = _Route([], {})
        for cell in self._cells:
            wanted = [s for s in cell.subscriptions if matches(s.topic, kind.wire_name)]
            if any(subscription.agent is None for subscription in wanted):
                route.everyone.append(cell)
            else:
                for agent in {subscription.agent for subscription in wanted if subscription.agent is not None}:
                    route.by_agent.setdefault(agent, []).append(cell)
        self._routes[kind] = route
        return route
