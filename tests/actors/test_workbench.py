"""What an agent has in hand: how it works, waits, is interrupted and goes on."""

import pytest

from actors.runtime.simulation import MemoryJournal
from actors.steps import AgentOptions
from bus.messages.agents import (
    ActionExecuted,
    AgentStatus,
    AgentStatusName,
    ReadAgent,
    StepCompleted,
    StepStarted,
)
from bus.messages.completions import BudgetRaised, BudgetReopened, BudgetSpent, CancelCompletion, Complete, ReadRouter
from bus.messages.tasks import (
    CompleteTask,
    DeclineBid,
    FailTask,
    RenewLease,
    TaskCancelled,
)
from bus.refusals import BudgetExhausted
from tests.support.society import ANSWER, SCOUT, T1, Heard, completed, society


async def test_it_works_on_as_many_tasks_as_its_persona_says_and_keeps_the_others_waiting() -> None:
    async with society() as s:
        s.heard.answers = [None]
        await s.assign("t-1")
        await s.assign("t-2")
        await s.offer("t-3")
        await s.until(lambda: s.heard.of(Complete) and s.heard.of(DeclineBid))
        assert [step.task for step in s.recorded(StepStarted)] == ["t-1"]
        s.heard.answers = [ANSWER]
        await s.say(TaskCancelled(T1, "no longer wanted", SCOUT, 1))
        await s.until(lambda: s.heard.of(CompleteTask))
        assert s.heard.of(CompleteTask)[0].task == "t-2"


async def test_a_cancelled_task_ends_the_step_that_runs_for_it() -> None:
    async with society() as s:
        s.heard.answers = [None]
        await s.assign()
        await s.until(lambda: s.heard.of(Complete))
        await s.say(TaskCancelled(T1, "no longer wanted", SCOUT, 1))
        await s.until(lambda: s.recorded(StepCompleted))
        assert s.recorded(StepCompleted)[0].outcome == "abandoned"
        assert (await s.ask(ReadAgent())).tasks == ()


async def test_a_step_that_is_ended_hangs_up_on_the_model_that_it_waits_for() -> None:
    async with society() as s:
        s.heard.answers = [None]
        await s.assign()
        await s.until(lambda: s.heard.of(Complete))
        await s.say(TaskCancelled(T1, "no longer wanted", SCOUT, 1))
        await s.until(lambda: s.heard.of(CancelCompletion))
        assert s.heard.of(CancelCompletion) == [CancelCompletion(ticket=s.heard.of(Complete)[0].ticket)]


async def test_a_step_that_is_answered_cancels_nothing() -> None:
    async with society() as s:
        await s.assign()
        await s.until(lambda: s.heard.of(CompleteTask))
        assert s.heard.of(CancelCompletion) == []


async def test_the_lease_is_renewed_every_third_of_its_period() -> None:
    async with society() as s:
        s.heard.answers = [None]
        s.heard.lease_s = 0.06
        await s.assign()
        await s.until(lambda: len(s.heard.of(RenewLease)) >= 4)
        assert s.heard.of(RenewLease)[0] == RenewLease(T1, SCOUT, 1)


async def test_a_refused_renewal_ends_the_step() -> None:
    async with society() as s:
        s.heard.answers = [None]
        s.heard.lease_s = 0.03
        s.heard.refuses = (RenewLease,)
        await s.assign()
        await s.until(lambda: s.recorded(StepCompleted))
        refused = [event for event in s.recorded(ActionExecuted) if event.action == "renew_lease"]
        assert [event.outcome for event in refused] == ["refused"]


async def test_a_result_is_reported_again_until_it_is_confirmed() -> None:
    async with society() as s:
        s.heard.lease_s = 0.03
        await s.assign()
        await s.until(lambda: len(s.heard.of(CompleteTask)) == 3)
        assert len(set(s.heard.of(CompleteTask))) == 1
        await s.say(completed(T1))
        await s.until(lambda: s.recorded(StepCompleted))


async def test_a_refused_result_is_let_go() -> None:
    async with society() as s:
        s.heard.lease_s = 0.03
        s.heard.refuses = (CompleteTask,)
        await s.assign()
        await s.until(lambda: s.recorded(StepCompleted))
        assert s.recorded(StepCompleted)[0].outcome == "abandoned"


async def test_a_restart_goes_on_with_the_next_try_and_asks_for_the_task_again() -> None:
    journal, heard = MemoryJournal(), Heard()
    heard.answers = [None]
    async with society(journal=journal, heard=heard) as s:
        await s.assign()
        await s.until(lambda: heard.of(Complete))
    heard.answers = [ANSWER]
    async with society(journal=journal, heard=heard) as s:
        await s.until(lambda: heard.of(CompleteTask))
        assert [step.attempt_try for step in s.recorded(StepStarted)] == [1, 2]


async def test_after_three_tries_it_gives_the_task_back() -> None:
    journal, heard = MemoryJournal(), Heard()
    heard.answers = [None]
    for tries in range(1, 4):
        async with society(journal=journal, heard=heard) as s:
            if tries == 1:
                await s.assign()
            await s.until(lambda tries=tries: len(heard.of(Complete)) == tries)  # type: ignore[misc]
    async with society(journal=journal, heard=heard) as s:
        await s.until(lambda: heard.of(FailTask))
        assert heard.of(FailTask)[0].is_retryable
        assert s.recorded(StepCompleted)[0].outcome == "failed"


async def test_a_result_that_was_not_confirmed_is_reported_again_after_a_restart() -> None:
    journal, heard = MemoryJournal(), Heard()
    async with society(journal=journal, heard=heard) as s:
        await s.assign()
        await s.until(lambda: heard.of(CompleteTask))
    async with society(journal=journal, heard=heard) as s:
        await s.until(lambda: len(heard.of(CompleteTask)) >= 2)
        assert len(heard.of(Complete)) == 1
        assert len(set(heard.of(CompleteTask))) == 1


@pytest.mark.parametrize("more", [BudgetRaised("run", 100), BudgetReopened("run", 100)])
async def test_without_money_it_waits_and_goes_on_when_there_is_more(more: BudgetRaised | BudgetReopened) -> None:
    async with society() as s:
        s.heard.answers = [BudgetExhausted("run", 0, 5), ANSWER]
        await s.assign()
        await s.until(lambda: any(e.status is AgentStatusName.WAITING for e in s.recorded(AgentStatus)))
        assert (await s.ask(ReadAgent())).reason == "budget run has 0 USD micros left; 5 are needed"
        await s.say(more)
        await s.until(lambda: s.heard.of(CompleteTask))
        assert [step.attempt_try for step in s.recorded(StepStarted)] == [1, 1]


async def test_without_money_it_looks_again_by_itself_and_begins_no_step_until_there_is_some() -> None:
    options = AgentOptions(budget_retry_s=0.01)
    async with society(options=options) as s:
        s.heard.answers, s.heard.is_exhausted = [BudgetExhausted("run", 0, 5), ANSWER], True
        await s.assign()
        await s.until(lambda: len(s.heard.of(ReadRouter)) >= 4)
        assert len(s.recorded(StepStarted)) == 1
        s.heard.is_exhausted = False
        await s.until(lambda: s.heard.of(CompleteTask))
        assert [step.attempt_try for step in s.recorded(StepStarted)] == [1, 1]


async def test_when_others_have_spent_what_all_share_it_begins_nothing_until_there_is_more() -> None:
    async with society() as s:
        await s.say(BudgetSpent("run", 100, 100))
        await s.assign()
        await s.until(lambda: any(e.status is AgentStatusName.WAITING for e in s.recorded(AgentStatus)))
        assert (s.recorded(StepStarted), s.heard.of(Complete)) == ([], [])
        await s.say(BudgetRaised("run", 200))
        await s.until(lambda: s.heard.of(CompleteTask))
        assert (await s.ask(ReadAgent())).status is AgentStatusName.WORKING


async def test_what_another_agent_has_spent_of_its_own_holds_it_up_in_nothing() -> None:
    async with society() as s:
        await s.say(BudgetSpent("agent/other", 100, 100))
        await s.assign()
        await s.until(lambda: s.heard.of(CompleteTask))


async def test_after_a_restart_without_money_it_looks_before_it_begins_anything() -> None:
    journal, heard = MemoryJournal(), Heard()
    heard.answers, heard.is_exhausted = [BudgetExhausted("run", 0, 5), ANSWER], True
    async with society(journal=journal, heard=heard) as s:
        await s.assign()
        await s.until(lambda: any(e.status is AgentStatusName.WAITING for e in s.recorded(AgentStatus)))
    async with society(journal=journal, heard=heard, options=AgentOptions(budget_retry_s=0.01)) as s:
        looked = len(heard.of(ReadRouter))
        await s.until(lambda: len(heard.of(ReadRouter)) >= looked + 3)
        assert len(s.recorded(StepStarted)) == 1
        heard.is_exhausted = False
        await s.until(lambda: heard.of(CompleteTask))


async def test_without_the_runs_money_it_asks_people_for_more_once_while_they_think() -> None:
    options = AgentOptions(budget_retry_s=0.01)
    async with society(options=options) as s:
        s.heard.answers = [BudgetExhausted("run", 0, 5)]
        await s.assign()
        await s.until(lambda: len(s.recorded(StepStarted)) >= 3)
        assert len(s.heard.of(ReadRouter)) == 3, "a look between two steps, and once to ask"


async def test_it_asks_nobody_for_a_budget_that_cannot_be_raised_or_when_it_shall_not() -> None:
    for answer, options in (
        (BudgetExhausted("day/20000", 0, 5), AgentOptions(budget_retry_s=0.01)),
        (BudgetExhausted("run", 0, 5), AgentOptions(budget_retry_s=0.01, spend_request_usd_micros=0)),
    ):
        async with society(options=options) as s:
            s.heard.answers = [answer]
            await s.assign()
            await s.until(lambda: len(s.recorded(StepStarted)) >= 3)  # awaited within the turn
            assert len(s.heard.of(ReadRouter)) == 2, "a look between two steps"
