"""How a command finds a server, and how it is not misled by one that is gone."""

import os
import subprocess
import sys
from pathlib import Path

from actors.commands import presence
from actors.commands.presence import Presence
from storage.directory import LOCK_NAME, DirectoryLock


def own(data: Path) -> Presence:
    return Presence(url="http://127.0.0.1:1", pid=os.getpid(), token_path=str(data / "token"))


def test_a_server_is_found_until_it_withdraws(tmp_path: Path) -> None:
    assert presence.find(tmp_path) is None
    lock = DirectoryLock.acquire(tmp_path)
    presence.announce(tmp_path, own(tmp_path))
    assert presence.find(tmp_path) == own(tmp_path)
    presence.withdraw(tmp_path, own(tmp_path))
    assert presence.find(tmp_path) is None
    assert list(tmp_path.iterdir()) == [tmp_path / LOCK_NAME]
    lock.release()


def test_a_server_that_was_killed_is_not_found_where_another_process_has_its_id_by_now(tmp_path: Path) -> None:
    DirectoryLock.acquire(tmp_path).release()
    presence.announce(tmp_path, own(tmp_path))
    assert presence.find(tmp_path) is None
    lock = DirectoryLock.acquire(tmp_path)
    presence.announce(tmp_path, Presence(url="http://127.0.0.1:1", pid=1, token_path=""))
    assert presence.find(tmp_path) is None
    lock.release()


def test_a_server_whose_process_is_gone_is_not_found(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    presence.announce(tmp_path, Presence(url="http://127.0.0.1:1", pid=ended.pid, token_path=""))
    assert presence.find(tmp_path) is None


def test_a_server_leaves_the_file_of_its_successor_alone(tmp_path: Path) -> None:
    earlier = Presence(url="http://127.0.0.1:2", pid=1, token_path="")
    presence.announce(tmp_path, own(tmp_path))
    presence.withdraw(tmp_path, earlier)
    assert (tmp_path / presence.NAME).exists()
    presence.withdraw(tmp_path, own(tmp_path))
    assert not (tmp_path / presence.NAME).exists()


def test_a_damaged_file_and_a_missing_directory_are_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / presence.NAME).write_bytes(b"{")
    assert presence.find(tmp_path) is None
    assert presence.find(tmp_path / "none") is None
    assert presence.find(tmp_path / presence.NAME) is None
