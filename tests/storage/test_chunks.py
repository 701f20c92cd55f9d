"""Chunks as they are stored."""

import os
import zlib

import pytest

from storage.chunks import CHUNK_BYTES_MAX, CHUNKS_AT_A_TIME, ZSTANDARD, Compression, UnreadableChunk


def test_a_chunk_comes_back_as_it_was_whichever_way_it_was_compressed() -> None:
    compression = Compression()
    for content in (b"", b"{}", b"text " * 1_000, os.urandom(CHUNK_BYTES_MAX)):
        assert compression.decompress(compression.compress(content)) == content
        assert compression.decompress(zlib.compress(content, 1)) == content
    assert compression.compress(b"text").startswith(ZSTANDARD)


def test_many_chunks_are_compressed_in_their_order_to_the_same_bytes_as_one_by_one() -> None:
    compression = Compression()
    for count in (0, 1, CHUNKS_AT_A_TIME - 1, CHUNKS_AT_A_TIME + 1):
        contents = [b"%d " % number * (1 + number % 40) for number in range(count)]
        stored = list(compression.compress_all(contents))
        assert stored == [compression.compress(content) for content in contents]
        assert [compression.decompress(one) for one in stored] == contents


def test_what_is_no_chunk_or_too_large_for_one_is_refused() -> None:
    compression = Compression()
    good = compression.compress(b"text " * 1_000)
    for bad in (b"", b"not compressed", ZSTANDARD, good[:-3], compression.compress(bytes(CHUNK_BYTES_MAX + 1))):
        with pytest.raises(UnreadableChunk):
            compression.decompress(bad)
