"""Decide whether texts can be embedded, and turn numbers into vectors.

Rules: every text comes back as one vector, in its order; all have one length, and every number is finite. A vector is
packed into 32-bit floats, as models compute it.

Pure.
"""

import math
import struct
from collections.abc import Sequence

from bus.messages.embeddings import Embed
from bus.refusals import InvalidField

TEXTS_MAX = 128
"""So many vectors of the longest kind fit into the largest reply that is read."""
CHARACTERS_MAX = 1_000_000
"""Of all texts together."""
DIMENSIONS_MAX = 16_384
FLOAT_MAX = 3.4028234e38
"""The largest number that 32 bits hold."""


def check(request: Embed) -> None:
    """Raises InvalidField."""
    if not 1 <= len(request.texts) <= TEXTS_MAX:
        raise InvalidField("input", f"must be from 1 to {TEXTS_MAX} texts")
    if not all(request.texts):
        raise InvalidField("input", "must hold no empty text")
    if sum(map(len, request.texts)) > CHARACTERS_MAX:
        raise InvalidField("input", f"must have at most {CHARACTERS_MAX} characters together")
    if not 0 <= request.dimensions <= DIMENSIONS_MAX:
        raise InvalidField("dimensions", f"must be at most {DIMENSIONS_MAX}")
    if request.deadline_s <= 0.0:
        raise InvalidField("deadline_s", "must be above 0")


def pack(numbers: Sequence[float]) -> bytes:
    """A vector as 32-bit floats, the lowest byte first."""
    return struct.pack(f"<{len(numbers)}f", *numbers)


def fault_of(vectors: Sequence[Sequence[float]], texts: int, dimensions: int) -> str:
    """Why these are not the vectors that were asked for; empty if they are."""
    if len(vectors) != texts:
        return f"{texts} texts came back as {len(vectors)} vectors"
    lengths = {len(vector) for vector in vectors}
    if len(lengths) != 1 or lengths == {0}:
        return "the vectors are not of one length"
    if dimensions and lengths != {dimensions}:
        return f"the vectors have {lengths.pop()} dimensions, not {dimensions}"
    if not all(math.isfinite(sum(vector)) and max(map(abs, vector)) <= FLOAT_MAX for vector in vectors):
        return "a vector holds what is no 32-bit number"
    return ""
