"""A model's process: ours, started with the first call that needs it, watched, and started again when it ends.

Rules: it says in one line when it is ready, and it has a bounded time for that; until then calls wait as long as their
own limits let them, and the start goes on without them. When it ends without being asked to, the wait before the next
start doubles up to a bound, and calls meanwhile fail at once; a while of good work forgets that. What it writes on its
standard error goes to the log, line by line. Its standard input is its leash: when this process ends, however it ends,
so does the child. Nobody waits for it in a task of ours: everything comes as callbacks of the loop.
"""

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from actors.providers.dialect import ProviderFault, shorten
from actors.providers.options import ProviderOptions
from actors.rules.cascade import ErrorClass

LINE_BYTES_MAX = 1024 * 1024
"""One line of its standard output; honest ones have some hundred bytes."""
COMPLAINT_BYTES_MAX = 2_000
"""Of one line of its standard error so much is kept."""
BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 60.0
STEADY_S = 60.0
"""A child that was ready for so long starts anew without a wait."""
END_MAX_S = 3.0
"""How long it may take to end by itself once its input is closed; then it is killed."""

PASSED_ON = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
"""What a model's process sees of the environment."""

logger = logging.getLogger(__name__)


class Command(msgspec.Struct, frozen=True):
    """How the process is started."""

    name: str
    """The provider's."""
    arguments: tuple[str, ...]
    settings: bytes
    """The first line that it reads."""
    start_timeout_s: float
    environment: Mapping[str, str]
    """All that it sees of the environment: no key of ours is among it."""


class Run(asyncio.SubprocessProtocol):
    """One incarnation of the process."""

    def __init__(self, name: str, now_s: float) -> None:
        self.name = name
        self.pid = 0
        """Its process."""
        self.started_s = now_s
        self.ready_s = 0.0
        """When it said that it was ready; 0 until then."""
        self.hello = b""
        """What it said then."""
        self.changed = asyncio.Event()
        """Set whenever something has come: a line, or the end."""
        self.gone = asyncio.Event()
        self.lines: deque[bytes] = deque()
        """What it said since and nobody has read."""
        self.reason = ""
        """Why it was ended, if it was."""
        self.complaint = ""
        """The last line of its standard error."""
        self._transport: asyncio.SubprocessTransport | None = None
        self._rests = {1: b"", 2: b""}
        self._size = 0

    @property
    def is_alive(self) -> bool:
        """Whether it may still be asked."""
        return not self.gone.is_set() and not self.reason

    def send(self, line: bytes) -> None:
        """Write a line to it."""
        pipe = self._transport.get_pipe_transport(0) if self._transport is not None else None
        if isinstance(pipe, asyncio.WriteTransport) and not pipe.is_closing():
            pipe.write(line + b"\n")

    def kill(self, reason: str) -> None:
        """End it now."""
        if self.is_alive and self._transport is not None:
            self.reason = reason
            with suppress(ProcessLookupError):  # it has just ended by itself
                self._transport.kill()

    def close(self) -> None:
        """Let it end: its input ends."""
        self.reason = self.reason or "the system stops"
        pipe = self._transport.get_pipe_transport(0) if self._transport is not None else None
        if pipe is not None:
            pipe.close()

    def take(self) -> bytes | None:
        """The next line, if one has come."""
        if not self.lines:
            self.changed.clear()
            return None
        line = self.lines.popleft()
        self._size -= len(line)
        return line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport
        self.pid = transport.get_pid() or 0

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        *lines, rest = (self._rests[fd] + data).split(b"\n")
        if fd == 2:
            rest = rest[-COMPLAINT_BYTES_MAX:]
        self._rests[fd] = rest
        for line in lines:
            if fd == 2:
                self._complain(line)
            elif line:
                self._hear(line)
        if len(rest) > LINE_BYTES_MAX:
            self.kill("it says too much")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        self.gone.set()
        self.changed.set()

    def _hear(self, line: bytes) -> None:
        self._size += len(line)
        if self._size > LINE_BYTES_MAX:
            self.kill("it says too much")
            return
        self.lines.append(line)
        self.changed.set()

    def _complain(self, line: bytes) -> None:
        words = line[:COMPLAINT_BYTES_MAX].decode(errors="replace").strip()
        if words:
            self.complaint = words
            logger.info("a model's process says something", extra={"provider": self.name, "line": words})


class Child:
    """The process over all its incarnations."""

    def __init__(self, command: Command, now_s: Callable[[], float] | None = None) -> None:
        self._command = command
        self._now_s = now_s or (lambda: asyncio.get_running_loop().time())
        self._run: Run | None = None
        self._starting = asyncio.Lock()
        self._failures = 0
        self._again_s = 0.0
        """When it may be started again."""
        self._users = 0
        self._is_closed = False

    @contextmanager
    def used(self) -> Iterator[None]:
        """A call is under way: a released process waits for its end."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if self._is_closed and not self._users and self._run is not None:
                self._run.close()

    def release(self) -> None:
        """End it once no call is under way any more."""
        self._is_closed = True
        if not self._users and self._run is not None:
            self._run.close()

    async def ready(self, limit_s: float) -> Run:
        """The process once it is ready.

        Raises:
            ProviderFault: it is not ready within the limit, or it ended and waits for its next start.
        """
        until_s = self._now_s() + limit_s
        run = await self._running()
        while run.is_alive and not run.ready_s:
            left_s = min(until_s, run.started_s + self._command.start_timeout_s) - self._now_s()
            if left_s <= 0.0:
                break
            await self._wait(run, left_s)
            if (line := run.take()) is not None:
                run.hello, run.ready_s = line, self._now_s()
        if run.is_alive and run.ready_s:
            return run
        if run.is_alive and self._now_s() >= run.started_s + self._command.start_timeout_s:
            run.kill(f"it was not ready within {self._command.start_timeout_s:g} s")
        elif run.is_alive:
            raise ProviderFault(ErrorClass.TIMEOUT, "the model is still being loaded")
        raise self._ended(run)

    async def line(self, run: Run, limit_s: float) -> bytes:
        """The next line of a process that is ready.

        Raises:
            ProviderFault: none came in time, or it has ended.
        """
        until_s = self._now_s() + limit_s
        while (line := run.take()) is None:
            if not run.is_alive:
                raise self._ended(run)
            left_s = until_s - self._now_s()
            if left_s <= 0.0:
                raise ProviderFault(ErrorClass.TIMEOUT, f"no answer within {limit_s:.3g} s")
            await self._wait(run, left_s)
        return line

    def drop(self, run: Run, reason: str) -> None:
        """End a process that did nothing wrong: the next one starts without a wait."""
        run.kill(reason)
        if run is self._run:
            self._run = None

    async def close(self) -> None:
        """End it for good."""
        self._is_closed = True
        run = self._run
        if run is None or run.gone.is_set():
            return
        run.close()
        try:
            async with asyncio.timeout(END_MAX_S):
                await run.gone.wait()
        except TimeoutError:
            run.reason = ""
            run.kill("it did not end by itself")
            await run.gone.wait()

    async def _running(self) -> Run:
        """The process that runs, or a fresh one. Raises ProviderFault while it must wait."""
        async with self._starting:
            if self._run is not None and self._run.is_alive:
                return self._run
            if self._run is not None:
                self._note_end(self._run)
            wait_s = self._again_s - self._now_s()
            if self._is_closed or wait_s > 0.0:
                raise ProviderFault(ErrorClass.REFUSED, f"the process is down and starts again in {wait_s:.1f} s")
            self._run = await self._start()
            return self._run

    async def _start(self) -> Run:
        command, loop = self._command, asyncio.get_running_loop()
        try:
            _, run = await loop.subprocess_exec(
                lambda: Run(command.name, self._now_s()),
                *command.arguments,
                env=command.environment,
                start_new_session=True,  # it does not hear the terminal's interrupts: it ends with us, not before
            )
        except OSError as error:
            self._fail()
            raise ProviderFault(ErrorClass.REFUSED, f"the process cannot be started: {error.strerror}") from error
        run.send(command.settings)
        return run

    async def _wait(self, run: Run, limit_s: float) -> None:
        with suppress(TimeoutError):  # the caller looks at the time itself
            async with asyncio.timeout(limit_s):
                await run.changed.wait()

    def _note_end(self, run: Run) -> None:
        """Once for each incarnation: when may the next one start?"""
        self._run = None
        if run.ready_s and self._now_s() - run.ready_s >= STEADY_S:
            self._failures = 0
        self._fail()

    def _fail(self) -> None:
        backoff_s = min(BACKOFF_FIRST_S * 2.0**self._failures, BACKOFF_MAX_S)
        self._failures += 1
        self._again_s = self._now_s() + backoff_s

    def _ended(self, run: Run) -> ProviderFault:
        words = f"the process has ended ({run.reason or run.complaint or 'without a word'})"
        return ProviderFault(ErrorClass.TRUNCATED if run.ready_s else ErrorClass.REFUSED, shorten(words))


def command_of(
    options: ProviderOptions, worker: Path, settings: Mapping[str, object], environment: Mapping[str, str]
) -> Command:
    """How a model's process is started."""
    told = {
        "model": options.model,
        "model_path": options.model_path,
        "context_tokens": options.context_tokens,
        "memory_bytes_max": options.memory_bytes_max,
        **settings,
    }
    passed = {name: environment[name] for name in PASSED_ON if name in environment}
    return Command(
        name=options.name,
        arguments=(options.python or sys.executable, "-I", str(worker)),
        settings=msgspec.json.encode(told),
        start_timeout_s=options.start_timeout_s,
        environment=passed | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
    )
