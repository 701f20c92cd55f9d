"""The allowance, drawn from the real ledger, over crashes."""

import asyncio
from contextlib import suppress

import msgspec
import pytest

from actors.ledger import Ledger, LedgerOptions
from actors.providers import ProviderOptions
from actors.providers.settings import RouterOptions
from actors.purse import Neighbours
from actors.rules.allowance import ALLOWANCE
from actors.runtime import ChildSpec
from actors.runtime.log import Blobs
from actors.runtime.simulation import MemoryJournal
from bus.envelope import Batch
from bus.messages.base import AccountId, Event, TransferId
from bus.messages.completions import ROUTER, CompletionCompleted, CompletionUnknown
from bus.messages.ledger import LEDGER, AccountOpened, CheckConservation, ReadBalances, Transfer
from bus.messages.routing import (
    AllowanceAsked,
    AllowanceDrawn,
    AllowanceLost,
    AllowanceRefused,
    AllowanceReturned,
    ReconcileSpending,
    SpendingReconciled,
)
from bus.refusals import InvalidField, NoTimeLeft
from tests.support.fault_server import FaultServer, Sickness
from tests.support.routing import Routing, behind, request, routing

BOOKS = ChildSpec(LEDGER, lambda: Ledger(LedgerOptions()))
KNOWN = Neighbours(ledger=LEDGER)
LIMITED = RouterOptions(budget_run_usd_micros=100_000)


async def usd(router: Routing, account: str) -> int:
    found = await router.system.ask(LEDGER, ReadBalances(AccountId(account), "usd_micros"))
    return sum(one.net for one in found.balances)


async def until(router: Routing, kind: type[Event]) -> None:
    async with asyncio.timeout(30.0):
        while not router.events(kind):  # noqa: ASYNC110  # a journal in memory has no bell
            await asyncio.sleep(0)


async def owes(router: Routing, expected: dict[str, int]) -> None:
    """Wait until the ledger has heard all, which comes to it as facts; what it says last is what is compared."""
    found: dict[str, int] = {}
    with suppress(TimeoutError):
        async with asyncio.timeout(30.0):
            while found != expected:
                found = {account: await usd(router, account) for account in expected}
    assert found == expected


def paid(server: FaultServer) -> ProviderOptions:
    return behind(server.url, price="10")


@pytest.mark.slow
async def test_a_slice_is_drawn_from_the_ledger_once_and_calls_are_paid_from_it() -> None:
    async with FaultServer() as server, routing(paid(server), neighbours=KNOWN, others=[BOOKS]) as router:
        for _ in range(5):
            await router.complete()
        (asked,), (drawn,) = router.events(AllowanceAsked), router.events(AllowanceDrawn)
        assert asked.amount_usd_micros == drawn.amount_usd_micros
        cost = sum(event.cost_usd_micros for event in router.events(CompletionCompleted))
        slice_ = drawn.amount_usd_micros
        await owes(router, {"provider/primary": cost, ALLOWANCE: slice_ - cost, "models": -slice_})
        await until(router, AllowanceReturned)
        await owes(router, {"provider/primary": cost, ALLOWANCE: 0, "models": -cost})


async def test_a_paid_call_is_made_although_the_disk_stands_still_once_its_slice_is_committed() -> None:
    async with FaultServer() as server, routing(paid(server), neighbours=KNOWN, others=[BOOKS]) as router:
        await router.complete()
        await until(router, AllowanceDrawn)
        router.journal.fail_next_writes = 1
        pending = asyncio.create_task(router.complete())
        await server.called(2)
        await pending


class Standing(MemoryJournal):
    """A journal whose disk stands still until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def write(self, batch: Batch, blobs: Blobs) -> None:
        self.is_asked.set()
        await self.goes_on.wait()
        await super().write(batch, blobs)


@pytest.mark.parametrize("allowance", [0, 100_000])
async def test_nothing_that_costs_is_sent_before_its_money_is_committed(allowance: int) -> None:
    journal = Standing()
    options = msgspec.structs.replace(LIMITED, allowance_usd_micros=allowance)
    async with FaultServer() as dear, FaultServer() as free:
        far = msgspec.structs.replace(paid(dear), location="remote")
        async with routing(far, behind(free.url, "near"), journal=journal, options=options) as router:
            asked = [asyncio.create_task(router.complete(deadline_s=60.0)) for _ in range(3)]
            local = msgspec.structs.replace(request(), privacy="local")
            asked.append(asyncio.create_task(router.system.ask(ROUTER, local, timeout_s=10)))
            await free.called(1)  # which costs nothing, and was asked for last
            sent = dear.calls
            journal.goes_on.set()
            assert sent == 0
            assert [(await one).provider for one in asked] == ["primary"] * 3 + ["near"]
            assert dear.calls == 3


async def test_nothing_is_sent_for_which_the_wait_for_the_disk_has_left_no_time() -> None:
    journal = Standing()
    options = msgspec.structs.replace(LIMITED, allowance_usd_micros=0)
    async with FaultServer() as dear, routing(paid(dear), journal=journal, options=options) as router:
        asked = asyncio.create_task(router.complete(deadline_s=5.0))
        await journal.is_asked.wait()
        router.clock.advance(4.96)
        journal.goes_on.set()
        with pytest.raises(NoTimeLeft, match=r"late: .* nothing was sent"):
            await asked
        assert dear.calls == 0


async def test_what_a_crash_left_of_a_slice_counts_as_spent_until_it_is_reconciled() -> None:
    journal = MemoryJournal()
    async with FaultServer() as server:
        async with routing(paid(server), neighbours=KNOWN, others=[BOOKS], journal=journal) as router:
            await router.complete()
            await until(router, AllowanceDrawn)
            server.sickness = Sickness.HANGS
            pending = asyncio.create_task(router.complete())
            await server.called(2)
            head = journal.head
            pending.cancel()
        crashed = journal.truncated(head)
        server.sickness = Sickness.HEALTHY
        async with routing(paid(server), neighbours=KNOWN, others=[BOOKS], journal=crashed) as router:
            await until(router, AllowanceLost)
            lost = router.events(AllowanceLost)[0].amount_usd_micros
            lost += sum(event.cost_usd_micros for event in router.events(CompletionUnknown))
            before = (await router.view()).spent_run_usd_micros
            await owes(router, {ALLOWANCE: 0, "provider/unknown": lost})
            with pytest.raises(InvalidField, match=r"only .* are unknown"):
                await router.system.ask(ROUTER, ReconcileSpending("primary", lost, 1))
            with pytest.raises(InvalidField, match="provider"):
                await router.system.ask(ROUTER, ReconcileSpending("", 1, 0))
            left = await router.system.ask(ROUTER, ReconcileSpending("primary", 40, lost - 50))
            assert left.unknown_usd_micros == 10
            await owes(router, {"provider/unknown": 10})
            assert (await router.view()).spent_run_usd_micros == before - (lost - 50)
            assert (await router.system.ask(LEDGER, CheckConservation())).is_conserved


@pytest.mark.slow
async def test_no_crash_makes_money_of_a_slice_or_spends_less_than_was_sent() -> None:
    """Cut off at every position of a run with one slice: the books add up, and the budget holds."""
    journal = MemoryJournal()
    async with FaultServer() as server:
        async with routing(paid(server), neighbours=KNOWN, others=[BOOKS], journal=journal, options=LIMITED) as router:
            for _ in range(2):
                await router.complete()
            await until(router, AllowanceReturned)
        async with asyncio.TaskGroup() as cuts:
            for record in journal.events:
                if not isinstance(record.event, AccountOpened):  # what a turn appends stays together
                    cuts.create_task(_goes_on(server, journal.truncated(record.position)))


async def _goes_on(server: FaultServer, crashed: MemoryJournal) -> None:
    ended = [one.event for one in crashed.events if isinstance(one.event, CompletionCompleted)]
    async with routing(paid(server), neighbours=KNOWN, others=[BOOKS], journal=crashed, options=LIMITED) as router:
        spent = (await router.view()).spent_run_usd_micros
        await owes(router, {ALLOWANCE: 0, "models": -spent})
        assert (await router.system.ask(LEDGER, CheckConservation())).is_conserved
        known = sum(event.cost_usd_micros for event in ended)
        assert known <= spent <= LIMITED.budget_run_usd_micros


async def test_a_slice_whose_name_is_taken_is_refused_and_calls_wait_for_their_own_commits() -> None:
    taken = Transfer(
        TransferId("allowance/1"), AccountId("models"), AccountId("someone"), "usd_micros", 1, "somebody else's"
    )
    async with FaultServer() as server, routing(paid(server), neighbours=KNOWN, others=[BOOKS]) as router:
        await router.system.ask(LEDGER, taken)
        assert (await router.complete()).provider == "primary"
        await until(router, AllowanceRefused)
        assert "used before" in router.events(AllowanceRefused)[0].reason
        assert (await router.complete()).provider == "primary"
        assert router.events(AllowanceDrawn) == []


async def test_a_slice_that_was_asked_for_before_a_crash_is_drawn_once_after_it() -> None:
    journal = MemoryJournal()
    async with FaultServer() as server:
        async with routing(paid(server), neighbours=KNOWN, others=[BOOKS], journal=journal) as router:
            await router.complete()
            await until(router, AllowanceDrawn)
        (asked_at,) = (one.position for one in journal.events if isinstance(one.event, AllowanceAsked))
        crashed = journal.truncated(asked_at)
        async with routing(paid(server), neighbours=KNOWN, others=[BOOKS], journal=crashed) as router:
            await until(router, AllowanceDrawn)
            assert [event.slice for event in router.events(AllowanceAsked)] == [1]
            assert await usd(router, "models") < 0
            await until(router, AllowanceReturned)


async def test_a_reconciliation_of_nothing_only_tells_how_much_is_unknown() -> None:
    async with routing(behind("http://127.0.0.1:9", "nobody")) as router:
        answer = await router.system.ask(ROUTER, ReconcileSpending())
        assert answer.unknown_usd_micros == 0
        assert router.events(SpendingReconciled) == []
        with pytest.raises(InvalidField, match="at least 0"):
            await router.system.ask(ROUTER, msgspec.structs.replace(ReconcileSpending(), spent_usd_micros=-1))
