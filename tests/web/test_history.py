"""HTTP for what happened."""

import msgspec
import pytest

from bus.errors import StorageError
from bus.messages.base import AccountId, Position, TaskId, TransferId
from bus.messages.ledger import TransferHeld
from bus.messages.system import (
    EventChain,
    EventHistogram,
    EventPage,
    EventSummary,
    HistogramBucket,
    PruneEvents,
    PruneReport,
    ReadChain,
    ReadEvents,
    ReadHistogram,
    SearchEvents,
    SummariseEvents,
)
from bus.messages.tasks import TaskFailed
from tests.web.support import World, bearer, call


def positions(body: bytes) -> list[int]:
    return [event["position"] for event in msgspec.json.decode(body)["events"]]


async def test_the_newest_fifty_come_first_and_the_page_goes_on_before_them() -> None:
    world = World()
    world.chat(120)
    first = await call(world.app, "GET", "/api/events")
    assert positions(first.body) == list(range(120, 70, -1))
    assert first.json()["next"] == 71
    second = await call(world.app, "GET", "/api/events?before=71&limit=100")
    assert positions(second.body) == list(range(70, 0, -1))
    assert second.json()["next"] is None


async def test_after_a_position_the_oldest_come_first() -> None:
    world = World()
    world.chat(10)
    page = await call(world.app, "GET", "/api/events?after=3&limit=4")
    assert positions(page.body) == [4, 5, 6, 7]
    assert (page.json()["next"], page.json()["head"], page.json()["epoch"]) == (7, 10, 1)


async def test_the_parameters_reach_the_journal() -> None:
    world = World()
    query = "type=task.*,bid.%23&type=agent.left&source=coordinator&task=t-1&agent=scout&run=main&correlation=c"
    await call(world.app, "GET", f"/api/events?{query}&since=5&until=1970-01-01T00:00:01Z&limit=7&before=9")
    assert world.gateway.asked[-1][1] == ReadEvents(
        types=("task.*", "bid.#", "agent.left"),
        source="coordinator",
        task="t-1",
        agent="scout",
        run="main",
        correlation="c",
        before=Position(9),
        since_us=5,
        until_us=1_000_000,
        limit=7,
    )


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("after=-1", "after"),
        ("before=x", "before"),
        ("since=yesterday", "since"),
        ("type=a%20b", "type[0]"),
        ("type=", "type[0]"),
        ("colour=red", "colour"),
    ],
)
async def test_a_bad_parameter_is_named(query: str, path: str) -> None:
    response = await call(World().app, "GET", f"/api/events?{query}")
    assert (response.status, response.json()["path"]) == (422, path)


async def test_a_tasks_own_events() -> None:
    world = World()
    world.chat(2)
    world.record(TaskFailed(TaskId("t-1"), "no bid"))
    page = await call(world.app, "GET", "/api/tasks/t-1/events")
    assert positions(page.body) == [3]


async def test_a_summary_of_the_last_minutes() -> None:
    world = World()
    world.gateway.replies[SummariseEvents] = EventSummary(5.0, 1, {"task.failed": 1}, {}, Position(1))
    response = await call(world.app, "GET", "/api/events/summary?minutes=5")
    assert response.json()["by_type"] == {"task.failed": 1}
    assert world.gateway.asked[-1][1] == SummariseEvents(5.0)
    assert (await call(world.app, "GET", "/api/events/summary?minutes=0")).status == 422


async def test_a_histogram_of_all_time() -> None:
    world = World()
    bucket = HistogramBucket(60_000_000, 7, Position(1), Position(7))
    world.gateway.replies[ReadHistogram] = EventHistogram(60_000_000, 1_000, (bucket,), Position(7))
    response = await call(world.app, "GET", "/api/events/histogram?buckets=90")
    assert response.json()["buckets"] == [{"time_us": 60_000_000, "events": 7, "first": 1, "last": 7}]
    assert world.gateway.asked[-1][1] == ReadHistogram(90)
    assert (await call(world.app, "GET", "/api/events/histogram?buckets=0")).status == 422


async def test_transfers_are_listed_as_the_events_that_they_are() -> None:
    world = World()
    hold = TransferHeld(TransferId("hold/t-1"), AccountId("treasury"), AccountId("escrow"), "msat", 5, 0, "t-1")
    world.record(hold)
    world.chat(1)
    listed = msgspec.json.decode((await call(world.app, "GET", "/api/ledger/transfers")).body)["transfers"]
    assert [(row["transfer"], row["state"], row["amount"], row["position"]) for row in listed] == [
        ("hold/t-1", "held", 5, 1)
    ]


async def test_the_state_is_that_of_the_overview() -> None:
    world = World()
    world.chat(3)
    state = (await call(world.app, "GET", "/api/state")).json()
    assert (state["epoch"], state["position"], state["status"]) == (1, 3, "running")
    assert set(state) == {
        *("epoch", "position", "run", "step", "status", "now_us"),
        *("agents", "tasks", "artifacts", "balances", "router", "spend", "alerts"),
    }


async def test_a_journal_that_fails_is_503_without_its_words() -> None:
    world = World()
    world.gateway.replies[ReadEvents] = StorageError("/secret/path is broken")
    response = await call(world.app, "GET", "/api/events")
    assert response.status == 503
    assert b"secret" not in response.body


async def test_a_search_and_a_chain_reach_the_journal_and_pruning_needs_the_right_to() -> None:
    world = World()
    world.chat(3)
    page = world.gateway.replies[SearchEvents] = EventPage((), Position(1), Position(3))
    found = await call(world.app, "GET", "/api/events/search?text=two%20words&before=9&limit=4")
    assert found.json() == {"events": [], "scanned": page.scanned, "head": 3, "epoch": 1, "next": None}
    first, second, third = world.gateway.events[:3]
    world.gateway.replies[ReadChain] = EventChain(second, (first,), (third,), True, Position(3))
    chain = msgspec.json.decode((await call(world.app, "GET", "/api/events/2/chain")).body)
    assert [event["position"] for event in (*chain["causes"], chain["event"], *chain["effects"])] == [1, 2, 3]
    assert chain["is_whole"] is True
    assert (await call(world.app, "POST", "/api/events/prune", body=b'{"upto":7}')).status == 401
    world.gateway.replies[PruneEvents] = PruneReport(Position(5), 4, 1, 100, Position(6))
    pruned = await call(world.app, "POST", "/api/events/prune", headers=bearer(), body=b'{"upto":7}')
    assert (pruned.status, pruned.json()["upto"]) == (200, 5)
    assert [asked for _, asked in world.gateway.asked] == [
        SearchEvents("two words", Position(9), 4),
        ReadChain(Position(2)),
        PruneEvents(Position(7)),
    ]
