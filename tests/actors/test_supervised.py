"""The process above a server, with small programs for servers and real repositories."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from actors import supervised
from actors.supervised import NAME, PRESENCE, RESTART, Upgrade, read, roll_back, tip_of, write
from tests.support.repositories import Sandbox

SCRIPT = Path(supervised.__file__)
WAIT_MAX_S = 30.0
SERVER = """
import http.server, json, os, pathlib, signal, sys
data, tree = map(pathlib.Path, sys.argv[1:])
exec((tree / "server.py").read_text())
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(status)
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Ready)
said = {"url": f"http://127.0.0.1:{server.server_port}", "pid": os.getpid(), "token_path": ""}
(data / "server.json").write_text(json.dumps(said))
with (data / "starts").open("a") as file:
    file.write(f"{version} {os.getpid()}\\n")
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
signal.signal(signal.SIGUSR1, lambda *_: os._exit(75))
server.serve_forever()
"""
GOOD, BETTER = 'status, version = 200, "good"\n', 'status, version = 200, "better"\n'
BROKEN, UNREADY, HANGING = "status = = 1\n", 'status, version = 503, "unready"\n', "while True: pass\n"


class Stage:
    """A data directory, a repository whose `server.py` is what runs, and a supervisor."""

    def __init__(self, path: Path) -> None:
        self.data = path / "data"
        self.data.mkdir()
        self.tree = Sandbox(path / "r")
        self.tree.write("server.py", GOOD)
        self.base = self.tree.commit("good")
        self._program = path / "program.py"
        self._program.write_text(SERVER)
        self.process: subprocess.Popen[bytes] | None = None

    def upgrade(self, text: str, *, within_s: float = 10.0) -> Upgrade:
        """Move the branch to other code, as an applied proposal does, with the trial begun."""
        self.tree.write("server.py", text)
        commit = self.tree.commit("upgrade")
        upgrade = Upgrade("p-1", "h", str(self.tree.path), "main", self.base, commit, within_s)
        write(self.data, upgrade)
        return upgrade

    def start(self) -> None:
        command = (sys.executable, "-I", str(self._program), str(self.data), str(self.tree.path))
        self.process = subprocess.Popen([sys.executable, "-I", str(SCRIPT), str(self.data), *command])

    def starts(self) -> list[str]:
        """The versions that have come up, in order."""
        return [line.split()[0] for line in self._lines()]

    def child(self) -> int:
        """The newest server."""
        return int(self._lines()[-1].split()[1])

    def until(self, *states: str, starts: int = 0) -> Upgrade:
        """Wait for the file to say one of these, and for so many starts."""
        deadline_s = time.monotonic() + WAIT_MAX_S
        while (found := read(self.data)) is None or found.state not in states or len(self.starts()) < starts:
            assert time.monotonic() < deadline_s, (found, self.starts())
        return found

    def until_started(self, count: int) -> None:
        deadline_s = time.monotonic() + WAIT_MAX_S
        while len(self.starts()) < count:
            assert time.monotonic() < deadline_s, self.starts()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(WAIT_MAX_S)

    def _lines(self) -> list[str]:
        starts = self.data / "starts"
        return starts.read_text().splitlines() if starts.exists() else []


@contextlib.contextmanager
def stage(path: Path) -> Iterator[Stage]:
    found = Stage(path)
    try:
        yield found
    finally:
        if found.process is not None and found.process.poll() is None:
            found.process.kill()
            found.process.wait()
        for line in found._lines():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line.split()[1]), signal.SIGKILL)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def until_gone(pid: int) -> None:
    deadline_s = time.monotonic() + WAIT_MAX_S
    while not is_gone(pid):
        assert time.monotonic() < deadline_s


def test_the_file_is_whole_or_not_there(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    upgrade = Upgrade("p-1", "h", "/r", "main", "a", "b", 5.0, "trying", "why")
    write(tmp_path, upgrade)
    assert read(tmp_path) == upgrade
    (tmp_path / NAME).write_bytes(b"{")
    assert read(tmp_path) is None
    supervised.remove(tmp_path)
    supervised.remove(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_branch_and_its_working_tree_go_back_however_often_it_is_done(tmp_path: Path) -> None:
    with stage(tmp_path) as found:
        upgrade = found.upgrade(BROKEN)
        for _ in range(2):
            assert roll_back(upgrade) == ""
            assert (tip_of(upgrade), found.tree.status()) == (found.base, "")
            assert (found.tree.path / "server.py").read_text() == GOOD
        assert found.tree.is_whole()


def test_a_rollback_that_was_killed_between_branch_and_files_is_gone_on_with(tmp_path: Path) -> None:
    with stage(tmp_path) as found:
        upgrade = found.upgrade(BROKEN)
        found.tree.git("update-ref", "refs/heads/main", found.base)
        assert found.tree.status() != ""
        assert roll_back(upgrade) == ""
        assert found.tree.status() == ""


def test_a_branch_that_others_went_on_from_is_left_alone(tmp_path: Path) -> None:
    with stage(tmp_path) as found:
        upgrade = found.upgrade(GOOD + "# upgraded\n")
        found.tree.write("more.txt", "more\n")
        later = found.tree.commit("later")
        assert "was left there" in roll_back(upgrade)
        assert found.tree.tip() == later


@pytest.mark.slow
def test_a_healthy_upgrade_is_taken_and_signals_go_on_to_the_server(tmp_path: Path) -> None:
    with stage(tmp_path) as found:
        found.start()
        found.until_started(1)
        found.upgrade(BETTER)
        os.kill(found.child(), signal.SIGUSR1)
        found.until("taken")
        assert found.starts() == ["good", "better"]
        assert found.stop() == 0
        until_gone(found.child())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "within_s", "words"),
    [(BROKEN, 10.0, "SyntaxError"), (UNREADY, 1.0, "not ready within 1 s"), (HANGING, 1.0, "not ready within 1 s")],
    ids=["code that cannot be read", "never ready", "hangs at the start"],
)
def test_an_upgrade_that_is_not_healthy_goes_back_with_its_tree_and_the_reason(
    tmp_path: Path, code: str, within_s: float, words: str
) -> None:
    with stage(tmp_path) as found:
        found.start()
        found.until_started(1)
        upgrade = found.upgrade(code, within_s=within_s)
        os.kill(found.child(), signal.SIGUSR1)
        ended = found.until("rolled_back")
        assert words in ended.reason
        starts = [version for version in found.starts() if version != "unready"]
        found.until_started(len(found.starts()) + (2 - len(starts)))
        assert [version for version in found.starts() if version != "unready"] == ["good", "good"]
        assert (tip_of(upgrade), found.tree.status(), found.tree.is_whole()) == (found.base, "", True)
        assert found.stop(signal.SIGINT) != RESTART


@pytest.mark.slow
@pytest.mark.parametrize(
    ("state", "code"),
    [("begun", BETTER), ("trying", BETTER), ("trying", BROKEN), ("rolling_back", BROKEN)],
    ids=["begun, and good", "tried, and good", "tried, and broken", "half rolled back"],
)
def test_whatever_state_a_kill_left_the_next_start_goes_on(tmp_path: Path, state: supervised.State, code: str) -> None:
    with stage(tmp_path) as found:
        upgrade = found.upgrade(code)
        write(found.data, msgspec.structs.replace(upgrade, state=state, reason="as it was"))
        found.start()
        is_taken = code == BETTER and state != "rolling_back"
        found.until("taken" if is_taken else "rolled_back", starts=1)
        assert found.starts() == ["better" if is_taken else "good"]
        assert tip_of(upgrade) == (upgrade.commit if is_taken else found.base)
        assert found.tree.status() == ""


@pytest.mark.slow
def test_a_trial_of_a_branch_that_was_never_moved_is_none(tmp_path: Path) -> None:
    with stage(tmp_path) as found:
        upgrade = Upgrade("p-1", "h", str(found.tree.path), "main", found.base, "0" * 40, 5.0)
        write(found.data, upgrade)
        found.start()
        found.until_started(1)
        assert read(found.data) == upgrade


@pytest.mark.slow
def test_a_supervisor_that_is_killed_takes_its_server_along_and_the_next_one_goes_on(tmp_path: Path) -> None:
    with stage(tmp_path) as found:
        found.start()
        found.until_started(1)
        pid = found.child()
        found.upgrade(BETTER)
        found.stop(signal.SIGKILL)
        until_gone(pid)
        found.start()
        found.until("taken")
        assert found.starts() == ["good", "better"]


@pytest.mark.slow
def test_a_server_that_is_killed_is_started_again_a_few_times_a_minute_at_most(tmp_path: Path) -> None:
    with stage(tmp_path) as found:
        found.start()
        for count in range(1, supervised.CRASHES_MAX + 2):
            found.until_started(count)
            os.kill(found.child(), signal.SIGKILL)
        assert found.process is not None
        assert found.process.wait(WAIT_MAX_S) == 128 + signal.SIGKILL
        assert len(found.starts()) == supervised.CRASHES_MAX + 1


@pytest.mark.slow
def test_a_server_that_cannot_be_started_says_so_once(tmp_path: Path) -> None:
    ended = _supervised(tmp_path, "import sys; sys.exit('no port')")
    assert (ended.returncode, ended.stderr.decode().strip()) == (1, "no port")
    assert _supervised(tmp_path, "import sys; sys.exit(2)").returncode == 2
    assert not (tmp_path / PRESENCE).exists()


def _supervised(data: Path, code: str) -> "subprocess.CompletedProcess[bytes]":
    command: Sequence[str] = (sys.executable, "-I", str(SCRIPT), str(data), sys.executable, "-c", code)
    return subprocess.run(command, capture_output=True, timeout=WAIT_MAX_S, check=False)


ASKING = """
import pathlib
asked = data / "asked"
is_first = not asked.exists()
asked.touch()
if is_first or {always}:
    raise SystemExit(75)
status, version = 200, "better"
"""


@pytest.mark.parametrize(("always", "state"), [(False, "taken"), (True, "rolled_back")])
def test_a_server_on_trial_may_ask_once_to_be_started_again(tmp_path: Path, always: bool, state: str) -> None:
    with stage(tmp_path) as found:
        found.upgrade(ASKING.format(always=always))
        found.start()
        assert found.until("taken", "rolled_back", starts=1).state == state
