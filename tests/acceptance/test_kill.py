"""Killed at ten random moments of a run, and started again: nothing is lost, nothing happens twice."""

import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import msgspec
import pytest

from actors.commands.briefing import ENDS
from bus.messages.base import Position
from bus.messages.tasks import TaskSpec, TaskState, TaskView
from tests.support.ports import free_port
from tests.support.real_documents import real_documents
from tests.support.served import served
from web.client import AgoraClient, Unreachable
from web.live_feed import LiveFeed
from web.wire import WireEvent

pytestmark = pytest.mark.slow

T = TypeVar("T")

DOCUMENTS = 40
KILLS = 10
SEED = 20_240_607
OPEN_MAX = 6
"""Tasks under way at once: with all of them at once the work would be done before it was killed often enough."""
EVENTS_PER_LIFE_MAX = 90
"""A run of forty documents has about a thousand events: ten lives of up to this many leave some for the last one."""
RUN_MAX_S = 240.0


class PostedData(msgspec.Struct):
    transfer: str
    credit: str
    amount: int
    hold: str


class Move(msgspec.Struct):
    """A row of the transfers' table, as far as it matters here."""

    transfer: str
    credit: str
    amount: int


class Ending(msgspec.Struct):
    """Why a task has ended."""

    reason: str = ""


class Story:
    """What one socket client heard over all lives of the server, and who waits to hear more."""

    def __init__(self, feed: LiveFeed) -> None:
        self.feed = feed
        self.heard: list[WireEvent] = []
        self.ended = 0
        self._changed = anyio.Event()

    async def hear(self, stream: AsyncIterator[WireEvent]) -> None:
        event = await anext(stream)
        self.heard.append(event)
        self.ended += event.type in ENDS
        self._changed.set()
        self._changed = anyio.Event()

    async def hear_in_a_new_life(self, stream: AsyncIterator[WireEvent], count: int) -> None:
        """Hear so many events over a socket that was opened since; what an older one still held does not count."""
        connections = self.feed.connections
        while count:
            await self.hear(stream)
            count -= self.feed.connections > connections

    async def until_ended(self, count: int) -> None:
        while self.ended < count:
            await self._changed.wait()


async def test_ten_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    data, port = tmp_path / "data", ("--port", str(free_port()))
    async with served(data, *port) as first:
        token, url = first.token, first.url
        first.terminate()
        await first.ended()
    feed = AgoraClient(url, token=token).feed(after=Position(0))
    story = Story(feed)
    with anyio.fail_after(RUN_MAX_S):
        async with (
            aclosing(aiter(feed)) as stream,
            AgoraClient(url, token=token) as client,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(post_all, client, real_documents(tmp_path / "documents", DOCUMENTS), story)
            for _ in range(KILLS):
                async with served(data, *port) as server:
                    await story.hear_in_a_new_life(stream, dice.randint(1, EVENTS_PER_LIFE_MAX))
                    server.kill()
                    await server.process.wait()
            async with served(data, *port):
                while story.ended < DOCUMENTS:
                    await story.hear(stream)
                await check(client, feed, story.heard)


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


async def post_all(client: AgoraClient, documents: list[Path], story: Story) -> None:
    """Post with keys: what was not acknowledged before a kill is sent again, and is the same task."""
    for number, document in enumerate(documents):
        await story.until_ended(number - OPEN_MAX + 1)
        name = document.parent.stem
        text = await anyio.Path(document).read_text()
        artifact = await taken(partial(client.write_artifact, name, text, key=f"artifact/{name}"))
        spec = TaskSpec(
            title=f"Brief of {name}",
            instructions="Write a brief in 5 sentences.",
            capability="summarise",
            input=artifact.artifact,
        )
        await taken(partial(client.create_task, spec, key=f"task/{name}"))


async def taken(request: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer: a kill may have swallowed it, and a start may take long on a busy machine."""
    while True:
        try:
            return await request()
        except Unreachable:
            continue


async def all_events(client: AgoraClient) -> list[WireEvent]:
    events: list[WireEvent] = []
    after = 0
    while True:
        page = await client.events(after=str(after), limit="1000")
        events += page.events
        if not page.events:
            return events
        after = page.events[-1].position


MANY = 10_000
MANY_KILLS = 20
POSTERS = 16
QUICK = {"AGORA_WEB__COMMANDS_PER_S": "100000", "AGORA_WEB__COMMANDS_BURST": "100000"}
"""Ten thousand posts are no attack here."""
LONG_RUN_MAX_S = 1_500.0
PAGE = 200


@pytest.mark.long
async def test_twenty_kills_during_ten_thousand_tasks_leave_each_paid_once_and_nothing_stuck(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    data, port = tmp_path / "data", ("--port", str(free_port()))
    async with served(data, *port, env=QUICK) as first:
        token, url = first.token, first.url
        first.terminate()
        await first.ended()
    feed = AgoraClient(url, token=token).feed(tuple(ENDS), after=Position(0))
    story = Story(feed)
    moments = sorted(dice.sample(range(50, MANY - 50), MANY_KILLS))
    with anyio.fail_after(LONG_RUN_MAX_S):
        async with (
            aclosing(aiter(feed)) as stream,
            AgoraClient(url, token=token, timeout_s=60.0) as client,
            anyio.create_task_group() as tasks,
        ):
            numbers = iter(range(MANY))
            for _ in range(POSTERS):
                tasks.start_soon(post_numbers, client, numbers)
            for moment in moments:
                async with served(data, *port, env=QUICK) as server:
                    while story.ended < moment:
                        await story.hear(stream)
                    server.kill()
                    await server.process.wait()
            async with served(data, *port, env=QUICK):
                while story.ended < MANY:
                    await story.hear(stream)
                await check_many(client, story.heard)


async def post_numbers(client: AgoraClient, numbers: Iterator[int]) -> None:
    """Post with keys, until it is acknowledged: a kill may have swallowed the answer, the task, or neither."""
    for number in numbers:
        spec = TaskSpec(title=f"Name moon {number} of Saturn", capability="summarise")
        await taken(partial(client.create_task, spec, key=f"task/{number}"))


async def check_many(client: AgoraClient, heard: list[WireEvent]) -> None:
    ends = Counter(event.task for event in heard)
    assert len(ends) == MANY
    assert set(ends.values()) == {1}, "every task ends exactly once"
    others = Counter(
        re.sub(r"\d+", "N", msgspec.json.decode(event.data, type=Ending).reason)
        for event in heard
        if event.type != "task.completed"
    )
    assert others == Counter(), "every task is completed"
    tasks = await all_tasks(client)
    assert len(tasks) == len({task.task for task in tasks}) == MANY
    assert {task.state for task in tasks} == {TaskState.COMPLETED}, "nothing is stuck"
    conservation = await client.check_ledger()
    assert conservation.is_conserved, conservation.problems
    assert set(conservation.sums.values()) == {0}
    rows = b"".join([piece async for piece in client.tables.read("transfers", "jsonl")]).splitlines()
    moves = [msgspec.json.decode(row, type=Move) for row in rows]
    posts = {move.transfer: move for move in moves if move.transfer.startswith("post/")}
    assert Counter(move.transfer for move in moves if move.transfer.startswith("post/")) == Counter(
        f"post/{task.task}" for task in tasks
    ), "every winner is paid exactly once"
    for task in tasks:
        paid = posts[f"post/{task.task}"]
        assert (paid.credit, paid.amount) == (f"agents/{task.agent}", task.price_msat)
    assert {balance.held_out for balance in (await client.balances()).balances} == {0}, "no hold is left"


async def all_tasks(client: AgoraClient) -> list[TaskView]:
    found: list[TaskView] = []
    after = ""
    while True:
        page = await client.tasks(limit=PAGE, after=after)
        found += page.tasks
        if not page.next:
            return found
        after = page.next
