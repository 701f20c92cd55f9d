"""A live session: what a client may say, what it is told, and that nothing is missed or told twice."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bus.messages.base import Position
from bus.messages.system import JOURNAL, ReadEvents
from bus.messages.tasks import COORDINATOR, CancelTask, CreateTask
from bus.refusals import InsufficientFunds, Overloaded
from web.auth import ANONYMOUS, SCOPES, Principal
from web.cursors import CONFLATED_KEPT, LAG_EVENTS, scanned
from web.frames import (
    FORBIDDEN,
    NO_HELLO,
    PROTOCOL,
    RATE,
    RESTART,
    STALE,
    TOO_SLOW,
    UNAUTHENTICATED,
    Ask,
    Close,
    Horizon,
    Identify,
    Limits,
    Locate,
    Output,
    ReadRing,
    ReadState,
    ReadStorage,
    Send,
    ShowState,
)
from web.protocol import REFUSALS_MAX, Session
from web.wire import encode

EPOCH = 7
OPERATOR = Principal("operator", SCOPES)
Sent = dict[str, object]


def horizon(head: int = 100, ring_first: int = 1, oldest: int = 1) -> Horizon:
    return Horizon(Position(head), Position(ring_first), Position(oldest))


def frame(id_: int | str, method: str, idem: str = "", **params: object) -> str:
    named = {name.removesuffix("_"): value for name, value in params.items()}
    body: dict[str, object] = {"id": id_, "method": method, "params": named}
    if idem:
        body["idem"] = idem
    return encode(body).decode()


def open_session(
    principal: Principal = OPERATOR, *, at: Horizon | None = None, limits: Limits | None = None
) -> Session:
    session = Session(EPOCH, limits or Limits(), 0.0)
    session.receive(frame(1, "hello"), 0.0, at or horizon())
    session.identified(principal, at or horizon())
    return session


def sent(output: Output) -> Sent:
    assert isinstance(output, Send)
    return msgspec.json.decode(output.text, type=dict[str, object])


def error_of(outputs: Sequence[Output]) -> tuple[str, str]:
    body = sent(outputs[0])["error"]
    assert isinstance(body, dict)
    return str(body["code"]), str(body["data"].get("path", ""))


def closed_with(outputs: Sequence[Output]) -> int:
    last = outputs[-1]
    assert isinstance(last, Close)
    assert len(last.reason.encode()) <= 123
    return last.code


def test_hello_is_answered_with_the_welcome() -> None:
    session = Session(EPOCH, Limits(), 0.0)
    assert session.receive(frame("h", "hello", token="secret"), 0.0, horizon()) == (Identify("secret"),)
    welcome = sent(session.identified(ANONYMOUS, horizon(head=9, oldest=3))[0])
    assert (welcome["t"], welcome["id"]) == ("welcome", "h")
    result = welcome["result"]
    assert isinstance(result, dict)
    assert {name: result[name] for name in ("epoch", "head", "oldest", "scopes", "principal")} == {
        "epoch": EPOCH,
        "head": 9,
        "oldest": 3,
        "scopes": ["read"],
        "principal": "anonymous",
    }
    assert result["limits"]["subscriptions"] == 16


@pytest.mark.parametrize(
    "text",
    [
        frame(1, "subscribe", sub="a"),
        "no json",
        "[]",
        '{"id":1}',
        '{"method":"hello"}',
        '{"id":1,"method":"hello","extra":1}',
        '{"id":1.5,"method":"hello"}',
        '{"id":null,"method":"hello"}',
        frame("x" * 65, "hello"),
        "\ud800",
        '{"id":1,"method":"hello","params":' + "[" * 5_000 + "]" * 5_000 + "}",
        frame(1, "hello", token="x" * 70_000),
        frame(1, "hello", what="?"),
        frame(1, "hello", resume={"epoch": "new", "position": 1}),
    ],
)
def test_a_frame_that_breaks_the_contract_ends_the_session(text: str) -> None:
    session = Session(EPOCH, Limits(), 0.0)
    assert closed_with(session.receive(text, 0.0, horizon())) == PROTOCOL
    assert session.is_closed
    assert session.receive(frame(2, "ping"), 0.0, horizon()) == ()


def test_a_binary_frame_ends_the_session() -> None:
    assert closed_with(open_session().received_binary()) == PROTOCOL


def test_a_second_hello_ends_the_session() -> None:
    assert closed_with(open_session().receive(frame(2, "hello"), 0.0, horizon())) == PROTOCOL


def test_a_client_that_does_not_say_hello_is_closed_with_4408() -> None:
    assert closed_with(Session(EPOCH, Limits(), 0.0).hello_is_late()) == NO_HELLO
    assert open_session().hello_is_late() == ()


def test_an_unknown_token_is_closed_with_4401() -> None:
    session = Session(EPOCH, Limits(), 0.0)
    session.receive(frame(1, "hello", token="wrong"), 0.0, horizon())
    outputs = session.identified(None, horizon())
    assert error_of(outputs)[0] == "not_authenticated"
    assert closed_with(outputs) == UNAUTHENTICATED


def test_a_principal_that_may_not_read_is_closed_with_4403() -> None:
    session = Session(EPOCH, Limits(), 0.0)
    session.receive(frame(1, "hello", token="task"), 0.0, horizon())
    assert closed_with(session.identified(Principal("poster", frozenset(("task",))), horizon())) == FORBIDDEN


@pytest.mark.parametrize("method", ["hello", "subscribe"])
def test_a_position_of_another_epoch_is_closed_with_4409(method: str) -> None:
    if method == "hello":
        session = Session(EPOCH, Limits(), 0.0)
        outputs = session.receive(frame(1, "hello", resume={"epoch": 6, "position": 4}), 0.0, horizon())
    else:
        wish = frame(2, "subscribe", sub="a", from_={"position": 4, "epoch": 6})
        outputs = open_session().receive(wish, 0.0, horizon())
    assert error_of(outputs)[0] == "stale_epoch"
    assert closed_with(outputs) == STALE


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"sub": ""}, "params.sub"),
        ({"sub": "x" * 65}, "params.sub"),
        ({}, "params.sub"),
        ({"sub": "a", "colour": "red"}, "params.colour"),
        ({"sub": "a", "topics": ["task..x"]}, "params.topics[0]"),
        ({"sub": "a", "topics": ["task.*"] * 65}, "params.topics"),
        ({"sub": "a", "topics": 5}, "params.topics"),
        ({"sub": "a", "filter": {"colour": "red"}}, "params.filter.colour"),
        ({"sub": "a", "filter": {"type": ["a b"]}}, "params.filter.type[0]"),
        ({"sub": "a", "from_": {"last": -1}}, "params.from.last"),
        ({"sub": "a", "from_": {"last": 10_001}}, "params.from.last"),
        ({"sub": "a", "from_": {"position": 101, "epoch": EPOCH}}, "params.from.position"),
        ({"sub": "a", "from_": {"position": -1}}, "params.from.position"),
        ({"sub": "a", "from_": {}}, "params.from"),
        ({"sub": "a", "from_": {"last": 1, "position": 1}}, "params.from"),
        ({"sub": "a", "from_": "tail"}, "params.from"),
        ({"sub": "a", "policy": "maybe"}, "params.policy"),
    ],
)
def test_a_wrong_field_is_an_answer_that_names_its_path(params: dict[str, object], path: str) -> None:
    named = {name.removesuffix("_"): value for name, value in params.items()}
    text = encode({"id": 2, "method": "subscribe", "params": named}).decode()
    session = open_session()
    assert error_of(session.receive(text, 0.0, horizon())) == ("invalid_field", path)
    assert not session.is_closed


def test_an_unknown_method_is_an_answer() -> None:
    outputs = open_session().receive(frame(2, "task.destroy"), 0.0, horizon())
    assert error_of(outputs) == ("invalid_field", "method")


def test_the_seventeenth_subscription_is_refused_and_a_name_can_be_used_again() -> None:
    session = open_session()
    for number in range(16):
        assert "result" in sent(session.receive(frame(2, "subscribe", sub=f"s{number}"), 0.0, horizon())[0])
    assert error_of(session.receive(frame(3, "subscribe", sub="s16"), 0.0, horizon()))[0] == "overloaded"
    assert "result" in sent(session.receive(frame(4, "subscribe", sub="s3"), 0.0, horizon())[0])
    ended = sent(session.receive(frame(5, "unsubscribe", sub="s3"), 0.0, horizon())[0])["result"]
    assert ended == {"sub": "s3", "ended": True}
    assert "result" in sent(session.receive(frame(6, "subscribe", sub="s16"), 0.0, horizon())[0])


def test_a_reader_cannot_act() -> None:
    session = open_session(ANONYMOUS)
    assert error_of(session.receive(frame(2, "task.create", title="x"), 0.0, horizon()))[0] == "not_permitted"
    assert error_of(session.receive(frame(3, "task.cancel", task="t-1"), 0.0, horizon()))[0] == "not_permitted"


def test_a_command_becomes_an_ask_with_its_idempotency_key() -> None:
    session = open_session()
    (ask,) = session.receive(frame(2, "task.create", idem="k", title="Brief it", reward_msat=5), 0.0, horizon())
    assert isinstance(ask, Ask)
    assert ask.to == COORDINATOR
    assert isinstance(ask.request, CreateTask)
    assert (ask.request.spec.title, ask.request.spec.reward_msat, ask.request.idempotency_key) == ("Brief it", 5, "k")
    (cancel,) = session.receive(frame(3, "task.cancel", task="t-1", reason="no need"), 0.0, horizon())
    assert isinstance(cancel, Ask)
    assert isinstance(cancel.request, CancelTask)
    assert sent(session.answered(2, b'{"task":"t-1","position":4}')) == {
        "id": 2,
        "result": {"task": "t-1", "position": 4},
    }


def test_a_refusal_says_whether_to_try_again() -> None:
    session = open_session()
    told = sent(session.refused(2, InsufficientFunds("treasury", 1, 2, "msat")))["error"]
    assert told == {
        "code": "insufficient_funds",
        "message": "treasury has 1 msat available; 2 are needed",
        "data": {"retryable": False},
    }
    busy = sent(session.refused(3, Overloaded("the coordinator", 2.0)))["error"]
    assert isinstance(busy, dict)
    assert busy["data"] == {"retryable": True, "retry_after_s": 2.0}


def test_an_id_that_is_under_way_cannot_be_used_again_and_sixteen_are_the_most() -> None:
    session = open_session()
    session.receive(frame(2, "task.create", title="x"), 0.0, horizon())
    assert error_of(session.receive(frame(2, "task.create", title="x"), 0.0, horizon())) == ("invalid_field", "id")
    for number in range(3, 18):
        session.receive(frame(number, "task.create", title="x"), 0.0, horizon())
    assert error_of(session.receive(frame(99, "task.create", title="x"), 0.0, horizon()))[0] == "overloaded"
    session.answered(2, b"{}")
    assert isinstance(session.receive(frame(99, "task.create", title="x"), 0.0, horizon())[0], Ask)


def test_queries_become_asks_or_the_state() -> None:
    session = open_session(ANONYMOUS)
    assert session.receive(frame(2, "query", what="state"), 0.0, horizon()) == (ShowState(2),)
    (ask,) = session.receive(frame(3, "query", what="events", types=["task.*"], limit=5), 0.0, horizon())
    assert isinstance(ask, Ask)
    assert ask == Ask(3, JOURNAL, ReadEvents(types=("task.*",), limit=5))
    assert error_of(session.receive(frame(4, "query", what="events", limit=0), 0.0, horizon()))[1] == "params.limit"
    for number, what in enumerate(("task", "tasks", "balances", "router"), 5):
        assert isinstance(session.receive(frame(number, "query", what=what), 0.0, horizon())[0], Ask)


def test_too_many_frames_are_refused_and_then_end_the_session() -> None:
    session = open_session(limits=Limits(frames_burst=3, frames_per_s=1.0))
    outputs: Sequence[Output] = ()
    for _ in range(4):
        outputs = session.receive(frame(2, "ping"), 0.0, horizon())
    assert error_of(outputs)[0] == "overloaded"
    assert "result" in sent(session.receive(frame(2, "ping"), 2.0, horizon())[0])
    for _ in range(REFUSALS_MAX + 2):
        outputs = session.receive(frame(2, "ping"), 2.0, horizon())
        if session.is_closed:
            break
    assert closed_with(outputs) == RATE


def test_a_stalled_client_is_told_and_closed_with_4008() -> None:
    bye, close = open_session().stall()
    assert sent(bye)["t"] == "bye"
    assert isinstance(close, Close)
    assert close.code == TOO_SLOW


def test_a_restart_is_told_and_closed_with_4012() -> None:
    bye, close = open_session().restart("the server is stopping")
    assert sent(bye) == {"t": "bye", "reason": "the server is stopping", "retry_ms": 500}
    assert isinstance(close, Close)
    assert close.code == RESTART


def test_from_the_head_only_what_comes_is_due() -> None:
    session = open_session()
    session.receive(frame(2, "subscribe", sub="a"), 0.0, horizon(head=10))
    assert session.due(horizon(head=10)) is None
    due = session.due(horizon(head=12))
    assert isinstance(due, ReadRing)
    assert (due.first, due.last) == (11, 12)


def test_from_the_last_events_the_newest_are_due() -> None:
    session = open_session()
    session.receive(frame(2, "subscribe", sub="a", from_={"last": 3}), 0.0, horizon(head=10))
    due = session.due(horizon(head=10))
    assert isinstance(due, ReadRing)
    assert (due.first, due.last) == (8, 10)


def test_without_a_start_the_position_of_the_hello_counts() -> None:
    session = Session(EPOCH, Limits(), 0.0)
    session.receive(frame(1, "hello", resume={"epoch": EPOCH, "position": 4}), 0.0, horizon())
    session.identified(ANONYMOUS, horizon())
    answer = sent(session.receive(frame(2, "subscribe", sub="a"), 0.0, horizon())[0])["result"]
    assert isinstance(answer, dict)
    assert answer["next"] == 5


def test_what_is_older_than_the_ring_is_due_from_storage() -> None:
    session = open_session()
    session.receive(frame(2, "subscribe", sub="a", from_={"position": 4}), 0.0, horizon(head=50, ring_first=20))
    due = session.due(horizon(head=50, ring_first=20))
    assert isinstance(due, ReadStorage)
    assert due.first == 5
    scanned(due.subscription, Position(30))
    assert isinstance(session.due(horizon(head=50, ring_first=20)), ReadRing)


def test_what_was_pruned_is_told_as_a_gap() -> None:
    session = open_session()
    session.receive(frame(2, "subscribe", sub="a", from_={"position": 4}), 0.0, horizon(head=50, ring_first=20))
    gap = session.due(horizon(head=50, ring_first=20, oldest=10))
    assert isinstance(gap, Send)
    assert sent(gap) == {"t": "gap", "sub": "a", "from": 5, "to": 9, "reason": "pruned"}
    due = session.due(horizon(head=50, ring_first=20, oldest=10))
    assert isinstance(due, ReadStorage)
    assert due.first == 10


def test_a_lossless_client_that_falls_behind_is_told_once_and_misses_nothing() -> None:
    session = open_session(at=horizon(head=0))
    session.receive(frame(2, "subscribe", sub="a"), 0.0, horizon(head=0))
    assert session.due(horizon(head=0)) is None
    lag = session.due(horizon(head=LAG_EVENTS + 1))
    assert isinstance(lag, Send)
    assert sent(lag) == {"t": "lag", "sub": "a", "behind": LAG_EVENTS + 1}
    due = session.due(horizon(head=LAG_EVENTS + 1))
    assert isinstance(due, ReadRing)
    assert due.first == 1


def test_a_conflating_client_that_falls_behind_skips_to_the_newest_and_is_told() -> None:
    session = open_session(at=horizon(head=0))
    session.receive(frame(2, "subscribe", sub="a", policy="conflate"), 0.0, horizon(head=0))
    assert session.due(horizon(head=0)) is None
    gap = session.due(horizon(head=5_000))
    assert isinstance(gap, Send)
    kept_from = 5_000 - CONFLATED_KEPT + 1
    assert sent(gap) == {"t": "gap", "sub": "a", "from": 1, "to": kept_from - 1, "reason": "conflated"}
    due = session.due(horizon(head=5_000))
    assert isinstance(due, ReadRing)
    assert due.first == kept_from


def test_a_conflating_client_skips_no_further_than_the_ring_reaches() -> None:
    session = open_session(at=horizon(head=0))
    session.receive(frame(2, "subscribe", sub="a", policy="conflate"), 0.0, horizon(head=0))
    gap = session.due(horizon(head=100, ring_first=95))
    assert isinstance(gap, Send)
    assert sent(gap)["to"] == 94
    assert isinstance(session.due(horizon(head=100, ring_first=95)), ReadRing)


def test_the_state_is_due_whole_first_and_then_what_changed() -> None:
    session = open_session(at=horizon(head=0))
    session.receive(frame(2, "subscribe", sub="s", topics="state"), 0.0, horizon(head=0))
    due = session.due(horizon(head=0))
    assert isinstance(due, ReadState)
    assert due.after == -1
    scanned(due.subscription, Position(0))
    assert session.due(horizon(head=0)) is None
    due = session.due(horizon(head=3))
    assert isinstance(due, ReadState)
    assert due.after == 0


def test_subscriptions_take_turns() -> None:
    session = open_session(at=horizon(head=0))
    for name in ("a", "b"):
        session.receive(frame(2, "subscribe", sub=name), 0.0, horizon(head=0))
    names = []
    for _ in range(4):
        due = session.due(horizon(head=10_000))
        assert isinstance(due, ReadRing)
        names.append(due.subscription.name)
        scanned(due.subscription, due.last)
    assert names == ["a", "b", "a", "b"]


def test_a_subscription_that_ended_while_storage_was_read_gets_nothing() -> None:
    session = open_session()
    session.receive(frame(2, "subscribe", sub="a", from_={"position": 4}), 0.0, horizon(head=50, ring_first=20))
    due = session.due(horizon(head=50, ring_first=20))
    assert isinstance(due, ReadStorage)
    session.receive(frame(3, "subscribe", sub="a"), 0.0, horizon())
    assert not session.is_current(due.subscription)


class Resuming(RuleBasedStateMachine):
    """A client that is cut and comes back, a ring that moves on, a history that grows: nothing is lost or repeated."""

    @initialize(kinds=st.lists(st.sampled_from(("task.created", "bid.submitted")), max_size=20))
    def begin(self, kinds: list[str]) -> None:
        self.types = list(kinds)
        self.ring_first = 1
        self.scanned = 0
        self.seen: list[int] = []
        self.connect()

    @property
    def horizon(self) -> Horizon:
        return horizon(len(self.types), self.ring_first)

    def connect(self) -> None:
        self.session = Session(EPOCH, Limits(batch_events=5), 0.0)
        resume = {"epoch": EPOCH, "position": self.scanned}
        self.session.receive(frame(1, "hello", resume=resume), 0.0, self.horizon)
        self.session.identified(ANONYMOUS, self.horizon)
        wish = frame(2, "subscribe", sub="a", topics=["task.*"], from_={"position": self.scanned, "epoch": EPOCH})
        assert "result" in sent(self.session.receive(wish, 0.0, self.horizon)[0])

    @rule(kinds=st.lists(st.sampled_from(("task.created", "task.failed", "bid.submitted")), min_size=1, max_size=30))
    def commit(self, kinds: list[str]) -> None:
        self.types.extend(kinds)

    @rule(kept=st.integers(0, 20))
    def trim_the_ring(self, kept: int) -> None:
        self.ring_first = max(self.ring_first, len(self.types) - kept + 1)

    @rule(is_lost=st.booleans(), found=st.integers(1, 9))
    def serve(self, is_lost: bool, found: int) -> None:
        due = self.session.due(self.horizon)
        if due is None:
            assert self.scanned == len(self.types)
            return
        assert isinstance(due, ReadRing | ReadStorage)
        if isinstance(due, ReadRing):
            assert self.ring_first <= due.first <= due.last <= len(self.types)
            last = due.last
        else:
            last = Position(min(len(self.types), due.first + found - 1))
        scanned(due.subscription, last)
        if is_lost:  # the frame was written, and the connection broke before it came
            self.connect()
            return
        assert due.first == self.scanned + 1
        wanted = due.wanted
        self.seen.extend(p for p in range(due.first, last + 1) if wanted.matches_type(self.types[p - 1]))
        self.scanned = last

    @rule()
    def cut(self) -> None:
        self.connect()

    @invariant()
    def everything_scanned_was_seen_once_and_in_order(self) -> None:
        expected = [p for p in range(1, self.scanned + 1) if self.types[p - 1].startswith("task.")]
        assert self.seen == expected


Resuming.TestCase.settings = settings(max_examples=200, stateful_step_count=40)
TestResuming = Resuming.TestCase


def test_from_a_time_the_subscription_begins_where_the_journal_says() -> None:
    session = open_session()
    outputs = session.receive(frame(2, "subscribe", sub="a", from_={"time": "1970-01-01T00:00:01Z"}), 0.0, horizon())
    assert outputs == (Locate(2, 1_000_000),)
    assert session.due(horizon()) is None
    answer = session.located(2, Position(40), horizon())
    assert answer is not None
    assert sent(answer) == {"id": 2, "result": {"sub": "a", "next": 40, "head": 100}}
    due = session.due(horizon())
    assert isinstance(due, ReadRing)
    assert due.first == 40


@pytest.mark.parametrize("start", [{"time": "noon"}, {"time": "1970-01-01T00:00:00"}, {"time": "5", "last": 1}])
def test_a_time_that_is_none_is_refused(start: Sent) -> None:
    outputs = open_session().receive(frame(2, "subscribe", sub="a", from_=start), 0.0, horizon())
    assert error_of(outputs)[0] == "invalid_field"


def test_a_time_whose_look_up_fails_is_answered_and_may_be_asked_again() -> None:
    session = open_session()
    session.receive(frame(2, "subscribe", sub="a", from_={"time": "5"}), 0.0, horizon())
    assert sent(session.refused(2, Overloaded("x", 1.0)))["id"] == 2
    assert session.receive(frame(2, "subscribe", sub="a", from_={"time": "5"}), 0.0, horizon()) == (Locate(2, 5),)


def test_a_place_that_was_taken_while_a_time_was_looked_up_is_refused() -> None:
    session = open_session(limits=Limits(subscriptions=1))
    session.receive(frame(2, "subscribe", sub="a", from_={"time": "5"}), 0.0, horizon())
    session.receive(frame(3, "subscribe", sub="b"), 0.0, horizon())
    answer = session.located(2, Position(1), horizon())
    assert answer is not None
    assert "error" in sent(answer)


def test_a_session_that_ended_while_a_time_was_looked_up_says_nothing() -> None:
    session = open_session()
    session.receive(frame(2, "subscribe", sub="a", from_={"time": "5"}), 0.0, horizon())
    session.restart("the server is stopping")
    assert session.located(2, Position(1), horizon()) is None
