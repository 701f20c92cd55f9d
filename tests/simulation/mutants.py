"""Bugs that could be planted in the runtime, each as one changed attribute of one class.

The simulation must find every one of them: a check that misses planted bugs would miss grown ones.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import NamedTuple

from actors.runtime.actor import Handler
from actors.runtime.catch_up import CatchUp
from actors.runtime.cell import Cell
from actors.runtime.context import Context
from actors.runtime.delivery import Delivery
from actors.runtime.incarnations import Incarnations
from actors.runtime.log import Blobs
from actors.runtime.persistent import PersistentActor
from actors.runtime.timeline import Timeline
from bus.envelope import Answer, Envelope, Origin, Outcome, Recorded
from bus.messages.base import Done, Event, Message, Position
from tests.support.virtual import Total


class Mutant(NamedTuple):
    """A planted bug: what it is, and which attribute of which class or module it changes."""

    what: str
    owner: type | ModuleType
    name: str
    changed: object


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """The bug is there as long as the block."""
    original = vars(mutant.owner)[mutant.name]
    setattr(mutant.owner, mutant.name, mutant.changed)
    try:
        yield
    finally:
        setattr(mutant.owner, mutant.name, original)


def answer_that_rests_on_nothing(self: Context, origin: Origin, reply: Message | None) -> None:
    if origin.reply_to is not None:
        origin.reply_to(Answer(reply if reply is not None else Done(), self.turn_position, Position(0)))


_draft = Context.draft


def draft_without_a_cursor(
    self: Context, events: Sequence[Event], cursor: Position, ahead: int = 0
) -> tuple[Recorded, ...]:
    return _draft(self, events, Position(0), ahead)


def handle_whatever_comes(self: "PersistentActor[Total]", handler: Handler, envelope: Envelope) -> None:
    if envelope[1].position:
        self._cursor = envelope[1].position
    self._turn(handler, envelope)


def append_and_forget(self: Timeline, records: Sequence[Recorded], blobs: Blobs, hops: int) -> None:
    self._log.append(records, blobs)
    for told in self.facts.route(records, hops):
        self._dispatcher.wake(told)


def turn_that_keeps_nothing_back(self: "PersistentActor[Total]", handler: Handler, envelope: Envelope) -> None:
    """Its events are appended even when the turn fails."""
    message, origin = envelope
    context = self._context
    context.begin(origin)
    context.staged = []
    try:
        reply = handler(self, message)
    finally:
        self._commit()
        self._records = []
        self._blobs = {}
        context.staged = None
    context.finish(envelope, reply)
    context.end()


async def read_without_reading(self: CatchUp, cell: Cell, upto: Position) -> None:
    cell.catch_up(False)
    self._dispatcher.rested(cell)


async def answer_without_waiting(  # noqa: PLR0917  # the signature is that of what it replaces
    self: Delivery, cell: Cell, envelope: Envelope, box: object, timeout_s: float, deadline_s: float, *, is_edge: bool
) -> Outcome:
    return await _wait_for_answer(self, cell, envelope, box, timeout_s, deadline_s, is_edge=False)  # type: ignore[arg-type]


async def run_a_job_at_once(
    self: Incarnations, cell: Cell, after: Position, begin: Callable[[], Awaitable[None]]
) -> None:
    await begin()


_wait_for_answer = Delivery._wait_for_answer

MUTANTS = (
    Mutant("an answer does not say what it rests on", Context, "answer", answer_that_rests_on_nothing),
    Mutant("an edge does not wait for the commit", Delivery, "_wait_for_answer", answer_without_waiting),
    Mutant("a job does not wait for the commit", Incarnations, "_run_job", run_a_job_at_once),
    Mutant("events lose the cursor of their actor", Context, "draft", draft_without_a_cursor),
    Mutant("a fact that comes twice is handled twice", PersistentActor, "handle", handle_whatever_comes),
    Mutant("a restart forgets what is in flight", Timeline, "append", append_and_forget),
    Mutant("a turn that fails keeps its events", PersistentActor, "_turn", turn_that_keeps_nothing_back),
    Mutant("the facts of the past are not read", CatchUp, "read", read_without_reading),
)
