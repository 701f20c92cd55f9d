"""Many transfers in one command: each on what those before it leave, linked ones all or not at all."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.rules import batches, books
from actors.rules.batches import BATCH_MAX, check_batch, decide_batch
from actors.rules.books import Books
from bus.codec import EVENT_BYTES_MAX, Catalogue
from bus.messages.base import AccountId, Event, TransferId
from bus.messages.catalogue import EVENTS
from bus.messages.ledger import (
    AccountOpened,
    CreateTransfers,
    MoneyCommand,
    TransferPostedMany,
    TransferState,
    TransferView,
)
from bus.refusals import IdempotencyConflict, InvalidField, NotFound
from tests.support.books import NOW_US, available, carry_out, filled, fold, hold, net, post, transfer, void

HELD, POSTED, REFUSED, VOIDED = TransferState.HELD, TransferState.POSTED, TransferState.REFUSED, TransferState.VOIDED


def carry(state: Books, *commands: MoneyCommand, is_linked: bool = False) -> list[TransferView]:
    batch = CreateTransfers(commands, is_linked)
    check_batch(batch)
    decided = decide_batch(state, batch, NOW_US)
    fold(state, decided.events)
    return list(decided.views)


def states(views: list[TransferView]) -> list[TransferState]:
    return [view.state for view in views]


def test_each_transfer_builds_on_those_before_it() -> None:
    state = filled(1_000)
    done = carry(state, transfer("a", 600), transfer("b", 500, "bob", "ann"), transfer("c", 200, "bob", "ann"))
    assert states(done) == [POSTED, POSTED, REFUSED]
    assert (net(state, "treasury"), net(state, "bob"), net(state, "ann")) == (400, 100, 500)


def recorded(state: Books, *commands: MoneyCommand) -> list[Event]:
    batch = CreateTransfers(commands)
    check_batch(batch)
    decided = decide_batch(state, batch, NOW_US)
    fold(state, decided.events)
    return list(decided.events)


def test_transfers_in_a_row_are_recorded_together_and_one_by_itself_as_ever() -> None:
    state = filled(1_000)
    events = recorded(state, transfer("a", 1), transfer("b", 2), hold("h", 3), transfer("c", 4))
    assert [event.wire_name for event in events] == [
        "account.opened",
        "transfer.posted",
        "transfer.posted",
        "transfer.held",
        "transfer.posted",
    ]
    events = recorded(state, transfer("d", 1), transfer("e", 2), hold("i", 3), transfer("f", 4))
    assert [event.wire_name for event in events] == ["transfer.posted_many", "transfer.held", "transfer.posted"]
    assert books.prove(state).is_conserved


def test_each_of_those_that_were_recorded_together_is_known_by_its_id() -> None:
    state = filled(1_000)
    recorded(state, transfer("a", 1))
    first = carry(state, transfer("b", 2), transfer("c", 3))
    assert carry(state, transfer("b", 2), transfer("c", 3)) == first
    assert books.view(state, TransferId("c")).amount == 3
    with pytest.raises(IdempotencyConflict):
        carry_out(state, transfer("c", 4))


def test_a_row_of_transfers_is_cut_where_the_currency_changes_and_where_an_event_is_full() -> None:
    state = filled(10_000)
    recorded(state, transfer("a", 1), transfer("genesis2", 1))
    scrip = [msgspec.structs.replace(transfer(f"s{n}", 1, "mint", "bob"), currency="scrip") for n in range(2)]
    fold(state, (AccountOpened(AccountId("mint"), "scrip", 100), AccountOpened(AccountId("bob"), "scrip", 0)))
    events = recorded(state, transfer("m1", 1), transfer("m2", 1), *scrip)
    assert [(event.wire_name, getattr(event, "currency", "")) for event in events] == [
        ("transfer.posted_many", "msat"),
        ("transfer.posted_many", "scrip"),
    ]
    wordy = [msgspec.structs.replace(transfer(f"w{n}", 1), reason='"' * 300) for n in range(200)]
    events = recorded(state, *wordy)
    assert len(events) > 1
    catalogue = Catalogue(EVENTS)
    assert sum(len(event.postings) for event in events if isinstance(event, TransferPostedMany)) == 200
    assert max(len(catalogue.encode(event)[0]) for event in events) <= EVENT_BYTES_MAX
    assert books.prove(state).is_conserved


def test_a_reason_is_words_and_not_a_document() -> None:
    with pytest.raises(InvalidField, match=r"transfers\[1\].reason: is longer than 2000 bytes"):
        check_batch(CreateTransfers((transfer("a", 1), msgspec.structs.replace(transfer("b", 1), reason="x" * 2_001))))


def test_a_hold_can_be_ended_in_the_batch_that_made_it() -> None:
    state = filled(1_000)
    done = carry(state, hold("h", 400), post("p", "h", 300), hold("g", 700), void("v", "g"))
    assert states(done) == [HELD, POSTED, HELD, VOIDED]
    assert (available(state, "treasury"), net(state, "bob")) == (700, 300)


def test_linked_transfers_all_happen_or_none_does_and_only_the_cause_sticks() -> None:
    state = filled(1_000)
    done = carry(state, transfer("a", 600), transfer("b", 600), transfer("c", 1), is_linked=True)
    assert states(done) == [REFUSED, REFUSED, REFUSED]
    assert done[0].reason == "linked to b, which was refused"
    assert (net(state, "treasury"), sorted(state.transfers)) == (1_000, ["b", "genesis/msat"])
    assert states(carry(state, transfer("a", 1))) == [POSTED], "an id that left no trace is free"


def test_a_linked_batch_that_is_sent_again_has_its_first_result() -> None:
    state = filled(1_000)
    chain = (transfer("a", 600), transfer("b", 100, "bob", "ann"))
    first = carry(state, *chain, is_linked=True)
    assert carry(state, *chain, is_linked=True) == first
    assert net(state, "ann") == 100
    failing = (transfer("d", 10), transfer("e", 10_000))
    assert carry(state, *failing, is_linked=True) == carry(state, *failing, is_linked=True)


def test_a_linked_chain_does_not_mix_what_was_done_with_what_is_new() -> None:
    state = filled(1_000)
    carry_out(state, transfer("a", 100))
    with pytest.raises(IdempotencyConflict):
        carry(state, transfer("a", 100), transfer("b", 100), is_linked=True)


def test_a_conflict_or_an_unknown_hold_refuses_the_whole_batch_without_a_trace() -> None:
    state = filled(1_000)
    carry_out(state, transfer("a", 100))
    before = len(state.transfers)
    with pytest.raises(IdempotencyConflict):
        carry(state, transfer("b", 100), transfer("a", 200))
    with pytest.raises(NotFound):
        carry(state, transfer("b", 100), post("p", "nothing"))
    assert (len(state.transfers), net(state, "bob")) == (before, 100)


@pytest.mark.parametrize(
    ("commands", "path"),
    [
        ((), "transfers"),
        ((transfer("a", 1), transfer("a", 1)), "transfers"),
        ((transfer("a", 1), transfer("b", 0)), "transfers[1].amount"),
        (tuple(transfer(f"t{n}", 1) for n in range(BATCH_MAX + 1)), "transfers"),
    ],
)
def test_what_is_malformed_is_refused_by_its_place(commands: tuple[MoneyCommand, ...], path: str) -> None:
    with pytest.raises(InvalidField) as refused:
        check_batch(CreateTransfers(commands))
    assert refused.value.path == path


ACCOUNTS = ("treasury", "bob", "ann")


@st.composite
def commands(draw: st.DrawFn) -> tuple[MoneyCommand, ...]:
    made: list[MoneyCommand] = []
    for number in range(draw(st.integers(1, 8))):
        name = f"x{number}"
        debit, credit = draw(st.permutations(ACCOUNTS))[:2]
        amount = draw(st.integers(1, 700))
        holds = [one.transfer for one in made if one.wire_name == "transfer.hold"]
        match draw(st.sampled_from(["transfer", "hold", "post", "void"])):
            case "post" if holds:
                made.append(post(name, draw(st.sampled_from(holds))))
            case "void" if holds:
                made.append(void(name, draw(st.sampled_from(holds))))
            case "hold":
                made.append(hold(name, amount, debit, credit))
            case _:
                made.append(transfer(name, amount, debit, credit))
    return tuple(made)


@given(commands())
def test_a_batch_does_what_its_transfers_would_do_one_by_one(sent: tuple[MoneyCommand, ...]) -> None:
    together, single = filled(1_000), filled(1_000)
    batch = CreateTransfers(sent)
    decided = batches.decide_batch(together, batch, NOW_US)
    fold(together, decided.events)
    assert list(decided.views) == [carry_out(single, one) for one in sent]
    assert together == single


@given(commands())
def test_a_linked_batch_conserves_and_moves_all_or_nothing(sent: tuple[MoneyCommand, ...]) -> None:
    state = filled(1_000)
    accounts = {name: net(state, name) for name in ACCOUNTS}
    done = carry(state, *sent, is_linked=True)
    assert books.prove(state).is_conserved
    if REFUSED in states(done):
        assert {name: net(state, name) for name in ACCOUNTS} == accounts
        assert available(state, "treasury") == 1_000
