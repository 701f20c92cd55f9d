"""The fold of transfers and the proof that it adds up."""

import msgspec
import pytest

from actors.rules import books
from actors.rules.books import AMOUNT_MAX, Book, Books
from bus.messages.base import AccountId, TransferId
from bus.messages.ledger import Posting, TransferPosted, TransferPostedMany, TransferState
from bus.messages.system import SystemInfo
from bus.refusals import NotFound
from tests.support.books import carry_out, filled, fold, hold, post, through_json, transfer, void


def busy_books() -> Books:
    state = filled(1_000)
    for command in (
        transfer("x", 100),
        hold("open", 50, timeout_s=9.0),
        hold("paid", 40),
        post("p", "paid", 30),
        hold("back", 20),
        void("v", "back"),
        transfer("too-much", 5_000),
    ):
        carry_out(state, command)
    return state


def test_balances_show_both_sides_and_what_is_held() -> None:
    treasury = books.balances(busy_books(), "treasury", "msat")[0]
    assert (treasury.incoming, treasury.outgoing, treasury.held_out, treasury.held_in) == (1_000, 130, 50, 0)
    assert (treasury.net, treasury.available, treasury.credit_limit) == (870, 820, 0)
    bob = books.balances(busy_books(), "bob", "msat")[0]
    assert (bob.incoming, bob.held_in, bob.available) == (130, 50, 130)


def test_balances_come_by_currency_and_account_and_can_be_chosen() -> None:
    shown = [(balance.currency, balance.account) for balance in books.balances(busy_books())]
    assert shown == [("msat", "bob"), ("msat", "genesis"), ("msat", "treasury"), ("usd_micros", "models")]
    assert [balance.account for balance in books.balances(busy_books(), currency="usd_micros")] == ["models"]
    assert books.balances(busy_books(), "nobody") == ()


def test_unlimited_credit_is_shown_as_the_most_that_one_transfer_may_move() -> None:
    assert books.balances(busy_books(), "genesis")[0].available == AMOUNT_MAX


def test_a_view_tells_what_became_of_a_transfer() -> None:
    state = busy_books()
    assert books.view(state, TransferId("open")).state is TransferState.HELD
    assert books.view(state, TransferId("paid")).state is TransferState.POSTED
    assert books.view(state, TransferId("p")).hold == "paid"
    assert books.view(state, TransferId("p")).amount == 30
    assert books.view(state, TransferId("back")).state is TransferState.VOIDED
    assert books.view(state, TransferId("too-much")).state is TransferState.REFUSED
    with pytest.raises(NotFound, match="no transfer is called 'never'"):
        books.view(state, TransferId("never"))


def test_what_goes_to_accounts_of_fees_is_counted_on_its_own_and_proved() -> None:
    state = filled(1_000)
    for command in (
        transfer("a", 100),
        transfer("f", 3, credit="fees/lightning"),
        hold("h", 10, credit="fees/lightning"),
    ):
        carry_out(state, command)
    carry_out(state, post("p", "h", 4))
    treasury = books.balances(state, "treasury", "msat")[0]
    assert (treasury.outgoing, treasury.fees, treasury.net) == (107, 7, 893)
    assert books.prove(state).is_conserved
    state.accounts["msat"][AccountId("treasury")].fees = 8
    assert not books.prove(state).is_conserved


def test_many_postings_of_one_event_are_each_a_transfer() -> None:
    state = filled(1_000)
    postings = (
        Posting(TransferId("a"), AccountId("treasury"), AccountId("bob"), 30, "work"),
        Posting(TransferId("b"), AccountId("bob"), AccountId("fees/x"), 1),
    )
    fold(state, (TransferPostedMany("msat", postings),))
    assert books.view(state, TransferId("a")).reason == "work"
    bob = books.balances(state, "bob", "msat")[0]
    assert (bob.incoming, bob.outgoing, bob.fees) == (30, 1, 1)
    assert through_json(state) == state


def test_open_holds_are_those_that_have_not_ended() -> None:
    assert list(books.open_holds(busy_books())) == ["open"]


def test_the_books_survive_json() -> None:
    state = busy_books()
    assert through_json(state) == state


def test_an_event_of_another_subject_changes_nothing() -> None:
    state = busy_books()
    before = msgspec.json.encode(state)
    fold(state, (SystemInfo("hello"),))
    assert msgspec.json.encode(state) == before


def test_sound_books_are_proved() -> None:
    proof = books.prove(busy_books())
    assert (proof.is_conserved, proof.problems) == (True, ())
    assert proof.sums == {"msat": 0, "usd_micros": 0}
    assert (proof.accounts, proof.transfers) == (4, 8)


def test_money_from_nowhere_is_found() -> None:
    state = busy_books()
    state.accounts["msat"][AccountId("bob")].incoming += 1
    proof = books.prove(state)
    assert not proof.is_conserved
    assert proof.sums["msat"] == 1
    assert "the nets of all accounts in msat sum to 1" in proof.problems
    assert "bob in msat is not what its transfers add up to" in proof.problems


def test_an_account_below_its_limit_is_found() -> None:
    state = filled(0)
    fold(
        state,
        (
            TransferPosted(
                transfer=TransferId("stolen"),
                debit=AccountId("ann"),
                credit=AccountId("bob"),
                currency="msat",
                amount=5,
                hold=TransferId(""),
                reason="",
            ),
        ),
    )
    assert books.prove(state).problems == ("ann in msat is 5 below its limit",)


def test_a_hold_that_was_paid_twice_is_found() -> None:
    state = busy_books()
    state.transfers[TransferId("p2")] = state.transfers[TransferId("p")]
    for account, side in (("treasury", "outgoing"), ("bob", "incoming")):
        book = state.accounts["msat"][AccountId(account)]
        setattr(book, side, getattr(book, side) + 30)
    assert books.prove(state).problems == ("p2 does not fit the hold paid",)


def test_a_lost_account_is_found() -> None:
    state = busy_books()
    del state.accounts["msat"][AccountId("bob")]
    assert "bob in msat has transfers but no account" in books.prove(state).problems


def test_what_a_book_has_available_counts_holds_and_credit() -> None:
    assert books.available(Book(credit_limit=10, incoming=5, outgoing=3, held_out=4)) == 8
