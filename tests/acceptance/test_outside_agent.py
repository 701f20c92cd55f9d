"""Agents of other programs, as processes of their own: the README's example in JavaScript, and the Python client."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bus.messages.tasks import TaskSpec
from tests.house.tree import ROOT
from tests.support.served import Served, ran, served
from web.agent_client import AgentClient
from web.client import AgoraClient
from web.live_feed import RequestFailed

TASKS = 5
WAIT_MAX_S = 30.0
NODE = shutil.which("node")


def example() -> str:
    """The program that the README shows."""
    found = re.search(r"<!-- agent\.mjs -->\n```js\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def greeting(number: int) -> TaskSpec:
    return TaskSpec(f"Greet guest {number}", capability="greet", reward_msat=500, lease_s=1.0, bid_window_s=5.0)


@asynccontextmanager
async def running_node(program: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    assert NODE is not None
    process = await asyncio.create_subprocess_exec(
        NODE, "--experimental-websocket", str(program), *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until_said(process: asyncio.subprocess.Process, words: str) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(WAIT_MAX_S):
        while words not in (line := (await process.stdout.readline()).decode()):
            assert line, "the program ended"


async def completed(agora: AgoraClient, count: int) -> None:
    async with asyncio.timeout(WAIT_MAX_S):
        done = 0
        async for _ in agora.feed(("task.completed",), last=1_000):
            done += 1
            if done == count:
                return


async def issued(server: Served) -> str:
    made = await ran("--data", str(server.data), "token", "create", "--agent", "greeter")
    assert made.code == 0, made.err
    return made.out.strip()


def test_the_example_is_shorter_than_sixty_lines() -> None:
    assert example().count("\n") < 60


@pytest.mark.slow
async def test_an_agent_in_javascript_wins_tasks_does_them_and_is_paid(tmp_path: Path) -> None:
    if NODE is None:
        pytest.skip("node is not installed here; the example runs where it is")
    program = tmp_path / "greeter.mjs"
    program.write_text(example())
    async with served(tmp_path / "data") as server, server.client() as agora:
        token = await issued(server)
        async with running_node(program, server.url, token) as node:
            await until_said(node, "ready")
            posted = [(await agora.create_task(greeting(number))).task for number in range(TASKS)]
            await completed(agora, TASKS)
        views = [await agora.task(task) for task in posted]
        assert {view.agent for view in views} == {"greeter"}
        assert (await agora.artifact_text(views[0].artifact)) == "Hello! You asked: Greet guest 0"
        balances = {str(one.account): one.net for one in (await agora.balances()).balances if one.currency == "msat"}
        assert balances["agents/greeter"] == 100 * TASKS
        assert (await agora.check_ledger()).is_conserved


@pytest.mark.slow
async def test_an_agent_that_disconnects_loses_its_lease_and_another_finishes_the_task(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as server, server.client() as admin:
        async with AgoraClient(server.url, token=await issued(server)) as agora:
            gone, there = agora.worker("greeter"), admin.worker("understudy")
            await gone.register(["greet"])
            task = (await admin.create_task(greeting(1))).task
            await _bid_once_open(admin, gone, task)
            await there.register(["greet"])
            async with asyncio.timeout(WAIT_MAX_S):
                async for event in admin.feed(("task.bidding", "task.assigned"), last=1_000, wanted={"task": task}):
                    if event.type == "task.bidding" and b'"attempt":2' in bytes(event.data):
                        await gone.decline(task)
                        await there.bid(task, 200)
                    elif event.type == "task.assigned" and b'"understudy"' in bytes(event.data):
                        break
            with pytest.raises(RequestFailed) as stale:
                await gone.complete(task, 1, text="too late")
            assert stale.value.status == 409
            with pytest.raises(RequestFailed) as foreign:
                await agora.worker("understudy").complete(task, 2, text="not mine")
            assert foreign.value.status == 403
            await there.complete(task, 2, text="Hello!")
        view = await admin.task(task)
        assert (view.state, view.agent, view.price_msat) == ("completed", "understudy", 200)


async def _bid_once_open(admin: AgoraClient, worker: AgentClient, task: str) -> None:
    async with asyncio.timeout(WAIT_MAX_S):
        async for _ in admin.feed(("task.bidding",), last=1_000, wanted={"task": task}):
            await worker.bid(task, 100)
            return
