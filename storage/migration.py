"""Journals that an older program wrote, made into what this one knows: numbered steps, a backup before each.

Rules: the old file is never changed; the new ones are built beside it, and take effect all at once when the catalogue
takes the old file's name. Killed at any point, the next start finds either the old journal or the new one, and builds
anew what was half built. A newer version is not touched here and refused by who opens it.

These calls touch the disk for long: they belong on a thread.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from bus.messages.base import Position
from storage import layout, queries
from storage.blobs import BLOBS_NAME
from storage.database import connect
from storage.errors import DatabaseLocked
from storage.layout import SEGMENTS_NAME, Segment, epoch_hash
from storage.removal import remove
from storage.schema import BLOBS, JOURNAL, SEGMENT, create_or_check
from storage.syncing import sync
from storage.transactions import transaction

JOURNAL_NAME = "journal.sqlite"


def backup_name(version: int) -> str:
    """The name under which a journal of an old version is kept."""
    return f"journal.v{version}.sqlite"


def migrate(directory: Path) -> str | None:
    """Bring a journal up to this version, step by step; what was done, in words.

    Raises DatabaseLocked, sqlite3.Error, OSError.
    """
    path = directory / JOURNAL_NAME
    if not path.exists() or not path.stat().st_size:
        return None
    begun_at = version = _version(path)
    while step := MIGRATIONS.get(version):
        _back_up(path, version)
        step(directory, directory / backup_name(version))
        version += 1
    if version == begun_at:
        return None
    kept = directory / backup_name(begun_at)
    return f"the journal was brought from version {begun_at} to {version}; the old one is kept as {kept}"


def _version(path: Path) -> int:
    """The version of one of our journals; 0 for anything else."""
    # A kill while the file was made leaves a change to be rolled back, which a connection that only reads cannot do.
    mode = "rw" if path.with_name(path.name + "-journal").exists() else "ro"
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True)) as connection:
        (application_id,) = connection.execute(queries.APPLICATION_ID).fetchone()
        (version,) = connection.execute(queries.VERSION).fetchone()
    return int(version) if application_id == JOURNAL.application_id else 0


def _back_up(path: Path, version: int) -> None:
    """Keep the file under a second name; nothing is copied, since nothing is changed."""
    with closing(connect(path)) as connection:
        is_busy, _, _ = connection.execute(queries.WAL_TRUNCATE).fetchone()
        if is_busy:
            raise DatabaseLocked(path)  # what is in the log alone would be left behind
    backup = path.with_name(backup_name(version))
    backup.unlink(missing_ok=True)
    try:
        os.link(path, backup)
    except OSError:  # a file system without links
        shutil.copyfile(path, backup)
        sync(backup)
    sync(path.parent)


def _to_2(directory: Path, old: Path) -> None:
    """One file becomes a catalogue, a first segment, and a file of blobs."""
    segments = directory / SEGMENTS_NAME
    segments.mkdir(mode=0o700, exist_ok=True)
    first = Segment(Position(1))
    rows = segments / first.name
    remove(rows)
    shutil.copyfile(old, rows)
    with closing(connect(rows)) as connection:
        with transaction(connection):
            for table in ("blobs", "epochs"):
                connection.execute(queries.drop(table))
            connection.execute(queries.set_application_id(SEGMENT.application_id))
            connection.execute(queries.set_version(SEGMENT.version))
        connection.execute(queries.WAL_TRUNCATE).fetchone()
    blobs = directory / BLOBS_NAME
    remove(blobs)
    with closing(connect(blobs)) as connection:
        create_or_check(connection, blobs, BLOBS)
        _from(connection, old, "INSERT INTO blobs SELECT id, hash, content FROM source.blobs")
    with closing(connect(old, is_read_only=True)) as connection:
        epochs = connection.execute("SELECT epoch, after, begun_us FROM epochs ORDER BY epoch").fetchall()
    building = directory / f"{JOURNAL_NAME}.new"
    remove(building)
    with closing(connect(building)) as connection:
        create_or_check(connection, building, JOURNAL)
        with transaction(connection):
            connection.execute(queries.PUT_SEGMENT, (first.first, *layout.pack(first)))
            connection.executemany(queries.INSERT_EPOCH, [(*row, epoch_hash(*row)) for row in epochs])
        connection.execute(queries.WAL_TRUNCATE).fetchone()
    for path in (rows, building):
        sync(path)
    sync(segments)
    for suffix in ("-wal", "-shm"):  # they are empty, and belong to the old file
        (directory / f"{JOURNAL_NAME}{suffix}").unlink(missing_ok=True)
    os.replace(building, directory / JOURNAL_NAME)
    remove(building)
    sync(directory)


def _from(connection: sqlite3.Connection, source: Path, statement: str) -> None:
    connection.execute(queries.ATTACH, (f"{source.absolute().as_uri()}?mode=ro",))
    with transaction(connection):
        connection.execute(statement)
    connection.execute(queries.DETACH)
    connection.execute(queries.WAL_TRUNCATE).fetchone()


MIGRATIONS: dict[int, Callable[[Path, Path], None]] = {1: _to_2}
"""By the version that it starts from."""
