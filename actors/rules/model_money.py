"""Which transfers the money for models demands.

Rules: what a completion cost goes to its provider: from the router's allowance as far as that reaches, since it was
drawn for this, and the rest from the account that pays for models. What the router gives back of its allowance goes
back there; what a crash left of it is owed to nobody known, and counts as spent, until somebody has read the bill: then
what was spent goes to who charged it, and the rest back. Ids derive from the fact, so one that is seen twice moves
nothing twice.

Pure.
"""

from actors.rules import ledger
from actors.rules.allowance import ALLOWANCE
from actors.rules.books import Book, Books, available
from actors.rules.ledger import MODELS
from bus.messages.base import AccountId, CompletionId, Event, Microseconds, Position, TransferId
from bus.messages.ledger import Transfer
from bus.messages.routing import AllowanceLost, AllowanceReturned, SpendingReconciled

UNATTRIBUTED = AccountId("provider/unknown")
"""Owed for what no provider is known to have charged."""

AllowanceFact = AllowanceReturned | AllowanceLost | SpendingReconciled


def cost_of(books: Books, completion: CompletionId, amount: int, provider: AccountId) -> tuple[Transfer, ...]:
    """The transfers that pay for a completion; none if it cost nothing or they were made before."""
    first = TransferId(f"cost/{completion}")
    if amount <= 0 or first in books.transfers:
        return ()
    drawn = min(amount, _has(books, ALLOWANCE))
    reason = f"completion {completion}"
    found: list[Transfer] = []
    if drawn:
        found.append(_transfer(first, ALLOWANCE, provider, drawn, reason))
    if rest := amount - drawn:
        found.append(_transfer(TransferId(f"{first}/rest") if drawn else first, MODELS, provider, rest, reason))
    return tuple(found)


def decide_allowance(books: Books, fact: AllowanceFact, position: Position, now_us: Microseconds) -> tuple[Event, ...]:
    """The events of what a fact about the allowance moves; `position` is where it stands in the journal."""
    moves: list[Transfer] = []
    match fact:
        case AllowanceReturned():
            amount = min(fact.amount_usd_micros, _has(books, ALLOWANCE))
            moves.append(_transfer(_id("returned", position), ALLOWANCE, MODELS, amount, "an allowance, not needed"))
        case AllowanceLost():
            amount = min(fact.amount_usd_micros, _has(books, ALLOWANCE))
            reason = "an allowance that was open at a crash"
            moves.append(_transfer(_id("lost", position), ALLOWANCE, UNATTRIBUTED, amount, reason))
        case SpendingReconciled():
            spent, unspent = fact.spent_usd_micros, fact.unspent_usd_micros
            provider = AccountId(f"provider/{fact.provider}")
            moves.append(_transfer(_id("spent", position), UNATTRIBUTED, provider, spent, "reconciled with a bill"))
            moves.append(_transfer(_id("unspent", position), UNATTRIBUTED, MODELS, unspent, "reconciled with a bill"))
    events: list[Event] = []
    for move in moves:
        if move.amount > 0 and move.transfer not in books.transfers:
            events += ledger.decide(books, move, now_us)
    return tuple(events)


def _id(what: str, position: Position) -> TransferId:
    """An id among those that are the ledger's own."""
    return TransferId(f"cost/{what}/{position}")


def _has(books: Books, account: AccountId) -> int:
    return max(0, available(books.accounts.get("usd_micros", {}).get(account, Book())))


def _transfer(transfer: TransferId, debit: AccountId, credit: AccountId, amount: int, reason: str) -> Transfer:
    return Transfer(transfer=transfer, debit=debit, credit=credit, currency="usd_micros", amount=amount, reason=reason)
