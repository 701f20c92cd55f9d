"""Remember which key led to which subject, so that a repeated command finds its first result.

Rules: a key is kept for 24 hours after its first use and then forgotten; at most `KEYS_MAX` are kept, the oldest go
first. Forgetting happens when a new key comes, so it is part of the fold and needs no timer.

Pure: time comes with the events.
"""

import msgspec

from actors.rules.fields import check_line
from bus.messages.base import Microseconds

KEY_CHARS_MAX = 200
KEYS_MAX = 100_000
"""A day of more than one keyed command per second; a key takes some 300 bytes."""
KEPT_US = 24 * 3600 * 1_000_000


class KeyUse(msgspec.Struct, frozen=True):
    """What a key was first used for."""

    subject: str
    used_us: Microseconds


class Keys(msgspec.Struct):
    """The keys in the order of their first use."""

    uses: dict[str, KeyUse] = {}


def check_key(key: str) -> str:
    """The key as it is remembered. Empty means none; else it must be a sane line."""
    return check_line("idempotency_key", key, KEY_CHARS_MAX) if key else key


def subject_of(keys: Keys, key: str, now_us: Microseconds) -> str:
    """What the key was used for, or empty if it is unknown, forgotten or no key at all."""
    use = keys.uses.get(key) if key else None
    return use.subject if use is not None and use.used_us > now_us - KEPT_US else ""


def remember(keys: Keys, key: str, subject: str, used_us: Microseconds) -> None:
    """Note a first use and forget what is too old or too many."""
    if not key:
        return
    keys.uses.pop(key, None)  # a forgotten key that is used again is young again
    keys.uses[key] = KeyUse(subject, used_us)
    while len(keys.uses) > KEYS_MAX or next(iter(keys.uses.values())).used_us <= used_us - KEPT_US:
        del keys.uses[next(iter(keys.uses))]
