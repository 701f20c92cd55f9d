"""Which transfers the facts of tasks, completions and invoices demand.

Rules: a created task's reward is held; a completed one's price is paid from that hold to the agent; any other end
releases the hold. What a completion cost is owed to its provider. What a settled invoice brought comes from the world
outside, whose account owes it: so the sums stay zero, and what came in is there to be read. Ids derive from the fact,
whatever the attempt, so that a fact that is seen twice moves nothing twice. A demand that cannot be met is recorded as
refused, never raised: a fact cannot be sent back.

Pure: no clock, no disk.
"""

from collections.abc import Sequence

import msgspec

from actors.rules import ledger
from actors.rules.books import UNLIMITED, Book, Books
from actors.rules.invoices import world_account
from actors.rules.model_money import UNATTRIBUTED, cost_of
from bus.errors import Refused
from bus.messages.base import AccountId, AgentId, Event, Microseconds, TaskId, TransferId
from bus.messages.completions import CompletionCompleted, CompletionFailed, CompletionUnknown
from bus.messages.ledger import (
    AccountOpened,
    HoldTransfer,
    MoneyCommand,
    PostTransfer,
    Transfer,
    TransferRefused,
    TransferState,
    VoidTransfer,
)
from bus.messages.lightning import InvoiceSettled
from bus.messages.tasks import TaskCancelled, TaskCompleted, TaskCreated, TaskExpired, TaskFailed

ESCROW = AccountId("escrow")
"""In whose favour rewards are held until it is known who earns them."""
_HOLD = "hold/"

_INVOICE = "invoice/"

TaskFact = TaskCreated | TaskCompleted | TaskFailed | TaskCancelled | TaskExpired
CompletionFact = CompletionCompleted | CompletionFailed | CompletionUnknown


def hold_id(task: TaskId) -> TransferId:
    """The hold of a task's reward."""
    return TransferId(_HOLD + task)


def task_of_hold(transfer: TransferId) -> TaskId | None:
    """The task whose reward a hold reserves, or None for any other transfer."""
    return TaskId(transfer.removeprefix(_HOLD)) if transfer.startswith(_HOLD) else None


def agent_account(agent: AgentId) -> AccountId:
    """Where an agent is paid."""
    return AccountId(f"agents/{agent}")


def decide_income(books: Books, fact: InvoiceSettled) -> tuple[Event, ...]:
    """The transfer that a settled invoice calls for, from the world outside; none if it was recorded before."""
    world = world_account(fact.backend)
    command = Transfer(
        transfer=TransferId(_INVOICE + fact.invoice),
        debit=world,
        credit=fact.account,
        currency="msat",
        amount=fact.received_msat,
        reason=f"invoice {fact.invoice} was paid",
    )
    if command.transfer in books.transfers:
        return ()
    known = books.accounts.get("msat", {})
    accounts = {name: msgspec.structs.replace(known[name]) for name in (world, fact.account) if name in known}
    opened = () if world in known else (AccountOpened(world, "msat", UNLIMITED),)
    excerpt = Books(accounts={"msat": {world: Book(UNLIMITED), **accounts}})
    try:
        return (*opened, *ledger.decide_transfer(excerpt, command))
    except Refused as error:
        return (_unmet(command, error),)


def demanded(fact: TaskFact | CompletionFact, books: Books) -> MoneyCommand | None:
    """The transfer that a task's fact calls for, or None where no money is due."""
    match fact:
        case TaskCreated():
            return HoldTransfer(
                transfer=hold_id(fact.task),
                debit=fact.spec.poster,
                credit=ESCROW,
                currency="msat",
                amount=fact.spec.reward_msat,
                reason="the reward of a task",
            )
        case TaskCompleted():
            return _payment(fact, books)
        case TaskFailed() | TaskCancelled() | TaskExpired():
            hold = books.transfers.get(hold_id(fact.task))
            if hold is None or hold.state is not TransferState.HELD:
                return None  # the reward could not be held, or is released already
            return _release(fact.task, fact.reason)
        case CompletionCompleted() | CompletionFailed() | CompletionUnknown():
            return None  # `cost_of` says what those demand


def decide_settlement(books: Books, fact: TaskFact | CompletionFact, now_us: Microseconds) -> tuple[Event, ...]:
    """The events of the transfers that a fact calls for; none if they were recorded before."""
    events: list[Event] = []
    for command in _demands(fact, books):
        if command.transfer in books.transfers:
            continue
        try:
            events += ledger.decide(books, command, now_us)
        except Refused as error:
            events.append(_unmet(command, error))
    return tuple(events)


def _demands(fact: TaskFact | CompletionFact, books: Books) -> Sequence[MoneyCommand]:
    match fact:
        case CompletionCompleted():
            provider = AccountId(f"provider/{fact.provider}")
            return cost_of(books, fact.completion, fact.cost_usd_micros, provider)
        case CompletionFailed() | CompletionUnknown():
            return cost_of(books, fact.completion, fact.cost_usd_micros, UNATTRIBUTED)
        case _:
            command = demanded(fact, books)
            return () if command is None else (command,)


def _unmet(command: MoneyCommand, error: Refused) -> TransferRefused:
    """The record of a demand that makes no sense in these books: a bug elsewhere, shown where money is looked at."""
    asked = ledger.asked_of(command)
    return TransferRefused(
        transfer=command.transfer,
        debit=AccountId(asked.debit),
        credit=AccountId(asked.credit),
        currency="usd_micros" if asked.currency == "usd_micros" else "msat",
        amount=asked.amount,
        hold=TransferId(asked.hold),
        reason=str(error),
        code=error.code,
        kind=asked.kind,
        timeout_s=asked.timeout_s,
    )


def _payment(fact: TaskCompleted, books: Books) -> MoneyCommand:
    hold = books.transfers.get(hold_id(fact.task))
    if hold is not None and hold.debit == agent_account(fact.agent):
        return _release(fact.task, f"{fact.agent} did its own task")
    return PostTransfer(
        transfer=TransferId(f"post/{fact.task}"),
        hold=hold_id(fact.task),
        amount=fact.price_msat,
        credit=agent_account(fact.agent),
        reason=f"{fact.task} done by {fact.agent}",
    )


def _release(task: TaskId, reason: str) -> VoidTransfer:
    return VoidTransfer(transfer=TransferId(f"void/{task}"), hold=hold_id(task), reason=reason)
