"""The hash that ties a row to the one before it on its chain.

There are two chains: rows that retention may prune, and rows that are kept for good (the ledger, approvals), so that
pruning the first leaves the second whole. A hash covers everything that is stored of the event, names spelled out,
and the hash before it. The encoding is MessagePack, which is unambiguous where joined text is not.

Pure: no clock, no disk.
"""

from hashlib import sha256

import msgspec

from bus.envelope import EncodedEvent

PRUNABLE = 0
KEPT = 1
NOTHING = bytes(32)
"""The hash before the first of a chain."""

_encode = msgspec.msgpack.Encoder().encode


def row_hash(previous: bytes, chain: int, event: EncodedEvent) -> bytes:
    """The 32 bytes that stand beside the row."""
    return sha256(_encode((previous, chain, event))).digest()
