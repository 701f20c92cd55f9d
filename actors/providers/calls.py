"""A completion under way: what it asked, what was tried, and what is recorded of it.

Rules: each attempt has a number, so that a report which is told twice counts once. There is one attempt under way, or
a hedge beside it; of a stream, who speaks first is heard to the end and nobody else. No clock: times are handed in.
"""

from collections.abc import Callable
from typing import NamedTuple, Self

import msgspec

from actors.providers.dialect import ModelReply
from actors.providers.seats import Seat
from actors.providers.streams import Stream
from actors.rules import capabilities
from actors.rules.breaker import Permit
from actors.rules.cascade import Attempted, ErrorClass
from actors.rules.spending import Price, cost, estimate_prompt, estimate_tools
from actors.runtime import Deferred
from bus.errors import AgoraError
from bus.messages.base import AgentId, CompletionId, Microseconds, RunId
from bus.messages.completions import (
    ChatMessage,
    Complete,
    Completion,
    CompletionAttemptFailed,
    CompletionCompleted,
    CompletionFailed,
    CompletionRequested,
)
from bus.messages.embeddings import Embed, Embedding
from bus.messages.transcripts import AttemptTrace, Ending, Transcript


class Flight:
    """An attempt under way. `began_s` is monotonic seconds; `price` is that of its beginning, whatever is set since."""

    __slots__ = ("began_s", "cancel", "is_hedge", "number", "permit", "price", "seat")

    def __init__(
        self, number: int, seat: Seat, permit: Permit, price: Price, began_s: float, *, is_hedge: bool
    ) -> None:
        self.number = number
        self.seat = seat
        self.permit = permit
        self.price = price
        self.began_s = began_s
        self.is_hedge = is_hedge
        self.cancel: Callable[[], None] | None = None
        """Ends it, and closes its socket."""


class Failure(msgspec.Struct, frozen=True):
    """Why an attempt gave no answer, and what it may have cost all the same. Times are seconds."""

    error: ErrorClass
    reason: str
    charged: int = 0
    elapsed_s: float = 0.0
    first_s: float | None = None
    retry_after_s: float = 0.0


class Times(NamedTuple):
    """How long an attempt took, how long until its first words were heard, and the monotonic time now."""

    attempt_s: float
    first_s: float | None
    now_s: float


class Call:
    """One completion. `begun_s` is monotonic seconds."""

    def __init__(self, request: Complete, begun_s: float, begun_us: Microseconds = 0) -> None:
        self.request = request
        self.completion = CompletionId("")
        self.texts: Embed | None = None
        """What is to become vectors, if this is not about an answer in words."""
        self.needs = capabilities.needed(request)
        """What a provider must declare to be asked this."""
        self.tokens_in = estimate_prompt(request.messages) + estimate_tools(request.tools)
        self.begun_s = begun_s
        self.begun_us = begun_us
        self.deadline_s = begun_s + request.deadline_s
        self.reserved = 0
        """What of the money is set aside for it, in USD micros; 0 while nobody may charge anything."""
        self.lost = 0
        """What its failed attempts may have cost."""
        self.round = 0
        self.attempts = 0
        """The number of the last attempt."""
        self.attempted: list[Attempted] = []
        """The failed ones."""
        self.lines: list[str] = []
        """What happened so far, a line per attempt."""
        self.traces: list[AttemptTrace] = []
        """The attempts that are over."""
        self.overflowed = 0
        """The largest context that it was too long for, of those whose size is known."""
        self.answer: ModelReply | None = None
        """What the last of them gave."""
        self.flights: dict[int, Flight] = {}
        """Those under way, by number."""
        self.stream: Stream | None = None
        """Where the words of the answer go, if anyone reads them as they come."""
        self.speaking = 0
        """The attempt whose words are heard; 0 while nobody has spoken."""
        self.owed: Deferred[Completion] | None = None
        """Who is answered at the end, if the words are not read as they come."""
        self.owed_vectors: Deferred[Embedding] | None = None
        """Who is answered at the end, if it is about vectors."""
        self.vectors: tuple[bytes, ...] = ()

    @classmethod
    def embedding(cls, texts: Embed, begun_s: float, begun_us: Microseconds = 0) -> Self:
        """A completion whose answer are vectors: each text is a message, and next to nothing is written."""
        messages = tuple(ChatMessage("user", text) for text in texts.texts)
        request = Complete(
            messages, 1, texts.deadline_s, texts.agent, texts.task, model=texts.model, privacy=texts.privacy
        )
        call = cls(request, begun_s, begun_us)
        call.texts, call.needs = texts, (capabilities.EMBEDDINGS,)
        return call

    @property
    def agent(self) -> AgentId:
        """Who asked."""
        return self.request.agent

    @property
    def dimensions(self) -> int | None:
        """How long the vectors are to be, 0 for the model's own length; None if this is about an answer in words."""
        return self.texts.dimensions if self.texts is not None else None

    @property
    def has_spoken(self) -> bool:
        """Whether anyone has heard words of the answer."""
        return self.stream is not None and bool(self.stream.text)

    def end(self, outcome: Completion | AgoraError) -> None:
        """Tell who asked what became of it."""
        if self.stream is not None:
            self.stream.end(outcome)
        if self.owed_vectors is not None:
            if isinstance(outcome, Completion):
                self.owed_vectors.answer(self._embedding(outcome))
            else:
                self.owed_vectors.refuse(outcome)
        if self.owed is not None:
            if isinstance(outcome, Completion):
                self.owed.answer(outcome)
            else:
                self.owed.refuse(outcome)

    def begin(self, seat: Seat, permit: Permit, now_s: float, *, is_hedge: bool = False) -> Flight:
        """An attempt begins."""
        assert is_hedge is bool(self.flights), "only a hedge runs beside another attempt"
        self.attempts += 1
        price = seat.price_of(self)
        flight = self.flights[self.attempts] = Flight(self.attempts, seat, permit, price, now_s, is_hedge=is_hedge)
        return flight

    def say(self, number: int, words: str) -> bool:
        """An attempt says words. Returns whether they are the first that are heard."""
        assert self.stream is not None, "somebody reads the words"
        is_first = not self.speaking
        if is_first:
            self.speaking = number
        if self.speaking == number:
            self.stream.say(words)
        return is_first

    def restart(self) -> None:
        """What was said counts no more."""
        if self.has_spoken and self.stream is not None:
            self.stream.restart()
        self.speaking = 0

    def estimate(self, seat: Seat) -> int:
        """The most that an attempt there should cost, in USD micros."""
        return seat.estimate(self)

    def at_most(self, flight: Flight) -> int:
        """The most that an attempt under way should cost, in USD micros."""
        return cost(flight.price, self.tokens_in, self.request.tokens_max)

    def requested(self, reserved: int, now_us: Microseconds) -> CompletionRequested:
        """The intent, as it is recorded before anything is sent that may cost money."""
        self.reserved = reserved
        return CompletionRequested(
            completion=self.completion,
            agent=self.request.agent,
            task=self.request.task,
            tokens_in_estimate=self.tokens_in,
            tokens_max=self.request.tokens_max,
            reserved_usd_micros=reserved,
            requested_us=now_us,
        )

    def attempt_failed(self, flight: Flight, failure: Failure) -> CompletionAttemptFailed:
        """The attempt is over without an answer."""
        seat = flight.seat
        del self.flights[flight.number]
        self.lost += failure.charged
        if failure.error is ErrorClass.OVERFLOW:
            self.overflowed = max(self.overflowed, seat.options.context_tokens)
        self.attempted.append(Attempted(seat.name, failure.error, self.round))
        self.lines.append(f"{seat.name}: {failure.error}: {failure.reason}")
        began_s = flight.began_s - self.begun_s
        self.traces.append(
            AttemptTrace(
                number=flight.number,
                provider=seat.name,
                model=seat.options.model,
                began_s=began_s,
                ended_s=began_s + failure.elapsed_s,
                outcome=failure.error,
                reason=failure.reason,
                first_s=None if failure.first_s is None else began_s + failure.first_s,
                cost_usd_micros=failure.charged,
                is_hedge=flight.is_hedge,
                retry_after_s=failure.retry_after_s,
            )
        )
        return CompletionAttemptFailed(
            completion=self.completion,
            agent=self.request.agent,
            task=self.request.task,
            provider=seat.name,
            error=failure.error,
            reason=failure.reason,
            elapsed_s=failure.elapsed_s,
            cost_usd_micros=failure.charged,
        )

    def completed(self, flight: Flight, reply: ModelReply, times: Times, now_us: Microseconds) -> CompletionCompleted:
        """The attempt is over with an answer."""
        seat = flight.seat
        attempt_s, first_s, now_s = times
        del self.flights[flight.number]
        self.answer = reply
        self.lines.append(f"{seat.name}: answered in {attempt_s:.2f} s")
        self.vectors = reply.vectors
        answer_cost = cost(flight.price, reply.tokens_in, reply.tokens_out)
        began_s = flight.began_s - self.begun_s
        self.traces.append(
            AttemptTrace(
                number=flight.number,
                provider=seat.name,
                model=reply.model,
                began_s=began_s,
                ended_s=began_s + attempt_s,
                outcome="ok",
                first_s=None if first_s is None else began_s + first_s,
                tokens_in=reply.tokens_in,
                tokens_out=reply.tokens_out,
                cost_usd_micros=answer_cost,
                is_hedge=flight.is_hedge,
            )
        )
        return CompletionCompleted(
            completion=self.completion,
            agent=self.request.agent,
            task=self.request.task,
            provider=seat.name,
            model=reply.model,
            tokens_in=reply.tokens_in,
            tokens_out=reply.tokens_out,
            cost_usd_micros=answer_cost + self.lost,
            finish_reason=reply.finish_reason,
            elapsed_s=now_s - self.begun_s,
            completed_us=now_us,
            answer_cost_usd_micros=answer_cost,
            is_usage_estimated=reply.is_usage_estimated,
        )

    def failed(self, error: str, reason: str, now_us: Microseconds) -> CompletionFailed:
        """No provider answered."""
        return CompletionFailed(
            completion=self.completion,
            agent=self.request.agent,
            task=self.request.task,
            error=error,
            reason=reason,
            cost_usd_micros=self.lost,
            failed_us=now_us,
        )

    def transcript(
        self, ending: Ending, cost_usd_micros: int, elapsed_s: float, failed: CompletionFailed | None
    ) -> Transcript:
        """The whole completion, as the log keeps it once it is over."""
        answer, last = self.answer, self.traces[-1] if self.traces else None
        traces = self.traces
        if answer is not None and last is not None:
            traces = [*traces[:-1], msgspec.structs.replace(last, answer=msgspec.to_builtins(answer))]
        return Transcript(
            completion=self.completion,
            run=RunId(""),
            agent=self.request.agent,
            task=self.request.task,
            asked_us=self.begun_us,
            elapsed_s=elapsed_s,
            ending=ending,
            error=failed.error if failed is not None else "",
            reason=failed.reason if failed is not None else "",
            provider=last.provider if answer is not None and last is not None else "",
            model=answer.model if answer is not None else "",
            tokens_in=answer.tokens_in if answer is not None else 0,
            tokens_out=answer.tokens_out if answer is not None else 0,
            cost_usd_micros=cost_usd_micros,
            request=self.request,
            request_hash="",
            attempts=tuple(traces),
            dimensions=self.dimensions,
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
            tool_calls=reply.tool_calls,
        )

    def _embedding(self, completion: Completion) -> Embedding:
        return Embedding(
            completion=completion.completion,
            vectors=self.vectors,
            provider=completion.provider,
            model=completion.model,
            tokens_in=completion.tokens_in,
            cost_usd_micros=completion.cost_usd_micros,
            elapsed_s=completion.elapsed_s,
            attempts=completion.attempts,
        )
