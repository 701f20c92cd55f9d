"""What must hold in every journal of the market, read from its events alone.

Written apart from the rules that made them: a mistake in a rule shall not hide itself.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from bus.envelope import Recorded
from bus.messages.approvals import (
    ProposalApproved,
    ProposalEvent,
    ProposalExpired,
    ProposalId,
    ProposalProposed,
    ProposalRejected,
    ProposalSuperseded,
    ProposalVoted,
    ProposalWithdrawn,
)
from bus.messages.artifacts import ArtifactWritten
from bus.messages.base import AccountId, AgentId, ArtifactId, CompletionId, Event, Position, TaskId, TransferId
from bus.messages.completions import CompletionCompleted, CompletionFailed, CompletionRequested, CompletionUnknown
from bus.messages.ledger import (
    GENESIS,
    LEDGER,
    TransferExpired,
    TransferHeld,
    TransferPosted,
    TransferVoided,
)
from bus.messages.memory import FactId, MemoryCorrected, MemoryEnded, MemoryRemembered
from bus.messages.monitor import SystemHalted, SystemResumed
from bus.messages.schedules import ScheduleFired
from bus.messages.tasks import (
    COORDINATOR,
    TaskAssigned,
    TaskBidding,
    TaskCancelled,
    TaskCompleted,
    TaskCreated,
    TaskEnded,
    TaskExpired,
    TaskFailed,
    TaskStarted,
    TaskState,
    TaskWaiting,
)

ENDS: dict[type[Event], TaskState] = {
    TaskCompleted: TaskState.COMPLETED,
    TaskFailed: TaskState.FAILED,
    TaskCancelled: TaskState.CANCELLED,
    TaskExpired: TaskState.EXPIRED,
}


class Lives:
    """The tasks: one live assignment each, and one end."""

    def __init__(self) -> None:
        self.created: set[TaskId] = set()
        self.live: dict[TaskId, tuple[AgentId, int]] = {}
        self.attempts: dict[TaskId, int] = {}
        self.ended: dict[TaskId, TaskEnded] = {}
        self.owners: dict[ArtifactId, AgentId] = {}

    def see(self, event: Event) -> None:
        """Take in the next event."""
        match event:
            case TaskCreated():
                assert event.task not in self.created, f"{event.task} is created once"
                self.created.add(event.task)
            case TaskBidding():
                self._check_open(event.task)
                self.live.pop(event.task, None)
                assert event.attempt == self.attempts.get(event.task, 0) + 1, "each auction is the next attempt"
                self.attempts[event.task] = event.attempt
            case TaskAssigned():
                self._check_open(event.task)
                assert event.task not in self.live, f"{event.task} has one live assignment"
                assert event.attempt == self.attempts[event.task], "an assignment is that of the last auction"
                self.live[event.task] = (event.agent, event.attempt)
            case TaskStarted():
                assert self.live.get(event.task) == (event.agent, event.attempt), "only who has the lease begins"
            case ArtifactWritten():
                assert event.artifact not in self.owners, f"{event.artifact} is written once"
                self.owners[event.artifact] = AgentId(event.owner)
            case TaskCompleted() | TaskFailed() | TaskCancelled() | TaskExpired():
                self._check_open(event.task)
                if isinstance(event, TaskCompleted):
                    assert self.live.get(event.task) == (event.agent, event.attempt), "only who has the lease completes"
                    assert self.owners.get(event.artifact) == event.agent, "who is paid wrote the result"
                self.live.pop(event.task, None)
                self.ended[event.task] = event
            case _:
                pass

    def _check_open(self, task: TaskId) -> None:
        assert task in self.created, f"{task} was created first"
        assert task not in self.ended, f"{task} ends once"


class Purse:
    """The money: nobody overdraws, a hold ends once, and nothing comes from nowhere."""

    def __init__(self) -> None:
        self.net: Counter[AccountId] = Counter()
        self.held: Counter[AccountId] = Counter()
        self.holds: dict[TransferId, TransferHeld] = {}
        self.ended: dict[TransferId, TransferPosted | TransferVoided | TransferExpired] = {}
        self.seen: set[TransferId] = set()
        self.paid: dict[AccountId, int] = Counter()

    def see(self, event: Event) -> None:
        """Take in the next event."""
        match event:
            case TransferHeld(currency="msat"):
                self._check_new(event.transfer)
                self.holds[event.transfer] = event
                self.held[event.debit] += event.amount
            case TransferPosted(currency="msat"):
                self._check_new(event.transfer)
                if event.hold:
                    held = self._end(event.hold, event)
                    assert event.amount <= held.amount, "no more is paid than was held"
                self.net[event.debit] -= event.amount
                self.net[event.credit] += event.amount
            case TransferVoided():
                self._check_new(event.transfer)
                self._end(event.hold, event)
            case TransferExpired():
                self._end(event.transfer, event)
            case _:
                return
        for account, net in self.net.items():
            assert account == GENESIS or net >= self.held[account], f"{account} is overdrawn"

    def _check_new(self, transfer: TransferId) -> None:
        assert transfer not in self.seen, f"{transfer} is made once"
        self.seen.add(transfer)

    def _end(self, hold: TransferId, end: "TransferPosted | TransferVoided | TransferExpired") -> TransferHeld:
        assert hold in self.holds, f"{hold} was held first"
        assert hold not in self.ended, f"{hold} ends once"
        self.ended[hold] = end
        held = self.holds[hold]
        self.held[held.debit] -= held.amount
        return held


class Halts:
    """The switch: while all is halted nothing is assigned, and no model is asked anew."""

    def __init__(self) -> None:
        self._is_halted = False

    def see(self, event: Event) -> None:
        """Take in the next event."""
        match event:
            case SystemHalted():
                self._is_halted = True
            case SystemResumed():
                self._is_halted = False
            case TaskAssigned():
                assert not self._is_halted, f"{event.task} is not assigned while all is halted"
            case _:
                pass


class Words:
    """Approvals: each is asked for once and ends once; a yes is a person's, and not the proposer's own."""

    def __init__(self) -> None:
        self._open: dict[ProposalId, ProposalProposed] = {}
        self._votes: dict[ProposalId, set[str]] = {}
        self._ended: set[ProposalId] = set()

    def see(self, event: Event) -> None:
        """Take in the next event."""
        if not isinstance(event, ProposalEvent):
            return
        if isinstance(event, ProposalProposed):
            assert event.proposal not in self._open.keys() | self._ended, f"{event.proposal} is made once"
            self._open[event.proposal] = event
            self._votes[event.proposal] = set()
            return
        assert event.proposal in self._open, f"{event.proposal} is open"
        asked = self._open[event.proposal]
        match event:
            case ProposalVoted():
                assert event.by != asked.proposer, "nobody approves what they propose"
                assert event.hash == asked.hash, "a yes is to what was asked for"
                self._votes[event.proposal].add(event.by)
            case ProposalApproved():
                assert len(self._votes[event.proposal]) >= asked.approvers, "enough have said yes"
                self._end(event.proposal)
            case ProposalRejected() | ProposalWithdrawn() | ProposalExpired() | ProposalSuperseded():
                self._end(event.proposal)
            case _:
                pass

    def _end(self, proposal: ProposalId) -> None:
        del self._open[proposal]
        self._ended.add(proposal)


class Times:
    """Schedules: a time is answered for once, and a task stands for each."""

    def __init__(self) -> None:
        self.due: list[str] = []
        self.made: list[str] = []

    def see(self, event: Event) -> None:
        """Take in the next event."""
        match event:
            case ScheduleFired():
                self.due.extend(f"schedule/{event.schedule}/{due_us}" for due_us in event.dues)
                assert len(set(self.due)) == len(self.due), "a time is answered for once"
            case TaskCreated(idempotency_key=key) if key.startswith("schedule/"):
                self.made.append(key)
                assert key in self.due, "a schedule's task has its time"
            case _:
                pass


class Sayings:
    """The memory: versions are numbered without a gap, and each has one end at most."""

    def __init__(self) -> None:
        self._said: list[FactId] = []
        self._standing: set[FactId] = set()

    def see(self, event: Event) -> None:
        """Take in the next event."""
        match event:
            case MemoryRemembered():
                self._add(event.fact)
            case MemoryCorrected():
                assert event.supersedes in self._standing, "only what stands is corrected"
                self._standing.discard(event.supersedes)
                self._add(event.fact)
            case MemoryEnded():
                assert event.fact in self._standing, "only what stands ends"
                self._standing.discard(event.fact)
            case _:
                pass

    def _add(self, fact: FactId) -> None:
        self._said.append(fact)
        self._standing.add(fact)
        assert fact == f"f-{len(self._said)}", "no version is lost and none comes twice"


def check_leases(
    records: Sequence[Recorded],
    committed_s: Mapping[Position, float],
    renewed_s: Mapping[tuple[AgentId, TaskId, int], float],
    lease_s: float,
) -> None:
    """A lease that was renewed runs for a full period after it, whatever happens."""
    live: dict[TaskId, tuple[AgentId, int]] = {}
    for record in records:
        event = record.event
        if isinstance(event, TaskAssigned):
            live[event.task] = (event.agent, event.attempt)
        elif isinstance(event, TaskBidding | TaskWaiting | TaskFailed) and "ran out" in event.reason:
            agent, attempt = live[event.task]
            said_s = renewed_s.get((agent, event.task, attempt))
            if said_s is not None:
                assert committed_s[record.position] >= said_s + lease_s, f"the lease of {event.task} runs its time"


def check_events(records: Sequence[Recorded]) -> tuple[Lives, Purse]:
    """What must hold in any journal, wherever it was cut."""
    lives, purse = Lives(), Purse()
    others = (Halts(), Words(), Times(), Sayings())
    requested: set[CompletionId] = set()
    ended: set[CompletionId] = set()
    for position, record in enumerate(records, start=1):
        assert record.position == position, "positions have no gap"
        assert max(record.cause, record.cursor) < position, "what is caused comes after its cause"
        if record.source == LEDGER and record.cause and records[record.cause - 1].source == COORDINATOR:
            assert record.cursor >= record.cause, "what a fact has led to says that the fact was handled"
        lives.see(record.event)
        purse.see(record.event)
        for other in others:
            other.see(record.event)
        match record.event:
            case CompletionRequested(completion=completion):
                assert completion not in requested, f"{completion} is requested once"
                requested.add(completion)
            case CompletionCompleted() | CompletionFailed() | CompletionUnknown():
                completion = record.event.completion
                assert completion not in ended, f"{completion} ends once"
                assert completion in requested or not record.event.cost_usd_micros, f"{completion} had an intent"
                ended.add(completion)
            case _:
                pass
    return lives, purse


def check_rest(records: Sequence[Recorded]) -> dict[TaskId, TaskState]:
    """What must hold in addition once everything has come to rest. Returns how each task ended."""
    lives, purse = check_events(records)
    times = Times()
    for record in records:
        times.see(record.event)
    assert sorted(times.made) == sorted(times.due), "each time of a schedule has its task"
    assert set(lives.ended) == lives.created, "each task ends"
    assert not lives.live, "nothing is assigned any more"
    assert set(purse.holds) == set(purse.ended), "no hold is left"
    earned: Counter[str] = Counter()
    for task, end in lives.ended.items():
        released = purse.ended.get(TransferId(f"hold/{task}"))
        if isinstance(end, TaskCompleted):
            earned[f"agents/{end.agent}"] += end.price_msat
            assert isinstance(released, TransferPosted), f"the winner of {task} is paid"
            assert (released.credit, released.amount) == (f"agents/{end.agent}", end.price_msat), "by its price"
        else:
            assert not isinstance(released, TransferPosted), f"nobody is paid for {task}"
    for account, net in purse.net.items():
        if account.startswith("agents/"):
            assert net == earned[account], f"{account} has what it has earned"
    open_completions = {r.event.completion for r in records if isinstance(r.event, CompletionRequested)} - {
        r.event.completion
        for r in records
        if isinstance(r.event, CompletionCompleted | CompletionFailed | CompletionUnknown)
    }
    assert not open_completions, "each completion ends"
    assert sum(purse.net.values()) == 0, "no money comes from nowhere"
    return {task: ENDS[type(end)] for task, end in lives.ended.items()}
