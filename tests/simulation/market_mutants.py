"""Bugs that could be planted in the market itself; the simulation must find each.

Each one is a mistake that has been made in some real system: money that is paid again, a lease that fences nobody, a
retry that is taken for something new, an obligation that a restart forgets.
"""

import msgspec

from actors.floor import Floor
from actors.monitor import Monitor
from actors.rules import idempotency, settlement, spending, tasks
from actors.rules.books import Books
from actors.rules.idempotency import Keys
from actors.rules.overview import Overview
from actors.rules.settlement import CompletionFact, TaskFact
from actors.rules.spending import Spending
from actors.rules.tasks import Task, WorkCommand
from actors.runtime import GroupCommitLog
from actors.runtime.log import Blobs
from actors.timetable import Timetable
from bus.envelope import Batch
from bus.messages.base import Event, Microseconds, Position, TransferId
from bus.messages.completions import CompletionUnknown
from bus.messages.ledger import MoneyCommand, TransferPosted
from bus.messages.tasks import StartWork, TaskCompleted, TaskStarted, TaskState
from tests.simulation.mutants import Mutant
from web import cursors
from web.frames import Horizon, Subscription
from web.protocol import Session

_decide_settlement = settlement.decide_settlement
_demanded = settlement.demanded


def post_twice(books: Books, fact: TaskFact | CompletionFact, now_us: Microseconds) -> tuple[Event, ...]:
    """The second payment has a name of its own, so that no id stands in its way, and takes from who posted the task."""
    events = _decide_settlement(books, fact, now_us)
    again: list[Event] = [
        msgspec.structs.replace(event, transfer=TransferId(f"again/{event.transfer}"), hold=TransferId(""))
        for event in events
        if isinstance(event, TransferPosted) and isinstance(fact, TaskCompleted)
    ]
    return (*events, *again)


def hold_for_ever(fact: TaskFact | CompletionFact, books: Books) -> MoneyCommand | None:
    return _demanded(fact, books) if not isinstance(fact, TaskCompleted) else None


def fence_nobody(task: Task, command: WorkCommand, verb: str) -> None:
    return


def forget_time(self: Floor) -> None:
    return


def own_up_to_nothing(state: Spending, now_us: Microseconds) -> tuple[CompletionUnknown, ...]:
    return ()


def know_no_key(keys: Keys, key: str, now_us: Microseconds) -> str:
    return ""


def change_what_is_to_be_folded(task: Task, command: StartWork, now_us: Microseconds) -> tuple[Event, ...]:
    tasks.check_lease(task, command, "started")
    task.reason = "begun"  # a change that no event tells of
    return (TaskStarted(task=task.task, agent=task.agent, attempt=task.attempt, at_us=now_us),)


async def show_and_then_write(self: GroupCommitLog, batch: Batch, blobs: Blobs) -> None:
    for listener in self._on_commit:
        listener(tuple(batch.events))
    await _write(self, batch, blobs)


def start_at_the_head(self: Session, start: object, horizon: Horizon) -> Position:
    return Position(horizon.head + 1)


def run_ahead(subscription: Subscription, last: Position) -> None:
    subscription.next = Position(last + 2) if subscription.wanted is not None else last


def patch_from_one_later(self: Overview, after: Position) -> dict[str, object] | None:
    return _patch(self, Position(after + 1))


def renew_nothing(self: Timetable, task: Task) -> None:
    if task.state is TaskState.ASSIGNED:
        _await_heartbeat(self, task)


def recover_and_go(self: Monitor) -> None:
    return


_await_heartbeat = Timetable.await_heartbeat
_write = GroupCommitLog._write
_patch = Overview.patch

EDGE_MUTANTS = (
    Mutant("a frame leaves before its commit", GroupCommitLog, "_write", show_and_then_write),
    Mutant("a feed that comes back has lost its cursor", Session, "_start", start_at_the_head),
    Mutant("a feed skips what follows a batch", cursors, "scanned", run_ahead),
    Mutant("the page is not told of a change", Overview, "patch", patch_from_one_later),
    Mutant("a heartbeat renews no lease", Timetable, "await_heartbeat", renew_nothing),
    Mutant("a restart forgets that all is halted", Monitor, "on_recovered", recover_and_go),
)
"""Bugs at the edge: what a client sees, what a program is promised, what an operator has stopped."""

MARKET_MUTANTS = (
    Mutant("a winner is paid twice", settlement, "decide_settlement", post_twice),
    Mutant("a winner is not paid", settlement, "demanded", hold_for_ever),
    Mutant("a lost lease fences nobody", tasks, "check_lease", fence_nobody),
    Mutant("a restart forgets what is awaited", Floor, "resume", forget_time),
    Mutant("a restart forgets intents without an outcome", spending, "unknown", own_up_to_nothing),
    Mutant("a retry is taken for something new", idempotency, "subject_of", know_no_key),
    Mutant("a decision changes the state", tasks, "decide_start", change_what_is_to_be_folded),
)
