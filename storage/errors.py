"""What can be wrong with the disk, or with what is on it.

Each message says what happened, what was kept and, where it is not plain, what to do: these are read by whoever
starts Agora, without a traceback.
"""

from errno import EDQUOT, ENOSPC
from pathlib import Path

from bus.errors import StorageError


class DiskFull(StorageError):
    """There is no room for the write; nothing of it landed."""

    code = "disk_full"
    is_passing = True

    def __init__(self, path: Path) -> None:
        super().__init__(f"the disk of {path} is full; nothing that was acknowledged is lost; make room")
        self.path = path


class DirectoryNotWritable(StorageError):
    """Files cannot be made or changed there."""

    code = "directory_not_writable"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be written to: {reason}; choose another directory or change its owner or mode")
        self.path = path
        self.reason = reason


def unwritable(path: Path, error: OSError) -> StorageError:
    """What a directory that cannot be written to lacks: room, or something else."""
    if error.errno in (ENOSPC, EDQUOT):
        return DiskFull(path)
    return DirectoryNotWritable(path, error.strerror or str(error))


class DirectoryInUse(StorageError):
    """Another process holds the directory. `pid` is 0 when it did not say who it is."""

    code = "directory_in_use"

    def __init__(self, path: Path, pid: int) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(f"{path} is in use by {holder}; stop it or choose another directory")
        self.path = path
        self.pid = pid


class UnknownSchema(StorageError):
    """The file was written by a newer program, or by an older one and not brought up to date. It was not touched."""

    code = "unknown_schema"

    def __init__(self, path: Path, found: int, known: int) -> None:
        what = (
            "use the program that wrote it or a newer one" if found > known else "serve it once to bring it up to date"
        )
        super().__init__(
            f"{path} has schema version {found}; this program knows versions up to {known}; nothing was changed; {what}"
        )
        self.path = path
        self.found = found
        self.known = known


class DatabaseLocked(StorageError):
    """Someone else holds the database itself, such as a tool that writes to it."""

    code = "database_locked"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is locked by another program; close what has it open")
        self.path = path


class DatabaseFailed(StorageError):
    """The disk did not do what it was asked. What was acknowledged is on it."""

    code = "database_failed"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class CorruptDatabase(StorageError):
    """The file is not what was written."""

    code = "corrupt_database"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is damaged: {reason}")
        self.path = path
        self.reason = reason


class CorruptJournal(StorageError):
    """The journal is not what was written. `position` is the first that is known to be wrong, or 0 for the whole."""

    code = "corrupt_journal"

    def __init__(self, path: Path, position: int, reason: str) -> None:
        where = f" at position {position}" if position else ""
        super().__init__(
            f"the journal {path} is damaged{where}: {reason}; nothing was changed and nothing deleted; "
            f"restore it from a backup, or move {path.parent} aside to start anew"
        )
        self.path = path
        self.position = position
        self.reason = reason


class PastPruned(StorageError):
    """What would have to be folded was pruned, and nothing that is kept stands for it."""

    code = "past_pruned"

    def __init__(self, position: int, pruned_to: int) -> None:
        super().__init__(
            f"position {position} cannot be gone back to: the events up to {pruned_to} were pruned, and no sound "
            f"checkpoint between {pruned_to} and {position} stands for them"
        )
        self.position = position
        self.pruned_to = pruned_to


class FileGone(StorageError):
    """A file of the journal was dropped or moved while it was asked for."""

    code = "file_gone"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is not there any more")
        self.path = path


class PrunedMeanwhile(StorageError):
    """Old events were pruned while they were gone through: what was read so far has no rest."""

    code = "pruned_meanwhile"

    def __init__(self, pruned_to: int) -> None:
        super().__init__(f"the events up to {pruned_to} were pruned while they were being read; begin again")
        self.pruned_to = pruned_to


class CorruptCheckpoint(StorageError):
    """A checkpoint is not what was saved. An older one, or the journal alone, takes its place."""

    code = "corrupt_checkpoint"

    def __init__(self, checkpoint: str, reason: str) -> None:
        super().__init__(f"checkpoint {checkpoint} is damaged: {reason}")
        self.checkpoint = checkpoint
        self.reason = reason
