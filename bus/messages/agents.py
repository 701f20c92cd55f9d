"""Agents: who they are, what they can do, what they did."""

from enum import StrEnum
from typing import ClassVar, Final

import msgspec

from bus.address import Address
from bus.messages.base import (
    AgentId,
    ArtifactId,
    Command,
    CompletionId,
    Done,
    Event,
    Fields,
    Microseconds,
    Query,
    Reply,
    TaskId,
    Upcaster,
)

VISITORS: Final = Address("visitors")
"""Where agents of other programs are registered."""


def agent_address(agent: AgentId) -> Address:
    """The address of an agent's actor."""
    return Address(f"agents/{agent}")


def agent_of(address: Address) -> AgentId | None:
    """The agent whose actor has that address, if it is one's."""
    kind, _, agent = address.partition("/")
    return AgentId(agent) if kind == "agents" else None


class AgentStatusName(StrEnum):
    IDLE = "idle"
    WORKING = "working"
    WAITING = "waiting"
    """It cannot go on until something outside it changes; the reason says what."""
    PAUSED = "paused"
    LEFT = "left"


class Persona(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an agent is, from the config."""

    name: str
    """What it is called, in its address and in every event: 1 to 64 of a-z, 0-9, `-` and `_`."""
    capabilities: tuple[str, ...]
    """What it can do; it bids only on tasks that ask for one of these, or for none."""
    prompt: str
    """The system prompt of its completions."""
    price_msat: int
    """Its asking price for a task of average size, before what it learned."""
    price_per_1000_characters_msat: int = 0
    """Added for the length of the input."""
    concurrency_max: int = 1
    """How many tasks it works on at once."""
    model: str = ""
    """A model that it prefers, where a provider has it; empty takes the provider's default."""
    remembers: bool = False
    """Whether it looks into the memory before it thinks, and remembers what it has finished."""


class Outcomes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an agent has learned of its own results in one capability."""

    completed: int = 0
    failed: int = 0
    lost: int = 0
    """Auctions in which another agent won."""
    earned_msat: int = 0
    work_s: float = 0.0
    """Working time of the completed tasks, summed."""


class AgentView(Reply, frozen=True):
    """An agent as anyone may see it."""

    wire_name = "agent"

    agent: AgentId
    status: AgentStatusName
    reason: str
    persona: Persona
    tasks: tuple[TaskId, ...]
    outcomes: dict[str, Outcomes]


class ReadAgent(Query[AgentView], frozen=True):
    """Sent to an agent by whoever wants to see it."""

    wire_name = "agent.read"


class PauseAgent(Command[Done], frozen=True):
    """Sent to an agent that shall take no new work."""

    wire_name = "agent.pause"


class ResumeAgent(Command[Done], frozen=True):
    """Sent to a paused agent."""

    wire_name = "agent.resume"


class RetireAgent(Command[Done], frozen=True):
    """Sent to an agent that shall leave for good: it gives back what it holds."""

    wire_name = "agent.retire"

    reason: str = ""


class AgentAccepted(Reply, frozen=True):
    """The agent is registered; it hears of auctions from now on."""

    wire_name = "agent.accepted"

    agent: AgentId
    capabilities: tuple[str, ...]
    concurrency_max: int


class RegisterAgent(Command[AgentAccepted], frozen=True):
    """Sent by a program that works as an agent over the socket or HTTP. Again, with other words, it replaces them."""

    wire_name = "agent.register"

    agent: AgentId
    capabilities: tuple[str, ...]
    concurrency_max: int = 1


class AgentRegistered(Event, frozen=True):
    """Recorded when a program's agent is known, or known anew with other capabilities."""

    wire_name = "agent.registered"
    about = "agent"

    agent: AgentId
    capabilities: tuple[str, ...]
    concurrency_max: int


def without_memory(fields: Fields) -> Fields:
    """Personas of version 1 of `agent.joined` remembered nothing."""
    return {**fields, "persona": {**fields["persona"], "remembers": False}}


class AgentJoined(Event, frozen=True):
    """Recorded when an agent enters the society, or enters again with a changed persona."""

    wire_name = "agent.joined"
    version: ClassVar[int] = 2
    about = "agent"
    upcasters: ClassVar[tuple[Upcaster, ...]] = (without_memory,)

    agent: AgentId
    persona: Persona


class AgentLeft(Event, frozen=True):
    """Recorded when an agent leaves for good or is no longer configured."""

    wire_name = "agent.left"
    about = "agent"

    agent: AgentId
    reason: str


class AgentStatus(Event, frozen=True):
    """Recorded when what an agent does changes."""

    wire_name = "agent.status"
    about = "agent"

    agent: AgentId
    status: AgentStatusName
    reason: str = ""
    task: TaskId = TaskId("")


class StepStarted(Event, frozen=True):
    """Recorded when an agent begins to think and act on an assignment; a restart begins another try."""

    wire_name = "step.started"
    about = "agent"

    agent: AgentId
    task: TaskId
    attempt: int
    attempt_try: int
    started_us: Microseconds


class StepCompleted(Event, frozen=True):
    """Recorded when a step is over, whatever came of it; `outcome` is completed, failed or abandoned."""

    wire_name = "step.completed"
    about = "agent"

    agent: AgentId
    task: TaskId
    attempt: int
    outcome: str
    elapsed_s: float


class ThinkingCompleted(Event, frozen=True):
    """Recorded when a completion that the agent asked for has come back."""

    wire_name = "thinking.completed"
    about = "agent"

    agent: AgentId
    task: TaskId
    completion: CompletionId
    provider: str
    model: str
    tokens_in: int
    tokens_out: int
    cost_usd_micros: int


class ActionExecuted(Event, frozen=True):
    """Recorded for each action of an agent: executed, failed or refused, with the reason."""

    wire_name = "action.executed"
    about = "agent"

    agent: AgentId
    task: TaskId
    action: str
    outcome: str
    reason: str = ""
    attempt: int = 0
    artifact: ArtifactId = ArtifactId("")
    capability: str = ""
    price_msat: int = 0
    """Of the action `bid`, recorded once the auction is closed: what was asked, or what was agreed."""


class ToolCalled(Event, frozen=True):
    """Recorded before an agent uses a tool."""

    wire_name = "tool.called"
    about = "agent"
    personal: ClassVar[tuple[str, ...]] = ("argument",)

    agent: AgentId
    task: TaskId
    tool: str
    argument: str


class ToolCompleted(Event, frozen=True):
    """Recorded when the tool has answered; `result` says how much, not what."""

    wire_name = "tool.completed"
    about = "agent"

    agent: AgentId
    task: TaskId
    tool: str
    result: str


class ToolFailed(Event, frozen=True):
    """Recorded when the tool could not answer."""

    wire_name = "tool.failed"
    about = "agent"

    agent: AgentId
    task: TaskId
    tool: str
    reason: str
