"""What cannot be taken back by going back: the effects that have left the society.

Rules: a model call that cost money, an artifact that somebody may have read, money that has moved, an action that was
executed, a branch that was moved. Whoever returns to an earlier position is told which of them lie after it.

Pure: no clock, no disk.
"""

from bus.messages.agents import ActionExecuted
from bus.messages.approvals import ProposalApplied, ProposalRolledBack
from bus.messages.artifacts import ArtifactWritten
from bus.messages.base import Event
from bus.messages.completions import CompletionCompleted, CompletionFailed, CompletionUnknown
from bus.messages.ledger import TransferPosted, TransferPostedMany
from bus.messages.lightning import InvoiceIssued, InvoiceSettled

EFFECTS = (
    ArtifactWritten.wire_name,
    ActionExecuted.wire_name,
    CompletionCompleted.wire_name,
    CompletionFailed.wire_name,
    CompletionUnknown.wire_name,
    TransferPosted.wire_name,
    TransferPostedMany.wire_name,
    InvoiceIssued.wire_name,
    InvoiceSettled.wire_name,
    ProposalApplied.wire_name,
    ProposalRolledBack.wire_name,
)
"""The types of the events that may tell of one."""


def irreversible(event: Event) -> str:  # noqa: PLR0911  # a table of events
    """What has happened outside, in a line; empty where nothing has."""
    match event:
        case CompletionCompleted() | CompletionFailed() | CompletionUnknown():
            cost = event.cost_usd_micros
            return f"completion {event.completion} cost {cost / 1e6:.6f} USD" if cost > 0 else ""
        case ArtifactWritten():
            return f"artifact {event.artifact} ({event.name}) was written"
        case TransferPosted():
            return f"{event.amount} {event.currency} went from {event.debit} to {event.credit} ({event.transfer})"
        case TransferPostedMany():
            total = sum(one.amount for one in event.postings)
            return f"{total} {event.currency} went from account to account in {len(event.postings)} transfers"
        case InvoiceIssued():
            return f"invoice {event.invoice} was given out"
        case InvoiceSettled():
            return f"invoice {event.invoice} was paid: {event.received_msat} msat"
        case ActionExecuted(outcome="executed"):
            return f"{event.agent} executed {event.action} for {event.task}"
        case ProposalApplied() | ProposalRolledBack():
            where = f"to {event.commit[:12]}" if isinstance(event, ProposalApplied) else "back"
            return f"the branch of {event.proposal} was moved {where}"
        case _:
            return ""
