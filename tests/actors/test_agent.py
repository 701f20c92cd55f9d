"""An agent among scripted others: how it bids, works, waits, is interrupted and goes on."""

from actors.runtime.simulation import MemoryJournal
from actors.steps import AgentOptions
from bus.errors import AllProvidersFailed, BudgetExhausted, IllegalTransition, NotFound, RequestRejected
from bus.messages.agents import (
    ActionExecuted,
    AgentJoined,
    AgentLeft,
    AgentStatus,
    AgentStatusName,
    Outcomes,
    PauseAgent,
    Persona,
    ReadAgent,
    ResumeAgent,
    StepCompleted,
    StepStarted,
    ThinkingCompleted,
    ToolCalled,
    ToolCompleted,
    ToolFailed,
)
from bus.messages.artifacts import WriteArtifact
from bus.messages.base import AgentId, ArtifactId, TaskId
from bus.messages.completions import BudgetRaised, Complete
from bus.messages.tasks import (
    AuctionClosed,
    Bid,
    CompleteTask,
    DeclineBid,
    FailTask,
    RenewLease,
    StartWork,
    SubmitBid,
    TaskBidding,
    TaskCancelled,
    TaskCompleted,
)
from tests.support.society import ANSWER, Heard, Society

T1, T2 = TaskId("t-1"), TaskId("t-2")
SCOUT = AgentId("scout")
FLAT = Persona(name="scout", capabilities=("summarise",), prompt="You read.", price_msat=300)
BY_LENGTH = Persona(
    name="scout", capabilities=("summarise",), prompt="", price_msat=300, price_per_1000_characters_msat=100
)
QUICK = AgentOptions(retry_wait_s=0.01, budget_retry_s=30.0, heartbeat_s=0.02, backlog_max=1)


def society(
    persona: Persona | None = FLAT,
    journal: MemoryJournal | None = None,
    heard: Heard | None = None,
    options: AgentOptions = QUICK,
) -> Society:
    return Society(persona, journal=journal or MemoryJournal(), heard=heard or Heard(), options=options)


def completed(task: TaskId, attempt: int = 1) -> TaskCompleted:
    return TaskCompleted(task, SCOUT, attempt, 300, ArtifactId("a-9"), "")


async def test_an_agent_joins_once_and_again_only_with_a_changed_persona() -> None:
    journal = MemoryJournal()
    for persona in (FLAT, FLAT, BY_LENGTH):
        async with society(persona, journal):
            pass
    joined = [record.event for record in journal.events if isinstance(record.event, AgentJoined)]
    assert [event.persona for event in joined] == [FLAT, BY_LENGTH]


async def test_it_bids_its_price_on_what_it_can_do_and_declines_the_rest() -> None:
    async with society() as s:
        await s.offer("t-1")
        await s.offer("t-2", capability="paint")
        await s.offer("t-3", reward=299)
        await s.until(lambda: len(s.heard.messages) == 3)
        assert s.heard.of(SubmitBid) == [SubmitBid(T1, SCOUT, 300)]
        assert [message.task for message in s.heard.of(DeclineBid)] == ["t-2", "t-3"]


async def test_it_prices_by_the_length_of_the_input_and_flat_when_that_cannot_be_told() -> None:
    async with society(BY_LENGTH) as s:
        s.heard.document = "x" * 5_000
        await s.offer("t-1")
        await s.until(lambda: s.heard.of(SubmitBid))
        del s.heard.tasks[T1]
        await s.say(TaskBidding(T2, 1, "", "", 1_000, "lowest_price", 0, 2**60))
        await s.until(lambda: len(s.heard.of(SubmitBid)) == 2)
        assert [bid.price_msat for bid in s.heard.of(SubmitBid)] == [800, 300]


async def test_an_auction_of_long_ago_is_not_answered() -> None:
    async with society() as s:
        await s.say(TaskBidding(T1, 1, "", "", 1_000, "lowest_price", 0, 1))
        await s.offer("t-2")
        await s.until(lambda: s.heard.messages)
        assert s.heard.messages == [SubmitBid(T2, SCOUT, 300)]


async def test_it_does_what_it_won_and_is_done_when_the_coordinator_says_so() -> None:
    async with society() as s:
        await s.offer()
        await s.assign()
        await s.until(lambda: s.heard.of(CompleteTask))
        work = [message for message in s.heard.messages if not isinstance(message, RenewLease)]
        assert [type(message) for message in work] == [SubmitBid, StartWork, Complete, WriteArtifact, CompleteTask]
        assert s.heard.of(WriteArtifact)[0].text == ANSWER.text
        assert s.heard.of(CompleteTask) == [CompleteTask(T1, SCOUT, 1, ArtifactId("a-9"), "8 characters by extractive")]
        await s.say(completed(T1))
        await s.until(lambda: s.recorded(StepCompleted))
        view = await s.ask(ReadAgent())
        assert (view.status, view.tasks) == (AgentStatusName.IDLE, ())
        learned = view.outcomes["summarise"]
        assert (learned.completed, learned.earned_msat) == (1, 300)
        told = (ActionExecuted, ToolCalled, ToolCompleted, ThinkingCompleted, StepStarted, StepCompleted)
        assert [type(r.event).__name__ for r in s.journal.events if isinstance(r.event, told)] == [
            "ActionExecuted",
            "StepStarted",
            "ToolCalled",
            "ToolCompleted",
            "ThinkingCompleted",
            "ActionExecuted",
            "StepCompleted",
        ]


async def test_a_lost_auction_is_remembered_after_a_restart() -> None:
    journal = MemoryJournal()
    async with society(journal=journal) as s:
        await s.offer()
        await s.until(lambda: s.heard.of(SubmitBid))
        ranking = (Bid(AgentId("editor"), 200), Bid(SCOUT, 300))
        await s.say(AuctionClosed(T1, 1, ranking, AgentId("editor"), 200, ""))
        await s.until(lambda: s.recorded(ActionExecuted))
    async with society(journal=journal) as s:
        assert (await s.ask(ReadAgent())).outcomes == {"summarise": Outcomes(lost=1)}


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


async def test_a_task_that_is_auctioned_again_is_let_go() -> None:
    async with society() as s:
        s.heard.answers = [None]
        await s.assign()
        await s.until(lambda: s.heard.of(Complete))
        await s.say(TaskBidding(T1, 2, "", "summarise", 1_000, "lowest_price", 0, 2**60, "the lease ran out"))
        await s.until(lambda: s.recorded(StepCompleted))
        assert s.recorded(StepCompleted)[0].outcome == "abandoned"


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


async def test_without_money_it_waits_and_goes_on_when_the_budget_is_raised() -> None:
    async with society() as s:
        s.heard.answers = [BudgetExhausted("run", 0, 5), ANSWER]
        await s.assign()
        await s.until(lambda: any(e.status is AgentStatusName.WAITING for e in s.recorded(AgentStatus)))
        assert (await s.ask(ReadAgent())).reason == "budget run has 0 USD micros left; 5 are needed"
        await s.say(BudgetRaised("run", 100))
        await s.until(lambda: s.heard.of(CompleteTask))
        assert [step.attempt_try for step in s.recorded(StepStarted)] == [1, 1]


async def test_without_money_it_also_looks_again_by_itself() -> None:
    options = AgentOptions(budget_retry_s=0.01)
    async with society(options=options) as s:
        s.heard.answers = [BudgetExhausted("run", 0, 5), ANSWER]
        await s.assign()
        await s.until(lambda: s.heard.of(CompleteTask))


async def test_it_gives_the_task_back_when_no_provider_answers() -> None:
    async with society() as s:
        s.heard.answers = [AllProvidersFailed(("ollama: refused",))]
        await s.assign()
        await s.until(lambda: s.heard.of(FailTask))
        failed = s.heard.of(FailTask)[0]
        assert (failed.is_retryable, failed.reason) == (True, "no provider answered: ollama: refused")
        assert (await s.ask(ReadAgent())).outcomes == {"summarise": Outcomes(failed=1)}


async def test_it_gives_the_task_up_when_the_request_itself_is_wrong() -> None:
    async with society() as s:
        s.heard.answers = [RequestRejected("openai", "too long")]
        await s.assign()
        await s.until(lambda: s.heard.of(FailTask))
        assert not s.heard.of(FailTask)[0].is_retryable


async def test_an_input_that_is_not_there_ends_the_task_with_a_failed_tool() -> None:
    async with society() as s:
        s.heard.document = None
        await s.assign()
        await s.until(lambda: s.heard.of(FailTask))
        assert s.recorded(ToolFailed)[0].reason == "no artifact is called 'a-1'"
        assert not s.heard.of(FailTask)[0].is_retryable


async def test_a_paused_agent_declines_until_it_is_resumed_and_stays_paused_over_a_restart() -> None:
    journal, heard = MemoryJournal(), Heard()
    async with society(journal=journal, heard=heard) as s:
        await s.ask(PauseAgent())
    async with society(journal=journal, heard=heard) as s:
        await s.offer("t-1")
        await s.until(lambda: heard.of(DeclineBid))
        await s.ask(ResumeAgent())
        assert (await s.ask(ReadAgent())).status is AgentStatusName.IDLE
        await s.offer("t-2")
        await s.until(lambda: heard.of(SubmitBid))


async def test_an_agent_that_is_no_longer_configured_gives_back_what_it_holds_and_leaves_once() -> None:
    journal, heard = MemoryJournal(), Heard()
    heard.answers = [None]
    async with society(journal=journal, heard=heard) as s:
        await s.assign()
        await s.until(lambda: heard.of(Complete))
    for _ in range(2):
        async with society(None, journal=journal, heard=heard) as s:
            assert (await s.ask(ReadAgent())).status is AgentStatusName.LEFT
            assert len(s.recorded(AgentLeft)) == 1
            assert [failed.reason for failed in heard.of(FailTask)] == ["it is no longer configured"]
            for command in (PauseAgent(), ResumeAgent()):
                assert isinstance(await refusal(s, command), IllegalTransition)


async def test_an_agent_that_never_was_is_not_found() -> None:
    async with society(None) as s:
        assert isinstance(await refusal(s, ReadAgent()), NotFound)


async def refusal(s: Society, request: PauseAgent | ResumeAgent | ReadAgent) -> Exception | None:
    try:
        await s.tell_and_wait(request)
    except (IllegalTransition, NotFound) as error:
        return error
    return None
