"""Quotas: how much of what is scarce an agent may use in any span of time."""

from typing import Final, Literal

from bus.address import Address
from bus.messages.base import AgentId, Command, Done, Event, Microseconds, Query, Reply

QUOTAS: Final = Address("quotas")

Resource = Literal["calls", "tokens", "disk_bytes"]


class QuotaGranted(Reply, frozen=True):
    """The use is reserved; what it came to is to be told."""

    wire_name = "quota.granted"

    use: int
    """0 where the agent has no quota: nothing was recorded, and nothing is to be told."""


class ReserveQuota(Command[QuotaGranted], frozen=True):
    """Sent before an agent uses something scarce, with the most that it may come to."""

    wire_name = "quota.reserve"

    agent: AgentId
    calls: int = 0
    tokens: int = 0
    disk_bytes: int = 0


class SettleQuota(Command[Done], frozen=True):
    """Sent when it is known what a use came to. A repeat, or a use that nobody knows, changes nothing."""

    wire_name = "quota.settle"

    use: int
    calls: int = 0
    tokens: int = 0
    disk_bytes: int = 0


class QuotaUse(Reply, frozen=True):
    """How much of one quota is used."""

    wire_name = "quota"

    agent: AgentId
    resource: Resource
    used: int
    """In the last `window_s` seconds, what is reserved counted."""
    limit: int
    window_s: float
    free_us: Microseconds
    """When the oldest of it no longer counts; 0 if nothing is used."""


class QuotaPage(Reply, frozen=True):
    """The quotas of all agents that have used something, by agent and resource."""

    wire_name = "quotas"

    quotas: tuple[QuotaUse, ...]


class ReadQuotas(Query[QuotaPage], frozen=True):
    """Sent by whoever wants to see how much is used, of one agent or of all."""

    wire_name = "quota.list"

    agent: AgentId = AgentId("")


class QuotaReserved(Event, frozen=True):
    """Recorded before an agent with a quota uses something: it counts in full until it is settled, a crash included."""

    wire_name = "quota.reserved"
    about = "agent"

    agent: AgentId
    use: int
    calls: int
    tokens: int
    disk_bytes: int
    reserved_us: Microseconds
    window_us: Microseconds
    """How long it counts."""


class QuotaSettled(Event, frozen=True):
    """Recorded when it is known what a use came to."""

    wire_name = "quota.settled"
    about = "agent"

    agent: AgentId
    use: int
    calls: int
    tokens: int
    disk_bytes: int


class QuotaWarned(Event, frozen=True):
    """Recorded when an agent has used 80 % of a quota: at most once in a window."""

    wire_name = "quota.warned"
    about = "agent"

    agent: AgentId
    resource: Resource
    used: int
    limit: int
    warned_us: Microseconds


class QuotaSpent(Event, frozen=True):
    """Recorded when a use was refused since it would have gone over a quota: once, until there is room again."""

    wire_name = "quota.spent"
    about = "agent"

    agent: AgentId
    resource: Resource
    used: int
    limit: int
    wanted: int
