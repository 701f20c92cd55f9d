"""Completions: what agents ask of models, and how the cascade of providers answers."""

from enum import StrEnum
from typing import Final, Literal

import msgspec

from bus.address import Address
from bus.messages.base import AgentId, Command, CompletionId, Done, Event, Microseconds, Query, Reply, TaskId

ROUTER: Final = Address("router")

FinishReason = Literal["stop", "length", "tool_calls"]
Role = Literal["system", "user", "assistant", "tool"]


class ToolCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model wants a tool to be used."""

    id: str
    """By which the tool's answer names the call."""
    name: str
    arguments: str
    """A JSON object."""


class Image(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A picture in a message."""

    media_type: str
    data: str
    """Base64."""
    at: int = 0
    """Where it stands: after so many characters of the message's content."""


class Tool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model may call."""

    name: str
    description: str = ""
    parameters: str = '{"type":"object","properties":{}}'
    """A JSON schema of its arguments."""


class ChatMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One turn of a conversation with a model."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    """Of an assistant: what it called."""
    tool_call: str = ""
    """Of a tool: the id of the call that `content` answers."""
    images: tuple[Image, ...] = ()
    """Of a user, in their order."""


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Completion(Reply, frozen=True):
    """What a model answered, normalised; `attempts` says what happened on the way, one line each."""

    wire_name = "completion"

    completion: CompletionId
    text: str
    provider: str
    model: str
    tokens_in: int
    tokens_out: int
    cost_usd_micros: int
    finish_reason: FinishReason
    elapsed_s: float
    attempts: tuple[str, ...]
    tool_calls: tuple[ToolCall, ...] = ()
    """The tools that the model wants to be used; `text` may then be empty."""


class ProviderView(Reply, frozen=True):
    """A provider of the cascade and how it fares."""

    wire_name = "provider"

    name: str
    dialect: str
    model: str
    is_enabled: bool
    disabled_reason: str
    breaker: BreakerState
    reopens_in_s: float
    outcomes: tuple[str, ...]
    """The breaker's window, oldest first: ok, slow, or the error's class."""
    in_flight: int
    completed: int
    failed: int
    latency_p50_s: float
    latency_p99_s: float
    spent_usd_micros: int
    last_error: str
    latency_p90_s: float = 0.0
    queued: int = 0
    """How many completions wait for a place at it."""
    mode: Literal["enforced", "metrics_only", "disabled", "forced_open"] = "enforced"
    """What the settings make of its breaker; `breaker` is how it stands under that."""
    throttled_for_s: float = 0.0
    """For how long it is left alone yet, because it said so or because its own limits do."""


class RouterView(Reply, frozen=True):
    """The cascade in its order, and the money."""

    wire_name = "router"

    providers: tuple[ProviderView, ...]
    spent_run_usd_micros: int
    spent_today_usd_micros: int
    reserved_usd_micros: int
    budget_run_usd_micros: int
    """0 means without a limit."""
    budget_day_usd_micros: int
    is_budget_exhausted: bool
    queued: int


Privacy = Literal["any", "local"]


class Complete(Command[Completion], frozen=True):
    """Sent by an agent that thinks. `deadline_s` spans the whole cascade, every attempt and wait included."""

    wire_name = "completion.create"

    messages: tuple[ChatMessage, ...]
    tokens_max: int
    deadline_s: float
    agent: AgentId = AgentId("")
    task: TaskId = TaskId("")
    model: str = ""
    privacy: Privacy = "any"
    """`local`: no byte of it reaches a provider that is not on this machine or declared to be local."""
    schema: str = ""
    """A JSON schema that the answer must keep; an answer that does not is no answer, and the next provider is asked."""
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    may_restart: bool = False
    """Of a stream: one that breaks may begin anew at the next provider; else it ends with what has arrived."""
    ticket: str = ""
    """A name of the asker's own for this request, by which it can be cancelled before its id is known."""
    hedge_after_s: float = 0.0
    """If nothing has come for so long, another provider is asked beside the first; 0 leaves it to the settings."""
    is_shown: bool = False
    """The words are streamed, so that whoever watches can read along."""
    tools: tuple[Tool, ...] = ()
    """What the model may call; only providers that declare tools are asked."""
    tool_choice: str = "auto"
    """`auto`, `none`, `required` (some tool must be called), or the name of the tool that must be."""
    has_parallel_calls: bool = True
    """Whether several tools may be called in one answer."""


class CompletionBegun(Reply, frozen=True):
    """The completion is under way; its words are read with `ReadStream`."""

    wire_name = "completion.begun"

    completion: CompletionId


class StreamPart(Reply, frozen=True):
    """What has come since. The last part carries the whole completion."""

    wire_name = "completion.part"

    text: str
    restarts: int
    """How often the stream began anew; when it rises, `text` begins anew too."""
    outcome: Completion | None = None


class StreamCompletion(Command[CompletionBegun], frozen=True):
    """Sent by who wants an answer word by word. Who stops reading has hung up: the call is cancelled."""

    wire_name = "completion.stream"

    request: Complete


class ReadStream(Query[StreamPart], frozen=True):
    """Sent by the reader of a stream, again and again; answered as soon as there is more than it has seen.

    Refused with what became of the completion when it ended without an answer.
    """

    wire_name = "completion.read"

    completion: CompletionId
    seen: int = 0
    """How many characters of the stream the reader has."""
    restarts: int = 0
    wait_s: float = 5.0
    """After so long an empty part is the answer; the reader then asks again."""


class CancelCompletion(Command[Done], frozen=True):
    """Sent by who no longer wants an answer: its call is ended, and the socket closed. Unknown names are fine."""

    wire_name = "completion.cancel"

    completion: CompletionId = CompletionId("")
    ticket: str = ""
    """Instead of the id, the ticket that the request had."""


class ReadRouter(Query[RouterView], frozen=True):
    """Sent by whoever wants to see the cascade."""

    wire_name = "router.read"


class EnableProvider(Command[Done], frozen=True):
    """Sent by an operator who lets a provider be tried again; its breaker starts closed."""

    wire_name = "provider.enable"

    provider: str


class DisableProvider(Command[Done], frozen=True):
    """Sent by an operator who takes a provider out of the cascade."""

    wire_name = "provider.disable"

    provider: str
    reason: str = ""


class SetBudget(Command[Done], frozen=True):
    """Sent by an operator who changes the money that the run may spend; 0 lifts the limit."""

    wire_name = "budget.set"

    run_usd_micros: int


class CompletionRequested(Event, frozen=True):
    """Recorded before anything is sent that may cost money: the intent, and the cost that is reserved for it.

    What is free has no intent: nothing of it could be left to own up to, and its outcome says it all.
    """

    wire_name = "completion.requested"
    about = "completion"

    completion: CompletionId
    agent: AgentId
    task: TaskId
    tokens_in_estimate: int
    tokens_max: int
    reserved_usd_micros: int
    requested_us: Microseconds


class CompletionAttemptFailed(Event, frozen=True):
    """Recorded when one provider did not answer and the next is tried; `error` is the class, `reason` its words."""

    wire_name = "completion.attempt_failed"
    about = "completion"

    completion: CompletionId
    agent: AgentId
    task: TaskId
    provider: str
    error: str
    reason: str
    elapsed_s: float
    cost_usd_micros: int = 0
    """What the attempt may have cost all the same; it counts as spent."""


class CompletionCompleted(Event, frozen=True):
    """Recorded with the answer's size and cost; the reservation is settled."""

    wire_name = "completion.completed"
    about = "completion"

    completion: CompletionId
    agent: AgentId
    task: TaskId
    provider: str
    model: str
    tokens_in: int
    tokens_out: int
    cost_usd_micros: int
    """All of it: the answer, and what failed attempts before it may have cost."""
    finish_reason: str
    elapsed_s: float
    completed_us: Microseconds
    answer_cost_usd_micros: int = 0
    """The answer alone."""
    is_usage_estimated: bool = False
    """The provider did not say how many tokens it used."""


class CompletionFailed(Event, frozen=True):
    """Recorded when no provider answered; what the failed attempts may have cost stays spent."""

    wire_name = "completion.failed"
    about = "completion"

    completion: CompletionId
    agent: AgentId
    task: TaskId
    error: str
    reason: str
    cost_usd_micros: int
    failed_us: Microseconds


class CompletionUnknown(Event, frozen=True):
    """Recorded after a restart for an intent without an outcome: counted as spent, never blindly repeated."""

    wire_name = "completion.unknown"
    about = "completion"

    completion: CompletionId
    agent: AgentId
    task: TaskId
    cost_usd_micros: int
    found_us: Microseconds


class BreakerOpened(Event, frozen=True):
    """Recorded when a provider's breaker opens; nothing is sent to it for `wait_s`."""

    wire_name = "breaker.opened"
    about = "provider"

    provider: str
    reason: str
    wait_s: float
    reopens_us: Microseconds
    generation: int


class BreakerHalfOpened(Event, frozen=True):
    """Recorded when the wait is over and a probe is let through."""

    wire_name = "breaker.half_opened"
    about = "provider"

    provider: str
    generation: int


class BreakerClosed(Event, frozen=True):
    """Recorded when the probes succeeded, or an operator reset the breaker."""

    wire_name = "breaker.closed"
    about = "provider"

    provider: str
    reason: str
    generation: int


class ProviderEnabled(Event, frozen=True):
    """Recorded when a provider enters the cascade again."""

    wire_name = "provider.enabled"
    about = "provider"

    provider: str


class ProviderDisabled(Event, frozen=True):
    """Recorded when a provider leaves the cascade: by an operator, or for a bad key or an unknown model."""

    wire_name = "provider.disabled"
    about = "provider"

    provider: str
    reason: str
    is_automatic: bool = False
    """The router did it itself; the next start tries the provider again, since its key or model may be mended."""


class BudgetWarned(Event, frozen=True):
    """Recorded once when 80 % of a budget is spent or reserved."""

    wire_name = "budget.warned"
    about = "budget"

    budget: str
    spent_usd_micros: int
    limit_usd_micros: int


class BudgetSpent(Event, frozen=True):
    """Recorded when a budget cannot cover the next call: no new turn starts until there is more."""

    wire_name = "budget.spent"
    about = "budget"

    budget: str
    spent_usd_micros: int
    limit_usd_micros: int


class BudgetReopened(Event, frozen=True):
    """Recorded when a spent budget covers calls again by itself: through other settings, a new day, or a bill."""

    wire_name = "budget.reopened"
    about = "budget"

    budget: str
    limit_usd_micros: int
    """What it is now; 0 means without a limit."""


class BudgetRaised(Event, frozen=True):
    """Recorded when the run's budget is set; the same run goes on with its cost so far."""

    wire_name = "budget.raised"
    about = "budget"

    budget: str
    limit_usd_micros: int
