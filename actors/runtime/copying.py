"""Copies of the actors' states for a checkpoint, taken while everything goes on.

Rules: the loop is never held for longer than a slice. Actors are copied one after another, each between two of its own
turns and as of its own position; one whose state is what it was at the last copy is restamped and not encoded. A state
that takes longer than a slice is encoded piece by piece, and only its own actor waits meanwhile. An actor that was
restarted under the copier's hands is copied again.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeGuard

import msgspec

from actors.runtime.cell import Cell
from actors.runtime.lifecycle import Lifecycle
from actors.runtime.log import Checkpointed, Stand
from bus.address import Address
from bus.canonical import pieces
from bus.messages.base import Position

SLICE_S = 0.002
"""Of the loop at a time: others are held up no longer than by a batch of messages."""
CELLS_PER_LOOK = 32
"""Actors that did not change take half a microsecond each; the clock is looked at once in so many."""


COPIED = (Lifecycle.RUNNING, Lifecycle.PAUSED)


class Stamp(NamedTuple):
    """Which incarnation of an actor, and how often its state has changed."""

    actor: Checkpointed
    changes: int


class Copy(msgspec.Struct, frozen=True, gc=False):
    """One actor's state as of a position. There are many, and none is in a circle: no collector looks at them."""

    position: Position
    cursor: Position
    stamp: Stamp
    pieces: tuple[bytes, ...] | None
    """Canonical JSON, cut; None when nothing has changed since the copy with the same stamp."""
    follows: bool = False
    """Whether it stands where it was last changed, and not where it was copied."""
    fields: tuple[str, ...] = ()
    """What the state consists of."""
    is_behind: bool = False
    """Whether facts up to the position may wait for it; else nothing before the position is news to it."""


class Copier:
    """Takes the copies of one system."""

    def __init__(self, cells: Callable[[], Iterable[Cell]], wake: Callable[[Cell], None]) -> None:
        self._cells = cells
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._slice_ends_s = 0.0

    async def copy(self, known: Mapping[Address, Stamp]) -> dict[Address, Copy]:
        """Copies of all actors that checkpoints hold; `known` is what the last copies were stamped with."""
        copies: dict[Address, Copy] = {}
        self._begin_slice()
        for number, cell in enumerate(tuple(self._cells())):
            if number % CELLS_PER_LOOK == 0:
                await self._pause_if_due()
            stamp = known.get(cell.address)
            copy = _unchanged(cell, stamp) if stamp is not None else None
            if copy is None:
                copy = await self._copy(cell)
            if copy is not None:
                copies[cell.address] = copy
        return copies

    async def _copy(self, cell: Cell) -> Copy | None:
        """A copy as of one moment; None of an actor that has no state, or does not run now."""
        is_patient = True
        while cell.state in COPIED:
            actor: object = cell.actor
            if not _has_state(actor):
                return None
            stand = actor.stand()
            is_behind = _is_behind(cell)
            found = await self._encode(cell, actor, stand) if is_patient else tuple(pieces(stand.state))
            if found:
                return _copied(stand, Stamp(actor, stand.changes), found, is_behind=is_behind)
            is_patient = False  # once at most: it is better to be held up than never to get there
        return None

    async def _encode(self, cell: Cell, actor: Checkpointed, stand: Stand) -> tuple[bytes, ...]:
        """The state in pieces; none when it did not stand still: another incarnation has taken the actor's place."""
        found: list[bytes] = []
        is_held = False
        try:
            for piece in pieces(stand.state):
                found.append(piece)
                if self._loop.time() > self._slice_ends_s and cell.burst is None and not cell.is_catching_up:
                    is_held = True
                    cell.hold(True)
                    await self._pause_if_due()
                    if not _is_in_place(cell, actor):
                        return ()
        finally:
            if is_held:
                cell.hold(False)
                self._wake(cell)
        return tuple(found)

    async def _pause_if_due(self) -> None:
        if self._loop.time() > self._slice_ends_s:
            await asyncio.sleep(0)
            self._begin_slice()

    def _begin_slice(self) -> None:
        self._slice_ends_s = self._loop.time() + SLICE_S


def _unchanged(cell: Cell, stamp: Stamp) -> Copy | None:
    """The stamp again, at the price of a look, where the very same incarnation has not changed its state since."""
    actor: object = cell.actor
    if actor is not stamp.actor or cell.state not in COPIED:
        return None
    stand = stamp.actor.stand()
    return _copied(stand, stamp, None, is_behind=_is_behind(cell)) if stand.changes == stamp.changes else None


def _copied(stand: Stand, stamp: Stamp, found: tuple[bytes, ...] | None, *, is_behind: bool) -> Copy:
    fields = stand.state.__struct_fields__
    return Copy(stand.position, stand.cursor, stamp, found, stand.follows, fields, is_behind)


def _is_behind(cell: Cell) -> bool:
    """Facts are queued as they are appended, so whose mailbox is empty has handled all of them."""
    return len(cell.mailbox) > 0 or cell.is_lagging or cell.is_catching_up or bool(cell.parked_at)


def _has_state(actor: object) -> TypeGuard[Checkpointed]:
    """What `isinstance` says of the protocol, at a fiftieth of its price."""
    return hasattr(type(actor), "stand")


def _is_in_place(cell: Cell, actor: object) -> bool:
    return cell.actor is actor
