"""From events to their rows: in boxes, on their chains, with ids for names.

Rules: a row is made when its event gets its position, and stays as it is, however often its write is tried; its hash
covers the one before it, written or not, since what is on disk is a prefix of what was appended. A name has the same id
as long as the process lives, in whatever segment.

Lives where events are appended: what is hashed was just encoded, and the writer's thread needs the interpreter only to
hand the rows over.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from bus.codec import Catalogue
from bus.envelope import DATA_FIELD, Batch, EncodedEvent, StoredEvent
from storage.boxes import Paths, closed, has_box
from storage.chain import KEPT, NOTHING, PRUNABLE, row_hash
from storage.keys import FreshKeys

NONE: Final = bytearray()
"""Stands for no sealed fields. What is bound as `bytes` or None is looked up among adapters first, at six times the
price of a `bytearray`, and the loop waits for as long as rows are bound."""

Column = int | str | bytearray
"""What is bound to a row."""
Heads = tuple[tuple[int, bytes], tuple[int, bytes]]
"""Position and hash of the last row of the prunable and of the kept chain."""
NO_HEADS: Final[Heads] = ((0, NOTHING), (0, NOTHING))


class NameIds:
    """The ids that stand for names in rows."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.names: dict[int, str] = {}
        self._last = 0

    def learn(self, ids: Mapping[str, int]) -> None:
        """Take up the ids that are in use."""
        self.ids.update(ids)
        self.names.update({id_: name for name, id_ in ids.items()})
        self._last = max((self._last, *ids.values()))

    def id(self, name: str) -> int:
        """The id of a name, given to it where it has none."""
        if name not in self.ids:
            self.learn({name: self._last + 1})
        return self.ids[name]


class _Kind(NamedTuple):
    """What is the same for all events of a type."""

    chain: int
    id: int
    personal: Paths


class Rows:
    """Makes the rows of one journal, one after another."""

    def __init__(self, catalogue: Catalogue, keys: FreshKeys) -> None:
        self._is_kept = catalogue.is_kept
        self._personal = catalogue.personal
        self._keys = keys
        self._kinds: dict[str, _Kind] = {}
        self._hashes: list[bytes] = []
        self._head = 0
        self.types, self.sources = NameIds(), NameIds()

    @property
    def are_begun(self) -> bool:
        """Whether it is known what they go on from."""
        return bool(self._hashes)

    def begin(self, heads: Heads, types: Mapping[str, int], sources: Mapping[str, int]) -> None:
        """Go on after what is on disk: the ends of the chains, and the names of the last segment."""
        self.types.learn(types)
        self.sources.learn(sources)
        self._hashes = [heads[PRUNABLE][1], heads[KEPT][1]]
        self._head = max(heads[PRUNABLE][0], heads[KEPT][0])

    def add(self, events: Sequence[EncodedEvent], batch: Batch) -> None:
        """Add the next events to a batch, with their rows."""
        assert events[0][0] == self._head + 1, "positions have no gap"
        self._head = events[-1][0]
        kinds, sources, hashes = self._kinds, self.sources.ids, self._hashes
        stored, columns = batch.events, batch.columns
        for event in events:  # some microseconds an event: what is looked up twice is kept in a variable
            position, time_us, name, version, source, subject, task, agent, run, talk, cause, cursor, data, sealed = (
                event
            )
            kind = kinds.get(name)
            chain, type_, paths = kind if kind is not None else self._new_kind(name)
            source_id = sources.get(source)
            if source_id is None:
                source_id = self.sources.id(source)
            row = event
            if paths and not has_box(data):  # one that comes from another directory has its own
                data = closed(data, paths, *self._keys.next())
                row = (*event[:DATA_FIELD], data, sealed)
            digest = hashes[chain] = row_hash(hashes[chain], chain, row)
            stored.append(StoredEvent(*event, digest))
            columns += (position, time_us, type_, version, source_id, subject, task, agent, run, talk, cause)
            columns += (cursor, bytearray(data), bytearray(sealed) if sealed else NONE, chain, bytearray(digest))

    def _new_kind(self, name: str) -> _Kind:
        chain = KEPT if self._is_kept(name) else PRUNABLE
        kind = self._kinds[name] = _Kind(chain, self.types.id(name), self._personal.get(name, ()))
        return kind
