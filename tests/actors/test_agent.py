"""An agent among scripted others: how it joins, bids, learns, pauses and leaves."""

from actors.runtime.simulation import MemoryJournal
from bus.messages.agents import (
    ActionExecuted,
    AgentJoined,
    AgentLeft,
    AgentStatusName,
    Outcomes,
    PauseAgent,
    ReadAgent,
    ResumeAgent,
    RetireAgent,
    StepCompleted,
    StepStarted,
)
from bus.messages.base import AgentId
from bus.messages.completions import Complete
from bus.messages.tasks import (
    AuctionClosed,
    Bid,
    CompleteTask,
    DeclineBid,
    FailTask,
    SubmitBid,
    TaskBidding,
)
from bus.refusals import IllegalTransition, NotFound
from tests.support.society import ANSWER, BY_LENGTH, FLAT, SCOUT, T1, T2, Heard, Society, society


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


async def test_an_auction_of_long_ago_is_not_answered() -> None:
    async with society() as s:
        await s.say(TaskBidding(T1, 1, "", "", 1_000, "lowest_price", 0, 1))
        await s.offer("t-2")
        await s.until(lambda: s.heard.messages)
        assert s.heard.messages == [SubmitBid(T2, SCOUT, 300)]


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


async def test_a_task_that_is_auctioned_again_is_let_go() -> None:
    async with society() as s:
        s.heard.answers = [None]
        await s.assign()
        await s.until(lambda: s.heard.of(Complete))
        await s.say(TaskBidding(T1, 2, "", "summarise", 1_000, "lowest_price", 0, 2**60, "the lease ran out"))
        await s.until(lambda: s.recorded(StepCompleted))
        assert s.recorded(StepCompleted)[0].outcome == "abandoned"


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


async def test_an_agent_that_retires_gives_back_what_it_holds_and_stays_away_over_restarts() -> None:
    journal, heard = MemoryJournal(), Heard()
    heard.answers = [None]  # the model never answers: the step is under way when it retires
    async with society(journal=journal, heard=heard) as s:
        await s.assign("t-1")
        await s.until(lambda: heard.of(Complete))
        await s.ask(RetireAgent("I have seen enough"))
        await s.until(lambda: heard.of(FailTask))
        [given] = heard.of(FailTask)
        assert (given.task, given.attempt, given.is_retryable) == (T1, 1, True)
        assert given.reason == "retired: I have seen enough"
        view = await s.ask(ReadAgent())
        assert (view.status, view.reason, view.tasks) == (AgentStatusName.LEFT, "retired: I have seen enough", ())
        await s.ask(RetireAgent("again"))
        assert len(s.recorded(AgentLeft)) == 1
    async with society(journal=journal) as again:
        assert (await again.ask(ReadAgent())).status is AgentStatusName.LEFT
        await again.offer("t-2")
        await again.until(lambda: again.heard.of(DeclineBid))
        assert again.heard.of(SubmitBid) == []
        assert len(again.recorded(AgentJoined)) == 1


async def test_an_agent_that_dies_of_a_bug_is_started_again_and_goes_on_with_its_work() -> None:
    heard = Heard()
    heard.answers = [None, ANSWER]
    async with society(heard=heard) as s:
        await s.assign("t-1")
        await s.until(lambda: heard.of(Complete))
        s.kill()
        await s.until(lambda: heard.of(CompleteTask))
        [done] = heard.of(CompleteTask)
        assert (done.task, done.attempt) == (T1, 1)
        assert [step.attempt_try for step in s.recorded(StepStarted)] == [1, 2]
        assert len(s.recorded(AgentJoined)) == 1
