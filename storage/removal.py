"""Removing a large file without holding up who syncs another one.

A file system takes a file's blocks back in one of its own transactions, for which everyone waits who syncs anything:
some twenty-five milliseconds for a hundred megabytes, more where the disk is told of every block. So the name goes
first, and then the content, from its end on and a few megabytes at a time, with room between for others.

Rules: what somebody still reads is not cut. SQLite's readers hold its shared lock for as long as they have a file open
with a write-ahead log, and whoever has one without reads in a moment; where one is there, only the name goes, and the
kernel takes the content back when the last of them lets go. A cut that is broken off leaves nothing that has a name.
"""

import fcntl
import os
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

STEP_BYTES = 4 * 1024 * 1024
"""Given back in a millisecond or two."""
PAUSE_PER_WORK = 1.0
"""As long as a step took, others have the disk; a commit of theirs has begun by then."""
SHARED_FIRST = 0x40000002
SHARED_BYTES = 510
"""Where SQLite's readers have their lock (`os_unix.c`: SHARED_FIRST, SHARED_SIZE)."""


def remove(path: Path) -> None:
    """Remove a database with what belongs to it. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        descriptor = -1  # there is none, or it may only be unlinked
    try:
        for suffix in ("", "-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        if descriptor >= 0 and _is_ours(descriptor):
            _cut(descriptor)
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _cut(descriptor: int) -> None:
    left = os.fstat(descriptor).st_size
    while left > STEP_BYTES:
        left -= STEP_BYTES
        began_s = time.monotonic()
        os.ftruncate(descriptor, left)
        time.sleep((time.monotonic() - began_s) * PAUSE_PER_WORK)


def _is_ours(descriptor: int) -> bool:
    """Whether nobody else has the database open, in this process or another; from then on nobody can."""
    if os.fstat(descriptor).st_nlink:
        return False  # it has another name: what is cut here would be cut there
    if sys.platform != "linux":
        return False
    # An open file description's lock, unlike a process's, is also in the way of the same process.
    wish = struct.pack("@hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, SHARED_FIRST, SHARED_BYTES, 0)
    with suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wish)
        return True
    return False
