"""What happened, as spans."""

from actors.rules.spans import OPEN_MAX, Span, Spans
from bus.address import Address
from bus.envelope import Recorded
from bus.messages.agents import ToolCalled, ToolCompleted
from bus.messages.base import AgentId, ArtifactId, CompletionId, Event, Position, TaskId
from bus.messages.completions import (
    CompletionAttemptFailed,
    CompletionCompleted,
    CompletionFailed,
    CompletionRequested,
    CompletionUnknown,
)
from bus.messages.tasks import (
    AuctionClosed,
    TaskAssigned,
    TaskBidding,
    TaskCompleted,
    TaskCreated,
    TaskFailed,
    TaskSpec,
)

TASK, SCOUT, CALL = TaskId("t-1"), AgentId("scout"), CompletionId("m-1")
SPEC = TaskSpec("Say it", capability="say", reward_msat=9)


def created() -> TaskCreated:
    return TaskCreated(TASK, SPEC, 0)


def bidding(attempt: int = 1, reason: str = "") -> TaskBidding:
    return TaskBidding(TASK, attempt, "Say it", "say", 9, "lowest_price", 0, 0, reason)


def closed(attempt: int = 1) -> AuctionClosed:
    return AuctionClosed(TASK, attempt, (), SCOUT, 5, "the lowest price")


def assigned(attempt: int = 1) -> TaskAssigned:
    return TaskAssigned(TASK, SCOUT, attempt, 5, 60.0, SPEC)


def requested(completion: CompletionId = CALL, task: TaskId = TASK) -> CompletionRequested:
    return CompletionRequested(completion, SCOUT, task, 10, 20, 0, 0)


def answered() -> CompletionCompleted:
    return CompletionCompleted(CALL, SCOUT, TASK, "ollama", "tiny", 7, 8, 9, "stop", 0.1, 0)


def told(*events: Event, spans: Spans | None = None) -> list[Span]:
    """The spans of events that happen a millisecond apart."""
    taking = spans or Spans(epoch=1)
    return [
        span
        for number, event in enumerate(events, 1)
        for span in taking.take(
            Recorded(event, Position(number), number * 1_000, Address("test"), Position(0), "", Position(0))
        )
    ]


def named(spans: list[Span]) -> dict[str, Span]:
    return {span.name: span for span in spans}


def test_a_task_is_a_trace_of_its_auction_its_lease_and_its_completions() -> None:
    done = TaskCompleted(TASK, SCOUT, 1, 5, ArtifactId("a-1"), "said")
    found = named(told(created(), bidding(), closed(), assigned(), requested(), answered(), done))
    assert list(found) == ["auction", "chat tiny", "invoke_agent scout", "task say"]
    task, lease = found["task say"], found["invoke_agent scout"]
    assert {span.trace for span in found.values()} == {task.trace}
    assert (task.parent, found["auction"].parent, lease.parent) == ("", task.span, task.span)
    assert found["chat tiny"].parent == lease.span
    assert (task.start_us, task.end_us) == (1_000, 7_000)
    assert (found["chat tiny"].start_us, found["chat tiny"].end_us, found["chat tiny"].kind) == (5_000, 6_000, "client")
    assert all(not span.error for span in found.values())
    assert len({span.span for span in found.values()}) == 4


def test_a_completion_says_what_the_conventions_ask_for_and_no_words_of_it() -> None:
    failed = CompletionAttemptFailed(CALL, SCOUT, TASK, "first", "connect", "refused", 0.01)
    [chat] = told(requested(), failed, answered())
    assert chat.attributes["gen_ai.operation.name"] == "chat"
    assert chat.attributes["gen_ai.provider.name"] == "ollama"
    assert chat.attributes["gen_ai.response.model"] == "tiny"
    assert (chat.attributes["gen_ai.usage.input_tokens"], chat.attributes["gen_ai.usage.output_tokens"]) == (7, 8)
    [attempt] = chat.events
    assert (attempt.name, attempt.time_us, attempt.attributes["error.type"]) == ("attempt failed", 2_000, "connect")


def test_a_completion_without_a_task_is_a_trace_of_its_own() -> None:
    failed = CompletionFailed(CALL, SCOUT, TaskId(""), "all_providers_failed", "nobody answered", 0, 0)
    [chat] = told(requested(task=TaskId("")), failed)
    assert (chat.parent, chat.error) == ("", "nobody answered")


def test_what_a_crash_left_open_is_an_error() -> None:
    [chat] = told(requested(), CompletionUnknown(CALL, SCOUT, TASK, 5, 0))
    assert "unknown" in chat.error


def test_a_lost_lease_ends_with_its_reason_and_the_next_is_another_span() -> None:
    found = told(created(), bidding(), assigned(), bidding(2, "the lease ran out"), assigned(2), TaskFailed(TASK, "no"))
    leases = [span for span in found if span.name == "invoke_agent scout"]
    assert [span.error for span in leases] == ["the lease ran out", "no"]
    assert leases[0].span != leases[1].span
    assert [span.attributes["agora.attempt"] for span in leases] == [1, 2]


def test_a_tool_call_is_a_span_under_the_lease() -> None:
    found = told(created(), assigned(), ToolCalled(SCOUT, TASK, "read", "a-1"), ToolCompleted(SCOUT, TASK, "read", "5"))
    [tool] = found
    assert (tool.name, tool.attributes["gen_ai.tool.name"]) == ("execute_tool read", "read")
    assert "a-1" not in tool.attributes.values()


def test_what_was_open_before_it_listened_becomes_no_span() -> None:
    assert told(closed(), TaskCompleted(TASK, SCOUT, 1, 5, ArtifactId("a-1"), "said")) == []


def test_a_completion_that_cost_nothing_and_had_no_intent_began_as_long_before_its_end_as_it_took() -> None:
    failed = CompletionAttemptFailed(CALL, SCOUT, TASK, "ollama", "timeout", "no reply", 0.05)
    (span,) = told(assigned(), *(bidding() for _ in range(200)), failed, answered())[1:]
    assert (span.name, span.start_us, span.end_us) == ("chat tiny", 202_000 - 50_000, 203_000)
    assert [event.name for event in span.events] == ["attempt failed"]
    assert span.attributes["agora.completion"] == CALL
    (alone,) = told(*(closed() for _ in range(200)), answered())
    assert (alone.start_us, alone.end_us) == (201_000 - 100_000, 201_000)


def test_ids_are_the_same_in_every_process_and_others_in_every_epoch() -> None:
    first, again = told(requested(), answered()), told(requested(), answered())
    assert first == again
    [other] = told(requested(), answered(), spans=Spans(epoch=2))
    assert (other.trace, other.span) != (first[0].trace, first[0].span)


def test_the_oldest_open_span_goes_unseen_when_there_are_too_many() -> None:
    spans = Spans(epoch=1)
    calls = [requested(CompletionId(f"m-{number}"), TaskId("")) for number in range(OPEN_MAX + 1)]
    assert told(*calls, spans=spans) == []
    assert spans.unseen == 1
