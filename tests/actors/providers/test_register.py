"""Everything that is under way."""

from actors.providers.calls import Call
from actors.providers.register import Register
from bus.messages.base import AgentId, CompletionId
from bus.messages.completions import ChatMessage, Complete


def begun(register: Register, name: str, agent: str) -> Call:
    call = Call(Complete((ChatMessage("user", "x"),), 1, 1.0, agent=AgentId(agent)), 0.0)
    call.completion = CompletionId(name)
    register.add(call)
    return call


def test_a_completion_is_held_from_its_beginning_to_its_end() -> None:
    register = Register()
    call = begun(register, "m-1", "a")
    assert (len(register), register.find(call.completion)) == (1, call)
    assert not register.has_room(AgentId("a"), 2, 0.5)
    assert register.has_room(AgentId("b"), 2, 0.5)
    register.remove(call)
    assert (len(register), register.find(call.completion), register.has_room(AgentId("a"), 2, 0.5)) == (0, None, True)


def test_those_who_wait_for_a_provider_go_in_turn_and_only_they() -> None:
    register = Register()
    first, second = begun(register, "m-1", "a"), begun(register, "m-2", "b")
    register.queue(first, "x")
    register.queue(second, "y")
    assert (register.next_for("x"), register.next_for("y"), register.next_for("z")) == (first, second, None)
    assert register.waiting == {"x": 1, "y": 1}
    register.unqueue(first.completion)
    register.remove(second)
    assert (register.next_for("x"), register.next_for("y"), register.queued) == (None, None, 0)


def test_a_stream_is_there_until_nobody_reads_it() -> None:
    register = Register()
    call = begun(register, "m-1", "a")
    register.open_stream(call)
    register.remove(call)
    assert register.stream(call.completion) is call.stream
    assert [register.close_stream(call.completion) for _ in range(2)] == [True, False]
