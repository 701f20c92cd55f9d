"""Where events join the one timeline, and those who must react are told at once."""

import logging
from collections.abc import Callable, Sequence

from actors.runtime.cell import Cell
from actors.runtime.delivery import Delivery
from actors.runtime.dispatcher import Dispatcher
from actors.runtime.facts import FactRoutes
from actors.runtime.log import Blobs, Log
from bus.address import Address
from bus.clock import Clock
from bus.envelope import Recorded
from bus.errors import ActorFault
from bus.messages.base import Position
from bus.messages.system import SystemError as FaultRecorded

logger = logging.getLogger(__name__)

SYSTEM = Address("system")
"""The source of what the runtime itself records."""
FAULT_TEXT_MAX = 2_000
"""Characters: in JSON at most six bytes each, well within an event's bound."""


class Timeline:
    """The log with its durable subscribers."""

    def __init__(
        self, log: Log, clock: Clock, delivery: Delivery, dispatcher: Dispatcher, touch: Callable[[Cell], None]
    ) -> None:
        """`touch` hears of every actor that the next checkpoint has to look at."""
        self._log = log
        self._clock = clock
        self._delivery = delivery
        self._dispatcher = dispatcher
        self.touch = touch
        self.facts = FactRoutes(_warn_of_lag, touch)

    def append(self, records: Sequence[Recorded], blobs: Blobs, hops: int) -> None:
        """Append events of one source and tell those who must react. Raises StorageError."""
        self._log.append(records, blobs)
        cell = self._delivery.find(records[0].source)
        if cell is not None:
            cell.last_append = records[-1].position
            self.touch(cell)
        for told in self.facts.route(records, hops):
            self._dispatcher.wake(told)

    def record_fault(self, error: ActorFault) -> None:
        """Every fault is one event, unless nothing can be recorded any more."""
        if self._log.has_failed:
            return
        event = FaultRecorded(text=_told(error), actor=error.address, message=error.message, error=error.error)
        position = Position(self._log.head + 1)
        self.append((Recorded(event, position, self._clock.now_us(), SYSTEM, Position(0), "", Position(0)),), {}, 0)


def _told(error: ActorFault) -> str:
    """The fault's text in a form that can be recorded, whatever an actor's error may hold."""
    return str(error)[:FAULT_TEXT_MAX].encode(errors="replace").decode()


def _warn_of_lag(cell: Cell) -> None:
    logger.warning("an actor lags behind the facts; it will read them from disk", extra={"actor": cell.address})
