"""What operators do over the live socket of a real server: checkpoints, agents, triggers, the switch."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest

from tests.support.served import Served, served
from web.frames import SUBPROTOCOL

pytestmark = pytest.mark.slow

Words = dict[str, object]


class Reply(msgspec.Struct):
    """An answer to a request; other frames have no id."""

    id: int = 0
    result: Words = {}
    error: Words = {}


class Socket:
    """A session that asks one thing after the other."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._asked = 0

    async def ask(self, method: str, **params: object) -> Words:
        """What it is answered with. Raises AssertionError with the words of a refusal."""
        reply = await self._exchange(method, params)
        assert not reply.error, reply.error
        return reply.result

    async def refused(self, method: str, **params: object) -> Words:
        """The refusal."""
        return (await self._exchange(method, params)).error

    async def _exchange(self, method: str, params: Words) -> Reply:
        self._asked += 1
        frame = msgspec.json.encode({"id": self._asked, "method": method, "params": params})
        await self._socket.send_str(frame.decode())
        while True:
            reply = msgspec.json.decode(await self._socket.receive_str(timeout=20), type=Reply)
            if reply.id == self._asked:
                return reply


@asynccontextmanager
async def session(server: Served, token: str) -> AsyncIterator[Socket]:
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{server.url}/ws", protocols=[SUBPROTOCOL]) as socket,
    ):
        one = Socket(socket)
        await one.ask("hello", token=token)
        yield one


async def test_an_operator_saves_proves_compares_and_keeps_checkpoints(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as server, session(server, server.token) as socket:
        first = await socket.ask("checkpoint.create", label="before")
        await socket.ask("task.create", title="Name a moon", reward_msat=2_000)
        second = await socket.ask("checkpoint.create")
        assert (await socket.ask("checkpoint.verify", checkpoint="before"))["checkpoint"] == first["checkpoint"]
        assert (await socket.ask("checkpoint.verify"))["problem"] == ""
        told = await socket.ask("checkpoint.diff", checkpoint="before", to=str(second["position"]))
        assert (told["before"], told["after"]) == (first["checkpoint"], second["checkpoint"])
        assert told["count"]
        assert (await socket.ask("checkpoint.pin", checkpoint="before"))["is_pinned"] is True
        assert (await socket.ask("checkpoint.prune", keep=1))["removed"] == []
        kept = msgspec.convert((await socket.ask("query", what="checkpoints"))["checkpoints"], list[Words])
        assert [view["checkpoint"] for view in kept] == [second["checkpoint"], first["checkpoint"]]
        missing = await socket.refused("checkpoint.verify", checkpoint="step:999999x")
        assert (missing["code"], "2 are kept" in str(missing["message"])) == ("not_found", True)


async def test_an_operator_pauses_agents_halts_all_and_is_told_what_is_wrong(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as server, session(server, server.token) as socket:
        for method in ("agent.pause", "agent.resume", "agent.retire"):
            assert msgspec.convert((await socket.ask(method, agent="scout"))["position"], int) > 0
        assert (await socket.refused("agent.pause", agent="scout"))["code"] == "illegal_transition"
        assert (await socket.refused("agent.pause", agent="nobody"))["message"] == "no agent is called 'nobody'"
        assert (await socket.ask("system.halt", reason="look first"))["position"]
        assert (await socket.ask("system.resume"))["position"]
        made = await socket.ask("trigger.create", types=["task.failed"], post={"title": "Look after it"})
        assert (await socket.ask("trigger.cancel", trigger=made["trigger"]))["is_over"] is True
        for wrong, path in (({"title": ""}, "params.title"), ({"title": 1}, "params.title")):
            data = msgspec.convert((await socket.refused("task.create", **wrong))["data"], Words)
            assert data["path"] == path


async def test_who_may_only_read_looks_at_checkpoints_and_changes_nothing(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as server, session(server, "") as socket:
        assert (await socket.ask("query", what="checkpoints"))["checkpoints"] == []
        assert (await socket.refused("checkpoint.verify"))["code"] == "not_found"
        for method, params in (
            ("checkpoint.create", {}),
            ("checkpoint.pin", {"checkpoint": "c-1"}),
            ("checkpoint.prune", {"keep": 1}),
            ("system.halt", {}),
            ("agent.pause", {"agent": "scout"}),
        ):
            assert (await socket.refused(method, **params))["code"] == "not_permitted", method
