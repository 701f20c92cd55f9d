"""Personal text that is made unreadable for good, everywhere in a data directory.

Rules: the keys are destroyed last, when nothing else of the directory says any more what they opened: the checkpoints,
the contents that only these events named, the mirror, the indexes of the text. What is done before can be done again,
so that a redaction that was cut short is made whole by another one of the same. Rows and their hashes stay as they are.

A checkpoint is dropped, since the journal alone suffices; where old events were pruned the newest one has to stand for
them, and is gone through and kept under its name. What was copied elsewhere (backups, forks, exports, the directory
that a restore left) is not reached.
"""

from collections.abc import Callable, Collection
from pathlib import Path

import anyio.to_thread
import msgspec

from bus.codec import Catalogue
from bus.errors import BadUsage
from bus.messages.base import Event, Position
from bus.messages.system import CheckpointView, ReadEvents
from storage import boxes
from storage.blobs import named_in
from storage.checkpoints import CheckpointStore
from storage.events import EventStore
from storage.events import record as append
from storage.manifests import ActorState, Description
from storage.mirror import forget
from storage.scrubbing import said_of, scrubbed

Record = Callable[[int, int], Event]
"""The event that tells of it, by how many events could be read until now and how many contents go."""


class Redacted(msgspec.Struct, frozen=True):
    """What came of it."""

    events: int
    """Whose text could be read until now."""
    already: int
    """Whose text was redacted before."""
    blobs: int
    """Contents that only these events named."""
    checkpoints: tuple[str, ...]
    """Those that are gone."""
    scrubbed: str
    """The one that stands for pruned events and was gone through; empty where there is none."""


class Redaction:
    """One redaction in a directory that nobody else uses."""

    def __init__(self, events: EventStore, checkpoints: CheckpointStore, catalogue: Catalogue) -> None:
        self._events = events
        self._checkpoints = checkpoints
        self._personal = catalogue.personal
        self._rows: dict[Position, bytes] = {}
        self._keys: dict[int, bytes] = {}
        self._subjects: set[str] = set()
        self._fields: set[str] = set()
        self._named_in_states: set[bytes] = set()

    @property
    def subjects(self) -> frozenset[str]:
        """What the events are about: tasks, completions, artifacts and the like, by their ids."""
        return frozenset(self._subjects)

    async def run(self, query: ReadEvents, record: Record, mirror: str = "") -> Redacted:
        """Redact the personal text of all events that match. Raises BadUsage where none has any, StorageError."""
        await self._find(query)
        if not self._rows:
            raise BadUsage("no event that matches has personal text")
        head = self._events.head
        dropped, gone_through = await self._forget_states()
        blobs = await self._unnamed()
        if self._keys:
            await append(self._events, record(len(self._keys), len(blobs)))
        removed = await self._events.contents.remove(blobs, head)
        if mirror:
            told = {position: boxes.opened(data, None) for position, data in self._rows.items()}
            await anyio.to_thread.run_sync(forget, Path(mirror), told)
        numbers = [boxes.key_number(data) for data in self._rows.values()]
        await self._events.contents.destroy_keys(numbers)
        await self._events.forget_text(self._rows)
        return Redacted(len(self._keys), len(self._rows) - len(self._keys), removed, dropped, gone_through)

    async def _find(self, query: ReadEvents) -> None:
        async for some in self._events.contents.rows(query):
            boxed = [event for event in some if boxes.has_box(event.data)]
            self._rows |= {event.position: event.data for event in boxed}
            self._keys |= await self._events.contents.keys(boxed)
            self._subjects |= {one for event in boxed for one in (event.task, event.subject) if one != event.agent}
            self._fields |= {path.rpartition(".")[2] for event in boxed for path in self._personal[event.type]}

    async def _unnamed(self) -> set[bytes]:
        """The contents that only these events name, or what a state has kept of pruned ones."""
        theirs = named_in(self._rows.values()) | self._named_in_states
        return theirs & await self._events.contents.unnamed((), self._rows) if theirs else set()

    async def _forget_states(self) -> tuple[tuple[str, ...], str]:
        """Let checkpoints go that may have copied the text; those that are gone, and one that had to stay."""
        views = await self._checkpoints.list()
        kept = next((one for one in views if self._events.holds(one.epoch, one.position)), None)
        if not self._events.layout.pruned_to:
            kept = None  # the journal alone suffices
        if kept is not None:
            await self._go_through(kept)
        for view in views:
            if view.is_pinned and view is not kept:
                await self._checkpoints.pin(view.checkpoint, is_pinned=False)
        dropped = await self._checkpoints.prune([kept.checkpoint] if kept is not None else ())
        return dropped, kept.checkpoint if kept is not None else ""

    async def _go_through(self, view: CheckpointView) -> None:
        checkpoint = await self._checkpoints.load(view.checkpoint)
        actors = {address: self._scrubbed(state) for address, state in checkpoint.actors.items()}
        said = [said_of(state.state, self._subjects) for state in checkpoint.actors.values()]
        theirs, others = [named_in(one.encode() for texts in part for one in texts) for part in zip(*said, strict=True)]
        self._named_in_states = theirs - others
        await self._checkpoints.save(Description.of(view), actors, keep=())
        if view.is_pinned:
            await self._checkpoints.pin(view.checkpoint)

    def _scrubbed(self, state: ActorState) -> ActorState:
        found = scrubbed(state.state, self._subjects, self._fields, self._words())
        if found == state.state:
            return state
        return msgspec.structs.replace(ActorState.of(state.position, state.cursor, found), follows=state.follows)

    def _words(self) -> Collection[str]:
        """All that the boxes say."""
        said: set[str] = set()
        for data in self._rows.values():
            if (key := self._keys.get(boxes.key_number(data))) is not None:
                said |= set(boxes.words_in(data, key).values())
        return said
