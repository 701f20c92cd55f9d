"""The small process above a server: it starts it, starts it again, and takes an upgrade back that is not healthy.

Run as a program: `python -I supervised.py DATA COMMAND...`; `agora serve --supervised` becomes it. It lives from the
code that was there when it began, whatever becomes of the files since, and imports nothing of Agora.

What is on trial stands in one file of the data directory, written whole or not at all before each step, so that a kill
at any moment leaves a state from which the next start goes on:

    begun ─▶ trying ─▶ taken                      by the server before the branch is moved; by this process
                │                                 when it starts the new tree, and when that was healthy
                └────▶ rolling_back ─▶ rolled_back

Rules: signals go on to the server. A server that ends by itself is started again, a few times a minute at most. The
branch is moved back only while it stands where the upgrade has put it, with the working tree that has it checked out.
"""

import contextlib
import ctypes
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import IO, Final, Literal

import msgspec

RESTART: Final = 75
"""The exit code that asks to be started again."""
FINAL: Final = (0, 2)
"""Exit codes after which there is nothing to start again: done, or settings that cannot be used."""
ENVIRONMENT: Final = "AGORA_SUPERVISED"
"""The variable that tells a server of the process above it."""
NAME: Final = "upgrade.json"
PRESENCE: Final = "server.json"
HEALTHY_FOR_S = 1.0
"""How long a server must stay ready before it counts as healthy."""
LOOK_S = 0.1
ENDING_S = 20.0
"""How long a server on trial may take to stop before it is killed."""
UPTIME_S = 5.0
"""A server that ended sooner and was never there never served: starting it again would only say the same."""
CRASHES_MAX = 5
CRASHES_WINDOW_S = 60.0
LINES_KEPT = 20
GIT_S = 60.0
SECOND_S = 1.1
"""Python knows compiled files by the second: files that changed within one might be taken for those before."""
_PR_SET_PDEATHSIG = 1

State = Literal["begun", "trying", "taken", "rolling_back", "rolled_back"]


class Upgrade(msgspec.Struct, frozen=True):
    """A change of the server's own files, on trial."""

    proposal: str
    hash: str
    path: str
    """The repository."""
    branch: str
    base: str
    commit: str
    ready_within_s: float
    state: State = "begun"
    reason: str = ""


class _Presence(msgspec.Struct):
    url: str
    pid: int


def read(data: Path) -> Upgrade | None:
    """What is on trial, or was. Blocking."""
    try:
        return msgspec.json.decode((data / NAME).read_bytes(), type=Upgrade)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None


def write(data: Path, upgrade: Upgrade) -> None:
    """Put it on disk, whole. Blocking."""
    draft = data / f"{NAME}.{os.getpid()}"
    with draft.open("wb") as file:
        file.write(msgspec.json.encode(upgrade))
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, data / NAME)
    folder = os.open(data, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove(data: Path) -> None:
    """Forget it. Blocking."""
    (data / NAME).unlink(missing_ok=True)


class Child:
    """A server that was started, and the last that it said on stderr."""

    def __init__(self, command: list[str]) -> None:
        self.began_s = time.monotonic()
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        parent = os.getpid()
        self.process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            env={**os.environ, ENVIRONMENT: str(parent)},
            start_new_session=True,  # a Ctrl-C reaches it once, through this process
            preexec_fn=lambda: _die_with(parent),  # noqa: PLW1509  the one thread here reads a pipe and holds no lock
        )
        assert self.process.stderr is not None, "it was opened with a pipe"
        self._ear = threading.Thread(target=self._pass_on, args=(self.process.stderr,), daemon=True)
        self._ear.start()

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self.began_s

    def last_words(self) -> str:
        """The end of what it said."""
        self._ear.join(timeout=1.0)
        return next((line for line in reversed(self.lines) if line.strip()), "").strip()

    def end(self) -> None:
        """Stop it, and kill what does not stop."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _pass_on(self, stream: IO[bytes]) -> None:
        for line in stream:
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()
            self.lines.append(line.decode(errors="replace"))


class Supervisor:
    """One server after the other, on one data directory."""

    def __init__(self, data: Path, command: list[str]) -> None:
        self._data = data
        self._command = command
        self._child: Child | None = None
        self._is_stopping = False
        self._crashes_s: list[float] = []
        self._has_asked = ""
        """The commit on trial whose server has asked to be started again."""

    def run(self) -> int:
        """Until a server ends for good; its exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._forward)
        while True:
            upgrade = self._settled(read(self._data))
            child = self._child = Child(self._command)
            if self._is_stopping:
                child.process.send_signal(signal.SIGTERM)
            if upgrade is not None and not self._stands(child, upgrade):
                continue
            code = child.process.wait()
            child.last_words()
            if self._is_stopping or code in FINAL:
                return code
            if code != RESTART and not self._may_start_again(child):
                return code if code >= 0 else 128 - code

    def _settled(self, upgrade: Upgrade | None) -> Upgrade | None:
        """Finish a rollback that was begun; what is left to try, with the file saying so."""
        if upgrade is None or upgrade.state in ("taken", "rolled_back"):
            return None
        if upgrade.state == "rolling_back":
            problem = roll_back(upgrade)
            reason = f"{upgrade.reason}; {problem}" if problem else upgrade.reason
            write(self._data, msgspec.structs.replace(upgrade, state="rolled_back", reason=reason))
            time.sleep(SECOND_S)
            return None
        if tip_of(upgrade) != upgrade.commit:
            return None  # the branch was not moved, or others went on from there
        trying = msgspec.structs.replace(upgrade, state="trying")
        write(self._data, trying)
        time.sleep(SECOND_S)
        return trying

    def _stands(self, child: Child, upgrade: Upgrade) -> bool:
        """Whether the new tree is healthy in time, or a stop came first. If not, the rollback is begun."""
        reason = self._judge(child, upgrade.ready_within_s)
        if self._is_stopping:
            return True  # the next start tries it again
        if child.process.returncode == RESTART and self._has_asked != upgrade.commit:
            # A kill came before it was noted that the branch is moved: this server has noted it, and starts for that.
            self._has_asked = upgrade.commit
            return False
        if not reason:
            write(self._data, msgspec.structs.replace(upgrade, state="taken"))
            return True
        _say(f"upgrade {upgrade.proposal}: {reason}; it is rolled back")
        child.end()
        write(self._data, msgspec.structs.replace(upgrade, state="rolling_back", reason=reason))
        return False

    def _judge(self, child: Child, within_s: float) -> str:
        """Why the server is not healthy; nothing if it is."""
        deadline_s = time.monotonic() + within_s
        ready_s = 0.0
        while not self._is_stopping:
            now_s = time.monotonic()
            code = child.process.poll()
            if code is not None:
                return f"it ended with {code}: {child.last_words()}"[:500]
            if not self._is_ready(child):
                ready_s = 0.0
            elif not ready_s:
                ready_s = now_s
            elif now_s - ready_s >= HEALTHY_FOR_S:
                return ""
            if now_s >= deadline_s and not ready_s:
                return f"it was not ready within {within_s:g} s"
            time.sleep(LOOK_S)
        return ""

    def _is_ready(self, child: Child) -> bool:
        here = self._presence(child)
        return here is not None and (not here.url or is_ready(here.url))

    def _presence(self, child: Child) -> _Presence | None:
        """What the server has said of itself: it stays behind one that was killed."""
        try:
            here = msgspec.json.decode((self._data / PRESENCE).read_bytes(), type=_Presence)
        except (OSError, msgspec.DecodeError):
            return None
        return here if here.pid == child.process.pid else None

    def _may_start_again(self, child: Child) -> bool:
        now_s = time.monotonic()
        self._crashes_s = [then_s for then_s in self._crashes_s if now_s - then_s < CRASHES_WINDOW_S]
        self._crashes_s.append(now_s)
        has_served = child.uptime_s >= UPTIME_S or self._presence(child) is not None
        if not has_served or len(self._crashes_s) > CRASHES_MAX:
            return False
        _say(f"the server ended with {child.process.returncode} and is started again")
        return True

    def _forward(self, number: int, _: object) -> None:
        self._is_stopping = True
        if self._child is not None and self._child.process.poll() is None:
            self._child.process.send_signal(number)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def is_ready(url: str, timeout_s: float = 2.0) -> bool:
    """Whether a server says that it is ready."""
    connection: http.client.HTTPConnection
    if url.startswith("unix:"):
        connection = _UnixConnection(url.removeprefix("unix:"), timeout_s)
    else:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=timeout_s)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def tip_of(upgrade: Upgrade) -> str:
    """Where the branch stands; nothing if it cannot be told."""
    return _git(Path(upgrade.path), "rev-parse", "--verify", "--quiet", f"refs/heads/{upgrade.branch}")[1]


def roll_back(upgrade: Upgrade) -> str:
    """Move the branch back, and the working trees that have it checked out. What stands in the way, or nothing.

    Done again after a kill it goes on where it was: git writes an index last, so what is not done shows.
    """
    path, base = Path(upgrade.path), upgrade.base
    tip = tip_of(upgrade)
    if tip not in (base, upgrade.commit):
        return f"the branch {upgrade.branch} stands at {tip[:12]} and was left there"
    ref = f"refs/heads/{upgrade.branch}"
    if tip != base and not _git(path, "update-ref", "-m", "agora: rolled back", ref, base, upgrade.commit)[0]:
        return f"the branch {upgrade.branch} could not be moved"
    for tree in _worktrees(path, ref):
        if _git(tree, "diff-index", "--cached", "--quiet", base)[0]:
            continue
        if not _git(tree, "read-tree", "-m", "-u", upgrade.commit, base)[0]:
            _git(tree, "read-tree", "--reset", "-u", base)
        if not _git(tree, "diff-index", "--cached", "--quiet", base)[0]:
            return f"the working tree {tree} could not be moved"
    return ""


def _worktrees(path: Path, ref: str) -> list[Path]:
    listing = _git(path, "worktree", "list", "--porcelain", "-z")[1]
    records = [record.split("\0") for record in listing.split("\0\0")]
    return [Path(lines[0].removeprefix("worktree ")) for lines in records if f"branch {ref}" in lines]


def _git(path: Path, *arguments: str) -> tuple[bool, str]:
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_COMMITTER_NAME": "Agora",
        "GIT_COMMITTER_EMAIL": "agora@localhost",
    }
    settings = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
    try:
        done = subprocess.run(
            ["git", *settings, *arguments], cwd=path, env=environment, capture_output=True, timeout=GIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False, ""
    return done.returncode == 0, done.stdout.decode(errors="surrogateescape").strip("\n")


def _die_with(parent: int) -> None:
    """On Linux a server ends when the process above it is killed; nobody else would stop it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(RESTART)


def _say(words: str) -> None:
    sys.stderr.write(f"agora: {words}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(Supervisor(Path(sys.argv[1]), sys.argv[2:]).run())
