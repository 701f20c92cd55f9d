"""Behaviour as documented for TigerBeetle's two-phase transfers, in our own words, and the faults of ancestors."""

from typing import NamedTuple

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actors.rules import batches, books, ledger, settlement
from actors.rules.books import AMOUNT_MAX, UNLIMITED, Books
from actors.rules.ledger import check_command, check_shape
from bus.messages.base import AccountId, Event, TransferId
from bus.messages.ledger import (
    AccountOpened,
    CreateTransfers,
    Currency,
    MoneyCommand,
    SetCredit,
    Transfer,
    TransferExpired,
    TransferPosted,
    TransferState,
    TransferVoided,
)
from bus.messages.lightning import InvoiceId, InvoiceSettled
from bus.refusals import IdempotencyConflict, InsufficientFunds, InvalidField, NotFound
from tests.support.books import (
    NOW_US,
    available,
    carry_out,
    filled,
    fold,
    hold,
    net,
    post,
    through_json,
    transfer,
    void,
)

HELD, POSTED, VOIDED = TransferState.HELD, TransferState.POSTED, TransferState.VOIDED
EXPIRED, REFUSED = TransferState.EXPIRED, TransferState.REFUSED


class Case(NamedTuple):
    """Steps from a treasury of 1,000 msat; what the last one is answered; what treasury, bob and ann end with."""

    name: str
    steps: tuple[MoneyCommand, ...]
    state: TransferState
    reason: str = ""
    treasury: tuple[int, int] = (1_000, 1_000)
    """Net and available."""
    bob: int = 0
    ann: int = 0


CASES = (
    Case("a transfer moves its amount at once", (transfer("x", 300),), POSTED, treasury=(700, 700), bob=300),
    Case("all that is available can be moved", (transfer("x", 1_000),), POSTED, treasury=(0, 0), bob=1_000),
    Case(
        "more than is available is refused",
        (transfer("x", 1_001),),
        REFUSED,
        "treasury has 1000 msat available; 1001 are needed",
    ),
    Case("a billion is not there", (transfer("x", 10**9),), REFUSED, "treasury has 1000 msat available"),
    Case("an account that was never opened has nothing", (transfer("x", 1, debit="ann"),), REFUSED, "ann has 0 msat"),
    Case(
        "money of another currency does not help",
        (transfer("x", 5, currency="scrip"),),
        REFUSED,
        "treasury has 0 scrip available",
    ),
    Case("a hold reserves without moving", (hold("h", 400),), HELD, treasury=(1_000, 600)),
    Case(
        "what is held cannot be moved",
        (hold("h", 400), transfer("x", 601)),
        REFUSED,
        "treasury has 600 msat available",
        treasury=(1_000, 600),
    ),
    Case(
        "what is held cannot be held again",
        (hold("h", 400), hold("h2", 601)),
        REFUSED,
        "treasury has 600 msat available",
        treasury=(1_000, 600),
    ),
    Case(
        "what is held for an account is not its own yet",
        (hold("h", 400), transfer("x", 1, debit="bob", credit="ann")),
        REFUSED,
        "bob has 0 msat",
        treasury=(1_000, 600),
    ),
    Case("a post moves all that is held", (hold("h", 400), post("p", "h")), POSTED, treasury=(600, 600), bob=400),
    Case(
        "a partial post releases the rest",
        (hold("h", 400), post("p", "h", 150)),
        POSTED,
        treasury=(850, 850),
        bob=150,
    ),
    Case(
        "a post can pay another account than was held for",
        (hold("h", 400), post("p", "h", 150, credit="ann")),
        POSTED,
        treasury=(850, 850),
        ann=150,
    ),
    Case("a void releases all", (hold("h", 400), void("v", "h")), VOIDED),
    Case(
        "a second post of a hold is refused",
        (hold("h", 400), post("p", "h", 150), post("p2", "h", 150)),
        REFUSED,
        "hold h is posted; it cannot be posted",
        treasury=(850, 850),
        bob=150,
    ),
    Case(
        "a void after a post is refused: no refund after paying",
        (hold("h", 400), post("p", "h"), void("v", "h")),
        REFUSED,
        "hold h is posted; it cannot be voided",
        treasury=(600, 600),
        bob=400,
    ),
    Case(
        "a post after a void is refused",
        (hold("h", 400), void("v", "h"), post("p", "h")),
        REFUSED,
        "hold h is voided; it cannot be posted",
    ),
    Case(
        "a second void is refused",
        (hold("h", 400), void("v", "h"), void("v2", "h")),
        REFUSED,
        "hold h is voided; it cannot be voided",
    ),
    Case(
        "a hold that was refused cannot be posted",
        (hold("h", 1_001), post("p", "h")),
        REFUSED,
        "hold h is refused; it cannot be posted",
    ),
    Case(
        "a refused id stays refused when there is money again",
        (transfer("away", 1_000), transfer("x", 5), transfer("back", 1_000, "bob", "treasury"), transfer("x", 5)),
        REFUSED,
        "treasury has 0 msat available; 5 are needed",
    ),
    Case(
        "a repeated transfer gives the first result and moves nothing",
        (transfer("x", 300), transfer("x", 300)),
        POSTED,
        treasury=(700, 700),
        bob=300,
    ),
    Case(
        "a repeated hold gives the first result, even when it was posted since",
        (hold("h", 400), post("p", "h"), hold("h", 400)),
        HELD,
        treasury=(600, 600),
        bob=400,
    ),
    Case(
        "a repeated post gives the first result",
        (hold("h", 400), post("p", "h", 150), post("p", "h", 150)),
        POSTED,
        treasury=(850, 850),
        bob=150,
    ),
    Case("a repeated void gives the first result", (hold("h", 400), void("v", "h"), void("v", "h")), VOIDED),
    Case(
        "a repeated refusal gives the first result",
        (hold("h", 400), void("v", "h"), post("p", "h", 3, "ann"), post("p", "h", 3, "ann")),
        REFUSED,
        "hold h is voided; it cannot be posted",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_sequence_of_commands_ends_as_documented(case: Case) -> None:
    state = filled(1_000)
    views = [carry_out(state, step) for step in case.steps]
    assert views[-1].state is case.state
    assert case.reason in views[-1].reason
    assert (net(state, "treasury"), available(state, "treasury")) == case.treasury
    assert (net(state, "bob"), net(state, "ann")) == (case.bob, case.ann)
    assert books.prove(state).is_conserved


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (transfer("x", 300), transfer("x", 301)),
        (transfer("x", 300), transfer("x", 300, credit="ann")),
        (transfer("x", 300), transfer("x", 300, debit="bob", credit="ann")),
        (transfer("x", 300), transfer("x", 300, currency="scrip")),
        (transfer("x", 300), hold("x", 300)),
        (transfer("x", 5_000), transfer("x", 300)),
        (hold("x", 300), hold("x", 300, timeout_s=1.0)),
    ],
)
def test_a_used_id_with_other_fields_is_a_conflict_and_changes_nothing(
    first: MoneyCommand, second: MoneyCommand
) -> None:
    state = filled(1_000)
    carry_out(state, first)
    before = msgspec.json.encode(state)
    with pytest.raises(IdempotencyConflict, match="transfer x was used before"):
        carry_out(state, second)
    assert msgspec.json.encode(state) == before


@pytest.mark.parametrize("second", [post("p", "h", 100), post("p", "h", 0, "ann"), post("p", "g"), void("p", "h")])
def test_a_used_id_of_a_post_with_other_fields_is_a_conflict(second: MoneyCommand) -> None:
    state = filled(1_000)
    for step in (hold("h", 400), hold("g", 1), post("p", "h")):
        carry_out(state, step)
    with pytest.raises(IdempotencyConflict):
        carry_out(state, second)


def test_a_reason_is_words_and_no_field_of_the_id() -> None:
    state = filled(1_000)
    carry_out(state, transfer("x", 300))
    again = msgspec.structs.replace(transfer("x", 300), reason="once more")
    assert carry_out(state, again).state is POSTED
    assert net(state, "bob") == 300


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (transfer("x", 0), "amount"),
        (transfer("x", -999), "amount"),
        (transfer("x", AMOUNT_MAX + 1), "amount"),
        (transfer("", 1), "transfer"),
        (transfer("x y", 1), "transfer"),
        (transfer("x", 1, debit=""), "debit"),
        (transfer("x", 1, credit=" "), "credit"),
        (transfer("x", 1, credit="treasury"), "credit"),
        (Transfer(TransferId("x"), AccountId("a"), AccountId("b"), "euro", 1), "currency"),  # type: ignore[arg-type]  # what a caller in Python can do
        (hold("h", 0), "amount"),
        (hold("h", 1, timeout_s=-1.0), "timeout_s"),
        (hold("h", 1, timeout_s=float("nan")), "timeout_s"),
        (post("p", "h", -1), "amount"),
        (post("p", ""), "hold"),
        (post("p", "h", 1, " "), "credit"),
        (void("v", ""), "hold"),
    ],
)
def test_what_is_malformed_is_refused_with_its_path_whatever_the_books_say(command: MoneyCommand, path: str) -> None:
    with pytest.raises(InvalidField) as refused:
        check_shape(command)
    assert refused.value.path == path


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (transfer("x", 1, debit="genesis"), "debit"),
        (hold("x", 1, debit="genesis"), "debit"),
        (transfer("genesis/more", 1), "transfer"),
        (hold("hold/t-1", 1), "transfer"),
        (post("post/t-1", "h"), "transfer"),
        (void("x", "hold/t-1"), "hold"),
        (post("x", "hold/t-1"), "hold"),
    ],
)
def test_no_command_takes_from_genesis_or_touches_what_is_the_ledgers_own(command: MoneyCommand, path: str) -> None:
    with pytest.raises(InvalidField) as refused:
        check_command(command)
    assert refused.value.path == path


@pytest.mark.parametrize("command", [post("p", "nothing"), void("v", "nothing")])
def test_a_hold_that_nobody_knows_uses_up_no_id(command: MoneyCommand) -> None:
    state = filled(1_000)
    with pytest.raises(NotFound, match="no hold is called 'nothing'"):
        carry_out(state, command)
    assert command.transfer not in state.transfers


def test_a_transfer_is_no_hold_and_cannot_be_posted() -> None:
    state = filled(1_000)
    carry_out(state, transfer("x", 300))
    with pytest.raises(InvalidField, match="hold: x is no hold"):
        carry_out(state, post("p", "x"))


def test_a_post_of_more_than_was_held_is_refused_and_the_hold_stays() -> None:
    state = filled(1_000)
    carry_out(state, hold("h", 400))
    with pytest.raises(InvalidField, match="is more than the 400 msat that h holds"):
        carry_out(state, post("p", "h", 401))
    assert carry_out(state, post("p", "h", 400)).state is POSTED


def test_a_post_back_to_who_pays_is_refused() -> None:
    state = filled(1_000)
    carry_out(state, hold("h", 400))
    with pytest.raises(InvalidField, match="must be another account"):
        carry_out(state, post("p", "h", 400, credit="treasury"))


def test_a_hold_expires_once_and_releases_all() -> None:
    state = filled(1_000)
    carry_out(state, hold("h", 400, timeout_s=2.0))
    due_us = NOW_US + 2_000_000
    assert ledger.decide_expiry(state, TransferId("h"), due_us - 1) == ()
    fold(state, ledger.decide_expiry(state, TransferId("h"), due_us))
    assert ledger.decide_expiry(state, TransferId("h"), due_us) == ()
    assert books.view(state, TransferId("h")).state is EXPIRED
    assert available(state, "treasury") == 1_000
    assert carry_out(state, post("p", "h"), due_us).reason == "hold h is expired; it cannot be posted"


@pytest.mark.parametrize("command", [post("late", "h"), void("late", "h")])
def test_a_hold_whose_time_is_over_is_expired_even_before_its_timer_fires(command: MoneyCommand) -> None:
    state = filled(1_000)
    carry_out(state, hold("h", 400, timeout_s=2.0))
    view = carry_out(state, command, NOW_US + 2_000_000)
    assert view.state is REFUSED
    assert books.view(state, TransferId("h")).state is EXPIRED
    assert available(state, "treasury") == 1_000
    assert state.expiring == {}


def test_a_credit_line_lets_an_account_go_so_far_below_zero_and_no_further() -> None:
    state = filled(0)
    fold(state, (AccountOpened(account=AccountId("ann"), currency="msat", credit_limit=100),))
    assert carry_out(state, hold("h", 60, debit="ann")).state is HELD
    assert carry_out(state, transfer("x", 41, debit="ann")).state is REFUSED
    assert carry_out(state, transfer("y", 40, debit="ann")).state is POSTED
    assert available(state, "ann") == 0


def test_an_account_without_a_limit_owes_what_it_must() -> None:
    state = filled(0)
    fold(state, ledger.decide(state, transfer("x", AMOUNT_MAX, debit="genesis"), NOW_US))
    assert net(state, "genesis") == -AMOUNT_MAX
    assert available(state, "genesis") == AMOUNT_MAX


def test_a_total_that_no_reader_could_hold_is_refused() -> None:
    state = filled(0)
    account = state.accounts["msat"][AccountId("genesis")]
    account.outgoing = ledger.TOTAL_MAX - 5
    with pytest.raises(InvalidField, match="past"):
        ledger.decide(state, transfer("x", 6, debit="genesis"), NOW_US)
    assert ledger.decide(state, transfer("x", 5, debit="genesis"), NOW_US)


def test_genesis_happens_once() -> None:
    state = Books()
    events = ledger.decide_genesis(state, 1_000)
    assert [event.wire_name for event in events] == ["account.opened"] * 3 + ["transfer.posted"]
    fold(state, events)
    assert net(state, "treasury") == 1_000
    assert state.accounts["usd_micros"][ledger.MODELS].credit_limit == UNLIMITED
    assert ledger.decide_genesis(state, 1_000) == ()


def test_a_genesis_of_nothing_opens_the_accounts_and_moves_nothing() -> None:
    state = filled(0)
    assert net(state, "treasury") == 0
    assert ledger.decide_genesis(state, 1_000) == ()


def test_a_refused_transfer_opens_no_account() -> None:
    state = filled(1_000)
    carry_out(state, transfer("x", 5_000, credit="mallory"))
    assert AccountId("mallory") not in state.accounts["msat"]


NAMES = st.sampled_from(["treasury", "ann", "bob", "credited"])
IDS = st.sampled_from([f"id-{n}" for n in range(40)])
AMOUNTS = st.integers(1, 1_200)


@st.composite
def one_of_a_batch(draw: st.DrawFn, name: str) -> MoneyCommand:
    """A command of any kind with that id."""
    match draw(st.integers(0, 3)):
        case 0:
            return transfer(name, draw(AMOUNTS), draw(NAMES), draw(NAMES))
        case 1:
            return hold(name, draw(AMOUNTS), draw(NAMES), draw(NAMES), draw(st.sampled_from([0.0, 2.0])))
        case 2:
            return post(name, draw(IDS), draw(st.one_of(st.just(0), AMOUNTS)))
        case _:
            return void(name, draw(IDS))


def totals(state: Books) -> dict[str, tuple[int, int]]:
    """What every account in msat has taken in and given out."""
    found = books.balances(state, currency="msat")
    return {one.account: (one.incoming, one.outgoing) for one in found if one.incoming or one.outgoing}


class LedgerMachine(RuleBasedStateMachine):
    """Random commands, repeats and conflicts included, with the promises checked after each."""

    def __init__(self) -> None:
        super().__init__()
        self.state = filled(1_000)
        opened = AccountOpened(account=AccountId("credited"), currency="msat", credit_limit=500)
        books.apply(self.state, opened)
        self.events: list[Event] = [*ledger.decide_genesis(Books(), 1_000), opened]
        self.now_us = NOW_US
        self.ended: list[str] = []

    def carry_out(self, command: MoneyCommand) -> None:
        known = self.state.transfers.get(command.transfer)
        try:
            check_command(command)
            events = ledger.decide(self.state, command, self.now_us)
        except (InvalidField, NotFound, IdempotencyConflict):
            return
        if known is not None:
            assert events == (), "a used id causes nothing"
        self.record(events)

    def record(self, events: tuple[Event, ...]) -> None:
        for event in events:
            match event:
                case TransferPosted(hold=hold) | TransferVoided(hold=hold) if hold:
                    self.ended.append(hold)
                case TransferExpired():
                    self.ended.append(event.transfer)
                case _:
                    pass
            books.apply(self.state, event)
            self.events.append(event)

    @rule(name=IDS, debit=NAMES, credit=NAMES, amount=AMOUNTS)
    def transfer(self, name: str, debit: str, credit: str, amount: int) -> None:
        self.carry_out(transfer(name, amount, debit, credit))

    @rule(name=IDS, debit=NAMES, credit=NAMES, amount=AMOUNTS, timeout_s=st.sampled_from([0.0, 1.0, 5.0]))
    def hold(self, name: str, debit: str, credit: str, amount: int, timeout_s: float) -> None:
        self.carry_out(hold(name, amount, debit, credit, timeout_s))

    @rule(name=IDS, of=IDS, amount=st.one_of(st.just(0), AMOUNTS), credit=st.one_of(st.just(""), NAMES))
    def post(self, name: str, of: str, amount: int, credit: str) -> None:
        self.carry_out(post(name, of, amount, credit))

    @rule(name=IDS, of=IDS)
    def void(self, name: str, of: str) -> None:
        self.carry_out(void(name, of))

    @rule(name=IDS, debit=NAMES, credit=NAMES, amount=AMOUNTS, currency=st.sampled_from(["scrip", "tokens"]))
    def transfer_of_another_currency(self, name: str, debit: str, credit: str, amount: int, currency: Currency) -> None:
        self.carry_out(transfer(name, amount, debit, credit, currency))

    @rule(account=NAMES, limit=st.integers(0, 600), currency=st.sampled_from(["msat", "scrip", "tokens"]))
    def credit_line(self, account: str, limit: int, currency: Currency) -> None:
        try:
            self.record(ledger.decide_credit(self.state, SetCredit(AccountId(account), currency, limit)))
        except (InsufficientFunds, InvalidField):
            return

    @rule(data=st.data(), is_linked=st.booleans())
    def batch(self, data: st.DataObject, is_linked: bool) -> None:
        names = data.draw(st.lists(IDS, min_size=1, max_size=5, unique=True))
        commands = tuple(data.draw(one_of_a_batch(name)) for name in names)
        command = CreateTransfers(commands, is_linked)
        before = through_json(self.state)
        try:
            batches.check_batch(command)
            decided = batches.decide_batch(self.state, command, self.now_us)
        except (InvalidField, NotFound, IdempotencyConflict):
            assert self.state == before, "a refused batch leaves no trace"
            return
        assert self.state == before, "deciding changes nothing"
        self.record(decided.events)
        refused = [view for view in decided.views if view.state is TransferState.REFUSED]
        if is_linked and refused:
            assert len(refused) == len(commands), "all or none"
            assert totals(self.state) == totals(before), "none moved anything"

    @rule(number=st.integers(1, 4), amount=AMOUNTS, account=NAMES)
    def an_invoice_is_paid(self, number: int, amount: int, account: str) -> None:
        name = InvoiceId(f"i-{number}")
        paid = InvoiceSettled(name, AccountId(account), amount, "lnd", "", "", self.now_us)
        is_new = f"invoice/{name}" not in self.state.transfers
        events = settlement.decide_income(self.state, paid)
        assert bool(events) == is_new, "an invoice brings its money once"
        self.record(events)

    @rule(seconds=st.integers(0, 3))
    def time_passes(self, seconds: int) -> None:
        self.now_us += seconds * 1_000_000

    @precondition(lambda self: bool(self.state.expiring))
    @rule(data=st.data())
    def a_timer_fires(self, data: st.DataObject) -> None:
        due = data.draw(st.sampled_from(sorted(self.state.expiring)))
        self.record(ledger.decide_expiry(self.state, due, self.now_us))

    @invariant()
    def money_is_conserved(self) -> None:
        proof = books.prove(self.state)
        assert proof.is_conserved, proof.problems
        assert set(proof.sums.values()) <= {0}

    @invariant()
    def no_balance_is_under_its_limit_with_holds_counted(self) -> None:
        assert all(balance.available >= 0 for balance in books.balances(self.state))

    @invariant()
    def every_hold_ends_at_most_once(self) -> None:
        assert len(self.ended) == len(set(self.ended))

    @invariant()
    def the_fold_of_the_events_is_the_live_state(self) -> None:
        folded = Books()
        fold(folded, self.events)
        assert folded == self.state

    @invariant()
    def the_state_survives_json(self) -> None:
        assert through_json(self.state) == self.state


TestLedgerMachine = pytest.mark.slow(LedgerMachine.TestCase)


# Credit lines


def credit(limit: int, account: str = "bob") -> SetCredit:
    return SetCredit(AccountId(account), "msat", limit)


def test_an_account_with_a_credit_line_may_go_so_far_below_zero_with_holds_counted() -> None:
    state = filled(1_000)
    fold(state, ledger.decide_credit(state, credit(500)))
    carry_out(state, hold("h", 300, "bob", "ann"))
    assert carry_out(state, transfer("a", 201, "bob", "ann")).state is REFUSED
    assert carry_out(state, transfer("b", 200, "bob", "ann")).state is POSTED
    assert (net(state, "bob"), available(state, "bob")) == (-200, 0)
    assert books.prove(state).is_conserved


def test_credit_that_is_in_use_cannot_be_taken_away_and_the_rest_can() -> None:
    state = filled(1_000)
    fold(state, ledger.decide_credit(state, credit(500)))
    carry_out(state, transfer("a", 200, "bob", "ann"))
    with pytest.raises(InsufficientFunds):
        ledger.decide_credit(state, credit(199))
    fold(state, ledger.decide_credit(state, credit(200)))
    assert ledger.decide_credit(state, credit(200)) == ()
    assert available(state, "bob") == 0


@pytest.mark.parametrize("wrong", [credit(-1), credit(AMOUNT_MAX + 1), credit(5, "genesis"), credit(5, "no name")])
def test_credit_that_makes_no_sense_is_refused(wrong: SetCredit) -> None:
    with pytest.raises(InvalidField):
        ledger.decide_credit(filled(1_000), wrong)
