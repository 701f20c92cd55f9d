"""Tasks and the auctions that give them to agents."""

from enum import StrEnum
from typing import ClassVar, Final, Literal

import msgspec

from bus.address import Address
from bus.messages.base import (
    AccountId,
    AgentId,
    ArtifactId,
    Command,
    Event,
    Message,
    Microseconds,
    Query,
    Reply,
    TaskId,
)

COORDINATOR: Final = Address("coordinator")

AuctionRule = Literal["lowest_price", "capability_weighted", "second_price"]
"""How the winner is chosen, and what it is paid: see `actors.rules.auction`."""


Presence = Literal["present", "paused", "left"]
"""Whether an agent takes part in auctions."""


class TaskState(StrEnum):
    CREATED = "created"
    BIDDING = "bidding"
    ASSIGNED = "assigned"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class TaskSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What the poster wants done, and on which terms. 0 for a time means the configured default."""

    title: str
    instructions: str = ""
    capability: str = ""
    """What an agent must be able to do; empty means anyone."""
    reward_msat: int = 1_000
    """The most that the poster pays; held from the poster's account when the task is created."""
    input: ArtifactId = ArtifactId("")
    poster: AccountId = AccountId("treasury")
    rule: AuctionRule = "lowest_price"
    bid_window_s: float = 0.0
    lease_s: float = 0.0
    deadline_s: float = 0.0
    """From creation to the end, whatever happens; 0 means none."""
    attempts_max: int = 3
    retry_delay_s: float = 0.0
    """Between a lost attempt and the next auction; doubled after each further one."""
    priority: int = 0
    """From -9 to 9: of the tasks that wait for an agent, the higher goes first; a waiting task gains with time."""
    after: tuple[TaskId, ...] = ()
    """Tasks that must be completed first; if one of them ends in another way, so does this."""


class Bid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One agent's bid as the closed auction shows it."""

    agent: AgentId
    price_msat: int


class TaskView(Reply, frozen=True):
    """A task as anyone may see it: while the auction is open, bids are a count and nothing else."""

    wire_name = "task"

    task: TaskId
    state: TaskState
    spec: TaskSpec
    created_us: Microseconds
    updated_us: Microseconds
    attempt: int = 0
    bids: int = 0
    auction_closes_us: Microseconds = 0
    agent: AgentId = AgentId("")
    price_msat: int = 0
    artifact: ArtifactId = ArtifactId("")
    summary: str = ""
    reason: str = ""
    ranking: tuple[Bid, ...] = ()
    """The bids of the last closed auction, best first."""
    lease_until_us: Microseconds = 0
    """When its agent loses it unless a heartbeat comes before; 0 while nobody has it."""


class TaskAccepted(Reply, frozen=True):
    """The command on a task was carried out."""

    wire_name = "task.accepted"

    task: TaskId
    state: TaskState


class LeaseRenewed(Reply, frozen=True):
    """The lease runs for another full period."""

    wire_name = "lease.renewed"

    task: TaskId
    lease_s: float


class Lease(Reply, frozen=True):
    """Who has a task, and until when without a heartbeat."""

    wire_name = "lease"

    task: TaskId
    agent: AgentId
    attempt: int
    lease_s: float
    """How long it runs from one heartbeat on."""
    until_us: Microseconds


class Leases(Reply, frozen=True):
    """The leases that end first, in that order, and how many there are."""

    wire_name = "leases"

    leases: tuple[Lease, ...]
    count: int


class TaskPage(Reply, frozen=True):
    """Tasks, newest first; `next` continues the listing and is empty at its end."""

    wire_name = "tasks"

    tasks: tuple[TaskView, ...]
    next: TaskId


class CreateTask(Command[TaskAccepted], frozen=True):
    """Sent by an operator or a tool that wants work done. The same key with the same spec gives the same task."""

    wire_name = "task.create"

    spec: TaskSpec
    idempotency_key: str = ""


class CancelTask(Command[TaskAccepted], frozen=True):
    """Sent by the poster who no longer wants the task done; its hold is released."""

    wire_name = "task.cancel"

    task: TaskId
    reason: str = ""


class SubmitBid(Command[TaskAccepted], frozen=True):
    """Sent by an agent while an auction is open; a later bid of the same agent replaces the earlier."""

    wire_name = "bid.submit"

    task: TaskId
    agent: AgentId
    price_msat: int


class DeclineBid(Command[TaskAccepted], frozen=True):
    """Sent by an agent that will not bid, so that the auction can close early. Not journaled."""

    wire_name = "bid.decline"

    task: TaskId
    agent: AgentId


class StartWork(Command[TaskAccepted], frozen=True):
    """Sent by the assigned agent when it begins; `attempt` is the fencing token of its lease."""

    wire_name = "work.start"

    task: TaskId
    agent: AgentId
    attempt: int


class RenewLease(Command[LeaseRenewed], frozen=True):
    """The working agent's heartbeat. Not journaled."""

    wire_name = "work.heartbeat"

    task: TaskId
    agent: AgentId
    attempt: int


class CompleteTask(Command[TaskAccepted], frozen=True):
    """Sent by the working agent with its result. Repeating it for the same attempt gives the same answer."""

    wire_name = "work.complete"

    task: TaskId
    agent: AgentId
    attempt: int
    artifact: ArtifactId
    summary: str = ""


class FailTask(Command[TaskAccepted], frozen=True):
    """Sent by the working agent that cannot deliver; `is_retryable` lets another attempt be auctioned."""

    wire_name = "work.fail"

    task: TaskId
    agent: AgentId
    attempt: int
    reason: str
    is_retryable: bool = True


class ReadTask(Query[TaskView], frozen=True):
    """Sent by whoever wants to see one task."""

    wire_name = "task.read"

    task: TaskId


class ListTasks(Query[TaskPage], frozen=True):
    """Sent by whoever wants to see tasks; `after` is the last id of the page before."""

    wire_name = "task.list"

    state: TaskState | None = None
    limit: int = 50
    after: TaskId = TaskId("")


class ReadLeases(Query[Leases], frozen=True):
    """Sent by whoever wants to see who is at work and when it was last heard of: heartbeats leave no event."""

    wire_name = "leases.read"


class TaskCreated(Event, frozen=True):
    """Recorded when the coordinator accepts a task; the ledger answers it with a hold of the reward."""

    wire_name = "task.created"
    about = "task"
    personal: ClassVar[tuple[str, ...]] = ("spec.title", "spec.instructions")

    task: TaskId
    spec: TaskSpec
    created_us: Microseconds
    idempotency_key: str = ""


class TaskBidding(Event, frozen=True):
    """Recorded when an auction opens: for the first time, or again after an attempt was lost."""

    wire_name = "task.bidding"
    about = "task"
    personal: ClassVar[tuple[str, ...]] = ("title",)

    task: TaskId
    attempt: int
    title: str
    capability: str
    reward_msat: int
    rule: AuctionRule
    opened_us: Microseconds
    closes_us: Microseconds
    reason: str = ""


class TaskWaiting(Event, frozen=True):
    """Recorded when a task with a held reward must wait: for other tasks, or before its next attempt."""

    wire_name = "task.waiting"
    about = "task"

    task: TaskId
    reason: str
    until_us: Microseconds
    """When the next auction opens; 0 while it depends on other tasks."""
    agent: AgentId = AgentId("")
    """Who had the attempt that was lost."""
    attempt: int = 0
    at_us: Microseconds = 0


class BidSubmitted(Event, frozen=True):
    """Recorded when a bid is accepted. The price is sealed: only the closed auction tells it."""

    wire_name = "bid.submitted"
    about = "task"
    sealed: ClassVar[tuple[str, ...]] = ("price_msat",)

    task: TaskId
    agent: AgentId
    attempt: int
    price_msat: int


class AuctionClosed(Event, frozen=True):
    """Recorded when an auction ends: at its deadline, or early once all eligible agents have answered."""

    wire_name = "auction.closed"
    about = "task"

    task: TaskId
    attempt: int
    ranking: tuple[Bid, ...]
    """The bids, best first, at most 100; empty when nobody bid."""
    winner: AgentId
    price_msat: int
    reason: str
    """The rule's choice in words."""


class TaskAssigned(Event, frozen=True):
    """Recorded with the close: the winner holds a lease. `attempt` is the fencing token."""

    wire_name = "task.assigned"
    about = "task"
    personal: ClassVar[tuple[str, ...]] = ("spec.title", "spec.instructions")

    task: TaskId
    agent: AgentId
    attempt: int
    price_msat: int
    lease_s: float
    spec: TaskSpec
    at_us: Microseconds = 0


class TaskStarted(Event, frozen=True):
    """Recorded when the assigned agent begins to work."""

    wire_name = "task.started"
    about = "task"

    task: TaskId
    agent: AgentId
    attempt: int
    at_us: Microseconds = 0


class TaskCompleted(Event, frozen=True):
    """Recorded when the result is accepted; the ledger answers it by paying the agent from the hold."""

    wire_name = "task.completed"
    about = "task"
    personal: ClassVar[tuple[str, ...]] = ("summary",)

    task: TaskId
    agent: AgentId
    attempt: int
    price_msat: int
    artifact: ArtifactId
    summary: str
    at_us: Microseconds = 0


class TaskFailed(Event, frozen=True):
    """Recorded when no attempt is left or none can help; the ledger answers it by releasing the hold."""

    wire_name = "task.failed"
    about = "task"

    task: TaskId
    reason: str
    agent: AgentId = AgentId("")
    attempt: int = 0
    at_us: Microseconds = 0


class TaskCancelled(Event, frozen=True):
    """Recorded when the poster withdraws the task; the ledger releases the hold, the agent stops."""

    wire_name = "task.cancelled"
    about = "task"
    personal: ClassVar[tuple[str, ...]] = ("reason",)

    task: TaskId
    reason: str
    agent: AgentId = AgentId("")
    attempt: int = 0
    at_us: Microseconds = 0


class TaskExpired(Event, frozen=True):
    """Recorded when the task's deadline passes before its end; the ledger releases the hold, the agent stops."""

    wire_name = "task.expired"
    about = "task"

    task: TaskId
    reason: str
    agent: AgentId = AgentId("")
    attempt: int = 0
    at_us: Microseconds = 0


class Invite(Message, frozen=True):
    """Sent to an agent that came free, for each open auction that it could not answer before; not a fact."""

    wire_name = "bidder.invite"

    bidding: TaskBidding


class BidderInvited(Event, frozen=True):
    """Recorded for an agent of another program that came free: an open auction waits for its bid."""

    wire_name = "bidder.invited"
    about = "task"
    personal: ClassVar[tuple[str, ...]] = ("title",)

    task: TaskId
    agent: AgentId
    attempt: int
    title: str
    capability: str
    reward_msat: int
    closes_us: Microseconds


class BidderChanged(Event, frozen=True):
    """Recorded by the coordinator when who may bid changes: an agent joined, paused, resumed or left."""

    wire_name = "bidder.changed"
    about = "agent"

    agent: AgentId
    capabilities: tuple[str, ...]
    concurrency_max: int
    presence: Presence


TaskEnded = TaskCompleted | TaskFailed | TaskCancelled | TaskExpired
