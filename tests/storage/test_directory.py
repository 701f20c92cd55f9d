"""One process at a time."""

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from storage.directory import GLANCE_S, LOCK_NAME, DirectoryLock, draft_of, exchange, finish_exchange, holder
from storage.errors import DirectoryInUse, DirectoryNotWritable

HOLD = "import sys; from pathlib import Path; from storage.directory import DirectoryLock as L; \
lock = L.acquire(Path(sys.argv[1])); print(flush=True); sys.stdin.read()"
KILLED = "import os, sys; from pathlib import Path; from storage.directory import exchange\n\
for step in exchange(Path(sys.argv[1]), Path(sys.argv[2])):\n    step == sys.argv[3] and os.kill(os.getpid(), 9)"
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


def test_who_only_looks_who_holds_a_directory_is_in_nobody_s_way(tmp_path: Path) -> None:
    DirectoryLock.acquire(tmp_path).release()
    descriptor = os.open(tmp_path / LOCK_NAME, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    over = threading.Timer(GLANCE_S, os.close, [descriptor])
    over.start()
    DirectoryLock.acquire(tmp_path).release()
    over.join()


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


@pytest.mark.slow
@pytest.mark.parametrize("step", ["ready", "aside", "done"])
def test_a_kill_while_a_directory_gives_its_place_away_leaves_the_old_or_the_new_one_there(
    tmp_path: Path, step: str
) -> None:
    data, aside = tmp_path / "data", tmp_path / "data.before"
    for directory, said in ((data, "old"), (draft_of(data), "new")):
        directory.mkdir()
        (directory / "said").write_text(said)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(data), str(aside), step], check=False)
    assert killed.returncode == -9
    assert data.exists() == (step != "aside")
    DirectoryLock.acquire(data).release()
    assert (data / "said").read_text() == ("old" if step == "ready" else "new")
    assert (aside.exists(), draft_of(data).exists()) == ((False, True) if step == "ready" else (True, False))
    if step == "ready":  # the next restore begins with a draft of its own
        list(exchange(data, aside))
        assert ((data / "said").read_text(), (aside / "said").read_text()) == ("new", "old")
    assert sorted(path.name for path in data.iterdir() if path.name != "lock") == ["said"]


def test_a_draft_that_is_not_ready_is_left_alone_and_nothing_is_put_in_the_place_of_what_is_there(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    draft_of(data).mkdir()
    finish_exchange(data)
    assert not data.exists()
    data.mkdir()
    (draft_of(data) / "restored").touch()
    finish_exchange(data)
    assert draft_of(data).exists()
