"""The actor of invoices, with the real ledger beside it, against servers that keep to the public interfaces."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from actors.ledger import Ledger, LedgerOptions
from actors.lightning import Lightning
from actors.nodes import LightningOptions, Node, open_node
from actors.runtime import ActorSystem, ChildSpec
from actors.runtime.simulation import MemoryJournal
from bus.clock import Clock, SystemClock
from bus.messages.base import AccountId, Position
from bus.messages.ledger import LEDGER, Balance, CheckConservation, ReadBalances, TransferPosted
from bus.messages.lightning import (
    LIGHTNING,
    CreateInvoice,
    InvoiceExpired,
    InvoiceFailed,
    InvoiceId,
    InvoiceSettled,
    InvoiceState,
    InvoiceView,
    ListInvoices,
    LookAtInvoice,
    ReadInvoice,
    SimulatePayment,
)
from bus.refusals import IllegalTransition, NodeFailed, NotPermitted, WrongPreimage
from tests.support.lightning import MACAROON, NOW_S, WALLET_KEY, FakeNode, lnbits, lnd
from tests.support.marketplace import TurnLog

BOB = AccountId("agents/bob")
SIMULATED = LightningOptions()
UNTIL_MAX_S = 30.0
FEW = LedgerOptions(genesis_msat=1_000)


class Later(SystemClock):
    """The wall clock as it will be at some time from now on."""

    def __init__(self, start_us: int) -> None:
        self._ahead_us = start_us - super().now_us()

    def now_us(self) -> int:
        return super().now_us() + self._ahead_us


class Till:
    """A ledger and the actor of invoices on a journal in memory; a second one on the same journal is a restart."""

    def __init__(
        self, system: ActorSystem, journal: MemoryJournal, changed: asyncio.Event, turn_ends: list[Position]
    ) -> None:
        self.turn_ends = turn_ends
        self.system = system
        self.journal = journal
        self._changed = changed

    async def create(self, amount_msat: int = 5_000, account: AccountId = BOB, key: str = "") -> InvoiceView:
        return await self.system.ask(LIGHTNING, CreateInvoice(amount_msat, account, "work", 600, key))

    async def show(self, invoice: str = "i-1") -> InvoiceView:
        return await self.system.ask(LIGHTNING, ReadInvoice(InvoiceId(invoice)))

    async def hint(self, backend: str, payment_hash: str = "") -> None:
        await self.system.ask(LIGHTNING, LookAtInvoice(backend, payment_hash))

    async def balance(self, account: str) -> Balance:
        [balance] = (await self.system.ask(LEDGER, ReadBalances(AccountId(account), "msat"))).balances
        return balance

    async def is_conserved(self) -> bool:
        return (await self.system.ask(LEDGER, CheckConservation())).is_conserved

    async def until(self, kind: type[object], times: int = 1) -> None:
        """Wait until so many events of a class are on disk."""
        async with asyncio.timeout(UNTIL_MAX_S):
            while len(self.recorded(kind)) < times:
                self._changed.clear()
                await self._changed.wait()

    async def until_refused(self, node: FakeNode, more: int) -> None:
        """Wait until the node has refused so often again."""
        wanted = node.refusals + more
        await node.until(lambda: node.refusals >= wanted)

    async def until_asked(self, node: FakeNode, more: int) -> None:
        """Wait until the node was asked so often again."""
        wanted = node.looks + more
        await node.until(lambda: node.looks >= wanted)

    def recorded(self, kind: type[object]) -> list[object]:
        return [record.event for record in self.journal.events if isinstance(record.event, kind)]


@asynccontextmanager
async def till(
    options: LightningOptions = SIMULATED,
    *,
    key: str = "",
    journal: MemoryJournal | None = None,
    clock: Clock | None = None,
    make: Callable[[], Node] | None = None,
) -> AsyncIterator[Till]:
    journal = journal or MemoryJournal()
    changed, ends = asyncio.Event(), list[Position]()
    log = TurnLog(journal, ends)
    log.on_commit(lambda _: changed.set())
    opened = make or (lambda: open_node(options, {options.key_env: key}))
    async with ActorSystem(log=log, history=journal, clock=clock) as system:
        await system.start(
            ChildSpec(LEDGER, lambda: Ledger(FEW)),
            ChildSpec(LIGHTNING, lambda: Lightning(options, opened())),
        )
        yield Till(system, journal, changed, ends)


def to_lnd(server: FakeNode, **more: float) -> LightningOptions:
    return LightningOptions(
        backend="lnd", url=server.url, poll_s=more.get("poll_s", 0.01), grace_s=more.get("grace_s", 0)
    )


async def test_a_simulated_invoice_settles_when_told_and_the_ledger_pays_from_outside() -> None:
    async with till() as place:
        made = await place.create()
        assert (made.state, made.is_simulated, made.backend) == (InvoiceState.PENDING, True, "simulated")
        assert made.request.startswith("lnbcrt")
        settled = await place.system.ask(LIGHTNING, SimulatePayment(made.invoice))
        assert (settled.state, settled.received_msat) == (InvoiceState.SETTLED, 5_000)
        await place.until(TransferPosted, 2)
        assert (await place.balance(BOB)).net == 5_000
        world = await place.balance("lightning/simulated")
        assert (world.net, world.credit_limit) == (-5_000, -1)
        assert await place.is_conserved()


async def test_a_simulated_invoice_never_settles_by_itself() -> None:
    async with till() as place:
        made = await place.create()
        for _ in range(3):
            await place.hint("simulated", made.payment_hash)
            await place.hint("simulated")
        assert (await place.show()).state is InvoiceState.PENDING


async def test_money_comes_once_however_often_the_payment_is_told() -> None:
    async with till() as place:
        made = await place.create()
        first = await place.system.ask(LIGHTNING, SimulatePayment(made.invoice))
        assert await place.system.ask(LIGHTNING, SimulatePayment(made.invoice)) == first
        await place.until(TransferPosted, 2)
    async with till(journal=place.journal) as again:
        assert await again.system.ask(LIGHTNING, SimulatePayment(made.invoice)) == first
        assert len(again.recorded(InvoiceSettled)) == 1
        assert (await again.balance(BOB)).net == 5_000


async def test_failed_does_not_become_settled_with_a_wrong_preimage() -> None:
    async with lnd() as server:
        server.amount_factor = 2  # the backend's invoice is not what was asked for, so it has failed
        async with till(to_lnd(server), key=MACAROON) as place:
            with pytest.raises(NodeFailed, match="over 10000 msat instead of 5000"):
                await place.create()
        async with till(journal=place.journal) as again:
            assert (await again.show()).state is InvoiceState.FAILED
            with pytest.raises(NotPermitted):
                await again.system.ask(LIGHTNING, SimulatePayment(InvoiceId("i-1"), "00" * 32))
            assert again.recorded(InvoiceSettled) == []
            assert await again.is_conserved()


async def test_a_wrong_preimage_is_refused_and_the_right_one_still_settles() -> None:
    async with till() as place:
        made = await place.create()
        with pytest.raises(WrongPreimage):
            await place.system.ask(LIGHTNING, SimulatePayment(made.invoice, "00" * 32))
        assert (await place.show()).state is InvoiceState.PENDING
        assert (await place.system.ask(LIGHTNING, SimulatePayment(made.invoice))).state is InvoiceState.SETTLED


async def test_a_payment_at_the_node_is_found_by_asking_again_and_again() -> None:
    async with lnd() as server, till(to_lnd(server), key=MACAROON) as place:
        made = await place.create()
        assert not made.is_simulated
        await place.until_asked(server, 2)
        assert (await place.show()).state is InvoiceState.PENDING
        server.pay(made.payment_hash, more_msat=7)
        await place.until(TransferPosted, 2)
        view = await place.show()
        assert (view.state, view.received_msat) == (InvoiceState.SETTLED, 5_007)
        assert view.preimage == server.invoices[made.payment_hash].preimage.hex()
        assert (await place.balance(BOB)).net == 5_007


async def test_a_webhook_is_heard_at_once_and_twice_is_as_once() -> None:
    async with lnbits() as server:
        options = LightningOptions(backend="lnbits", url=server.url, poll_s=3_600)
        async with till(options, key=WALLET_KEY) as place:
            made = await place.create()
            looked = server.looks
            await place.hint("lnbits", made.payment_hash)
            await server.until(lambda: server.looks > looked)
            assert (await place.show()).state is InvoiceState.PENDING
            server.pay(made.payment_hash)
            for _ in range(3):
                await place.hint("lnbits", made.payment_hash)
            while not place.recorded(InvoiceSettled):
                await place.hint("lnbits", made.payment_hash)
            await place.hint("lnbits", made.payment_hash)
            await place.until(TransferPosted, 2)
            assert len(place.recorded(InvoiceSettled)) == 1
            assert (await place.balance(BOB)).net == 5_000


async def test_a_webhook_of_another_backend_or_an_unknown_hash_asks_nobody() -> None:
    async with lnd() as server, till(to_lnd(server, poll_s=3_600), key=MACAROON) as place:
        made = await place.create()
        await place.hint("lnbits", made.payment_hash)
        await place.hint("lnd", "00" * 32)
        assert server.looks == 0


async def test_a_node_that_claims_a_payment_without_its_proof_is_not_believed() -> None:
    async with lnd() as server, till(to_lnd(server), key=MACAROON) as place:
        made = await place.create()
        server.lies = "00" * 32
        server.pay(made.payment_hash)
        await place.until_asked(server, 3)
        assert (await place.show()).state is InvoiceState.PENDING
        server.lies = ""
        await place.until(InvoiceSettled)


async def test_an_invoice_cancelled_at_the_node_has_failed() -> None:
    async with lnd() as server, till(to_lnd(server), key=MACAROON) as place:
        made = await place.create()
        server.invoices[made.payment_hash].is_cancelled = True
        await place.until(InvoiceFailed)
        assert (await place.show()).reason == "it was cancelled at the backend"


async def test_an_invoice_expires_only_once_the_node_has_said_that_nobody_paid() -> None:
    async with lnd() as server:
        async with till(to_lnd(server), key=MACAROON) as place:
            made = await place.create()
            assert made.expires_us == (NOW_S + 600) * 1_000_000
        server.status = 503
        late = Later(made.expires_us)
        async with till(to_lnd(server), key=MACAROON, journal=place.journal, clock=late) as again:
            await again.until_refused(server, 2)
            assert (await again.show()).state is InvoiceState.PENDING
            server.status = 0
            await again.until(InvoiceExpired)
        server.pay(made.payment_hash)
        async with till(to_lnd(server), key=MACAROON, journal=place.journal, clock=late) as last:
            await last.hint("lnd", made.payment_hash)
            assert (await last.show()).state is InvoiceState.EXPIRED
            assert last.recorded(InvoiceSettled) == []


async def test_what_was_paid_in_the_last_moment_is_settled_and_not_expired() -> None:
    async with lnd() as server:
        async with till(to_lnd(server, poll_s=3_600), key=MACAROON) as place:
            made = await place.create()
        server.pay(made.payment_hash)
        late = Later(made.expires_us)
        async with till(to_lnd(server), key=MACAROON, journal=place.journal, clock=late) as again:
            await again.until(InvoiceSettled)
            assert again.recorded(InvoiceExpired) == []


async def test_an_invoice_is_asked_for_once_more_when_its_time_and_the_grace_are_over() -> None:
    async with lnd() as server:
        async with till(to_lnd(server, poll_s=3_600), key=MACAROON) as place:
            made = await place.create()
        late = Later(made.expires_us)
        async with till(to_lnd(server, grace_s=3_600), key=MACAROON, journal=place.journal, clock=late) as again:
            await again.until_asked(server, 3)
            assert (await again.show()).state is InvoiceState.PENDING


async def test_a_node_that_is_down_makes_no_invoice_and_the_key_stays_with_the_failure() -> None:
    async with lnd() as server, till(to_lnd(server), key=MACAROON) as place:
        server.status = 500
        with pytest.raises(NodeFailed, match="lnd: HTTP 500: the node is unwell"):
            await place.create(key="k")
        assert (await place.create(key="k")).state is InvoiceState.FAILED
        server.status = 0
        assert (await place.create()).invoice == "i-2"


async def test_an_invoice_of_the_wrong_network_is_not_shown_to_anyone() -> None:
    async with lnd() as server, till(to_lnd(server), key=MACAROON) as place:
        server.network = "tb"
        with pytest.raises(NodeFailed, match="of the network 'tb', not 'bc'"):
            await place.create()


async def test_what_was_paid_while_the_process_was_down_is_found_after_the_start() -> None:
    async with lnd() as server:
        async with till(to_lnd(server, poll_s=3_600), key=MACAROON) as place:
            made = await place.create()
        server.pay(made.payment_hash)
        async with till(to_lnd(server, poll_s=3_600), key=MACAROON, journal=place.journal) as again:
            await again.until(TransferPosted, 2)
            assert (await again.balance(BOB)).net == 5_000


async def test_invoices_of_a_backend_that_is_no_longer_configured_wait_for_it() -> None:
    async with lnd() as server:
        async with till(to_lnd(server, poll_s=3_600), key=MACAROON) as place:
            made = await place.create()
        server.pay(made.payment_hash)
        async with till(journal=place.journal) as simulated:
            await simulated.hint("simulated")
            assert (await simulated.show()).state is InvoiceState.PENDING
            page = await simulated.system.ask(LIGHTNING, ListInvoices())
            assert (page.backend, page.is_simulated, len(page.invoices)) == ("simulated", True, 1)
        async with till(to_lnd(server), key=MACAROON, journal=place.journal) as again:
            await again.until(InvoiceSettled)


async def test_a_crash_at_any_point_loses_no_money_and_makes_none() -> None:
    async with till() as place:
        made = await place.create()
        await place.system.ask(LIGHTNING, SimulatePayment(made.invoice))
        await place.until(TransferPosted, 2)
    for end in place.turn_ends:
        async with till(journal=place.journal.truncated(end)) as again:
            assert await again.is_conserved()
            settled = again.recorded(InvoiceSettled)
            if settled:
                await again.until(TransferPosted, 2)
                assert (await again.balance(BOB)).net == 5_000
                continue
            shown = (await again.system.ask(LIGHTNING, ListInvoices())).invoices
            assert [one.state for one in shown if not one.request] in ([], [InvoiceState.FAILED])


async def test_two_at_once_are_two_and_a_key_is_one() -> None:
    async with till() as place:
        async with asyncio.TaskGroup() as group:
            made = [group.create_task(place.create()) for _ in range(3)]
        assert len({task.result().payment_hash for task in made}) == 3
        first = await place.create(key="k")
        assert await place.create(key="k") == first


async def test_an_expired_simulated_invoice_cannot_be_settled() -> None:
    async with till() as place:
        made = await place.create()
    async with till(journal=place.journal, clock=Later(made.expires_us)) as again:
        await again.until(InvoiceExpired)
        with pytest.raises(IllegalTransition):
            await again.system.ask(LIGHTNING, SimulatePayment(made.invoice))


async def test_no_key_and_no_macaroon_is_ever_recorded() -> None:
    async with lnd() as server, till(to_lnd(server), key=MACAROON) as place:
        await place.create()
        server.status = 500
        with pytest.raises(NodeFailed):
            await place.create()
        assert [stored for stored in place.journal.stored if MACAROON.encode() in stored.data] == []
