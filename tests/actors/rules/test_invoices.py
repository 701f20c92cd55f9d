"""What becomes of an invoice."""

import hashlib

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from actors.rules import invoices as rules
from actors.rules.invoices import MOVES, Invoices, Made
from bus.messages.base import AccountId, Event
from bus.messages.lightning import (
    CreateInvoice,
    InvoiceId,
    InvoiceRequested,
    InvoiceSettled,
    InvoiceState,
    InvoiceView,
    ListInvoices,
)
from bus.refusals import IdempotencyConflict, IllegalTransition, InvalidField, NotFound, Overloaded, WrongPreimage

NOW_US = 1_800_000_000_000_000
BOB = AccountId("agents/bob")
I1 = InvoiceId("i-1")


def preimage(number: int = 1) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()


def hash_of(number: int = 1) -> str:
    return hashlib.sha256(bytes.fromhex(preimage(number))).hexdigest()


def made(number: int = 1, amount_msat: int = 1_000) -> Made:
    return Made(f"lnbc{number}", hash_of(number), "02" * 33, amount_msat, NOW_US + 3_600_000_000)


def fold(state: Invoices, events: tuple[Event, ...]) -> Invoices:
    for event in events:
        rules.apply(state, event)
    return state


def create(amount_msat: int = 1_000, key: str = "", account: AccountId = BOB) -> CreateInvoice:
    return CreateInvoice(amount_msat, account, "for the work", idempotency_key=key)


def asked(state: Invoices, command: CreateInvoice | None = None) -> tuple[InvoiceRequested, ...]:
    events = rules.decide_create(state, command or create(), backend="lnd", expiry_s=3_600, now_us=NOW_US)
    fold(state, events)
    return events


def issued(number: int = 1) -> Invoices:
    state = Invoices()
    for one in range(1, number + 1):
        asked(state)
        fold(state, rules.decide_issue(state, InvoiceId(f"i-{one}"), made(one), NOW_US))
    return state


def ended(state: InvoiceState) -> Invoices:
    invoices = issued()
    match state:
        case InvoiceState.PENDING:
            events: tuple[Event, ...] = ()
        case InvoiceState.SETTLED:
            events = rules.decide_settle(invoices, I1, preimage(), 1_000, NOW_US)
        case InvoiceState.FAILED:
            events = rules.decide_fail(invoices, I1, "cancelled", NOW_US)
        case InvoiceState.EXPIRED:
            events = rules.decide_expire(invoices, I1, NOW_US + 3_600_000_000)
    return fold(invoices, events)


def test_an_invoice_is_pending_first_without_and_then_with_its_text() -> None:
    state = Invoices()
    [event] = asked(state)
    assert (event.invoice, event.expiry_s, state.items[I1].state) == (I1, 3_600, InvoiceState.PENDING)
    fold(state, rules.decide_issue(state, I1, made(), NOW_US))
    view = state.items[I1]
    assert (view.request, view.payment_hash, view.payee) == ("lnbc1", hash_of(), "02" * 33)
    assert not view.is_simulated


def test_what_a_simulated_backend_makes_says_so() -> None:
    state = Invoices()
    fold(state, rules.decide_create(state, create(), backend=rules.SIMULATED, expiry_s=60, now_us=NOW_US))
    assert state.items[I1].is_simulated


@pytest.mark.parametrize(
    "command",
    [
        create(0),
        create(-999),
        create(2**53 + 1),
        create(account=AccountId("")),
        create(account=AccountId("genesis")),
        create(account=AccountId("escrow")),
        create(account=AccountId("lightning/lnd")),
        CreateInvoice(1, BOB, "x" * 601),
        CreateInvoice(1, BOB, "", -1),
        CreateInvoice(1, BOB, "", 10**9),
        create(key="\n"),
    ],
)
def test_what_makes_no_sense_is_refused(command: CreateInvoice) -> None:
    with pytest.raises(InvalidField):
        rules.decide_create(Invoices(), command, backend="lnd", expiry_s=60, now_us=NOW_US)


def test_a_key_gives_the_same_invoice_and_never_another() -> None:
    state = Invoices()
    asked(state, create(key="k"))
    assert asked(state, create(key="k")) == ()
    assert rules.repeated(state, create(key="k"), NOW_US) == I1
    with pytest.raises(IdempotencyConflict):
        asked(state, create(2_000, key="k"))
    assert len(state.items) == 1


def test_no_more_invoices_wait_than_can_be_looked_up() -> None:
    state = issued(rules.PENDING_MAX)
    with pytest.raises(Overloaded):
        asked(state)
    fold(state, rules.decide_settle(state, I1, preimage(), 0, NOW_US))
    assert len(asked(state)) == 1


def test_an_invoice_over_another_amount_than_was_asked_for_has_failed() -> None:
    state = Invoices()
    asked(state)
    fold(state, rules.decide_issue(state, I1, made(amount_msat=1), NOW_US))
    assert state.items[I1].state is InvoiceState.FAILED
    assert state.items[I1].reason == "the backend's invoice is over 1 msat instead of 1000"


def test_a_payment_hash_that_was_used_before_fails_the_new_invoice_and_not_the_old() -> None:
    state = issued()
    asked(state)
    fold(state, rules.decide_issue(state, InvoiceId("i-2"), made(1), NOW_US))
    assert state.items[InvoiceId("i-2")].state is InvoiceState.FAILED
    assert state.items[I1].state is InvoiceState.PENDING
    assert state.hashes[hash_of()] == I1


def test_a_second_text_changes_nothing() -> None:
    state = issued()
    assert rules.decide_issue(state, I1, made(2), NOW_US) == ()


def test_the_right_preimage_settles_for_what_came() -> None:
    state = issued()
    [event] = rules.decide_settle(state, I1, preimage().upper(), 1_500, NOW_US)
    assert isinstance(event, InvoiceSettled)
    assert (event.received_msat, event.preimage, event.account) == (1_500, preimage(), BOB)
    fold(state, (event,))
    assert (state.items[I1].state, state.items[I1].received_msat) == (InvoiceState.SETTLED, 1_500)


@pytest.mark.parametrize("wrong", ["", "00", "zz" * 32, preimage(2), hash_of(), preimage() + "00", preimage()[:-1]])
@pytest.mark.parametrize("state", list(InvoiceState))
def test_a_wrong_preimage_settles_nothing_whatever_the_state(state: InvoiceState, wrong: str) -> None:
    invoices = ended(state)
    with pytest.raises(WrongPreimage):
        rules.decide_settle(invoices, I1, wrong, 1_000, NOW_US)


def test_failed_does_not_become_settled_with_a_wrong_preimage_nor_with_the_right_one() -> None:
    invoices = ended(InvoiceState.FAILED)
    with pytest.raises(WrongPreimage):
        rules.decide_settle(invoices, I1, preimage(2), 1_000, NOW_US)
    with pytest.raises(IllegalTransition):
        rules.decide_settle(invoices, I1, preimage(), 1_000, NOW_US)
    assert invoices.items[I1].state is InvoiceState.FAILED


def test_an_invoice_without_a_text_cannot_be_settled() -> None:
    state = Invoices()
    asked(state)
    with pytest.raises(WrongPreimage):
        rules.decide_settle(state, I1, "", 1_000, NOW_US)


def test_settled_is_final() -> None:
    state = ended(InvoiceState.SETTLED)
    assert rules.decide_settle(state, I1, preimage(), 1_000, NOW_US) == ()
    assert rules.decide_fail(state, I1, "no", NOW_US) == ()
    assert rules.decide_expire(state, I1, NOW_US + 10**12) == ()


def test_expired_is_final_and_comes_with_the_time_alone() -> None:
    assert rules.decide_expire(issued(), I1, NOW_US + 3_599_999_999) == ()
    state = ended(InvoiceState.EXPIRED)
    assert state.items[I1].state is InvoiceState.EXPIRED
    with pytest.raises(IllegalTransition):
        rules.decide_settle(state, I1, preimage(), 1_000, NOW_US)


def test_what_a_crash_left_without_a_text_has_failed_and_the_rest_waits_on() -> None:
    state = issued()
    asked(state)
    fold(state, rules.decide_unfinished(state, NOW_US))
    assert [one.state for one in state.items.values()] == [InvoiceState.PENDING, InvoiceState.FAILED]


def test_the_newest_come_first_and_a_state_can_be_asked_for() -> None:
    state = issued(3)
    fold(state, rules.decide_settle(state, InvoiceId("i-2"), preimage(2), 0, NOW_US))
    assert [one.invoice for one in rules.page(state, ListInvoices(limit=2))] == ["i-3", "i-2"]
    assert [one.invoice for one in rules.page(state, ListInvoices(InvoiceState.SETTLED))] == ["i-2"]
    with pytest.raises(InvalidField):
        rules.page(state, ListInvoices(limit=0))
    with pytest.raises(NotFound):
        rules.invoice_of(state, InvoiceId("i-9"))


def test_only_pending_leads_anywhere() -> None:
    assert {state for state, moves in MOVES.items() if moves} == {InvoiceState.PENDING}


class Life(RuleBasedStateMachine):
    """Everything that could be said of a few invoices, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.state = Invoices()
        self.events: list[Event] = []
        self.ends: dict[InvoiceId, InvoiceView] = {}
        self.now_us = NOW_US

    def do(self, events: tuple[Event, ...]) -> None:
        fold(self.state, events)
        self.events += events

    def some(self, number: int) -> InvoiceId | None:
        names = list(self.state.items)
        return names[number % len(names)] if names else None

    @rule(amount=st.integers(1, 3), key=st.sampled_from(["", "a", "b"]))
    def ask(self, amount: int, key: str) -> None:
        command = CreateInvoice(amount, BOB, idempotency_key=key)
        try:
            self.do(rules.decide_create(self.state, command, backend="lnd", expiry_s=60, now_us=self.now_us))
        except IdempotencyConflict:
            assert key in self.state.keys.uses

    @rule(number=st.integers(0, 9), hashed=st.integers(0, 9), amount=st.integers(1, 3))
    def issue(self, number: int, hashed: int, amount: int) -> None:
        if (invoice := self.some(number)) is not None:
            self.do(rules.decide_issue(self.state, invoice, made(hashed, amount), self.now_us))

    @rule(number=st.integers(0, 9), secret=st.integers(0, 9), received=st.integers(0, 5))
    def settle(self, number: int, secret: int, received: int) -> None:
        if (invoice := self.some(number)) is None:
            return
        before = self.state.items[invoice]
        try:
            events = rules.decide_settle(self.state, invoice, preimage(secret), received, self.now_us)
        except WrongPreimage:
            assert hash_of(secret) != before.payment_hash
        except IllegalTransition:
            assert before.state in (InvoiceState.FAILED, InvoiceState.EXPIRED)
        else:
            self.do(events)
            assert self.state.items[invoice].state is InvoiceState.SETTLED

    @rule(number=st.integers(0, 9))
    def fail(self, number: int) -> None:
        if (invoice := self.some(number)) is not None:
            self.do(rules.decide_fail(self.state, invoice, "no", self.now_us))

    @rule(number=st.integers(0, 9), later_s=st.integers(0, 4_000))
    def expire(self, number: int, later_s: int) -> None:
        self.now_us += later_s * 1_000_000
        if (invoice := self.some(number)) is not None:
            self.do(rules.decide_expire(self.state, invoice, self.now_us))

    @rule()
    def restart(self) -> None:
        self.state = msgspec.json.decode(msgspec.json.encode(self.state), type=Invoices)
        self.do(rules.decide_unfinished(self.state, self.now_us))

    @invariant()
    def an_end_never_changes(self) -> None:
        for invoice, view in self.state.items.items():
            if view.state is not InvoiceState.PENDING:
                assert self.ends.setdefault(invoice, view) == view

    @invariant()
    def every_settlement_has_its_proof_and_happens_once(self) -> None:
        settled = [event for event in self.events if isinstance(event, InvoiceSettled)]
        assert len({event.invoice for event in settled}) == len(settled)
        assert len({event.payment_hash for event in settled}) == len(settled)
        for event in settled:
            assert hashlib.sha256(bytes.fromhex(event.preimage)).hexdigest() == event.payment_hash
            assert event.received_msat >= self.state.items[event.invoice].amount_msat

    @invariant()
    def the_state_is_the_fold_of_the_events(self) -> None:
        assert fold(Invoices(), tuple(self.events)) == self.state

    @invariant()
    def what_is_pending_is_what_has_not_ended(self) -> None:
        pending = [one.invoice for one in self.state.items.values() if one.state is InvoiceState.PENDING]
        assert list(self.state.pending) == pending


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
