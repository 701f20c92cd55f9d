"""Killed at ten random moments of a run, and started again: nothing is lost, nothing happens twice."""

import random
import socket
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import msgspec
import pytest

from actors.commands.briefing import ENDS
from bus.messages.base import Position
from bus.messages.tasks import TaskSpec, TaskState
from tests.support.real_documents import real_documents
from tests.support.served import served
from web.client import AgoraClient
from web.live_feed import LiveFeed
from web.wire import WireEvent

pytestmark = pytest.mark.slow

DOCUMENTS = 40
KILLS = 10
SEED = 5
EVENTS_PER_LIFE_MAX = 90
"""A run of forty documents has about a thousand events: ten lives of up to this many leave some for the last one."""
RUN_MAX_S = 240.0


class PostedData(msgspec.Struct):
    transfer: str
    credit: str
    amount: int
    hold: str


async def test_ten_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    port = free_port()
    heard: list[WireEvent] = []
    with anyio.fail_after(RUN_MAX_S):
        async with served(tmp_path / "data", "--port", str(port)) as first:
            token, url = first.token, first.url
            feed = AgoraClient(url, token=token).feed(after=Position(0))
            stream = aiter(feed)
            async with AgoraClient(url, token=token) as client, anyio.create_task_group() as tasks:
                tasks.start_soon(post_all, client, real_documents(tmp_path / "documents", DOCUMENTS))
                await hear(stream, heard, dice.randint(1, EVENTS_PER_LIFE_MAX))
                first.kill()
                await first.process.wait()
                for _ in range(KILLS - 1):
                    async with served(tmp_path / "data", "--port", str(port)) as server:
                        await hear(stream, heard, dice.randint(1, EVENTS_PER_LIFE_MAX))
                        server.kill()
                        await server.process.wait()
                async with served(tmp_path / "data", "--port", str(port)):
                    await hear_until_all_ended(stream, heard)
                    await check(client, feed, heard)


async def check(client: AgoraClient, feed: LiveFeed, heard: list[WireEvent]) -> None:
    ends = Counter(event.task for event in heard if event.type in ENDS)
    assert len(ends) == DOCUMENTS
    assert set(ends.values()) == {1}, "every task ends exactly once"
    tasks = (await client.tasks(limit=100)).tasks
    assert [task.state for task in tasks] == [TaskState.COMPLETED] * DOCUMENTS
    conservation = await client.check_ledger()
    assert conservation.is_conserved, conservation.problems
    assert set(conservation.sums.values()) <= {0}
    stored = await all_events(client)
    payments = [msgspec.json.decode(event.data, type=PostedData) for event in stored if event.type == "transfer.posted"]
    paid = Counter(payment.transfer for payment in payments if payment.transfer.startswith("post/"))
    assert paid == Counter(f"post/{task.task}" for task in tasks), "every winner is paid exactly once"
    amounts = {payment.transfer: (payment.credit, payment.amount) for payment in payments}
    for task in tasks:
        assert amounts[f"post/{task.task}"] == (f"agents/{task.agent}", task.price_msat)
    positions = [event.position for event in stored]
    assert positions == list(range(1, len(positions) + 1)), "positions have no gap"
    seen = [event.position for event in heard]
    assert seen == positions[: len(seen)], "the resumed socket sees no gap and no duplicate"
    assert [event.id for event in heard] == [event.id for event in stored[: len(heard)]]
    assert feed.connections > KILLS, "the socket was lost with each kill"


async def post_all(client: AgoraClient, documents: list[Path]) -> None:
    """Post with keys: what was not acknowledged before a kill is sent again, and is the same task."""
    for document in documents:
        name = document.parent.stem
        text = await anyio.Path(document).read_text()
        artifact = await client.write_artifact(name, text, key=f"artifact/{name}")
        spec = TaskSpec(
            title=f"Brief of {name}",
            instructions="Write a brief in 5 sentences.",
            capability="summarise",
            input=artifact.artifact,
        )
        await client.create_task(spec, key=f"task/{name}")


async def hear(stream: AsyncIterator[WireEvent], heard: list[WireEvent], count: int) -> None:
    for _ in range(count):
        heard.append(await anext(stream))


async def hear_until_all_ended(stream: AsyncIterator[WireEvent], heard: list[WireEvent]) -> None:
    while sum(event.type in ENDS for event in heard) < DOCUMENTS:
        heard.append(await anext(stream))


async def all_events(client: AgoraClient) -> list[WireEvent]:
    events: list[WireEvent] = []
    after = 0
    while True:
        page = await client.events(after=str(after), limit="1000")
        events += page.events
        if not page.events:
            return events
        after = page.events[-1].position


def free_port() -> int:
    """A port that the restarted server listens on again, so that the client finds it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
