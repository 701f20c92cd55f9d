"""A completion under way: what it asked, what was tried, and what is recorded of it.

Rules: at most one attempt is under way at a time; each has a number, so that a report which is told twice counts once.
No clock: times are handed in.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from actors.providers.dialect import ModelReply
from actors.providers.streams import Stream
from actors.rules.breaker import Permit
from actors.rules.cascade import Attempted, ErrorClass
from actors.rules.spending import cost, estimate_prompt
from actors.runtime import Deferred
from bus.errors import AgoraError
from bus.messages.base import AgentId, CompletionId, Microseconds
from bus.messages.completions import (
    Complete,
    Completion,
    CompletionAttemptFailed,
    CompletionCompleted,
    CompletionFailed,
    CompletionRequested,
)

if TYPE_CHECKING:
    from actors.providers.seats import Seat


class Call:
    """One completion. `begun_s` is monotonic seconds."""

    def __init__(self, request: Complete, begun_s: float) -> None:
        self.request = request
        self.completion = CompletionId("")
        self.tokens_in = estimate_prompt(request.messages)
        self.begun_s = begun_s
        self.deadline_s = begun_s + request.deadline_s
        self.round = 0
        self.attempts = 0
        """The number of the last attempt."""
        self.attempted: list[Attempted] = []
        """The failed ones."""
        self.lines: list[str] = []
        """What happened so far, a line per attempt."""
        self.seat: Seat | None = None
        """Where its attempt is under way; None while it waits."""
        self.permit = Permit(0, is_probe=False)
        self.stream: Stream | None = None
        """Where the words of the answer go, if anyone reads them as they come."""
        self.owed: Deferred[Completion] | None = None
        """Who is answered at the end, if the words are not read as they come."""
        self.cancel: Callable[[], None] | None = None
        """Ends the attempt under way, and closes its socket."""

    @property
    def agent(self) -> AgentId:
        """Who asked."""
        return self.request.agent

    def end(self, outcome: Completion | AgoraError) -> None:
        """Tell who asked what became of it."""
        if self.stream is not None:
            self.stream.end(outcome)
        elif self.owed is not None and isinstance(outcome, Completion):
            self.owed.answer(outcome)
        elif self.owed is not None and isinstance(outcome, AgoraError):
            self.owed.refuse(outcome)

    def begin(self, seat: "Seat", permit: Permit) -> None:
        """An attempt begins."""
        assert self.seat is None, "one attempt at a time"
        self.seat, self.permit = seat, permit
        self.attempts += 1

    def estimate(self, seat: "Seat") -> int:
        """The most that an attempt there should cost, in USD micros."""
        return seat.estimate(self.tokens_in, self.request.tokens_max)

    def requested(self, reserved: int, now_us: Microseconds) -> CompletionRequested:
        """The intent, as it is recorded before anything is sent."""
        return CompletionRequested(
            completion=self.completion,
            agent=self.request.agent,
            task=self.request.task,
            tokens_in_estimate=self.tokens_in,
            tokens_max=self.request.tokens_max,
            reserved_usd_micros=reserved,
            requested_us=now_us,
        )

    def attempt_failed(
        self, seat: "Seat", error: ErrorClass, reason: str, charged: int, elapsed_s: float
    ) -> CompletionAttemptFailed:
        """The attempt is over without an answer; `charged` is what it may have cost all the same."""
        self.seat = None
        self.attempted.append(Attempted(seat.name, error, self.round))
        self.lines.append(f"{seat.name}: {error}: {reason}")
        return CompletionAttemptFailed(
            completion=self.completion,
            agent=self.request.agent,
            task=self.request.task,
            provider=seat.name,
            error=error,
            reason=reason,
            elapsed_s=elapsed_s,
            cost_usd_micros=charged,
        )

    def completed(
        self, seat: "Seat", reply: ModelReply, lost: int, attempt_s: float, now: tuple[float, Microseconds]
    ) -> CompletionCompleted:
        """The attempt is over with an answer; `lost` is what failed ones before it may have cost."""
        self.seat = None
        self.lines.append(f"{seat.name}: answered in {attempt_s:.2f} s")
        now_s, now_us = now
        answer_cost = cost(seat.price, reply.tokens_in, reply.tokens_out)
        return CompletionCompleted(
            completion=self.completion,
            agent=self.request.agent,
            task=self.request.task,
            provider=seat.name,
            model=reply.model,
            tokens_in=reply.tokens_in,
            tokens_out=reply.tokens_out,
            cost_usd_micros=answer_cost + lost,
            finish_reason=reply.finish_reason,
            elapsed_s=now_s - self.begun_s,
            completed_us=now_us,
            answer_cost_usd_micros=answer_cost,
            is_usage_estimated=reply.is_usage_estimated,
        )

    def failed(self, error: str, reason: str, lost: int, now_us: Microseconds) -> CompletionFailed:
        """No provider answered."""
        return CompletionFailed(
            completion=self.completion,
            agent=self.request.agent,
            task=self.request.task,
            error=error,
            reason=reason,
            cost_usd_micros=lost,
            failed_us=now_us,
        )

    def reply(self, completed: CompletionCompleted, reply: ModelReply) -> Completion:
        """The answer as the asker gets it."""
        return Completion(
            completion=self.completion,
            text=reply.text,
            provider=completed.provider,
            model=completed.model,
            tokens_in=completed.tokens_in,
            tokens_out=completed.tokens_out,
            cost_usd_micros=completed.cost_usd_micros,
            finish_reason=reply.finish_reason,
            elapsed_s=completed.elapsed_s,
            attempts=tuple(self.lines),
        )
