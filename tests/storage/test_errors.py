"""What the errors tell whoever starts Agora."""

import errno
from pathlib import Path

import pytest

from bus.errors import StorageError
from storage import errors

PATH = Path("/data/journal.sqlite")
ALL = (
    (errors.DiskFull(PATH), "full"),
    (errors.DirectoryNotWritable(PATH, "Read-only file system"), "Read-only file system"),
    (errors.DirectoryInUse(PATH, 42), "process 42"),
    (errors.DirectoryInUse(PATH, 0), "another process"),
    (errors.UnknownSchema(PATH, 9, 1), "version 9; this program knows versions up to 1"),
    (errors.DatabaseLocked(PATH), "locked"),
    (errors.DatabaseFailed(PATH, "disk I/O error"), "disk I/O error"),
    (errors.CorruptDatabase(PATH, "file is not a database"), "file is not a database"),
    (errors.CorruptJournal(PATH, 7, "the row is missing"), "position 7"),
)


@pytest.mark.parametrize(("error", "words"), ALL)
def test_an_error_names_the_file_and_what_is_wrong(error: StorageError, words: str) -> None:
    assert str(PATH) in str(error)
    assert words in str(error)


def test_a_damaged_journal_says_what_was_kept_and_what_to_do() -> None:
    text = str(errors.CorruptJournal(PATH, 0, "file is not a database"))
    assert "nothing was changed" in text
    assert "restore it from a backup, or move /data aside" in text


def test_every_error_has_a_code_of_its_own() -> None:
    classes = {type(error) for error, _ in ALL} | {errors.CorruptCheckpoint}
    assert len({kind.code for kind in classes}) == len(classes)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_directory_without_room_is_not_said_to_have_the_wrong_owner(number: int) -> None:
    assert isinstance(errors.unwritable(PATH, OSError(number, "no room")), errors.DiskFull)
    refused = errors.unwritable(PATH, OSError(errno.EACCES, "Permission denied"))
    assert isinstance(refused, errors.DirectoryNotWritable)
    assert "Permission denied" in str(refused)
