"""One step of an agent, from the reading to the report, and the errors on its way."""

from bus.messages.agents import (
    ActionExecuted,
    AgentStatusName,
    Outcomes,
    ReadAgent,
    StepCompleted,
    StepStarted,
    ThinkingCompleted,
    ToolCalled,
    ToolCompleted,
    ToolFailed,
)
from bus.messages.artifacts import WriteArtifact
from bus.messages.base import ArtifactId
from bus.messages.completions import Complete
from bus.messages.tasks import (
    CompleteTask,
    FailTask,
    RenewLease,
    StartWork,
    SubmitBid,
    TaskBidding,
)
from bus.refusals import AllProvidersFailed, RequestRejected
from tests.support.society import ANSWER, BY_LENGTH, SCOUT, T1, T2, completed, society


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


async def test_it_prices_by_the_length_of_the_input_and_flat_when_that_cannot_be_told() -> None:
    async with society(BY_LENGTH) as s:
        s.heard.document = "x" * 5_000
        await s.offer("t-1")
        await s.until(lambda: s.heard.of(SubmitBid))
        del s.heard.tasks[T1]
        await s.say(TaskBidding(T2, 1, "", "", 1_000, "lowest_price", 0, 2**60))
        await s.until(lambda: len(s.heard.of(SubmitBid)) == 2)
        assert [bid.price_msat for bid in s.heard.of(SubmitBid)] == [800, 300]


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
