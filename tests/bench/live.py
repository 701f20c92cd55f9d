"""The live feed against a loop of sends: the same events to the same hundred clients, over real sockets.

Server and clients are processes of their own, so that the clients' work is not the server's. A round is over when
every client has seen the last position; clients check that none is missing. Deliveries are events times clients; the
processor time is the server's alone.
"""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bench.harness import Aim, Figure, Sample, Scale, compare_rates

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = 100
EVENTS_OURS = 8_000
"""Fewer than the ring holds: nobody has to be fed from storage."""
EVENTS_LOOP = 1_000
"""The baseline takes long; rates are per delivery."""
ANSWER_TIMEOUT_S = 120.0
END_TIMEOUT_S = 10.0
HELLO = '{"id":1,"method":"hello","params":{}}\t{"id":2,"method":"subscribe","params":{"sub":"feed","topics":["#"]}}'


class LiveProcess:
    """A child process that answers lines with lines."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def read(self) -> str:
        """The next line. Raises RuntimeError when the process has ended or does not answer."""
        assert self._process.stdout is not None
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            line = (await self._process.stdout.readline()).decode().strip()
        if not line or line.startswith(("error", "lost")):
            raise RuntimeError(f"a process of the live benchmark failed: {line or 'it ended'}")
        return line

    async def ask(self, line: str) -> str:
        """Write a line, read the answer."""
        self.write(line)
        return await self.read()

    def write(self, line: str) -> None:
        """Write a line that is answered later."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())


class Stage:
    """A server and its clients, connected and waiting."""

    def __init__(self, server: LiveProcess, clients: LiveProcess, events: int) -> None:
        self._server = server
        self._clients = clients
        self._events = events

    async def run(self) -> Sample:
        """Publish, and wait until every client has everything."""
        cpu_s = float(await self._server.ask("cpu"))
        started = time.perf_counter()
        target = await self._server.ask(str(self._events))
        await self._clients.ask(target)
        wall_s = time.perf_counter() - started
        cpu_s = float(await self._server.ask("cpu")) - cpu_s
        return Sample(self._events * CLIENTS, wall_s, cpu_s)


async def figures(scale: Scale) -> AsyncIterator[Figure]:
    """Deliveries a second to a hundred clients."""
    async with (
        _stage("ours", HELLO, scale.count(EVENTS_OURS)) as ours,
        _stage("loop", "", scale.count(EVENTS_LOOP)) as baseline,
    ):
        async for figure in compare_rates(
            f"deliveries to {CLIENTS} sockets", "deliveries", ours.run, baseline.run, scale=scale, aim=Aim(30)
        ):
            yield figure


@asynccontextmanager
async def _stage(kind: str, opening: str, events: int) -> AsyncIterator[Stage]:
    async with _process("tests.bench.live_server", kind) as server:
        port = await server.read()
        async with _process("tests.bench.live_clients", f"ws://127.0.0.1:{port}/ws", str(CLIENTS)) as clients:
            assert await clients.ask(opening) == "ready"
            yield Stage(server, clients, events)


@asynccontextmanager
async def _process(module: str, *arguments: str) -> AsyncIterator[LiveProcess]:
    """A child process; the end of its input is its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdin=PIPE, stdout=PIPE, cwd=ROOT
    )
    assert process.stdin is not None
    try:
        yield LiveProcess(process)
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
