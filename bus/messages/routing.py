"""What concerns the whole cascade: its money in the ledger, its settings, its health, and words as they are said."""

from typing import Final

from bus.address import Address
from bus.messages.base import AgentId, Command, CompletionId, Done, Event, Message, Microseconds, Reply, TaskId

SETTINGS: Final = Address("settings")


class Reconciled(Reply, frozen=True):
    """What is still not known after a reconciliation."""

    wire_name = "spending.reconciliation"

    unknown_usd_micros: int
    """What may have been spent, and nobody knows at whom; it counts as spent."""


class ReconcileSpending(Command[Reconciled], frozen=True):
    """Sent by an operator who has read a provider's bill: of what was unknown, so much was settled, the rest of it not.

    Both are taken from the unknown; what was not spent is there again for the run.
    """

    wire_name = "spending.reconcile"

    provider: str = ""
    """Who charged it; needed when anything was spent."""
    spent_usd_micros: int = 0
    unspent_usd_micros: int = 0


class ReorderProviders(Command[Done], frozen=True):
    """Sent by an operator: those named come first, in this order, and the rest stay as they are."""

    wire_name = "router.reorder"

    providers: tuple[str, ...]


class ResetProvider(Command[Done], frozen=True):
    """Sent by an operator who closes a provider's breaker and lifts its gate, wherever they stand."""

    wire_name = "provider.reset"

    provider: str


class Reloaded(Reply, frozen=True):
    """What a reload of the settings has changed, a line each."""

    wire_name = "settings.reloaded_reply"

    changes: tuple[str, ...]
    waiting: tuple[str, ...]
    """Settings that have changed too, and count from the next start on."""


class ReloadSettings(Command[Reloaded], frozen=True):
    """Sent by an operator, or for SIGHUP: read the settings again. Refused with the reason; then nothing changes."""

    wire_name = "settings.reload"

    asked_by: str = ""


class WordsSaid(Message, frozen=True):
    """Sent by the router while a model speaks, some ten times a second. Never journaled; a later one replaces it."""

    wire_name = "words.said"

    completion: CompletionId
    agent: AgentId
    task: TaskId
    provider: str
    tail: str
    """The end of what was said so far."""
    characters: int
    """How much was said so far."""
    is_over: bool


class CompletionsNumbered(Event, frozen=True):
    """Recorded before completions get their numbers: none up to this one is given again, whatever a crash forgets."""

    wire_name = "completions.numbered"

    upto: int


class AllowanceAsked(Event, frozen=True):
    """Recorded before the ledger is asked for a slice: its number names the transfer, so that it is drawn once."""

    wire_name = "allowance.asked"

    slice: int
    amount_usd_micros: int


class AllowanceDrawn(Event, frozen=True):
    """Recorded before paid calls run on it: money that is set aside, so that none of them waits for the disk."""

    wire_name = "allowance.drawn"

    amount_usd_micros: int


class AllowanceReturned(Event, frozen=True):
    """Recorded when no paid call has been under way for a while: what is left is given back."""

    wire_name = "allowance.returned"

    amount_usd_micros: int


class AllowanceLost(Event, frozen=True):
    """Recorded after a restart that found an allowance open: calls without a trace may have cost it, so it is spent."""

    wire_name = "allowance.lost"

    amount_usd_micros: int
    found_us: Microseconds


class AllowanceRefused(Event, frozen=True):
    """Recorded when the ledger gave no slice: paid calls wait for their own commits meanwhile."""

    wire_name = "allowance.refused"

    slice: int
    amount_usd_micros: int
    reason: str


class SpendingReconciled(Event, frozen=True):
    """Recorded when an operator has told what became of money of which nobody knew whether it was spent."""

    wire_name = "spending.reconciled"

    provider: str
    spent_usd_micros: int
    unspent_usd_micros: int
    reconciled_us: Microseconds


class ProviderSeen(Event, frozen=True):
    """Recorded when a look at a provider, beside all requests, finds it gone or there again."""

    wire_name = "provider.seen"
    about = "provider"

    provider: str
    is_there: bool
    reason: str
    seen_us: Microseconds


class CascadeReordered(Event, frozen=True):
    """Recorded when an operator changed the order in which providers are asked."""

    wire_name = "router.reordered"

    providers: tuple[str, ...]


class CascadeReconfigured(Event, frozen=True):
    """Recorded when a reload changed the cascade's settings; `changes` are the settings, with both values."""

    wire_name = "router.reconfigured"

    changes: tuple[str, ...]


class SettingsRefused(Event, frozen=True):
    """Recorded when a reload found settings that cannot be used: nothing has changed."""

    wire_name = "settings.refused"

    reason: str
    asked_by: str
