"""What a program may say in an agent's name: the same words over the socket and over HTTP.

Rules: who holds a token for one agent speaks for that agent and no other; an agent left out is then the token's own.

Pure: parameters in, a request to an actor out.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from bus.address import Address
from bus.messages.agents import (
    VISITORS,
    AgentAccepted,
    PauseAgent,
    RegisterAgent,
    ResumeAgent,
    RetireAgent,
    agent_address,
)
from bus.messages.base import AgentId, ArtifactId, Done, Message, Request, TaskId
from bus.messages.tasks import (
    COORDINATOR,
    CompleteTask,
    DeclineBid,
    FailTask,
    LeaseRenewed,
    RenewLease,
    StartWork,
    SubmitBid,
    TaskAccepted,
)
from bus.refusals import InvalidField, NotPermitted
from web.auth import Principal


class Say(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of all methods of work; each reads those that it needs."""

    agent: str = ""
    task: str = ""
    attempt: int = 0
    price_msat: int = 0
    artifact: str = ""
    summary: str = ""
    reason: str = ""
    is_retryable: bool = True
    capabilities: tuple[str, ...] = ()
    concurrency_max: int = 1


Saying = tuple[Address, Request[Message]]


def _register(agent: AgentId, say: Say) -> Saying:
    return VISITORS, RegisterAgent(agent, say.capabilities, say.concurrency_max)


def _pause(agent: AgentId, say: Say) -> Saying:
    return agent_address(agent), PauseAgent()


def _resume(agent: AgentId, say: Say) -> Saying:
    return agent_address(agent), ResumeAgent()


def _retire(agent: AgentId, say: Say) -> Saying:
    return agent_address(agent), RetireAgent(say.reason)


def _bid(agent: AgentId, say: Say) -> Saying:
    return COORDINATOR, SubmitBid(TaskId(say.task), agent, say.price_msat)


def _decline(agent: AgentId, say: Say) -> Saying:
    return COORDINATOR, DeclineBid(TaskId(say.task), agent)


def _start(agent: AgentId, say: Say) -> Saying:
    return COORDINATOR, StartWork(TaskId(say.task), agent, say.attempt)


def _heartbeat(agent: AgentId, say: Say) -> Saying:
    return COORDINATOR, RenewLease(TaskId(say.task), agent, say.attempt)


def _complete(agent: AgentId, say: Say) -> Saying:
    return COORDINATOR, CompleteTask(TaskId(say.task), agent, say.attempt, ArtifactId(say.artifact), say.summary)


def _fail(agent: AgentId, say: Say) -> Saying:
    return COORDINATOR, FailTask(TaskId(say.task), agent, say.attempt, say.reason, say.is_retryable)


ANSWERS: Final[dict[str, type[Message]]] = {
    "agent.register": AgentAccepted,
    "agent.pause": Done,
    "agent.resume": Done,
    "agent.retire": Done,
    "bid.submit": TaskAccepted,
    "bid.decline": TaskAccepted,
    "work.start": TaskAccepted,
    "work.heartbeat": LeaseRenewed,
    "work.complete": TaskAccepted,
    "work.fail": TaskAccepted,
}
"""What each method is answered with."""

METHODS: Final[dict[str, Callable[[AgentId, Say], Saying]]] = {
    "agent.register": _register,
    "agent.pause": _pause,
    "agent.resume": _resume,
    "agent.retire": _retire,
    "bid.submit": _bid,
    "bid.decline": _decline,
    "work.start": _start,
    "work.heartbeat": _heartbeat,
    "work.complete": _complete,
    "work.fail": _fail,
}


def request_of(method: str, say: Say, principal: Principal) -> Saying:
    """The request, to whom it goes. Raises InvalidField or NotPermitted."""
    agent = say.agent or principal.agent
    if not agent:
        raise InvalidField("params.agent", "says in whose name; the token is not an agent's own")
    if not principal.may_speak_for(agent):
        raise NotPermitted(f"{principal.name} may not speak for {agent}")
    return METHODS[method](AgentId(agent), say)
