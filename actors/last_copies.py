"""The states of all actors as they were copied last: what the next checkpoint is made of.

Rules: copies bring what has changed; all else stands as it was, at the position of the copies. What has changed stays
changed until a checkpoint with it was saved. An actor that does not run while the others are copied keeps what stands
of it, as of its own position; one of which nothing stands yet is left out, and the checkpoint says so.

No clock, no disk; the loop gets its turn between many.
"""

from collections.abc import Iterable, Mapping

import anyio.lowlevel
import msgspec

from actors.rules import checkpoints as rules
from actors.runtime import Copies, Copy
from bus.address import Address
from bus.messages.base import Position
from storage.manifests import ActorState, Changes

NOTHING = Position(0)
COPIES_PER_TURN = 1_000
"""A millisecond of the loop."""


class LastCopies:
    """Those of one system. `patterns` say which actors the settings leave out."""

    def __init__(self, patterns: tuple[str, ...] = ()) -> None:
        self._patterns = patterns
        self.number = 0
        """Of the copies that were taken last."""
        self.states: dict[Address, ActorState] = {}
        """Those that do not follow stand at `position`, whatever they say."""
        self.position = NOTHING
        self._changed: dict[Address, None] = {}
        self._left_out: frozenset[Address] = frozenset()
        """Those by the settings."""
        self.left_out: tuple[Address, ...] = ()
        """Those that are not held, by the settings or because nothing of them was there."""
        self.includes: dict[str, tuple[str, ...]] = {}
        """What is held of each kind of actor."""
        self.behind: tuple[Address, ...] = ()
        """Those for which facts may wait."""

    @property
    def highest(self) -> Position:
        """The highest position that any state stands on."""
        others = [self.position] if len(self._changed) < len(self.states) else []
        return max([*others, *(self.states[address].position for address in self._changed)], default=NOTHING)

    @property
    def changes(self) -> Changes:
        """What is not as it was in the checkpoint that was saved last."""
        return Changes(tuple(self._changed), self.position)

    async def take(self, copies: Copies, saved: Mapping[Address, ActorState]) -> None:
        """From now on what is in the copies stands. `saved` is what the checkpoint in use has, by its own positions."""
        states = self.states.copy()
        if copies.is_whole:
            states, self._changed, self._left_out, self.includes = {}, {}, frozenset(), {}
        new_left_out = rules.left_out(self._patterns, (*copies.copies, *copies.absent))
        left_out = self._left_out.difference(copies.gone).union(new_left_out)
        behind: list[Address] = []
        for number, (address, copy) in enumerate(copies.copies.items()):
            if number % COPIES_PER_TURN == 0:
                await anyio.lowlevel.checkpoint()
            if address not in left_out:
                states[address] = _state(copy, states.get(address))
                self._changed[address] = None
                self.includes[rules.kind_of(address)] = copy.fields
                if copy.is_behind:
                    behind.append(address)
        missing = self._keep(set(copies.absent) - left_out, states, saved)
        for address in copies.gone:
            states.pop(address, None)
            self._changed.pop(address, None)
        if copies.gone:
            kinds = {rules.kind_of(address) for address in states}
            self.includes = {kind: fields for kind, fields in self.includes.items() if kind in kinds}
        self.behind = (*behind, *sorted(address for address in copies.absent if address in states))
        self.left_out, self._left_out = tuple(sorted(left_out.union(missing))), left_out
        self.states, self.position, self.number = states, copies.position, copies.number

    def were_saved(self) -> None:
        """A checkpoint has all of it."""
        self._changed = {}

    def _keep(
        self, absent: Iterable[Address], states: dict[Address, ActorState], saved: Mapping[Address, ActorState]
    ) -> set[Address]:
        """Let what stands of those that do not run stay where it stands; gives those of which nothing does."""
        missing: set[Address] = set()
        for address in absent:
            known = states.get(address) or saved.get(address)
            if known is None:
                missing.add(address)
                continue
            if address in states and not known.follows:
                known = msgspec.structs.replace(known, position=max(known.position, self.position))
            states[address] = msgspec.structs.replace(known, follows=True)
            self._changed[address] = None
        return missing


def _state(copy: Copy, known: ActorState | None) -> ActorState:
    if copy.pieces is not None:
        return ActorState(copy.position, copy.cursor, copy.pieces, copy.follows)
    assert known is not None, "what has not changed was copied before"
    return ActorState(copy.position, copy.cursor, known.pieces, copy.follows)
