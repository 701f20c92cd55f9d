"""The coordinator with the ledger beside it, on a journal in memory."""

import msgspec
import pytest

from actors.floor import CoordinatorOptions
from actors.ledger import LedgerOptions
from bus.messages.base import AgentId, Position, TaskId
from bus.messages.ledger import TransferHeld, TransferPosted, TransferVoided
from bus.messages.tasks import (
    AuctionClosed,
    CancelTask,
    CreateTask,
    DeclineBid,
    ListTasks,
    ReadTask,
    TaskAssigned,
    TaskCancelled,
    TaskCompleted,
    TaskEnded,
    TaskState,
)
from bus.refusals import IdempotencyConflict, InvalidField, NotFound
from tests.support.market import complete, fail, spec, start
from tests.support.marketplace import Marketplace

QUICK = CoordinatorOptions(bid_window_s=0.03, invite_delay_s=0.01)
"""An auction window that a test can wait for."""


async def test_the_whole_path_from_posted_to_paid() -> None:
    async with Marketplace(puppets=("scout", "critic")) as place:
        await place.join("scout")
        await place.join("critic")
        task = await place.post(spec(reward_msat=1_000))
        await place.bid(task, "scout", 300)
        await place.bid(task, "critic", 200)
        view = await place.view(task)
        assert (view.state, view.agent, view.price_msat) == (TaskState.ASSIGNED, "critic", 200)
        await place.ask(start(task, "critic"))
        answer = await place.ask(complete(task, "critic"))
        assert answer.state is TaskState.COMPLETED
        await place.until(lambda: place.recorded_names("transfer.posted")[1:])
        assert await place.net("agents/critic") == 200
        assert await place.net("treasury") == LedgerOptions().genesis_msat - 200
        assert await place.is_conserved()
        names = [name for name in place.recorded_names() if name.startswith(("task.", "auction.", "bid.", "transfer."))]
    assert names == [
        "transfer.posted",
        "task.created",
        "transfer.held",
        "task.bidding",
        "bid.submitted",
        "bid.submitted",
        "auction.closed",
        "task.assigned",
        "task.started",
        "task.completed",
        "transfer.posted",
    ]


async def test_a_reward_that_the_poster_does_not_have_fails_the_task_with_the_reason() -> None:
    async with Marketplace(ledger=LedgerOptions(genesis_msat=10)) as place:
        view = await place.until_state(await place.create(spec(reward_msat=1_000)), TaskState.FAILED)
        assert view.reason == "the reward could not be held: treasury has 10 msat available; 1000 are needed"


async def test_a_repeated_key_gives_the_same_task_and_another_spec_is_a_conflict() -> None:
    async with Marketplace() as place:
        first = await place.create(spec("Brief anyio"), "k")
        assert await place.create(spec("Brief anyio"), "k") == first
        with pytest.raises(IdempotencyConflict):
            await place.create(spec("Brief trio"), "k")
        assert len((await place.ask(ListTasks())).tasks) == 1


async def test_refused_commands_leave_no_trace() -> None:
    async with Marketplace(puppets=("scout",)) as place:
        await place.join("scout")
        task = await place.post()
        before = len(place.journal.stored)
        with pytest.raises(InvalidField, match=r"spec\.title"):
            await place.create(spec(" "))
        with pytest.raises(NotFound):
            await place.bid(task, "ghost", -999)
        with pytest.raises(NotFound):
            await place.ask(DeclineBid(task, AgentId("ghost")))
        with pytest.raises(NotFound):
            await place.ask(ReadTask(TaskId("t-99")))
        assert len(place.journal.stored) == before


async def test_the_price_of_a_sealed_bid_is_in_no_public_byte_before_the_close() -> None:
    async with Marketplace(puppets=("scout", "critic")) as place:
        await place.join("scout")
        await place.join("critic")
        task = await place.post(spec(reward_msat=100_000))
        await place.bid(task, "scout", 77_777)
        assert not any(b"77777" in stored.data for stored in place.journal.stored)
        assert b"77777" not in msgspec.json.encode(await place.view(task))
        await place.ask(DeclineBid(task, AgentId("critic")))
        assert place.recorded(AuctionClosed)[0].price_msat == 77_777


async def test_a_failed_attempt_is_auctioned_again_and_a_hopeless_one_ends_the_task() -> None:
    async with Marketplace(puppets=("scout",)) as place:
        await place.join("scout")
        task = await place.assigned("scout")
        assert (await place.ask(fail(task, "scout"))).state is TaskState.BIDDING
        await place.bid(task, "scout", 100)
        answer = await place.ask(fail(task, "scout", 2, is_retryable=False))
        assert answer.state is TaskState.FAILED
        await place.until(lambda: place.recorded(TransferVoided))


async def test_a_repeated_result_is_answered_the_same_and_paid_once() -> None:
    async with Marketplace(puppets=("scout",)) as place:
        await place.join("scout")
        task = await place.assigned("scout")
        answers = [await place.ask(complete(task, "scout")) for _ in range(3)]
        assert {answer.state for answer in answers} == {TaskState.COMPLETED}
        await place.until(lambda: place.recorded_names("transfer.posted")[1:])
        assert await place.net("agents/scout") == 100
        assert len(place.recorded(TaskCompleted)) == 1


async def test_a_cancellation_reaches_the_agent_as_a_fact_and_releases_the_hold() -> None:
    async with Marketplace(puppets=("scout",)) as place:
        await place.join("scout")
        task = await place.assigned("scout")
        await place.ask(CancelTask(task, "no longer wanted"))
        (fact,) = place.recorded(TaskCancelled)
        assert (fact.agent, fact.attempt, fact.reason) == ("scout", 1, "no longer wanted")
        await place.until(lambda: place.recorded(TransferVoided))
        assert await place.net("treasury") == LedgerOptions().genesis_msat


async def test_an_agent_that_leaves_loses_its_lease_at_once() -> None:
    async with Marketplace(puppets=("scout",)) as place:
        await place.join("scout")
        task = await place.assigned("scout")
        await place.leave("scout")
        view = await place.view(task)
        assert (view.state, view.attempt, view.reason) == (TaskState.BIDDING, 2, "scout has left")


async def test_tasks_are_listed_in_pages() -> None:
    async with Marketplace() as place:
        for n in range(3):
            await place.create(spec(f"task {n}"))
        page = await place.ask(ListTasks(limit=2))
        assert [view.task for view in page.tasks] == ["t-3", "t-2"]
        rest = await place.ask(ListTasks(limit=2, after=page.next))
        assert [view.task for view in rest.tasks] == ["t-1"]


# Restarts


async def test_a_restart_fails_no_task_in_flight() -> None:
    async with Marketplace(puppets=("scout", "critic")) as place:
        await place.join("scout", concurrency_max=2)
        running, waiting = await place.assigned("scout"), await place.assigned("scout")
        await place.ask(start(running, "scout"))
        bidding = await place.post()
    async with Marketplace(journal=place.journal, puppets=("scout", "critic")) as again:
        states = [(await again.view(task)).state for task in (running, waiting, bidding)]
        assert states == [TaskState.RUNNING, TaskState.ASSIGNED, TaskState.BIDDING]
        assert (await again.ask(complete(running, "scout"))).state is TaskState.COMPLETED


async def test_a_key_gives_the_same_task_after_a_restart() -> None:
    async with Marketplace() as place:
        task = await place.create(spec(), "k")
    async with Marketplace(journal=place.journal) as again:
        assert await again.create(spec(), "k") == task


async def carry_on(place: Marketplace) -> None:
    """Post what a poster posts, again after a crash, and wait until all is ended and settled."""
    await place.join_once("scout", "critic")
    for n in range(3):
        await place.ask(CreateTask(spec(f"task {n}", reward_msat=1_000), f"key-{n}"))
    withdrawn = await place.ask(CreateTask(spec("not wanted", capability="fly"), "withdrawn"))
    await place.ask(CancelTask(withdrawn.task))
    await place.until(lambda: len(ended(place)) == 4)
    await place.until(lambda: len(settled(place)) == len(place.recorded(TransferHeld)))


def ended(place: Marketplace) -> list[TaskId]:
    return [event.task for record in place.journal.events if isinstance(event := record.event, TaskEnded)]


def settled(place: Marketplace) -> list[str]:
    posted = [event.hold for event in place.recorded(TransferPosted) if event.hold]
    return [*posted, *(event.hold for event in place.recorded(TransferVoided))]


async def check_the_outcome(place: Marketplace) -> None:
    """Every task ended once, every winner was paid once, every hold ended once, and the books add up."""
    assert sorted(ended(place)) == ["t-1", "t-2", "t-3", "t-4"]
    done = place.recorded(TaskCompleted)
    assert len(done) == 3
    assert len(settled(place)) == len(set(settled(place)))
    for agent in ("scout", "critic"):
        assert await place.net(f"agents/{agent}") == sum(event.price_msat for event in done if event.agent == agent)
    assert await place.is_conserved()
    positions = [stored.position for stored in place.journal.stored]
    assert positions == list(range(1, len(positions) + 1))


WORKERS = {"scout": 100, "critic": 200}


async def test_the_market_with_workers_runs_to_its_end() -> None:
    async with Marketplace(workers=WORKERS, options=QUICK) as place:
        await carry_on(place)
        await check_the_outcome(place)
        assert len(place.recorded(TaskAssigned)) == 3


async def test_a_crash_after_any_turn_loses_nothing_and_pays_nobody_twice() -> None:
    async with Marketplace(workers=WORKERS, options=QUICK) as place:
        await carry_on(place)
    assert len(place.turn_ends) > 20
    for end in (Position(0), *place.turn_ends):
        crashed = place.journal.truncated(end)
        async with Marketplace(journal=crashed, workers=WORKERS, options=QUICK) as again:
            await carry_on(again)
            await check_the_outcome(again)


async def test_what_is_told_twice_after_a_restart_does_no_harm() -> None:
    async with Marketplace(workers=WORKERS, options=QUICK) as place:
        await carry_on(place)
        count = len(place.journal.stored)
    async with Marketplace(journal=place.journal, workers=WORKERS, options=QUICK) as again:
        await carry_on(again)
        for done in again.recorded(TaskCompleted):
            await again.ask(complete(done.task, done.agent, done.attempt))
        await check_the_outcome(again)
        assert len(again.journal.stored) == count
