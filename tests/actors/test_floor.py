"""The auction floor within a running coordinator: windows, leases, deadlines and who is asked when."""

import asyncio

import pytest
from msgspec.structs import replace

from actors.coordinator import Coordinator
from actors.floor import CoordinatorOptions
from actors.ledger import Ledger, LedgerOptions
from actors.runtime.virtual_time import Simulation
from bus.messages.agents import AgentStatus, AgentStatusName, agent_address
from bus.messages.base import AgentId, ArtifactId
from bus.messages.ledger import LEDGER, TransferVoided
from bus.messages.tasks import (
    COORDINATOR,
    AuctionClosed,
    CancelTask,
    CompleteTask,
    DeclineBid,
    FailTask,
    ReadLeases,
    ReadTask,
    TaskBidding,
    TaskCompleted,
    TaskSpec,
    TaskState,
    TaskWaiting,
)
from bus.refusals import LeaseNotHeld, NotEligible
from tests.support.market import bid, complete, create, joined, renew, spec, start
from tests.support.marketplace import LONG_S, Marketplace, Puppet, Say
from tests.support.virtual import child, in_virtual_time, system_in

QUICK = CoordinatorOptions(bid_window_s=0.03, invite_delay_s=0.01)
"""An auction window that a test can wait for."""


async def test_an_auction_closes_early_once_all_that_could_take_the_task_have_answered() -> None:
    async with Marketplace(puppets=("scout", "critic", "scribe")) as place:
        await place.join("scout", "brief")
        await place.join("critic", "brief")
        await place.join("scribe", "translate")
        task = await place.post(spec(capability="brief"))
        await place.bid(task, "scout", 300)
        assert (await place.view(task)).state is TaskState.BIDDING
        answer = await place.ask(DeclineBid(task, AgentId("critic")))
        assert answer.state is TaskState.ASSIGNED
        assert (await place.view(task)).agent == "scout"


async def test_an_auction_closes_when_its_window_is_over() -> None:
    options = replace(QUICK, bid_window_s=0.3)  # room for the bid
    async with Marketplace(puppets=("scout", "silent"), options=options) as place:
        await place.join("scout")
        await place.join("silent")
        task = await place.post()
        await place.bid(task, "scout", 300)
        view = await place.until_state(task, TaskState.ASSIGNED)
        assert view.agent == "scout"


async def test_a_task_that_nobody_bids_on_fails_after_its_last_auction() -> None:
    async with Marketplace(puppets=("silent",), options=QUICK) as place:
        await place.join("silent")
        task = await place.post(spec(attempts_max=2))
        view = await place.until_state(task, TaskState.FAILED)
        assert view.reason == "nobody bid; attempt 2 of 2 was the last"
        assert [event.winner for event in place.recorded(AuctionClosed)] == ["", ""]
        await place.until(lambda: place.recorded(TransferVoided))


async def test_a_task_that_nobody_can_do_waits_for_its_windows_and_fails() -> None:
    async with Marketplace(options=QUICK) as place:
        task = await place.post(spec(capability="fly", attempts_max=2))
        assert (await place.until_state(task, TaskState.FAILED)).attempt == 2


async def test_when_all_decline_the_next_auction_waits_for_the_window() -> None:
    async with Marketplace(puppets=("scout",)) as place:
        await place.join("scout")
        task = await place.post()
        await place.ask(DeclineBid(task, AgentId("scout")))
        view = await place.view(task)
        assert (view.state, view.attempt) == (TaskState.BIDDING, 1)


async def test_many_tasks_wait_for_one_busy_agent_without_using_up_attempts() -> None:
    options = CoordinatorOptions(bid_window_s=0.01, invite_delay_s=0.01, wait_s_max=0.02)
    async with Marketplace(workers={"scout": 100}, options=options) as place:
        await place.join("scout", concurrency_max=1)
        for n in range(20):
            await place.create(spec(f"task {n}", attempts_max=1))
        await place.until(lambda: len(place.recorded(TaskCompleted)) == 20)
        assert {event.attempt for event in place.recorded(TaskBidding)} == {1}
        assert await place.is_conserved()


async def test_a_bid_from_before_an_agent_was_busy_wins_when_it_is_free_again() -> None:
    async with Marketplace(puppets=("scout",)) as place:
        await place.join("scout")
        first = await place.post()
        second = await place.post()
        await place.bid(second, "scout", 50)
        assert (await place.view(second)).state is TaskState.ASSIGNED
        with pytest.raises(NotEligible, match="it has 1 of 1 tasks in hand"):
            await place.bid(first, "scout", 40)
        await place.ask(complete(second, "scout"))
        await place.until(lambda: place.invitations["scout"])
        assert place.invitations["scout"][0].task == first
        await place.bid(first, "scout", 40)
        assert (await place.view(first)).agent == "scout"


async def test_a_live_bid_is_used_as_soon_as_its_agent_comes_free() -> None:
    async with Marketplace(puppets=("scout", "critic")) as place:
        await place.join("scout")
        await place.join("critic", "brief")
        first, second = await place.post(), await place.post()
        await place.bid(first, "scout", 50)
        await place.bid(second, "scout", 60)
        await place.ask(DeclineBid(second, AgentId("critic")))
        assert (await place.view(second)).agent == "scout"
        await place.ask(DeclineBid(first, AgentId("critic")))
        assert (await place.view(first)).state is TaskState.BIDDING
        await place.ask(complete(second, "scout"))
        assert (await place.view(first)).agent == "scout"


async def test_an_agent_that_declined_because_it_was_busy_is_asked_again() -> None:
    async with Marketplace(puppets=("scout",)) as place:
        await place.join("scout")
        busy_with = await place.assigned()
        task = await place.post()
        await place.ask(DeclineBid(task, AgentId("scout")))
        await place.ask(complete(busy_with, "scout"))
        await place.idle("scout")
        await place.until(lambda: place.invitations["scout"])
        invitation = place.invitations["scout"][0]
        assert (invitation.task, invitation.attempt) == (task, 1)
        assert invitation.closes_us > invitation.opened_us


async def test_an_agent_that_joins_late_is_invited_to_open_auctions() -> None:
    async with Marketplace(puppets=("scout",)) as place:
        task = await place.post()
        await place.join("scout")
        await place.until(lambda: place.invitations["scout"])
        await place.bid(task, "scout", 5)
        assert (await place.view(task)).agent == "scout"


async def test_a_paused_agent_is_not_awaited_and_is_invited_when_it_resumes() -> None:
    async with Marketplace(puppets=("scout", "critic")) as place:
        await place.join("scout")
        await place.join("critic")
        await place.say("scout", AgentStatus(AgentId("scout"), AgentStatusName.PAUSED))
        first = await place.post()
        await place.bid(first, "critic", 5)
        assert (await place.view(first)).agent == "critic"
        second = await place.post()
        await place.idle("scout")
        await place.until(lambda: place.invitations["scout"])
        assert place.invitations["scout"][0].task == second


async def test_a_lease_without_a_heartbeat_runs_out_and_the_late_result_is_refused() -> None:
    options = CoordinatorOptions(bid_window_s=LONG_S, lease_s=0.02, invite_delay_s=0.01)
    async with Marketplace(puppets=("scout", "critic"), options=options) as place:
        await place.join("scout")
        task = await place.post()
        await place.bid(task, "scout", 100)
        await place.join("critic")
        await place.until(lambda: any(event.attempt == 2 for event in place.recorded(TaskBidding)))
        assert place.recorded(TaskBidding)[-1].reason == "the lease of scout ran out"
        with pytest.raises(LeaseNotHeld):
            await place.ask(complete(task, "scout", 1))


async def test_heartbeats_keep_a_lease() -> None:
    async with Marketplace(puppets=("scout",)) as place:
        await place.join("scout")
        task = await place.assigned("scout")
        renewed = await place.ask(renew(task, "scout"))
        assert renewed.lease_s == 60.0
        (lease,) = (await place.ask(ReadLeases())).leases
        assert (lease.task, lease.agent, lease.attempt, lease.lease_s) == (task, "scout", 1, 60.0)
        assert (await place.view(task)).lease_until_us == lease.until_us > 0
        with pytest.raises(LeaseNotHeld):
            await place.ask(renew(task, "critic"))
        with pytest.raises(LeaseNotHeld):
            await place.ask(renew(task, "scout", 2))


@in_virtual_time
async def test_a_lease_that_was_renewed_while_the_word_of_its_end_waited_runs_on(simulation: Simulation) -> None:
    scout, changed = agent_address(AgentId("scout")), asyncio.Event()
    async with system_in(simulation) as system:
        await system.start(
            child(LEDGER, lambda: Ledger(LedgerOptions())),
            child(COORDINATOR, lambda: Coordinator(CoordinatorOptions(lease_s=15.0))),
            child(scout, lambda: Puppet("scout", [], changed)),
        )
        await system.ask(scout, Say(joined("scout")))
        task = (await system.ask(COORDINATOR, create())).task
        await simulation.pass_time(1)
        await system.ask(COORDINATOR, bid(task, "scout", 100))
        await simulation.pass_time(5)
        await system.ask(COORDINATOR, start(task, "scout"))
        system.pause(COORDINATOR)
        renewing = asyncio.create_task(system.ask(COORDINATOR, renew(task, "scout"), timeout_s=60))
        await simulation.pass_time(16)
        system.resume(COORDINATOR)
        await renewing
        await simulation.pass_time(10)
        assert (await system.ask(COORDINATOR, ReadTask(task))).state is TaskState.RUNNING
        await simulation.pass_time(6)
        assert (await system.ask(COORDINATOR, ReadTask(task))).attempt == 2


async def test_a_deadline_ends_a_task_whatever_happens() -> None:
    async with Marketplace(puppets=("scout",)) as place:
        await place.join("scout")
        task = await place.assigned("scout", TaskSpec("Brief anyio", deadline_s=0.5))
        view = await place.until_state(task, TaskState.EXPIRED)
        assert view.reason == "not done within 0.5 s"
        await place.until(lambda: place.recorded(TransferVoided))


async def test_a_live_lease_gets_one_full_period_again_after_a_restart() -> None:
    options = CoordinatorOptions(bid_window_s=LONG_S, lease_s=0.05, invite_delay_s=0.01)
    async with Marketplace(puppets=("scout",)) as place:
        await place.join("scout")
        task = await place.assigned("scout")
    async with Marketplace(journal=place.journal, puppets=("scout",), options=options) as again:
        await again.until(lambda: any(event.attempt == 2 for event in again.recorded(TaskBidding)))
        assert (await again.view(task)).reason == "the lease of scout ran out"


async def test_bids_survive_a_restart_and_who_has_not_answered_is_asked_again() -> None:
    async with Marketplace(puppets=("scout", "critic")) as place:
        await place.join("scout")
        await place.join("critic")
        task = await place.post()
        await place.bid(task, "scout", 300)
    async with Marketplace(journal=place.journal, puppets=("scout", "critic")) as again:
        await again.until(lambda: again.invitations["critic"])
        assert again.invitations["critic"][0].task == task
        assert again.invitations["scout"] == []
        await again.bid(task, "critic", 400)
        assert (await again.view(task)).agent == "scout"


async def test_a_deadline_that_passed_while_nothing_ran_ends_the_task_at_the_start() -> None:
    async with Marketplace() as place:
        task = await place.post(TaskSpec("Brief anyio", deadline_s=0.001))
    async with Marketplace(journal=place.journal) as again:
        await again.until_state(task, TaskState.EXPIRED)


async def test_a_task_is_auctioned_once_those_that_it_comes_after_are_completed() -> None:
    async with Marketplace(workers={"scout": 100}, puppets=("late",)) as place:
        await place.join_once("scout")
        first = await place.create()
        second = await place.create(replace(spec(), after=(first,)))
        third = await place.create(replace(spec(), after=(first, second)))
        await place.until_state(third, TaskState.COMPLETED)
        order = [event.task for event in place.recorded(TaskBidding)]
        assert order == [first, second, third]
        assert await place.is_conserved()


async def test_what_comes_after_a_task_that_is_not_completed_fails_down_the_whole_chain() -> None:
    async with Marketplace() as place:
        chain = [await place.create()]
        for _ in range(50):
            chain.append(await place.create(replace(spec(), after=(chain[-1],))))
        await place.until(lambda: len(place.recorded(TaskWaiting)) == 50)
        await place.ask(CancelTask(chain[0]))
        view = await place.until_state(chain[-1], TaskState.FAILED)
        assert view.reason == "t-50, which it comes after, is failed"
        await place.until(lambda: len(place.recorded(TransferVoided)) == 51)


async def test_a_lost_attempt_is_followed_by_its_delay_also_over_a_restart() -> None:
    patient = replace(spec(), retry_delay_s=0.5, attempts_max=2)
    async with Marketplace(puppets=("scout",)) as place:
        await place.join("scout")
        task = await place.assigned(of=patient)
        await place.ask(FailTask(task, AgentId("scout"), 1, "too hard"))
        view = await place.view(task)
        assert (view.state, view.reason, view.agent) == (TaskState.CREATED, "too hard", "")
        journal = place.journal
    async with Marketplace(journal=journal, puppets=("scout",)) as again:
        await again.until(lambda: [event.attempt for event in again.recorded(TaskBidding)] == [1, 2])


async def test_an_agent_that_comes_free_is_asked_for_the_most_urgent_task_first() -> None:
    async with Marketplace(puppets=("scout",)) as place:
        await place.join("scout")
        busy = await place.assigned()
        for priority in (0, -3, 5, 1):
            await place.post(replace(spec(), priority=priority))
        heard = len(place.invitations["scout"])
        await place.ask(CompleteTask(busy, AgentId("scout"), 1, ArtifactId("a-1")))
        await place.until(lambda: len(place.invitations["scout"]) == heard + 4)
        assert [event.task for event in place.invitations["scout"][heard:]] == ["t-4", "t-5", "t-2", "t-3"]
