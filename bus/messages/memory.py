"""Memory: what agents and people have learned and say to each other across tasks and runs.

A remembered fact is never deleted: it is superseded by one that is right, or it ends. Who may read it is declared
when it is remembered.
"""

from typing import ClassVar, Final, Literal, NewType

from bus.address import Address
from bus.messages.base import AgentId, Command, Event, Microseconds, Query, Reply, TaskId

MEMORY: Final = Address("memory")

FactId = NewType("FactId", str)
Audience = Literal["everyone", "named", "owner"]
"""Who may read a fact: all, those it names and its owner, or its owner alone. Whoever runs the server reads all."""
Which = Literal["valid", "all"]
"""What a list shows: what is valid at its moment, or the newest version of everything."""


class FactView(Reply, frozen=True):
    """One version of a remembered fact, as those see it who may read it."""

    wire_name = "fact"

    fact: FactId
    subject: str
    text: str
    owner: str
    """Whose it is: an agent (`agents/scout`) or a principal. Nobody else but the operator may change it."""
    by: str
    """Who said this version."""
    audience: Audience
    readers: tuple[str, ...]
    """Those that may read it beside its owner, where they are named."""
    valid_from_us: Microseconds
    valid_to_us: Microseconds
    """When it was no longer so; 0 while nobody has said."""
    recorded_us: Microseconds
    task: TaskId = TaskId("")
    """What it was learned from."""
    reason: str = ""
    """Why it took the place of the one before, or why it ended."""
    supersedes: FactId = FactId("")
    superseded_by: FactId = FactId("")
    earlier: int = 0
    """How many versions it has taken the place of, one after another."""
    is_ended: bool = False
    """Whether somebody has said that it is no longer so, and nothing took its place."""


class FactPage(Reply, frozen=True):
    """Facts; `next` continues a list and is empty at its end."""

    wire_name = "facts"

    facts: tuple[FactView, ...]
    next: FactId
    held: int
    """How many facts that the reader may read are neither superseded nor ended."""


class FactHistory(Reply, frozen=True):
    """Every version of one fact, the newest first."""

    wire_name = "fact.history"

    versions: tuple[FactView, ...]


class Remember(Command[FactView], frozen=True):
    """Sent by who has learned something. The same key with the same fields gives the same fact."""

    wire_name = "fact.remember"

    subject: str
    text: str
    by: str
    audience: Audience = "everyone"
    readers: tuple[str, ...] = ()
    valid_from_us: Microseconds = 0
    """0 means from now on."""
    valid_to_us: Microseconds = 0
    task: TaskId = TaskId("")
    idempotency_key: str = ""


class CorrectFact(Command[FactView], frozen=True):
    """Sent by who knows better: the new text takes the fact's place, for the same readers."""

    wire_name = "fact.correct"

    fact: FactId
    text: str
    by: str
    reason: str = ""
    valid_from_us: Microseconds = 0
    """Since when the new text is so, and the old one is not; 0 means from now on."""
    valid_to_us: Microseconds = 0
    task: TaskId = TaskId("")
    is_operator: bool = False
    """Whether it is said by who may change everybody's facts."""
    idempotency_key: str = ""


class EndFact(Command[FactView], frozen=True):
    """Sent by who knows that a fact is no longer so, and has nothing to put in its place. A repeat changes nothing."""

    wire_name = "fact.end"

    fact: FactId
    by: str
    reason: str = ""
    is_operator: bool = False


class Recall(Query[FactPage], frozen=True):
    """Sent by who looks for facts by words: the best matches among all that were valid at the moment, best first."""

    wire_name = "fact.recall"

    query: str
    reader: str
    limit: int = 10
    as_of_us: Microseconds = 0
    """0 means now."""
    is_operator: bool = False
    """Whether it is asked by who may read everybody's facts."""


class ListFacts(Query[FactPage], frozen=True):
    """Sent by whoever wants to see facts, newest first."""

    wire_name = "fact.list"

    reader: str
    limit: int = 50
    after: FactId = FactId("")
    as_of_us: Microseconds = 0
    which: Which = "valid"
    is_operator: bool = False


class ReadFact(Query[FactHistory], frozen=True):
    """Sent by whoever wants to see a fact with all that it has taken the place of, and all that took its place."""

    wire_name = "fact.read"

    fact: FactId
    reader: str
    is_operator: bool = False


class MemoryRemembered(Event, frozen=True):
    """Recorded when a fact is remembered.

    What not everyone may read stands in `veiled`, and only the sealed `key` makes it readable: the feed shows neither
    subject nor text, and the words are gone for good once either half is.
    """

    wire_name = "memory.remembered"
    about = "fact"
    sealed: ClassVar[tuple[str, ...]] = ("key",)
    personal: ClassVar[tuple[str, ...]] = ("subject", "text", "veiled")

    fact: FactId
    owner: str
    audience: Audience
    readers: tuple[str, ...]
    subject: str
    text: str
    veiled: str
    key: str
    valid_from_us: Microseconds
    valid_to_us: Microseconds
    recorded_us: Microseconds
    task: TaskId = TaskId("")
    agent: AgentId = AgentId("")
    idempotency_key: str = ""


class MemoryCorrected(Event, frozen=True):
    """Recorded when a fact takes the place of another one; owner and readers stay."""

    wire_name = "memory.corrected"
    about = "fact"
    sealed: ClassVar[tuple[str, ...]] = ("key",)
    personal: ClassVar[tuple[str, ...]] = ("subject", "text", "reason", "veiled")

    fact: FactId
    supersedes: FactId
    owner: str
    by: str
    audience: Audience
    subject: str
    text: str
    reason: str
    veiled: str
    key: str
    valid_from_us: Microseconds
    valid_to_us: Microseconds
    recorded_us: Microseconds
    task: TaskId = TaskId("")
    agent: AgentId = AgentId("")
    idempotency_key: str = ""


class MemoryEnded(Event, frozen=True):
    """Recorded when a fact is no longer so."""

    wire_name = "memory.ended"
    about = "fact"
    sealed: ClassVar[tuple[str, ...]] = ("key",)
    personal: ClassVar[tuple[str, ...]] = ("subject", "reason", "veiled")

    fact: FactId
    owner: str
    by: str
    audience: Audience
    subject: str
    reason: str
    veiled: str
    key: str
    ended_us: Microseconds
    agent: AgentId = AgentId("")
