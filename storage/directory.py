"""A directory that one process at a time writes to.

The lock is the kernel's (`flock`), so it goes with the process that held it, however that ended; the file's text says
who it is, for the message to the second. These calls touch the disk: they belong on a thread.

A directory can give its place to another one that was made beside it. That takes two renames; killed between them there
is no directory, but a draft that says that it is ready, and whoever opens the place next puts it there.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from storage.errors import DirectoryInUse, DirectoryNotWritable, unwritable
from storage.syncing import sync

LOCK_NAME = "lock"
READY_NAME = "restored"
"""In a draft: it is whole, and the place is its own."""
UNFINISHED_NAME = "unfinished"
"""In a directory that another one is copied into: it says less than the other, and nobody goes on from there."""
TRIES = 5
GLANCE_S = 0.02
"""Longer than a look at who holds a directory takes, on a machine that is busy too."""


class DirectoryLock:
    """A held directory; whoever acquired it releases it."""

    def __init__(self, directory: Path, descriptor: int) -> None:
        self.directory = directory
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, directory: Path) -> "DirectoryLock":
        """Make the directory if there is none, and hold it. Raises DirectoryNotWritable, DiskFull, DirectoryInUse."""
        try:
            finish_exchange(directory)
            _make(directory)
            descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise unwritable(directory, error) from error
        try:
            _lock(descriptor)
        except BlockingIOError as error:
            pid = _pid(descriptor)
            os.close(descriptor)
            raise DirectoryInUse(directory, pid) from error
        except OSError as error:  # a file system without locks cannot be shared safely
            os.close(descriptor)
            raise DirectoryNotWritable(directory, f"it cannot be locked ({error.strerror})") from error
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        except OSError as error:  # a full or failing disk: better said here than at the first event
            os.close(descriptor)
            raise unwritable(directory, error) from error
        return cls(directory, descriptor)

    def release(self) -> None:
        """Let the next process have it."""
        os.close(self._descriptor)


def _lock(descriptor: int) -> None:
    """Raises BlockingIOError where another process holds it, and not where one only looks who does; OSError."""
    for _ in range(TRIES - 1):
        with suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(GLANCE_S)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def draft_of(directory: Path) -> Path:
    """Where the directory that is to take this one's place is made."""
    whole = directory.absolute()
    return whole.with_name(whole.name + ".restoring")


def exchange(directory: Path, aside: Path) -> Iterator[str]:
    """Put the draft in a directory's place, which goes aside. Step by step; killed after any, nothing is lost.

    Raises OSError.
    """
    draft = draft_of(directory)
    with (draft / READY_NAME).open("wb") as ready:
        os.fsync(ready.fileno())
    sync(draft)
    yield "ready"
    os.rename(directory, aside)
    sync(directory.parent)
    yield "aside"
    finish_exchange(directory)
    yield "done"


def finish_exchange(directory: Path) -> None:
    """Put a draft that is ready in the place of a directory that is not there any more. Raises OSError."""
    draft = draft_of(directory)
    if not directory.exists() and (draft / READY_NAME).exists():
        with suppress(FileNotFoundError):  # another process has done it at the same time
            os.rename(draft, directory)
        sync(directory.parent)
    (directory / READY_NAME).unlink(missing_ok=True)


def begin_copy(directory: Path) -> None:
    """Make a directory that is not to be gone on from before `end_copy`. Raises OSError."""
    _make(directory)
    (directory / UNFINISHED_NAME).touch()
    sync(directory)


def end_copy(directory: Path) -> None:
    """All that it is to have is there, and durable. Raises OSError."""
    (directory / UNFINISHED_NAME).unlink()
    sync(directory)


def _make(directory: Path) -> None:
    """Make the directory, so that its name lasts as long as what will be in it. Raises OSError."""
    missing = [one for one in (directory, *directory.parents) if not one.exists()]
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for one in missing:
        sync(one.parent)


def holder(directory: Path) -> int | None:
    """The pid of the process that holds the directory, 0 if it did not say, None if nobody does."""
    try:
        descriptor = os.open(directory / LOCK_NAME, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)


def _pid(descriptor: int) -> int:
    text = os.pread(descriptor, 32, 0)
    return int(text) if text.isdigit() else 0
