"""What happened, as spans for tracing tools: a task with its auctions, leases, completions and tool calls.

Rules: a trace is a task, from its creation to its end; a completion that belongs to no task is a trace of its own. Ids
are made from what a span is about, so that a span's parent is right even when it began in another process. What was
open when the projection began has no start and becomes no span; of a completion its outcome says when it began. At most
`OPEN_MAX` are open; the oldest goes unseen. Names and attributes follow OpenTelemetry's conventions for generative AI;
words of tasks and prompts are never in them.

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/. Pure: events in, ended spans out.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final, Literal

import msgspec

from bus.envelope import Recorded
from bus.messages.agents import ToolCalled, ToolCompleted, ToolFailed
from bus.messages.base import Microseconds, Position, TaskId
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
    TaskCancelled,
    TaskCompleted,
    TaskCreated,
    TaskExpired,
    TaskFailed,
)

OPEN_MAX: Final = 10_000
EVENTS_MAX: Final = 64
"""Events that one span keeps."""

Kind = Literal["internal", "client"]
Value = str | int | float | bool
Attributes = Mapping[str, Value]


class SpanEvent(msgspec.Struct, frozen=True):
    """Something that happened at one moment of a span."""

    name: str
    time_us: Microseconds
    attributes: Attributes


class Span(msgspec.Struct, frozen=True):
    """A span that has ended. Ids are lowercase hex: 32 characters of the trace, 16 of a span; no parent is empty."""

    trace: str
    span: str
    parent: str
    name: str
    kind: Kind
    start_us: Microseconds
    end_us: Microseconds
    attributes: Attributes
    events: tuple[SpanEvent, ...]
    error: str
    """Why it failed, or empty."""


class _Open(msgspec.Struct):
    trace: str
    parent: str
    name: str
    kind: Kind
    start_us: Microseconds
    attributes: dict[str, Value]
    events: list[SpanEvent]


class Spans:
    """The open spans of a timeline, by what they are about."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._open: dict[str, _Open] = {}
        self._leases: dict[TaskId, str] = {}
        """What the lease's span of a task is about, while there is one."""
        self.unseen = 0
        """Spans that were forgotten because too many were open."""

    def take(self, record: Recorded) -> Iterator[Span]:
        """The spans that an event ends."""
        at_us = record.time_us
        match record.event:
            case TaskCreated() as event:
                self._begin(event.task, event.task, "", f"task {event.spec.capability}".rstrip(), at_us)
                self._say(event.task, {"agora.task": event.task, "agora.reward_msat": event.spec.reward_msat}, record)
            case TaskBidding() as event:
                yield from self._end_lease(event.task, at_us, event.reason or "the lease was lost")
                about = f"{event.task}/auction/{event.attempt}"
                self._begin(about, event.task, event.task, "auction", at_us)
                self._say(about, {"agora.task": event.task, "agora.attempt": event.attempt}, record)
            case AuctionClosed() as event:
                about = f"{event.task}/auction/{event.attempt}"
                self._say(about, {"agora.bids": len(event.ranking), "agora.winner": event.winner}, record)
                yield from self._end(about, at_us, "" if event.winner else event.reason)
            case TaskAssigned() as event:
                about = f"{event.task}/lease/{event.attempt}"
                self._leases[event.task] = about
                self._begin(about, event.task, event.task, f"invoke_agent {event.agent}", at_us)
                self._say(
                    about,
                    {
                        "gen_ai.operation.name": "invoke_agent",
                        "gen_ai.agent.name": event.agent,
                        "agora.task": event.task,
                        "agora.attempt": event.attempt,
                        "agora.price_msat": event.price_msat,
                    },
                    record,
                )
            case TaskCompleted() as event:
                yield from self._end_task(event.task, at_us, "")
            case TaskFailed() | TaskCancelled() | TaskExpired() as event:
                yield from self._end_task(event.task, at_us, event.reason or event.wire_name)
            case ToolCalled() as event:
                about = f"{event.task}/{event.agent}/tool/{event.tool}"
                self._begin(about, event.task, self._leases.get(event.task, ""), f"execute_tool {event.tool}", at_us)
                attributes: dict[str, Value] = {
                    "gen_ai.operation.name": "execute_tool",
                    "gen_ai.tool.name": event.tool,
                    "gen_ai.agent.name": event.agent,
                }
                self._say(about, attributes, record)
            case ToolCompleted() | ToolFailed() as event:
                about = f"{event.task}/{event.agent}/tool/{event.tool}"
                yield from self._end(about, at_us, event.reason if isinstance(event, ToolFailed) else "")
            case _:
                yield from self._take_completion(record)

    def _take_completion(self, record: Recorded) -> Iterator[Span]:
        at_us = record.time_us
        match record.event:
            case CompletionRequested() as event:
                self._begin_completion(event, record, at_us)
                self._say(event.completion, {"gen_ai.request.max_tokens": event.tokens_max})
            case CompletionAttemptFailed() as event:
                self._begin_completion(event, record, _before(at_us, event.elapsed_s))
                self._note(
                    event.completion,
                    SpanEvent(
                        "attempt failed",
                        at_us,
                        {"gen_ai.provider.name": event.provider, "error.type": event.error, "reason": event.reason},
                    ),
                )
            case CompletionCompleted() as event:
                self._begin_completion(event, record, _before(at_us, event.elapsed_s))
                self._say(
                    event.completion,
                    {
                        "gen_ai.provider.name": event.provider,
                        "gen_ai.response.model": event.model,
                        "gen_ai.usage.input_tokens": event.tokens_in,
                        "gen_ai.usage.output_tokens": event.tokens_out,
                        "gen_ai.response.finish_reasons": event.finish_reason,
                        "agora.cost_usd_micros": event.cost_usd_micros,
                    },
                )
                yield from self._end(event.completion, at_us, "", f"chat {event.model}".rstrip())
            case CompletionFailed() as event:
                self._begin_completion(event, record, at_us)
                self._say(event.completion, {"error.type": event.error})
                yield from self._end(event.completion, at_us, event.reason or event.error)
            case CompletionUnknown() as event:
                yield from self._end(event.completion, at_us, "what became of it is unknown")
            case _:
                return

    def _begin_completion(
        self,
        event: CompletionRequested | CompletionAttemptFailed | CompletionCompleted | CompletionFailed,
        record: Recorded,
        start_us: Microseconds,
    ) -> None:
        """One begins with its intent, or, where it cost nothing and had none, with the first that is heard of it."""
        if event.completion in self._open:
            return
        parent = self._leases.get(event.task, event.task)
        self._begin(event.completion, event.task or event.completion, parent, "chat", start_us, kind="client")
        attributes: dict[str, Value] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.agent.name": event.agent,
            "agora.completion": event.completion,
        }
        self._say(event.completion, attributes, record)

    def _begin(
        self, about: str, trace: str, parent: str, name: str, start_us: Microseconds, *, kind: Kind = "internal"
    ) -> None:
        if len(self._open) >= OPEN_MAX:
            del self._open[next(iter(self._open))]
            self.unseen += 1
        parent_id = self._span_id(parent) if parent else ""
        self._open[about] = _Open(self._trace_id(trace), parent_id, name, kind, start_us, {}, [])

    def _say(self, about: str, attributes: Attributes, record: Recorded | None = None) -> None:
        found = self._open.get(about)
        if found is not None:
            found.attributes.update(attributes)
            if record is not None and record.position > Position(0):
                found.attributes.setdefault("agora.position", record.position)
                found.attributes.setdefault("agora.source", record.source)

    def _note(self, about: str, event: SpanEvent) -> None:
        found = self._open.get(about)
        if found is not None and len(found.events) < EVENTS_MAX:
            found.events.append(event)

    def _end(self, about: str, end_us: Microseconds, error: str, name: str = "") -> Iterator[Span]:
        found = self._open.pop(about, None)
        if found is not None:
            yield Span(
                trace=found.trace,
                span=self._span_id(about),
                parent=found.parent,
                name=name or found.name,
                kind=found.kind,
                start_us=found.start_us,
                end_us=max(end_us, found.start_us),
                attributes=found.attributes,
                events=tuple(found.events),
                error=error,
            )

    def _end_lease(self, task: TaskId, end_us: Microseconds, error: str) -> Iterator[Span]:
        about = self._leases.pop(task, "")
        if about:
            yield from self._end(about, end_us, error)

    def _end_task(self, task: TaskId, end_us: Microseconds, error: str) -> Iterator[Span]:
        yield from self._end_lease(task, end_us, error)
        yield from self._end(task, end_us, error)

    def _trace_id(self, about: str) -> str:
        return hashlib.sha256(f"agora/trace/{self._epoch}/{about}".encode()).hexdigest()[:32]

    def _span_id(self, about: str) -> str:
        return hashlib.sha256(f"agora/span/{self._epoch}/{about}".encode()).hexdigest()[:16]


def _before(at_us: Microseconds, elapsed_s: float) -> Microseconds:
    return at_us - round(elapsed_s * 1_000_000)
