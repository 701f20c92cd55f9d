"""Which transfers the facts of tasks and completions demand.

Rules: a created task's reward is held; a completed one's price is paid from that hold to the agent; any other end
releases the hold. What a completion cost is owed to its provider. Ids derive from the fact, whatever the attempt, so
that a fact that is seen twice moves nothing twice. A demand that cannot be met is recorded as refused, never raised:
a fact cannot be sent back.

Pure: no clock, no disk.
"""

from actors.rules import ledger
from actors.rules.books import Books
from actors.rules.ledger import MODELS
from bus.errors import Refused
from bus.messages.base import AccountId, AgentId, Event, Microseconds, TaskId, TransferId
from bus.messages.completions import CompletionCompleted, CompletionFailed, CompletionUnknown
from bus.messages.ledger import (
    HoldTransfer,
    MoneyCommand,
    PostTransfer,
    Transfer,
    TransferRefused,
    TransferState,
    VoidTransfer,
)
from bus.messages.tasks import TaskCancelled, TaskCompleted, TaskCreated, TaskExpired, TaskFailed

ESCROW = AccountId("escrow")
"""In whose favour rewards are held until it is known who earns them."""
UNATTRIBUTED = AccountId("provider/unknown")
"""Owed for completions that no provider is known to have answered."""
_HOLD = "hold/"

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


def demanded(fact: TaskFact | CompletionFact, books: Books) -> MoneyCommand | None:
    """The transfer that a fact calls for, or None where no money is due."""
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
        case CompletionCompleted():
            return _cost(fact, AccountId(f"provider/{fact.provider}"))
        case CompletionFailed() | CompletionUnknown():
            return _cost(fact, UNATTRIBUTED)


def decide_settlement(books: Books, fact: TaskFact | CompletionFact, now_us: Microseconds) -> tuple[Event, ...]:
    """The events of the transfer that a fact calls for; none if they were recorded before."""
    command = demanded(fact, books)
    if command is None or command.transfer in books.transfers:
        return ()
    try:
        return ledger.decide(books, command, now_us)
    except Refused as error:
        return (_unmet(command, error),)


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


def _cost(fact: CompletionFact, provider: AccountId) -> Transfer | None:
    if fact.cost_usd_micros <= 0:
        return None
    return Transfer(
        transfer=TransferId(f"cost/{fact.completion}"),
        debit=MODELS,
        credit=provider,
        currency="usd_micros",
        amount=fact.cost_usd_micros,
        reason=f"completion {fact.completion}",
    )
