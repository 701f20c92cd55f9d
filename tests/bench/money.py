"""The ledger against SQLite itself: transfers in a pipeline beside raw inserts of the rows that they leave.

In the pipeline a client sends the next transfers as soon as those before are durable, beside as many other clients; a
message carries one or, as a batch, many. A single transfer is asked from outside, one after the other, beside the
disk's own flush of a small write: what an answer costs that can never be undone.
"""

import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from actors import interpreter
from actors.history import JournalHistory
from actors.ledger import Ledger, LedgerOptions
from actors.runtime import ActorSystem, ChildSpec, GroupCommitLog
from bus.clock import SystemClock
from bus.codec import Catalogue
from bus.envelope import Recorded
from bus.messages.base import AccountId, Position, TransferId
from bus.messages.catalogue import EVENTS
from bus.messages.ledger import LEDGER, TREASURY, CreateTransfers, ReadBalances, Transfer, TransferPosted
from storage.events import EventStore
from tests.bench.harness import Aim, Figure, Sample, Scale, compare_rates, figure, stopwatch
from tests.bench.journal import raw_inserts, rows_of

TRANSFERS = 50_000
SINGLES = 300
ACCOUNTS = 100
CLIENTS = {500: 16, 1: 500}
"""By the size of their batches; each has one request under way."""
FLUSHES_ALLOWED = 3
EXTRA_MS = 5.0
TIMEOUT_S = 120.0


async def figures(scale: Scale) -> AsyncIterator[Figure]:
    """Transfers in a pipeline, and one at a time."""
    count = scale.count(TRANSFERS, at_least=500)
    rows = rows_of(Catalogue(EVENTS), [_record(number) for number in range(1, count + 1)])
    baseline = partial(raw_inserts, rows)
    for name, batch, aim in (("500 a message", 500, Aim(0.6)), ("one a message", 1, None)):
        ours = partial(_pipelined, count, batch)
        named = f"transfers, pipelined, {name}"
        async for one in compare_rates(named, "transfers", ours, baseline, scale=scale, aim=aim):
            yield one
    flush_ms = flush_p99_ms(scale.count(SINGLES, at_least=5))
    single_ms = await _single_p99_ms(scale.count(SINGLES, at_least=5))
    aim = Aim(FLUSHES_ALLOWED * flush_ms + EXTRA_MS, "at_most")
    yield figure("single transfer, p99", "ms", single_ms, None, scale=scale, aim=aim)


def transfer(number: int) -> Transfer:
    """A payment of one msat."""
    credit = AccountId(f"agents/agent-{number % ACCOUNTS}")
    return Transfer(TransferId(f"pay/{number}"), TREASURY, credit, "msat", 1, "for the work")


def flush_p99_ms(count: int) -> float:
    """How long the disk takes to make a small write last, 99 of 100 times."""
    times: list[float] = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(count):
            file.write(bytes(4096))
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return p99(times) * 1_000


def p99(times: list[float]) -> float:
    """What 99 of 100 stayed within."""
    return sorted(times)[min(int(len(times) * 0.99), len(times) - 1)]


@asynccontextmanager
async def bank() -> AsyncIterator[ActorSystem]:
    """The real ledger on a real journal in a fresh directory."""
    interpreter.share()  # as when it is served
    clock = SystemClock()
    with TemporaryDirectory() as directory:
        async with EventStore.open(Path(directory), Catalogue(EVENTS), clock) as store:
            log = GroupCommitLog(store, head=store.head, epoch=store.epoch, clock=clock)
            async with ActorSystem(log=log, history=JournalHistory(store, None), clock=clock) as system:
                await system.start(ChildSpec(LEDGER, lambda: Ledger(LedgerOptions())))
                for number in range(
                    100
                ):  # the accounts are there before the clock starts: the rows are transfers alone
                    await system.ask(LEDGER, transfer(-number))
                yield system


async def _pipelined(count: int, batch: int) -> Sample:
    starts = iter(range(1, count + 1, batch))

    async def pay(system: ActorSystem) -> None:
        for first in starts:  # shared: each client takes the next that nobody has
            transfers = tuple(transfer(number) for number in range(first, min(first + batch, count + 1)))
            command = transfers[0] if batch == 1 else CreateTransfers(transfers)
            await system.ask(LEDGER, command, timeout_s=TIMEOUT_S)

    async with bank() as system:
        with stopwatch() as watch:
            async with anyio.create_task_group() as tasks:
                for _ in range(CLIENTS[batch]):
                    tasks.start_soon(pay, system)
        paid = await system.ask(LEDGER, ReadBalances(TREASURY))
        assert paid.balances[0].outgoing == count + ACCOUNTS
    return watch.sample(count)


async def _single_p99_ms(count: int) -> float:
    times: list[float] = []
    async with bank() as system:
        for number in range(1, count + 1):
            started = time.perf_counter()
            await system.ask(LEDGER, transfer(number))
            times.append(time.perf_counter() - started)
    return p99(times) * 1_000


def _record(number: int) -> Recorded:
    paid = transfer(number)
    event = TransferPosted(
        paid.transfer, paid.debit, paid.credit, paid.currency, paid.amount, TransferId(""), paid.reason
    )
    return Recorded(event, Position(number), 1_750_000_000_000_000 + number, LEDGER, Position(0), "", Position(0))
