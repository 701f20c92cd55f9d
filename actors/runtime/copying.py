"""Copies of the actors' states for a checkpoint, taken while everything goes on.

Rules: the loop is never held for longer than a slice. Actors are copied one after another, each between two of its own
turns and as of its own position. Only those are looked at that were touched since the last copies: the price is that of
what has changed, however many actors there are. A state that takes longer than a slice is encoded piece by piece, and
only its own actor waits meanwhile. An actor that was restarted under the copier's hands is copied again.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeGuard

import msgspec

from actors.runtime.cell import Cell
from actors.runtime.lifecycle import Lifecycle
from actors.runtime.log import Checkpointed, Log, Stand
from bus.address import Address
from bus.canonical import pieces
from bus.messages.base import Position

SLICE_S = 0.002
"""Of the loop at a time: others are held up no longer than by a batch of messages."""
TURNS_BETWEEN = 3
"""Of the loop, from one slice to the next: who waits for a timer runs two turns after it has passed."""
CELLS_PER_LOOK = 32
"""Actors that did not change take a microsecond each; the clock is looked at once in so many."""
CHANGES_FEW = 64
"""By which a small state has not grown by more than a slice may take: no event is larger than 32 KiB."""
TOUCHED_MAX = 100_000
"""Actors that are remembered between two checkpoints; past that the next one looks at all there are."""

COPIED = (Lifecycle.RUNNING, Lifecycle.PAUSED)


class Stamp(NamedTuple):
    """Which incarnation of an actor, and how often its state has changed."""

    actor: Checkpointed
    changes: int
    is_small: bool
    """Whether it was in one piece."""


class Copy(msgspec.Struct, frozen=True, gc=False):
    """One actor's state as of a position. There are many, and none is in a circle: no collector looks at them."""

    position: Position
    cursor: Position
    pieces: tuple[bytes, ...] | None
    """Canonical JSON, cut; None when it is what it was at the last copy."""
    follows: bool = False
    """Whether it stands where it was last changed, and not where it was copied."""
    fields: tuple[str, ...] = ()
    """What the state consists of."""
    is_behind: bool = False
    """Whether facts up to the position may wait for it; else nothing before the position is news to it."""


class Copies(msgspec.Struct, frozen=True):
    """What is not as it was at the copies before."""

    number: int
    """Given with the next wish, it says that these have arrived."""
    position: Position
    """Where all those stand that are not named, as they were copied before; no facts wait for any of them."""
    copies: dict[Address, Copy]
    """Of those that may have changed."""
    absent: tuple[Address, ...] = ()
    """Those that do not run now: what stands of them is the copy before, as of its own position."""
    gone: tuple[Address, ...] = ()
    """Those that have stopped for good."""
    is_whole: bool = False
    """Whether everyone was copied, and none of the copies before is needed."""


class Copier:
    """Takes the copies of one system."""

    def __init__(self, log: Log, cells: Callable[[], Iterable[Cell]], wake: Callable[[Cell], None]) -> None:
        self._log = log
        self._cells = cells
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._slice_ends_s = 0.0
        self._touched: dict[Cell, None] = {}
        """Those that may not be what they were at the last copies."""
        self._stamps: dict[Cell, Stamp] = {}
        self._number = 0
        self._is_following = False
        """Whether whoever was touched since the last copies is known."""

    def touch(self, cell: Cell) -> None:
        """The actor has recorded something, or facts wait for it, or it is another one now: look at it next time."""
        if self._is_following:
            self._touched[cell] = None
            if len(self._touched) > TOUCHED_MAX:
                self._is_following = False
                self._touched, self._stamps = {}, {}

    async def copy(self, since: int) -> Copies:
        """Copies of the actors that checkpoints hold and that have changed since the copies of that number.

        Of all of them, where other copies have been taken since, or none.
        """
        is_whole = not self._is_following or since != self._number
        self._is_following = True
        touched, self._touched = self._touched, {}
        if is_whole:
            touched = dict.fromkeys(self._cells())
        position = self._log.head
        try:
            looked = await self._look({} if is_whole else self._stamps, touched)
        except BaseException:
            self._is_following = False  # nobody has got them
            self._touched, self._stamps = {}, {}
            raise
        self._touched |= dict.fromkeys(looked.again)
        if is_whole:
            self._stamps = {}
        self._stamps.update(looked.stamps)
        for cell in looked.gone:
            self._stamps.pop(cell, None)
        self._number += 1
        taken = looked.copies.keys()
        absent = tuple(cell.address for cell in looked.absent if cell.address not in taken)
        gone = tuple(cell.address for cell in looked.gone if cell.address not in {*taken, *absent})
        return Copies(self._number, position, looked.copies, absent, gone, is_whole)

    async def _look(self, known: Mapping[Cell, Stamp], cells: Iterable[Cell]) -> "_Looked":
        looked = _Looked()
        self._begin_slice()
        for number, cell in enumerate(cells):
            if number % CELLS_PER_LOOK == 0:
                await self._pause_if_due()
            stamp = known.get(cell)
            found = _unchanged(cell, stamp) or await self._copy(cell, stamp)
            if found is not None:
                copy, looked.stamps[cell] = found
                looked.copies[cell.address] = copy
                if copy.is_behind or copy.follows:  # a projection changes without anybody's touch
                    looked.again.append(cell)
            elif cell.state is Lifecycle.STOPPED:
                looked.gone.append(cell)
            elif _has_state(cell.actor):
                looked.absent.append(cell)
                looked.again.append(cell)
        return looked

    async def _copy(self, cell: Cell, stamp: Stamp | None) -> tuple[Copy, Stamp] | None:
        """A copy as of one moment; None of an actor that has no state, or does not run now."""
        is_patient = True
        while cell.state in COPIED:
            actor: object = cell.actor
            if not _has_state(actor):
                return None
            stand = actor.stand()
            is_behind = _is_behind(cell)
            if stamp is not None and stamp.is_small and 0 <= stand.changes - stamp.changes <= CHANGES_FEW:
                found = tuple(pieces(stand.state, is_small=True))
            else:
                found = await self._encode(cell, actor, stand) if is_patient else tuple(pieces(stand.state))
            if found:
                return _copied(stand, found, is_behind=is_behind), Stamp(actor, stand.changes, len(found) == 1)
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
            for _ in range(TURNS_BETWEEN):
                await asyncio.sleep(0)
            self._begin_slice()

    def _begin_slice(self) -> None:
        self._slice_ends_s = self._loop.time() + SLICE_S


class _Looked:
    """What a look at some actors came to."""

    def __init__(self) -> None:
        self.copies: dict[Address, Copy] = {}
        self.stamps: dict[Cell, Stamp] = {}
        self.absent: list[Cell] = []
        self.gone: list[Cell] = []
        self.again: list[Cell] = []
        """Those that are to be looked at next time, touched or not."""


def _unchanged(cell: Cell, stamp: Stamp | None) -> tuple[Copy, Stamp] | None:
    """The stamp again, at the price of a look, where the very same incarnation has not changed its state since."""
    actor: object = cell.actor
    if stamp is None or actor is not stamp.actor or cell.state not in COPIED:
        return None
    stand = stamp.actor.stand()
    return (_copied(stand, None, is_behind=_is_behind(cell)), stamp) if stand.changes == stamp.changes else None


def _copied(stand: Stand, found: tuple[bytes, ...] | None, *, is_behind: bool) -> Copy:
    return Copy(stand.position, stand.cursor, found, stand.follows, stand.state.__struct_fields__, is_behind)


def _is_behind(cell: Cell) -> bool:
    """Facts are queued as they are appended, so whose mailbox is empty has handled all of them."""
    return len(cell.mailbox) > 0 or cell.is_lagging or cell.is_catching_up or bool(cell.parked_at)


def _has_state(actor: object) -> TypeGuard[Checkpointed]:
    """What `isinstance` says of the protocol, at a fiftieth of its price."""
    return hasattr(type(actor), "stand")


def _is_in_place(cell: Cell, actor: object) -> bool:
    return cell.actor is actor
