"""`agora serve`: what it says, and how it stops; as a process, since signals belong to one."""

import signal
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from actors.commands import serve
from actors.commands.console import ExitCode, exit_code_of, first_of, message_of
from actors.composition import DRAIN_MAX_S, STOP_CHECKPOINT_MAX_S
from actors.runtime import SupervisionOptions
from bus.messages.artifacts import ARTIFACTS, ListArtifacts
from tests.support.inside import serving
from tests.support.served import served

pytestmark = pytest.mark.slow


async def test_the_welcome_says_where_it_serves_who_answers_and_where_the_data_is(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as server:
        said = "".join(server.out)
        assert f"Agora serves {server.url}\n" in said
        assert f"{server.url}/#token=" in said
        assert f"data: {server.data}" in said
        assert "agents: scout, analyst, editor, librarian" in said
        assert "no model was found" in said
        async with server.client() as client:
            assert (await client.ready()).ready
        assert (await server.link()).startswith(f"{server.url}/#token=")


async def test_an_interrupt_stops_as_a_termination_does(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as server:
        server.interrupt()
        ended = await server.ended()
    assert (ended.code, ended.has_traceback) == (0, False), ended


async def test_a_server_without_pages_opens_no_port(tmp_path: Path) -> None:
    async with served(tmp_path / "data", env={"AGORA_WEB__ENABLED": "false"}) as server:
        assert server.url == ""
        assert "headless" in server.out[0]
        server.terminate()
        assert (await server.ended()).code == 0


AT_ONCE_S = DRAIN_MAX_S + STOP_CHECKPOINT_MAX_S
"""From the last failure to the end: longer takes who waits for what will not come to rest."""


async def never() -> AsyncGenerator[signal.Signals, None]:
    """No signal comes."""
    await anyio.sleep_forever()
    yield signal.SIGTERM


async def test_an_actor_that_fails_too_often_ends_the_server_with_the_cause(tmp_path: Path) -> None:
    async with serving(tmp_path) as society, aclosing(never()) as signals:
        for _ in range(SupervisionOptions().intensity_max):
            society.system.kill(ARTIFACTS)
            await society.system.ask(ARTIFACTS, ListArtifacts(), timeout_s=30.0)  # its mailbox outlasts the restart
        began_s = anyio.current_time()
        society.system.kill(ARTIFACTS)
        with pytest.raises(ExceptionGroup) as ended:
            await serve._until_stopped(society, signals)
    assert anyio.current_time() - began_s < AT_ONCE_S
    error = first_of(ended.value)
    assert message_of(error) == "artifacts was killed"
    assert exit_code_of(error) is ExitCode.FAILED
