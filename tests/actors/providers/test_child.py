"""A model's process: started, watched, started again, and never left behind."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from actors.providers.child import LINE_BYTES_MAX, Child, Command, command_of
from actors.providers.dialect import ProviderFault
from actors.providers.llama import WORKER
from actors.providers.options import ProviderOptions
from actors.rules.cascade import ErrorClass

pytestmark = pytest.mark.slow

HELLO = "print('hello', flush=True)"
ECHO = f"import sys; sys.stdin.readline(); {HELLO}\nfor line in sys.stdin: print(line.strip(), flush=True)"
DIES = f"import sys; sys.stdin.readline(); {HELLO}\nsys.stdin.readline(); sys.exit('out of memory')"
MUTE = "import sys; sys.stdin.read()"
STUBBORN = f"import signal, sys; sys.stdin.readline(); {HELLO}\nsys.stdin.read(); signal.pause()"


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def child(script: str, clock: Clock | None = None, *, start_timeout_s: float = 30.0) -> AsyncIterator[Child]:
    arguments = (sys.executable, "-I", "-c", script)
    born = Child(Command("tiny", arguments, b"{}", start_timeout_s, {}), clock)
    try:
        yield born
    finally:
        await born.close()


async def is_gone(pid: int) -> bool:
    async with asyncio.timeout(10):
        while os.path.exists(f"/proc/{pid}"):  # noqa: ASYNC110, ASYNC240  # nobody tells when a process is gone
            await asyncio.sleep(0)
    return True


async def test_it_starts_with_the_first_call_and_answers_line_by_line() -> None:
    async with child(ECHO) as born:
        run = await born.ready(30.0)
        assert run.hello == b"hello"
        run.send(b"one")
        assert await born.line(run, 10.0) == b"one"
        assert await born.ready(1.0) is run


async def test_two_calls_at_once_start_one_process() -> None:
    async with child(ECHO) as born:
        first, second = await asyncio.gather(born.ready(30.0), born.ready(30.0))
        assert first is second


async def test_what_it_complains_of_is_in_the_log_and_in_the_fault(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="actors.providers.child")
    async with child(DIES) as born:
        run = await born.ready(30.0)
        run.send(b"work")
        with pytest.raises(ProviderFault) as fault:
            await born.line(run, 10.0)
        assert (fault.value.error, fault.value.reason) == (
            ErrorClass.TRUNCATED,
            "the process has ended (out of memory)",
        )
        assert [record.__dict__["line"] for record in caplog.records] == ["out of memory"]


async def test_one_that_ends_by_itself_waits_longer_each_time_before_it_starts_again() -> None:
    clock = Clock()
    async with child(DIES, clock) as born:
        for wait_s in (1.0, 2.0, 4.0):
            run = await born.ready(30.0)
            run.send(b"work")
            await run.gone.wait()
            with pytest.raises(ProviderFault) as fault:
                await born.ready(30.0)
            assert fault.value.error is ErrorClass.REFUSED
            assert fault.value.reason == f"the process is down and starts again in {wait_s:.1f} s"
            clock.now_s += wait_s
        run = await born.ready(30.0)
        clock.now_s += 120.0  # a while of good work
        run.send(b"work")
        await run.gone.wait()
        with pytest.raises(ProviderFault, match=r"in 1\.0 s"):
            await born.ready(30.0)


async def test_one_that_is_dropped_starts_again_at_once() -> None:
    async with child(ECHO) as born:
        run = await born.ready(30.0)
        born.drop(run, "nobody wants it")
        assert await is_gone(run.pid)
        assert await born.ready(30.0) is not run


async def test_a_call_does_not_wait_for_the_start_longer_than_it_may_and_the_start_goes_on() -> None:
    async with child(MUTE) as born:
        with pytest.raises(ProviderFault) as fault:
            await born.ready(0.05)
        assert (fault.value.error, fault.value.reason) == (ErrorClass.TIMEOUT, "the model is still being loaded")
        with pytest.raises(ProviderFault, match="still being loaded"):
            await born.ready(0.05)


async def test_a_start_that_takes_too_long_is_ended() -> None:
    async with child(MUTE, start_timeout_s=0.05) as born:
        with pytest.raises(ProviderFault, match="it was not ready within") as fault:
            await born.ready(30.0)
        assert fault.value.error is ErrorClass.REFUSED


async def test_one_that_cannot_be_started_is_refused_with_the_reason() -> None:
    born = Child(Command("tiny", ("/nowhere/python",), b"{}", 1.0, {}))
    with pytest.raises(ProviderFault, match="No such file") as fault:
        await born.ready(1.0)
    assert fault.value.error is ErrorClass.REFUSED


async def test_a_line_that_does_not_come_in_time_is_a_timeout() -> None:
    async with child(ECHO) as born:
        run = await born.ready(30.0)
        with pytest.raises(ProviderFault) as fault:
            await born.line(run, 0.05)
        assert fault.value.error is ErrorClass.TIMEOUT


async def test_one_that_says_too_much_is_ended() -> None:
    flood = (
        f"import sys; sys.stdin.readline(); {HELLO}\nsys.stdout.write('x' * {LINE_BYTES_MAX * 2}); sys.stdout.flush()"
    )
    async with child(f"{flood}\nsys.stdin.read()") as born:
        run = await born.ready(30.0)
        with pytest.raises(ProviderFault, match="it says too much"):
            await born.line(run, 30.0)


async def test_what_was_read_does_not_count_against_how_much_it_may_say() -> None:
    async with child(ECHO) as born:
        run = await born.ready(30.0)
        for _ in range(5):
            run.send(b"x" * (LINE_BYTES_MAX // 4))
            assert len(await born.line(run, 10.0)) == LINE_BYTES_MAX // 4


async def test_a_complaint_without_an_end_does_not_end_it() -> None:
    noise = f"import sys; sys.stderr.write('50 %' + chr(13) * {LINE_BYTES_MAX * 2}); sys.stderr.flush()\n"
    async with child(noise + ECHO) as born:
        run = await born.ready(30.0)
        run.send(b"one")
        assert await born.line(run, 10.0) == b"one"


async def test_it_ends_with_the_system_even_if_it_does_not_want_to() -> None:
    pids: list[int] = []
    for script in (ECHO, STUBBORN):
        async with child(script) as born:
            pids.append((await born.ready(30.0)).pid)
    assert [await is_gone(pid) for pid in pids] == [True, True]


async def test_it_hears_no_interrupt_of_the_terminal() -> None:
    async with child(ECHO) as born:
        run = await born.ready(30.0)
        assert os.getsid(run.pid) == run.pid


async def test_a_released_one_ends_with_its_last_call() -> None:
    async with child(ECHO) as born:
        run = await born.ready(30.0)
        with born.used():
            with born.used():
                born.release()
            run.send(b"last words")
            assert await born.line(run, 10.0) == b"last words"
        await run.gone.wait()
        with pytest.raises(ProviderFault):
            await born.ready(1.0)


def test_the_process_sees_nothing_of_the_environment_but_what_it_needs() -> None:
    options = ProviderOptions(name="tiny", dialect="llama", model_path="/x/tiny.gguf", memory_bytes_max=5)
    command = command_of(options, WORKER, {"key": "k"}, {"PATH": "/bin", "OPENAI_API_KEY": "secret"})
    assert command.environment["PATH"] == "/bin"
    assert "OPENAI_API_KEY" not in command.environment
    assert command.arguments[1:] == ("-I", str(WORKER))
    assert b'"memory_bytes_max":5' in command.settings


async def test_it_ends_even_when_this_process_is_killed() -> None:
    script = (
        "import asyncio, sys\n"
        "from actors.providers.child import Child, Command\n"
        "async def main():\n"
        f"    child = Child(Command('tiny', (sys.executable, '-I', '-c', {ECHO!r}), b'{{}}', 30.0, {{}}))\n"
        "    print((await child.ready(30.0)).pid, flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(60):
        pid = int(await process.stdout.readline())
    process.kill()
    await process.wait()
    assert await is_gone(pid)
