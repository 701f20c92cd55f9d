"""What was answered before."""

import msgspec
import pytest

from actors.rules.recordings import Recordings, request_hash
from bus.messages.base import AgentId, CompletionId, RunId, TaskId
from bus.messages.completions import ChatMessage, Complete
from bus.messages.transcripts import AttemptTrace, Transcript

REQUEST = Complete((ChatMessage("user", "Name the moons."),), 50, 9.0)


def trace(provider: str = "a", outcome: str = "ok", text: str = "Phobos.") -> AttemptTrace:
    answer: dict[str, object] | None = {"text": text} if outcome == "ok" else None
    return AttemptTrace(1, provider, "m", 0.0, 0.5, outcome, answer=answer)


def transcript(*attempts: AttemptTrace, request: Complete = REQUEST) -> Transcript:
    return Transcript(
        completion=CompletionId("m-1"),
        run=RunId("main"),
        agent=AgentId("scout"),
        task=TaskId(""),
        asked_us=0,
        elapsed_s=0.5,
        ending="answered",
        error="",
        reason="",
        provider="a",
        model="m",
        tokens_in=1,
        tokens_out=1,
        cost_usd_micros=0,
        request=request,
        request_hash=request_hash(request),
        attempts=attempts,
    )


@pytest.mark.parametrize(
    "change",
    [
        {"agent": AgentId("editor")},
        {"task": TaskId("t-9")},
        {"deadline_s": 1.0},
        {"privacy": "local"},
        {"ticket": "x"},
        {"is_shown": True},
        {"hedge_after_s": 2.0},
    ],
)
def test_who_asks_and_how_long_there_is_time_makes_no_other_request(change: dict[str, object]) -> None:
    assert request_hash(msgspec.structs.replace(REQUEST, **change)) == request_hash(REQUEST)


def test_vectors_are_another_answer_than_words_and_by_their_length() -> None:
    hashes = {request_hash(REQUEST), *(request_hash(REQUEST, dimensions) for dimensions in (0, 3, 5))}
    assert len(hashes) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"messages": (ChatMessage("user", "Name the moon."),)},
        {"tokens_max": 51},
        {"model": "m"},
        {"schema": "{}"},
        {"temperature": 0.0},
        {"stop": ("x",)},
    ],
)
def test_what_shapes_the_answer_makes_another_request(change: dict[str, object]) -> None:
    assert request_hash(msgspec.structs.replace(REQUEST, **change)) != request_hash(REQUEST)


def test_the_attempts_at_a_provider_are_given_in_their_order_and_the_last_one_again() -> None:
    first, second = trace(outcome="timeout"), trace(text="Phobos and Deimos.")
    recordings = Recordings([transcript(first, second)])
    given = [recordings.next(request_hash(REQUEST), "a") for _ in range(3)]
    assert given == [first, second, second]


def test_a_provider_without_an_attempt_of_its_own_gives_what_another_one_answered() -> None:
    answer = trace("b")
    recordings = Recordings([transcript(trace("a", "server"), answer)])
    assert recordings.next(request_hash(REQUEST), "c") == answer


def test_what_was_cut_short_or_has_no_words_is_no_recording() -> None:
    wordless = msgspec.structs.replace(trace(), answer=None)
    cut_short = [trace("a", outcome) for outcome in ("cancelled", "outrun", "late", "unrecorded")]
    recordings = Recordings([transcript(*cut_short, wordless)])
    assert recordings.next(request_hash(REQUEST), "a") is None
    assert recordings.next("another", "a") is None
