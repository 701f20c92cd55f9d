"""What goes wrong on a bad day, and the one line that says so."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import msgspec
import pytest

from tests.support.served import Ended, ran, served, started

pytestmark = pytest.mark.slow


class Checkpoint(msgspec.Struct):
    checkpoint: str
    reason: str


def said_once(ended: Ended, code: int, *words: str) -> None:
    """The command ended with that code, and its last line on stderr, the only one of ours, has these words."""
    assert ended.code == code, ended
    assert not ended.has_traceback, ended
    lines = [line for line in ended.err.splitlines() if line.startswith("agora: ")]
    assert len(lines) == 1, ended.err
    for word in words:
        assert word in lines[0], lines[0]


async def test_a_termination_drains_saves_a_checkpoint_and_ends_with_0(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as server:
        server.terminate()
        ended = await server.ended()
    assert ended.code == 0, ended
    assert not ended.has_traceback
    assert "everything is on disk" in ended.out
    assert not (tmp_path / "data" / "server.json").exists()
    listed = await ran("checkpoints", "list", "--json", "--data", str(tmp_path / "data"))
    checkpoints = msgspec.json.decode(listed.out, type=list[Checkpoint])
    assert checkpoints[0].reason == "stop"
    verified = await ran("checkpoints", "verify", "--data", str(tmp_path / "data"))
    assert (verified.code, verified.out) == (0, "".join(f"{one.checkpoint}: sound\n" for one in checkpoints))


async def test_a_second_start_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as server:
        posted = await ran("post", "Say hello", "--wait", "--json", "--data", str(server.data))
        assert posted.code == 0, posted
        server.terminate()
        await server.ended()
    async with served(tmp_path / "data") as server, server.client() as client:
        assert [task.spec.title for task in (await client.tasks()).tasks] == ["Say hello"]


async def test_a_taken_port_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = await ran("serve", "--data", str(tmp_path / "data"), "--port", str(port))
    said_once(ended, 1, f"cannot listen on 127.0.0.1:{port}", "the port is taken")


async def test_a_data_directory_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a directory")
    said_once(await ran("serve", "--data", str(tmp_path / "data"), "--port", "0"), 1, str(tmp_path / "data"))


async def test_a_data_directory_in_use_is_said(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as server:
        ended = await ran("serve", "--data", str(server.data), "--port", "0")
        said_once(ended, 1, str(server.data), str(server.pid))


async def test_a_damaged_database_is_said(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with served(data) as server:
        server.terminate()
        await server.ended()
    for database in data.glob("*.sqlite*"):
        database.write_bytes(b"this is no database " * 500)
    assert list(data.glob("*.sqlite*")), "there is something to damage"
    said_once(await ran("serve", "--data", str(data), "--port", "0"), 1, str(data))


async def test_an_unknown_setting_is_named_with_file_line_and_key(tmp_path: Path) -> None:
    config = tmp_path / "agora.toml"
    config.write_text("[web]\nport = 0\nprot = 1\n")
    ended = await ran("serve", "--config", str(config), "--data", str(tmp_path / "data"))
    said_once(ended, 2, f"{config}:3: web.prot: there is no such setting", "did you mean 'port'?")
    ended = await ran("status", "--data", str(tmp_path / "data"), env={"AGORA_WEB__PROT": "1"})
    said_once(ended, 2, "AGORA_WEB__PROT: web.prot: there is no such setting")


async def test_a_command_that_needs_a_server_says_so(tmp_path: Path) -> None:
    for command in (("status",), ("tail",), ("post", "Say hello"), ("wait", "t-1"), ("link",), ("ledger", "check")):
        said_once(await ran(*command, "--data", str(tmp_path / "data")), 1, "no server runs on")


async def test_wrong_usage_ends_with_2_and_help_with_0(tmp_path: Path) -> None:
    for wrong in (("bief",), ("brief",), ("post",), ("serve", "--port", "many"), ("tail", "--from", "-1")):
        ended = await ran(*wrong, "--data", str(tmp_path / "data"))
        assert (ended.code, ended.has_traceback) == (2, False), ended
        assert "Usage:" in ended.err
    for right in ("--help", "brief --help", "checkpoints list --help"):
        ended = await ran(*right.split())
        assert (ended.code, ended.err) == (0, "")


async def test_the_commands_read_a_running_server(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as server:
        at = ("--data", str(server.data))
        posted = await ran("post", "Say hello", "--wait", *at)
        assert (posted.code, "t-1 completed by" in posted.out) == (0, True), posted
        waited = await ran("wait", "t-1", "--json", *at)
        assert (waited.code, "completed" in waited.out) == (0, True), waited
        status = await ran("status", *at)
        assert all(word in status.out for word in ("t-1", "scout", "extractive", "journal: epoch")), status
        ledger = await ran("ledger", "check", *at)
        assert (ledger.code, ledger.out.startswith("conserved")) == (0, True), ledger
        link = await ran("link", *at)
        assert link.out.startswith(f"{server.url}/#token="), link
        saved = await ran("checkpoints", "create", "--label", "by hand", *at)
        assert saved.code == 0, saved
        unknown = await ran("wait", "t-99", *at)
        said_once(unknown, 1, "t-99")


async def test_a_tail_shows_events_from_a_position_and_ends_with_an_interrupt(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as server:
        tail = await started("tail", "--from", "0", "--type", "agent.*", "--data", str(server.data))
        assert tail.stdout is not None
        async with asyncio.timeout(30):
            lines = [(await tail.stdout.readline()).decode() for _ in range(3)]
            tail.send_signal(signal.SIGINT)
            _, err = await tail.communicate()
    assert all("agent.joined" in line for line in lines), lines
    assert (tail.returncode, err) == (0, b"")


async def test_a_reader_that_goes_away_ends_a_tail_without_a_word(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as server:
        reading, writing = os.pipe()
        os.close(reading)
        cut = await started("tail", "--from", "0", "--data", str(server.data), out=writing)
        os.close(writing)
        async with asyncio.timeout(30):
            _, err = await cut.communicate()
    assert (cut.returncode, err) == (1, b"")
