"""What differs between two states of an actor, as JSON.

Rules: a key is the path of a field or of an entry of a field, such as `tasks.t-7`: an entry is told as a whole. Keys
are told in the order of their names, at most `KEYS_MAX` of each kind, with how many there are.

Pure: no clock, no disk.
"""

import orjson

from bus.messages.checkpoints import Difference, Keys

__all__ = ["Difference", "Keys", "difference", "is_same"]

KEYS_MAX = 20
DEPTH = 2


def difference(actor: str, before: bytes, after: bytes) -> Difference:
    """What the second has, lacks, and has otherwise; empty bytes are no state at all."""
    old, new = _flat(before), _flat(after)
    return Difference(
        actor,
        added=_keys(new.keys() - old.keys()),
        removed=_keys(old.keys() - new.keys()),
        changed=_keys({key for key in old.keys() & new.keys() if old[key] != new[key]}),
        bytes_before=len(before),
        bytes_after=len(after),
    )


def is_same(before: bytes, after: bytes) -> bool:
    """Whether two states say the same, whatever the order of their keys."""
    return before == after or orjson.loads(before) == orjson.loads(after)


def _keys(found: set[str]) -> Keys:
    return Keys(len(found), tuple(sorted(found)[:KEYS_MAX]))


def _flat(state: bytes) -> dict[str, object]:
    found: dict[str, object] = {}
    if state:
        _collect(orjson.loads(state), "", 0, found)
    return found


def _collect(value: object, path: str, depth: int, found: dict[str, object]) -> None:
    if depth < DEPTH and isinstance(value, dict):
        for key, below in value.items():
            name = str(key) or '""'
            _collect(below, f"{path}.{name}" if path else name, depth + 1, found)
    else:
        found[path] = value
