"""Contents by their hash."""

import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path

from storage.blobs import Blobs, named_in
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


def test_what_is_removed_is_gone_from_the_file_too(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    blobs.open()
    blobs.put(blob(b"a document that goes") | blob(b"one that stays"))
    names = [sha256(content).digest() for content in (b"a document that goes", b"never there")]
    assert blobs.remove(names) == 1
    assert blobs.remove(names) == 0
    blobs.close()
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert (b"one that stays" in content, b"a document that goes" in content) == (True, False)


def test_whatever_looks_like_a_name_counts_as_one() -> None:
    name = sha256(b"x").digest()
    texts = [f'{{"blob":"{name.hex()}"}}'.encode(), f"see {name.hex()}, and".encode(), b"0" * 63, b"f" * 65]
    assert named_in(texts) == {name}
