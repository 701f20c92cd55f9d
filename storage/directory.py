"""A directory that one process at a time writes to.

The lock is the kernel's (`flock`), so it goes with the process that held it, however that ended; the file's text says
who it is, for the message to the second. These calls touch the disk: they belong on a thread.
"""

import fcntl
import os
from pathlib import Path

from storage.errors import DirectoryInUse, DirectoryNotWritable

LOCK_NAME = "lock"


class DirectoryLock:
    """A held directory; whoever acquired it releases it."""

    def __init__(self, directory: Path, descriptor: int) -> None:
        self.directory = directory
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, directory: Path) -> "DirectoryLock":
        """Make the directory if there is none, and hold it. Raises DirectoryNotWritable, DirectoryInUse."""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DirectoryNotWritable(directory, error.strerror or str(error)) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
            raise DirectoryNotWritable(directory, error.strerror or str(error)) from error
        return cls(directory, descriptor)

    def release(self) -> None:
        """Let the next process have it."""
        os.close(self._descriptor)


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
