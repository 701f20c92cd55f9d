"""What a program may say in an agent's name."""

import pytest

from bus.address import Address
from bus.messages.agents import VISITORS, PauseAgent, RegisterAgent, ResumeAgent, RetireAgent, agent_address
from bus.messages.base import AgentId, ArtifactId, Message, TaskId
from bus.messages.tasks import COORDINATOR, CompleteTask, DeclineBid, FailTask, RenewLease, StartWork, SubmitBid
from bus.refusals import InvalidField, NotPermitted
from web.auth import SCOPES, Principal
from web.wire import decode, encode
from web.work import ANSWERS, METHODS, Say, Saying, request_of

OPERATOR = Principal("operator", SCOPES)
GREETER = Principal("agents/greeter", frozenset(("read", "agent")), "greeter")
ME, TASK = AgentId("greeter"), TaskId("t-1")

CASES: list[tuple[str, dict[str, object], Address, Message]] = [
    ("agent.register", {"capabilities": ["greet"]}, VISITORS, RegisterAgent(ME, ("greet",), 1)),
    ("agent.pause", {}, agent_address(ME), PauseAgent()),
    ("agent.resume", {}, agent_address(ME), ResumeAgent()),
    ("agent.retire", {"reason": "done"}, agent_address(ME), RetireAgent("done")),
    ("bid.submit", {"task": "t-1", "price_msat": 5}, COORDINATOR, SubmitBid(TASK, ME, 5)),
    ("bid.decline", {"task": "t-1"}, COORDINATOR, DeclineBid(TASK, ME)),
    ("work.start", {"task": "t-1", "attempt": 2}, COORDINATOR, StartWork(TASK, ME, 2)),
    ("work.heartbeat", {"task": "t-1", "attempt": 2}, COORDINATOR, RenewLease(TASK, ME, 2)),
    (
        "work.complete",
        {"task": "t-1", "attempt": 2, "artifact": "a-1", "summary": "s"},
        COORDINATOR,
        CompleteTask(TASK, ME, 2, ArtifactId("a-1"), "s"),
    ),
    ("work.fail", {"task": "t-1", "attempt": 2, "reason": "hard"}, COORDINATOR, FailTask(TASK, ME, 2, "hard")),
]


def said(method: str, params: bytes, principal: Principal) -> Saying:
    return request_of(method, decode(params, Say), principal)


@pytest.mark.parametrize(("method", "params", "to", "request_"), CASES)
def test_each_method_is_one_request(method: str, params: dict[str, object], to: Address, request_: Message) -> None:
    assert said(method, encode(params), GREETER) == (to, request_)


def test_every_method_has_a_case() -> None:
    assert {case[0] for case in CASES} == set(METHODS) == set(ANSWERS)


def test_a_token_speaks_for_its_own_agent_and_for_no_other() -> None:
    with pytest.raises(NotPermitted, match="agents/greeter may not speak for scout"):
        said("bid.decline", encode({"agent": "scout", "task": "t-1"}), GREETER)


def test_an_operator_says_in_whose_name() -> None:
    with pytest.raises(InvalidField, match="in whose name"):
        said("bid.decline", encode({"task": "t-1"}), OPERATOR)
    assert said("bid.decline", encode({"agent": "greeter", "task": "t-1"}), OPERATOR)[1] == DeclineBid(TASK, ME)


def test_whoever_only_reads_speaks_for_nobody() -> None:
    with pytest.raises(NotPermitted):
        said("bid.decline", encode({"agent": "x", "task": "t-1"}), Principal("reader", frozenset(("read",))))
