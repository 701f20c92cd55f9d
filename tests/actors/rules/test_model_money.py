"""Which transfers the money for models demands."""

from actors.rules import books, ledger
from actors.rules.allowance import ALLOWANCE, slice_transfer
from actors.rules.books import Books
from actors.rules.model_money import AllowanceFact, cost_of, decide_allowance
from bus.messages.base import AccountId, CompletionId, Position
from bus.messages.routing import AllowanceLost, AllowanceReturned, SpendingReconciled
from tests.support.books import NOW_US, carry_out, filled, fold, net

ONE = CompletionId("m-1")
OPENAI = AccountId("provider/openai")


def drawn(amount: int) -> Books:
    state = filled()
    carry_out(state, slice_transfer(1, amount))
    return state


def happen(state: Books, fact: AllowanceFact, position: int = 7) -> int:
    events = decide_allowance(state, fact, Position(position), NOW_US)
    fold(state, events)
    assert books.prove(state).is_conserved
    return len([event for event in events if event.wire_name == "transfer.posted"])


def usd(state: Books, account: str) -> int:
    return net(state, account, "usd_micros")


def pay(state: Books, amount: int) -> list[tuple[str, int]]:
    transfers = cost_of(state, ONE, amount, OPENAI)
    for one in transfers:
        fold(state, ledger.decide(state, one, NOW_US))
    assert books.prove(state).is_conserved
    return [(one.debit, one.amount) for one in transfers]


def test_a_slice_is_a_transfer_and_the_same_one_however_often_it_is_asked_for() -> None:
    state = drawn(100)
    assert carry_out(state, slice_transfer(1, 100)).state == "posted"
    assert (usd(state, ALLOWANCE), usd(state, "models")) == (100, -100)


def test_a_completion_is_paid_from_the_allowance_once() -> None:
    state = drawn(100)
    assert pay(state, 30) == [(ALLOWANCE, 30)]
    assert pay(state, 30) == []
    assert (usd(state, ALLOWANCE), usd(state, OPENAI)) == (70, 30)


def test_what_the_allowance_does_not_cover_comes_from_who_pays_for_models() -> None:
    state = drawn(20)
    assert pay(state, 30) == [(ALLOWANCE, 20), ("models", 10)]
    assert (usd(state, ALLOWANCE), usd(state, OPENAI), usd(state, "models")) == (0, 30, -30)


def test_without_an_allowance_all_of_it_comes_from_there() -> None:
    state = filled()
    assert pay(state, 30) == [("models", 30)]
    assert pay(state, 0) == []


def test_what_was_not_needed_goes_back_once() -> None:
    state = drawn(100)
    pay(state, 30)
    assert [happen(state, AllowanceReturned(70)) for _ in range(2)] == [1, 0]
    assert (usd(state, ALLOWANCE), usd(state, "models")) == (0, -30)


def test_what_a_crash_left_is_owed_to_nobody_known_until_a_bill_says_to_whom() -> None:
    state = drawn(100)
    assert happen(state, AllowanceLost(100, NOW_US)) == 1
    assert (usd(state, ALLOWANCE), usd(state, "provider/unknown")) == (0, 100)
    assert happen(state, SpendingReconciled("openai", 60, 40, NOW_US), 8) == 2
    assert (usd(state, "provider/unknown"), usd(state, OPENAI), usd(state, "models")) == (0, 60, -60)


def test_no_more_leaves_the_allowance_than_is_there() -> None:
    state = drawn(10)
    assert happen(state, AllowanceReturned(25)) == 1
    assert happen(state, AllowanceLost(25, NOW_US), 8) == 0
    assert usd(state, ALLOWANCE) == 0
