"""A chunk of state as it is stored: compressed, and readable whichever way it was compressed.

What is written is one Zstandard frame. What was written by zlib before is read all the same: the first bytes tell them
apart. Nothing larger than a chunk may be comes out, whatever the bytes say.
"""

import zlib
from collections.abc import Iterator, Sequence

import zstandard

CHUNK_BYTES_MAX = 256 * 1024
"""Encoding or compressing one takes a few milliseconds at most."""
LEVEL = 3
"""Three times as fast as reading JSON, and half the size of the fastest zlib."""
THREADS = 2
"""That compress: it takes no interpreter, and half of the time of one."""
CHUNKS_AT_A_TIME = 256
"""Some two megabytes."""
ZSTANDARD = b"\x28\xb5\x2f\xfd"
"""How every frame begins (RFC 8878)."""


class UnreadableChunk(ValueError):
    """The bytes are no chunk, or one that is larger than any."""


class Compression:
    """For the use of one thread at a time."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=LEVEL)
        self._decompressor = zstandard.ZstdDecompressor()

    def compress(self, content: bytes) -> bytes:
        """A chunk as it is stored."""
        return self._compressor.compress(content)

    def compress_all(self, contents: Sequence[bytes]) -> Iterator[bytes]:
        """Chunks as they are stored, in their order."""
        for first in range(0, len(contents), CHUNKS_AT_A_TIME):
            some: list[bytes | bytearray | memoryview[int]] = [*contents[first : first + CHUNKS_AT_A_TIME]]
            stored = self._compressor.multi_compress_to_buffer(some, threads=THREADS)
            yield from (stored[number].tobytes() for number in range(len(some)))

    def decompress(self, stored: object) -> bytes:
        """A chunk as it was, of what stands where one belongs. Raises UnreadableChunk."""
        if not isinstance(stored, bytes):
            raise UnreadableChunk("it has no bytes")
        if not stored.startswith(ZSTANDARD):
            return _inflate(stored)
        try:
            size = zstandard.frame_content_size(stored)
            if not 0 <= size <= CHUNK_BYTES_MAX:
                raise UnreadableChunk(f"it says that it has {size} bytes")
            return self._decompressor.decompress(stored)
        except zstandard.ZstdError as error:
            raise UnreadableChunk(str(error)) from error


def _inflate(stored: bytes) -> bytes:
    decompressor = zlib.decompressobj()
    try:
        content = decompressor.decompress(stored, CHUNK_BYTES_MAX + 1)
    except zlib.error as error:
        raise UnreadableChunk(str(error)) from error
    if not decompressor.eof:
        raise UnreadableChunk("it is cut short, or larger than a chunk may be")
    return content
