"""Which programs work as agents: what they said of themselves when they registered.

Rules: a name is an agent's, as in an address; names of the society's own agents are not for visitors. A repeat causes
nothing; other capabilities replace those before. At most `VISITORS_MAX` are known. Where a policy speaks of agents, a
person decides who comes, and the words that were decided on are the registration.

Pure: no clock. `apply` is the only mutator.
"""

import hashlib
import re
from collections.abc import Collection

import msgspec

from actors.rules.fields import check_integer, check_line
from bus.messages.agents import AgentRegistered, Persona, RegisterAgent
from bus.messages.approvals import RequestApproval
from bus.messages.base import AgentId, Event
from bus.refusals import InvalidField, NotPermitted, Overloaded

VISITORS_MAX = 1_000
CAPABILITIES_MAX = 32
CAPABILITY_CHARS_MAX = 100
CONCURRENCY_MAX = 64
JOIN = "agent"
"""The kind of a proposal that an agent of a program's own wants to join."""
PROMPT = "A program of its own, outside this process."
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Visitors(msgspec.Struct):
    """All that have registered."""

    personas: dict[AgentId, Persona] = {}


def apply(state: Visitors, event: Event) -> None:
    """Fold one event."""
    if isinstance(event, AgentRegistered):
        state.personas[event.agent] = Persona(
            name=event.agent,
            capabilities=event.capabilities,
            prompt=PROMPT,
            price_msat=0,
            concurrency_max=event.concurrency_max,
        )


def decide_register(state: Visitors, command: RegisterAgent, own: Collection[AgentId]) -> tuple[AgentRegistered, ...]:
    """The registration; none if it says nothing new. Raises `InvalidField`, `NotPermitted` or `Overloaded`."""
    if _NAME.fullmatch(command.agent) is None:
        raise InvalidField("agent", "must be 1 to 64 of a-z, 0-9, - and _, as in an address")
    if command.agent in own:
        raise NotPermitted(f"{command.agent} is an agent of the society's own")
    check_integer("concurrency_max", command.concurrency_max, 1, CONCURRENCY_MAX)
    if not 1 <= len(command.capabilities) <= CAPABILITIES_MAX:
        raise InvalidField("capabilities", f"must be 1 to {CAPABILITIES_MAX}")
    capabilities = tuple(
        check_line(f"capabilities[{index}]", capability, CAPABILITY_CHARS_MAX)
        for index, capability in enumerate(command.capabilities)
    )
    known = state.personas.get(command.agent)
    if known is not None and (known.capabilities, known.concurrency_max) == (capabilities, command.concurrency_max):
        return ()
    if known is None and len(state.personas) >= VISITORS_MAX:
        raise Overloaded(f"the register of {VISITORS_MAX} visiting agents", 60.0)
    return (AgentRegistered(command.agent, capabilities, command.concurrency_max),)


def request(command: RegisterAgent, proposer: str) -> RequestApproval:
    """What people are asked when a program wants to join: once a day for the same words."""
    words = msgspec.json.encode(command).decode()
    able = ", ".join(command.capabilities)
    return RequestApproval(
        kind=JOIN,
        title=f"Let {command.agent} join",
        proposer=proposer,
        detail=f"A program of its own, which can {able}, {command.concurrency_max} at once.",
        subject=words,
        idempotency_key=f"join/{hashlib.sha256(words.encode()).hexdigest()[:32]}",
    )


def requested(subject: str) -> RegisterAgent | None:
    """The registration that was decided on, if it is one."""
    try:
        return msgspec.json.decode(subject, type=RegisterAgent)
    except msgspec.DecodeError:
        return None
