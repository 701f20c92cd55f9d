"""The process between Agora and a check: whatever the check begins ends with it.

Run as a program: `python -I warden.py SECONDS COMMAND...`. On Linux it adopts the orphans of the check, so that none
that left its session escapes, and it dies with the process that began it. It bounds the size of files and the memory
that each process may have. Its exit code is the check's, or 124 when the time was over.

It imports nothing of Agora: it is started for each check, and starts fast.
"""

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

TIME_OVER = 124
CANNOT_START = 127
FILE_BYTES_MAX = 2 * 1024**3
MEMORY_BYTES_MAX = 16 * 1024**3
"""Of address space, which is reserved far beyond what is used."""
ROUNDS_MAX = 200
"""What forks faster than it is killed is stopped first; this many rounds end any of it."""
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Run the command and end all that it began."""
    timeout_s, command = float(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    signal.signal(signal.SIGTERM, _end_all)
    _bound(resource.RLIMIT_FSIZE, FILE_BYTES_MAX)
    _bound(resource.RLIMIT_AS, MEMORY_BYTES_MAX)
    _bound(resource.RLIMIT_CORE, 0)
    try:
        check = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error.strerror}\n")
        return CANNOT_START
    try:
        code = check.wait(timeout_s)
    except subprocess.TimeoutExpired:
        code = TIME_OVER
    end_descendants()
    return code if code >= 0 else 128 - code


def end_descendants() -> None:
    """Kill all children and theirs, until there are none."""
    for _ in range(ROUNDS_MAX):
        found = descendants(os.getpid())
        if not found:
            return
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        _reap()


def descendants(root: int) -> list[int]:
    """The processes below one that have not ended, by Linux's process table; elsewhere none can be told."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        if fields[0] not in "ZX":
            parents[int(entry.parent.name)] = int(fields[1])
    found: list[int] = []
    wanted = {root}
    while wanted:
        wanted = {pid for pid, parent in parents.items() if parent in wanted}
        found.extend(wanted)
    return found


def _reap() -> None:
    deadline = time.monotonic() + 0.05
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.002)


def _bound(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (most, most))


def _end_all(number: int, frame: object) -> None:
    end_descendants()
    os._exit(TIME_OVER)


if __name__ == "__main__":
    sys.exit(main())
