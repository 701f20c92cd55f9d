"""Agora as a process, as a user starts it: for tests that kill, stop and interrupt it.

`served` starts `python -m actors.main serve` on a free port and returns once it says where it serves. The process is
ended by its own id at the end of the block, however the block ends.
"""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import msgspec

from actors.commands import presence
from actors.commands.presence import Presence
from tests.house.tree import ROOT
from web.client import AgoraClient

READY_MAX_S = 30.0
"""A start takes about a second; a busy machine takes its time."""
END_MAX_S = 30.0

OFFLINE = {"OPENAI_API_KEY": "", "ANTHROPIC_API_KEY": "", "NO_COLOR": "1", "TERM": "dumb"}
"""No key of whoever runs the tests is used, and no colour stands in the words."""


class Ended(msgspec.Struct, frozen=True):
    """How a process ended, and all that it said."""

    code: int
    out: str
    err: str

    @property
    def has_traceback(self) -> bool:
        return "Traceback" in self.out + self.err


class Served:
    """A running server."""

    def __init__(
        self, data: Path, process: asyncio.subprocess.Process, presence: Presence, out: list[str], err: IO[bytes]
    ) -> None:
        self.data = data
        self.process = process
        self.url = presence.url
        self.pid = presence.pid
        self.token = Path(presence.token_path).read_text(encoding="ascii").strip()
        self.out = out
        """The lines that it printed while it started."""
        self._err = err

    def client(self) -> AgoraClient:
        """A client with all rights; open it with `async with`."""
        return AgoraClient(self.url, token=self.token)

    async def link(self) -> str:
        """A fresh address of the page that opens one session with all rights."""
        async with self.client() as client:
            return f"{self.url}/#token={await client.issue_link()}"

    def kill(self) -> None:
        """SIGKILL: no goodbye, no checkpoint."""
        os.kill(self.pid, signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM: drain and stop."""
        os.kill(self.pid, signal.SIGTERM)

    def interrupt(self) -> None:
        """SIGINT, as Ctrl-C sends it."""
        os.kill(self.pid, signal.SIGINT)

    async def ended(self) -> Ended:
        """Wait for the process to end."""
        async with asyncio.timeout(END_MAX_S):
            out, _ = await self.process.communicate()
        return Ended(self.process.returncode or 0, "".join(self.out) + out.decode(), _text_of(self._err))


@asynccontextmanager
async def served(data: Path, *arguments: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Served]:
    """A server on a free port. Raises AssertionError with its words when it does not come up."""
    # Into a file: what nobody reads from a pipe would stop the server once the pipe is full.
    with tempfile.TemporaryFile() as err:
        async with _serving(data, arguments, env, err) as server:
            yield server


@asynccontextmanager
async def _serving(
    data: Path, arguments: Sequence[str], env: Mapping[str, str] | None, err: IO[bytes]
) -> AsyncIterator[Served]:
    process = await started("serve", "--data", str(data), "--port", "0", *arguments, env=env, err=err)
    try:
        out = await _until_ready(process, err)
        here = await asyncio.to_thread(presence.find, data)
        assert here is not None, f"it says that it serves, and is not found: {''.join(out)}"
        assert here.pid == process.pid
        yield Served(data, process, here, out, err)
    finally:
        if process.returncode is None:
            process.kill()
            async with asyncio.timeout(END_MAX_S):
                await process.communicate()


async def ran(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, timeout_s: float = 120.0
) -> Ended:
    """Run one command to its end."""
    process = await started(*arguments, env=env, cwd=cwd)
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())


async def started(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    out: int = asyncio.subprocess.PIPE,
    err: IO[bytes] | int = asyncio.subprocess.PIPE,
) -> asyncio.subprocess.Process:
    """Start a command; whoever calls ends it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AGORA_")}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "actors.main",
        *arguments,
        cwd=cwd or ROOT,
        env={**environment, "PYTHONPATH": str(ROOT), **OFFLINE, **(env or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=out,
        stderr=err,
    )


async def _until_ready(process: asyncio.subprocess.Process, err: IO[bytes]) -> list[str]:
    """The lines up to the last one of the welcome."""
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(READY_MAX_S):
        while not lines or not lines[-1].startswith("  stop:"):
            line = (await process.stdout.readline()).decode()
            if not line:
                raise AssertionError(f"the server ended instead of serving: {''.join(lines)}{_text_of(err)}")
            lines.append(line)
    return lines


def _text_of(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()
