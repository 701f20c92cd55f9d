"""Child processes of the benchmarks, spoken to in lines: what they do is not this process's processor time."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ANSWER_TIMEOUT_S = 120.0
END_TIMEOUT_S = 10.0


class Child:
    """A child process that answers lines with lines."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def read(self) -> str:
        """The next line. Raises RuntimeError when the process has ended or does not answer."""
        assert self._process.stdout is not None
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            line = (await self._process.stdout.readline()).decode().strip()
        if not line or line.startswith(("error", "lost")):
            raise RuntimeError(f"a process of the benchmark failed: {line or 'it ended'}")
        return line

    async def ask(self, line: str) -> str:
        """Write a line, read the answer."""
        self.write(line)
        return await self.read()

    def write(self, line: str) -> None:
        """Write a line that is answered later."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())


@asynccontextmanager
async def child(module: str, *arguments: str) -> AsyncIterator[Child]:
    """A child process; the end of its input is its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdin=PIPE, stdout=PIPE, cwd=ROOT
    )
    assert process.stdin is not None
    try:
        yield Child(process)
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
