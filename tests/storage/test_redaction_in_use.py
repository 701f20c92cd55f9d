"""A redaction while another process reads: either the keys are gone from the disk, or it is said that they are not."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from storage.boxes import KEY_BYTES
from storage.errors import DatabaseLocked
from storage.keys import DESTROYED
from tests.storage.support import opened, told, write


def _keys(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as connection:
        return b"".join(content for (content,) in connection.execute("SELECT keys FROM blocks ORDER BY id"))


def _bytes(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in directory.glob("keys.sqlite*"))


@pytest.mark.slow
async def test_keys_that_somebody_reads_are_not_said_to_be_gone(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite"
    async with opened(tmp_path) as store:
        await write(store, told(1, 10))
        before = _keys(path)
        number = 1_024  # of the first block
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM blocks").fetchone()
            with pytest.raises(DatabaseLocked):
                await store.contents.destroy_keys([number])
        await store.contents.destroy_keys([number])
        assert _keys(path)[:KEY_BYTES] == DESTROYED
        left = _bytes(tmp_path)
        assert before[:KEY_BYTES] not in left
        assert before[KEY_BYTES : 2 * KEY_BYTES] in left
        assert (await store.verify()).problem == ""
