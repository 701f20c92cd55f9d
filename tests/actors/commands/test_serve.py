"""`agora serve`: what it says, and how it stops; as a process, since signals belong to one."""

from pathlib import Path

import pytest

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
