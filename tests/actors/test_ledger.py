"""The ledger's shell, on a journal in memory."""

import asyncio

import pytest

from actors.ledger import Ledger, LedgerOptions
from actors.runtime import ActorSystem, ChildSpec
from actors.runtime.simulation import MemoryJournal
from bus.envelope import Recorded
from bus.errors import ConservationBroken
from bus.messages.base import AccountId, Position, TransferId
from bus.messages.ledger import (
    LEDGER,
    Balances,
    CheckConservation,
    ListHolds,
    ReadBalances,
    ReadTransfer,
    TransferExpired,
    TransferPosted,
    TransferState,
)
from bus.refusals import IdempotencyConflict, InvalidField, NotFound
from tests.support.books import hold, post, transfer, void
from tests.support.marketplace import Marketplace

FEW = LedgerOptions(genesis_msat=1_000)


def available(balances: Balances, account: str) -> int:
    return sum(one.available for one in balances.balances if one.account == account)


async def test_the_first_start_fills_the_treasury_once() -> None:
    async with Marketplace(ledger=FEW) as place:
        assert await place.net("treasury") == 1_000
    async with Marketplace(journal=place.journal, ledger=LedgerOptions(genesis_msat=5)) as again:
        assert await again.net("treasury") == 1_000
        assert len(again.recorded(TransferPosted)) == 1


async def test_commands_move_money_and_are_answered_with_what_became_of_it() -> None:
    async with Marketplace(ledger=FEW) as place:
        assert (await place.ask_ledger(transfer("x", 100))).state is TransferState.POSTED
        assert (await place.ask_ledger(hold("h", 50))).state is TransferState.HELD
        assert (await place.ask_ledger(hold("g", 50))).state is TransferState.HELD
        assert (await place.ask_ledger(post("p", "h", 20))).amount == 20
        assert (await place.ask_ledger(void("v", "g"))).state is TransferState.VOIDED
        assert (await place.net("treasury"), await place.net("bob")) == (880, 120)
        shown = await place.ask_ledger(ReadTransfer(TransferId("h")))
        assert shown.state is TransferState.POSTED
        assert await place.is_conserved()


async def test_a_refusal_for_want_of_money_is_an_answer_that_sticks() -> None:
    async with Marketplace(ledger=FEW) as place:
        first = await place.ask_ledger(transfer("x", 10**9))
        assert (first.state, first.reason) == (
            TransferState.REFUSED,
            "treasury has 1000 msat available; 1000000000 are needed",
        )
    async with Marketplace(journal=place.journal, ledger=FEW) as again:
        assert await again.ask_ledger(transfer("x", 10**9)) == first
        assert again.recorded_names("transfer.refused") == ["transfer.refused"]


async def test_what_is_malformed_or_conflicting_is_refused_without_a_trace() -> None:
    async with Marketplace(ledger=FEW) as place:
        await place.ask_ledger(transfer("x", 1))
        before = len(place.journal.stored)
        with pytest.raises(IdempotencyConflict):
            await place.ask_ledger(transfer("x", 2))
        with pytest.raises(InvalidField):
            await place.ask_ledger(transfer("y", -999))
        with pytest.raises(InvalidField):
            await place.ask_ledger(transfer("y", 5, debit="genesis"))
        with pytest.raises(NotFound):
            await place.ask_ledger(post("p", "nothing"))
        with pytest.raises(NotFound):
            await place.ask_ledger(ReadTransfer(TransferId("y")))
        assert len(place.journal.stored) == before


async def test_a_repeated_command_moves_nothing_after_a_restart_either() -> None:
    async with Marketplace(ledger=FEW) as place:
        first = await place.ask_ledger(transfer("x", 100))
    async with Marketplace(journal=place.journal, ledger=FEW) as again:
        assert await again.ask_ledger(transfer("x", 100)) == first
        assert await again.net("bob") == 100


async def test_a_hold_expires_by_itself() -> None:
    async with Marketplace(ledger=FEW) as place:
        await place.ask_ledger(hold("h", 400, timeout_s=0.02))
        await place.until(lambda: place.recorded(TransferExpired))
        balances = await place.ask_ledger(ReadBalances(AccountId("treasury")))
        assert available(balances, "treasury") == 1_000


async def test_a_hold_survives_a_restart_and_expires_after_it() -> None:
    async with Marketplace(ledger=FEW) as place:
        await place.ask_ledger(hold("open", 300))
        await place.ask_ledger(hold("h", 400, timeout_s=0.02))
        journal = place.journal.truncated(place.journal.head)
    held = len(journal.stored)
    async with Marketplace(journal=journal, ledger=FEW) as again:
        await again.until(lambda: again.recorded(TransferExpired))
        balances = await again.ask_ledger(ReadBalances(AccountId("treasury")))
        assert available(balances, "treasury") == 700
        assert again.journal.stored[held].type == "transfer.expired"


async def test_open_holds_are_listed_newest_first_also_after_a_restart() -> None:
    async with Marketplace(ledger=FEW) as place:
        for name in ("a", "b", "c", "d"):
            await place.ask_ledger(hold(name, 10))
        await place.ask_ledger(post("p", "b"))
        await place.ask_ledger(void("v", "d"))
        page = await place.ask_ledger(ListHolds(limit=1))
        assert ([one.transfer for one in page.holds], page.total) == (["c"], 2)
        with pytest.raises(InvalidField):
            await place.ask_ledger(ListHolds(limit=0))
    async with Marketplace(journal=place.journal, ledger=FEW) as again:
        assert [one.transfer for one in (await again.ask_ledger(ListHolds())).holds] == ["c", "a"]


async def test_no_command_moves_money_in_or_out_of_the_world_outside() -> None:
    async with Marketplace(ledger=FEW) as place:
        for wrong in (transfer("x", 1, debit="lightning/lnd"), transfer("x", 1, credit="lightning/lnd")):
            with pytest.raises(InvalidField):
                await place.ask_ledger(wrong)
        with pytest.raises(InvalidField):
            await place.ask_ledger(transfer("invoice/i-1", 1))


async def test_conservation_is_shown_on_demand() -> None:
    async with Marketplace(ledger=FEW) as place:
        await place.ask_ledger(transfer("x", 100))
        proof = await place.ask_ledger(CheckConservation())
        assert (proof.is_conserved, proof.sums, proof.problems) == (True, {"msat": 0, "usd_micros": 0}, ())


async def test_a_ledger_does_not_start_on_books_that_do_not_add_up() -> None:
    stolen = TransferPosted(
        transfer=TransferId("stolen"),
        debit=AccountId("ann"),
        credit=AccountId("bob"),
        currency="msat",
        amount=10**9,
        hold=TransferId(""),
        reason="",
    )
    journal = MemoryJournal([Recorded(stolen, Position(1), 0, LEDGER, Position(0), "", Position(0))])
    async with ActorSystem(log=journal.log, history=journal) as system:
        with pytest.raises(ConservationBroken, match="ann in msat is 1000000000 below its limit"):
            await system.start(ChildSpec(LEDGER, lambda: Ledger(FEW)))
    assert len(journal.stored) == 1


async def test_many_commands_at_once_never_overdraw() -> None:
    async with Marketplace(ledger=FEW) as place:
        views = await _all(place, 40)
        assert sum(view is TransferState.POSTED for view in views) == 33
        assert await place.net("treasury") == 10
        assert await place.is_conserved()


async def _all(place: Marketplace, count: int) -> list[TransferState]:
    """So many transfers of 30 msat, sent together."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(place.ask_ledger(transfer(f"x-{n}", 30))) for n in range(count)]
    return [task.result().state for task in tasks]
