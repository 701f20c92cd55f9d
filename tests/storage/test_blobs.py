"""Contents by their hash."""

import sqlite3
from contextlib import closing
from pathlib import Path

from storage.blobs import Blobs
from tests.storage.support import blob


def test_a_content_is_kept_once_and_is_there_after_each_opening(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    for _ in range(2):
        blobs.open()
        blobs.put(blob(b"a document"))
        blobs.put(blob(b"another") | blob(b"a document"))
    blobs.close()
    blobs.close()
    with closing(sqlite3.connect(blobs.path)) as connection:
        contents = connection.execute("SELECT content FROM blobs ORDER BY id").fetchall()
    assert contents == [(b"a document",), (b"another",)]
