"""Who may register from outside, and as what."""

import pytest

from actors.rules import visitors
from actors.rules.visitors import Visitors, decide_register
from bus.messages.agents import AgentRegistered, RegisterAgent
from bus.messages.base import AgentId
from bus.refusals import InvalidField, NotPermitted, Overloaded

OWN = frozenset({AgentId("scout")})


def command(agent: str = "greeter", *capabilities: str, hands: int = 1) -> RegisterAgent:
    return RegisterAgent(AgentId(agent), capabilities or ("greet",), hands)


def known(*commands: RegisterAgent) -> Visitors:
    state = Visitors()
    for one in commands:
        for event in decide_register(state, one, OWN):
            visitors.apply(state, event)
    return state


def test_a_program_registers_with_what_it_can_do() -> None:
    assert decide_register(Visitors(), command(), OWN) == (AgentRegistered(AgentId("greeter"), ("greet",), 1),)


def test_a_repeat_causes_nothing_and_other_capabilities_replace_those_before() -> None:
    state = known(command())
    assert decide_register(state, command(), OWN) == ()
    state = known(command(), command("greeter", "sing", hands=2))
    persona = state.personas[AgentId("greeter")]
    assert (persona.capabilities, persona.concurrency_max) == (("sing",), 2)


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        (command(""), "agent"),
        (command("Gr eeter"), "agent"),
        (command("x" * 65), "agent"),
        (command(hands=0), "concurrency_max"),
        (RegisterAgent(AgentId("greeter"), ()), "capabilities"),
        (command("greeter", "  "), "capabilities[0]"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_path(wrong: RegisterAgent, path: str) -> None:
    with pytest.raises(InvalidField) as refused:
        decide_register(Visitors(), wrong, OWN)
    assert refused.value.path == path


def test_the_names_of_the_societys_own_agents_are_taken() -> None:
    with pytest.raises(NotPermitted, match="scout is an agent of the society's own"):
        decide_register(Visitors(), command("scout"), OWN)


def test_there_is_a_bound_to_the_register() -> None:
    state = known(*(command(f"agent-{number}") for number in range(visitors.VISITORS_MAX)))
    with pytest.raises(Overloaded):
        decide_register(state, command("one-more"), OWN)
    assert decide_register(state, command("agent-1", "sing"), OWN)


def test_what_people_are_asked_is_the_registration_itself() -> None:
    command = RegisterAgent(AgentId("greeter"), ("greet",), 2)
    asked = visitors.request(command, "agents/greeter")
    assert visitors.requested(asked.subject) == command
    assert asked == visitors.request(command, "agents/greeter")
    assert asked.idempotency_key != visitors.request(RegisterAgent(AgentId("greeter"), ("rule",)), "x").idempotency_key
    assert visitors.requested("no json") is None
