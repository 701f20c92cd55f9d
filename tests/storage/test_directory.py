"""One process at a time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from storage.directory import DirectoryLock, holder
from storage.errors import DirectoryInUse, DirectoryNotWritable

HOLD = "import sys; from pathlib import Path; from storage.directory import DirectoryLock as L; \
lock = L.acquire(Path(sys.argv[1])); print(flush=True); sys.stdin.read()"
NOBODY = 65_534


@pytest.mark.slow
def test_a_second_process_is_refused_with_the_pid_of_the_first_until_that_is_gone(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(DirectoryInUse, match=f"process {process.pid}") as refusal:
            DirectoryLock.acquire(tmp_path)
        assert refusal.value.pid == process.pid == holder(tmp_path)
        process.kill()
    assert holder(tmp_path) is None
    DirectoryLock.acquire(tmp_path).release()


def test_a_directory_is_made_with_its_parents_and_for_its_owner_alone(tmp_path: Path) -> None:
    DirectoryLock.acquire(tmp_path / "a" / "b").release()
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_the_same_process_cannot_hold_it_twice(tmp_path: Path) -> None:
    lock = DirectoryLock.acquire(tmp_path)
    with pytest.raises(DirectoryInUse) as refusal:
        DirectoryLock.acquire(tmp_path)
    assert refusal.value.pid == os.getpid()
    lock.release()


def test_a_file_in_the_place_of_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(DirectoryNotWritable, match="data cannot be written to"):
        DirectoryLock.acquire(tmp_path / "data")


def test_nobody_holds_a_directory_that_does_not_exist(tmp_path: Path) -> None:
    assert holder(tmp_path / "none") is None


def test_a_directory_that_may_not_be_written_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    if os.geteuid() == 0:  # to whom modes mean nothing: another user tries
        os.seteuid(NOBODY)
    try:
        with pytest.raises(DirectoryNotWritable):
            DirectoryLock.acquire(tmp_path)
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        tmp_path.chmod(0o700)
