"""Who may do what, and how fast."""

import pytest
from starlette.requests import Request

from bus.clock import VirtualClock
from bus.envelope import Answer
from bus.errors import NoSuchActor
from bus.messages.agents import ReadAgent, agent_address
from bus.messages.base import AgentId, Done, Position, TaskId
from bus.messages.tasks import COORDINATOR, CreateTask, TaskAccepted, TaskSpec, TaskState
from bus.refusals import InvalidField, NotAuthenticated, NotFound, NotPermitted, Overloaded
from tests.web.support import READER, TOKEN, World, bearer
from web.auth import ANONYMOUS, Scope
from web.edge import CLIENTS_MAX, Throttle, with_position
from web.options import WebOptions

OTHER_MACHINE = "192.168.1.7"


def request(method: str = "GET", *, client: str = "127.0.0.1", **headers: str) -> Request:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": method, "headers": sent, "client": (client, 1), "query_string": b""})


def test_reading_on_loopback_needs_nothing() -> None:
    assert World().edge.authorise(request(), "read") == ANONYMOUS


def test_reading_from_another_machine_needs_a_token() -> None:
    edge = World().edge
    with pytest.raises(NotAuthenticated):
        edge.authorise(request(client=OTHER_MACHINE), "read")
    assert edge.authorise(request(client=OTHER_MACHINE, **bearer(READER)), "read").name == "reader"


@pytest.mark.parametrize("scope", ["task", "agent", "ledger", "approve", "admin"])
def test_acting_needs_a_token_with_the_scope_on_loopback_too(scope: Scope) -> None:
    edge = World().edge
    with pytest.raises(NotAuthenticated):
        edge.authorise(request("POST"), scope)
    with pytest.raises(NotPermitted, match="reader lacks the scope"):
        edge.authorise(request("POST", **bearer(READER)), scope)
    assert edge.authorise(request("POST", **bearer(TOKEN)), scope).name == "operator"


@pytest.mark.parametrize("value", ["Bearer nope", "Bearer", "Basic YTpi", "Bearer \xff", TOKEN])
def test_a_token_that_is_not_known_is_refused_even_for_reading(value: str) -> None:
    with pytest.raises(NotAuthenticated):
        World().edge.authorise(request(authorization=value), "read")


def test_a_session_acts_only_from_its_own_page() -> None:
    world = World()
    opened = world.keyring.open_session(world.keyring.issue_link())
    assert opened is not None
    cookie = f"{world.edge.cookie}={opened[0]}"
    assert world.edge.authorise(request(cookie=cookie), "read").name == "admin"
    with pytest.raises(NotPermitted, match="Origin"):
        world.edge.authorise(request("POST", cookie=cookie), "task")
    assert world.edge.authorise(request("POST", cookie=cookie, origin="http://127.0.0.1:8080"), "task").name == "admin"


def test_who_acts_too_often_is_told_when_to_come_back() -> None:
    clock = VirtualClock()
    edge = World(WebOptions(commands_per_s=2.0, commands_burst=3), clock=clock).edge
    for _ in range(3):
        edge.authorise(request("POST", **bearer()), "task")
    with pytest.raises(Overloaded) as caught:
        edge.authorise(request("POST", **bearer()), "task")
    assert caught.value.retry_after_s == pytest.approx(0.5)
    edge.authorise(request(**bearer()), "read")
    edge.authorise(request("POST", client=OTHER_MACHINE, **bearer()), "task")
    clock.advance(0.5)
    edge.authorise(request("POST", **bearer()), "task")


def test_guesses_of_a_token_are_throttled_too() -> None:
    edge = World(WebOptions(commands_burst=2), clock=VirtualClock()).edge
    for _ in range(2):
        with pytest.raises(NotAuthenticated):
            edge.authorise(request("POST", authorization="Bearer guess"), "task")
    with pytest.raises(Overloaded):
        edge.authorise(request("POST", authorization="Bearer guess"), "task")


def test_buckets_are_bounded_and_the_longest_unused_goes_first() -> None:
    throttle = Throttle(1.0, 1, VirtualClock())
    for number in range(CLIENTS_MAX):
        throttle.take(f"client-{number}")
    with pytest.raises(Overloaded):
        throttle.take("client-0")
    throttle.take("one-more")
    throttle.take("client-1")


def test_a_reply_carries_the_position_of_its_first_event() -> None:
    accepted = TaskAccepted(TaskId("t-1"), TaskState.CREATED)
    assert with_position(Answer(accepted, Position(7), Position(9))) == b'{"task":"t-1","state":"created","position":7}'
    assert with_position(Answer(Done(), Position(7), Position(9))) == b'{"position":7}'


async def test_a_field_that_an_actor_refuses_is_named_as_the_client_named_it() -> None:
    world = World()
    for path, named in (("spec.title", "title"), ("spec", "the body"), ("specimen.a", "specimen.a"), ("by", "by")):
        world.gateway.replies[CreateTask] = InvalidField(path, "is odd")
        with pytest.raises(InvalidField, match="is odd") as refusal:
            await world.edge.ask(COORDINATOR, CreateTask(TaskSpec("x")))
        assert refusal.value.path == named


async def test_an_agent_that_there_is_not_is_not_found_and_any_other_actor_is_not_running() -> None:
    world = World()
    with pytest.raises(NotFound, match="no agent is called 'nobody'"):
        await world.edge.ask(agent_address(AgentId("nobody")), ReadAgent())
    with pytest.raises(NoSuchActor):
        await world.edge.ask(COORDINATOR, ReadAgent())
