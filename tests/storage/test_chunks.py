"""Chunks as they are stored."""

import os
import zlib

import pytest

from storage.chunks import CHUNK_BYTES_MAX, ZSTANDARD, Compression, UnreadableChunk


def test_a_chunk_comes_back_as_it_was_whichever_way_it_was_compressed() -> None:
    compression = Compression()
    for content in (b"", b"{}", b"text " * 1_000, os.urandom(CHUNK_BYTES_MAX)):
        assert compression.decompress(compression.compress(content)) == content
        assert compression.decompress(zlib.compress(content, 1)) == content
    assert compression.compress(b"text").startswith(ZSTANDARD)


def test_what_is_no_chunk_or_too_large_for_one_is_refused() -> None:
    compression = Compression()
    good = compression.compress(b"text " * 1_000)
    for bad in (b"", b"not compressed", ZSTANDARD, good[:-3], compression.compress(bytes(CHUNK_BYTES_MAX + 1))):
        with pytest.raises(UnreadableChunk):
            compression.decompress(bad)
