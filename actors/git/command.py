"""Run a program outside: bounded in time and output, with an environment of its own, and ended with all that it began.

Rules: nothing of this process's environment is passed on but the path; git's hooks, its user's and the machine's
settings, prompts, pagers, external diffs and background repacking are off. Past its time a program and its session are
killed. Of its output at most `output_max` bytes are held in memory; what says more than it may is killed too. Whoever
gives up waiting, however and whenever, leaves no program and nothing of it behind.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import anyio
import msgspec
from anyio.abc import ByteReceiveStream, Process

from bus.refusals import ChangeRefused

OUTPUT_MAX = 8 * 1024 * 1024
"""Listings of changed files and of working trees; texts that people read have a bound of their own."""
ENDING_S = 5.0
"""How long a killed program may take to be gone."""
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.pager=cat",
    "core.quotePath=true",
    "diff.external=",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.allow=never",
    "submodule.recurse=false",
    "commit.gpgSign=false",
    "advice.detachedHead=false",
)
SETTINGS = tuple(word for setting in _SETTINGS for word in ("-c", setting))


class Ended(msgspec.Struct, frozen=True):
    """How a program ended. `reason` says why it was killed, or is empty."""

    exit_code: int
    output: bytes
    errors: bytes
    reason: str = ""


def clean_environment() -> dict[str, str]:
    """What a child process gets to know."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_EDITOR": "false",
        "GIT_NO_REPLACE_OBJECTS": "1",
    }


async def run(
    command: Sequence[str],
    *,
    cwd: Path,
    timeout_s: float,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    output_max: int = OUTPUT_MAX,
    heard: Callable[[bytes], None] | None = None,
) -> Ended:
    """Run a program to its end, or end it. Raises ChangeRefused when it cannot be started.

    `heard` is told what the program says, output and errors, as it says it.
    """
    ended: list[Ended | OSError] = []

    async def live() -> None:
        try:
            with anyio.CancelScope(shield=True):  # once it is started, it is ended too
                process = await _start(command, cwd, environment or {})
        except OSError as error:
            ended.append(error)
        else:
            ended.append(await _see_to_its_end(process, timeout_s, stdin, output_max, heard))

    # A task of its own: a job is cancelled as asyncio does it, which no shield in the job's task would keep off.
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(live)
    outcome = ended[0]
    if isinstance(outcome, OSError):
        raise ChangeRefused(f"{command[0]} cannot be started: {outcome.strerror}") from outcome
    return outcome


async def git(
    repository: Path,
    *arguments: str,
    timeout_s: float,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    output_max: int = OUTPUT_MAX,
    may_fail: Sequence[int] = (),
) -> Ended:
    """Run git in a repository. Raises ChangeRefused when it fails with a code that is not among `may_fail`."""
    ended = await run(
        ("git", *SETTINGS, *arguments),
        cwd=repository,
        timeout_s=timeout_s,
        stdin=stdin,
        environment=environment,
        output_max=output_max,
    )
    if ended.reason:
        raise ChangeRefused(f"git {arguments[0]}: {ended.reason}")
    if ended.exit_code != 0 and ended.exit_code not in may_fail:
        words = " ".join((ended.errors or ended.output).decode(errors="replace").split())[:600]
        raise ChangeRefused(f"git {arguments[0]} ended with {ended.exit_code}: {words}")
    return ended


async def _start(command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> Process:
    return await anyio.open_process(
        command,
        cwd=cwd,
        env={**clean_environment(), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


async def _see_to_its_end(
    process: Process, timeout_s: float, stdin: bytes, output_max: int, heard: Callable[[bytes], None] | None
) -> Ended:
    output, errors = bytearray(), bytearray()
    reason = ""
    try:
        with anyio.move_on_after(timeout_s) as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_feed, process, stdin)
                tasks.start_soon(_read, process.stdout, output, output_max, tasks.cancel_scope, heard)
                tasks.start_soon(_read, process.stderr, errors, output_max, tasks.cancel_scope, heard)
            if not tasks.cancel_scope.cancel_called:
                await process.wait()
        if scope.cancelled_caught:
            reason = f"it was still running after {timeout_s:g} s"
        elif tasks.cancel_scope.cancel_called:
            reason = f"it said more than {output_max} bytes"
    finally:
        await _end(process)
    code = process.returncode
    return Ended(code if code is not None else -1, bytes(output[:output_max]), bytes(errors[:output_max]), reason)


async def _feed(process: Process, stdin: bytes) -> None:
    assert process.stdin is not None, "it was opened with a pipe"
    try:
        if stdin:
            await process.stdin.send(stdin)
    except (BrokenPipeError, anyio.BrokenResourceError):
        pass  # it has read what it wanted; its exit code says whether that was right
    finally:
        await process.stdin.aclose()


async def _read(
    stream: ByteReceiveStream | None,
    into: bytearray,
    most: int,
    scope: anyio.CancelScope,
    heard: Callable[[bytes], None] | None,
) -> None:
    assert stream is not None, "it was opened with a pipe"
    async for chunk in stream:
        into += chunk
        if heard is not None:
            heard(chunk)
        if len(into) > most:
            scope.cancel()
            return


async def _end(process: Process) -> None:
    """Kill what is left of its session, and wait until it is gone."""
    with anyio.CancelScope(shield=True), anyio.move_on_after(ENDING_S):
        with contextlib.suppress(ProcessLookupError):  # nobody of it is left
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        await process.aclose()
