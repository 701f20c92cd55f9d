"""Everything that is under way: completions, who waits for which provider, streams that are still read, and reminders.

Rules: a completion is in here from its intent to its outcome; a stream until its reader has heard the end. No clock.
"""

from collections import Counter
from collections.abc import Collection

from actors.providers.calls import Call
from actors.providers.streams import Stream
from actors.rules import fairness
from bus.messages.base import AgentId, CompletionId, Message


class CallDue(Message, frozen=True):
    """Sent by a timer: a waiting completion looks again, in a new round or because its time is nearly up."""

    wire_name = "router.call_due"

    completion: CompletionId
    is_next_round: bool


class HedgeDue(Message, frozen=True):
    """Sent by a timer: an attempt has said nothing for so long that another is worth its while."""

    wire_name = "router.hedge_due"

    completion: CompletionId
    attempt: int


class AllowanceIdle(Message, frozen=True):
    """Sent by a timer: it is a while since a paid call began."""

    wire_name = "router.allowance_idle"


class PartDue(Message, frozen=True):
    """Sent by a timer: a reader has waited for more of a stream."""

    wire_name = "router.part_due"

    completion: CompletionId


class ShowDue(Message, frozen=True):
    """Sent by a timer: somebody may watch what is being said. `shown` is how much of it was shown before."""

    wire_name = "router.show_due"

    completion: CompletionId
    shown: int


class ReaderGone(Message, frozen=True):
    """Sent by a timer: nobody has read a stream for a while."""

    wire_name = "router.reader_gone"

    completion: CompletionId


class Register:
    """The completions under way or waiting."""

    def __init__(self) -> None:
        self._calls: dict[CompletionId, Call] = {}
        self._held: dict[AgentId, int] = {}
        """How many each agent has under way or waiting; plain numbers, since every call counts here twice."""
        self._turns: dict[AgentId, int] = {}
        """When each agent that holds something last began an attempt, counted in attempts."""
        self._turn = 0
        self._queued: dict[CompletionId, str] = {}
        """Who waits for which busy provider, oldest first."""
        self._streams: dict[CompletionId, Stream] = {}
        self._tickets: dict[str, CompletionId] = {}

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def queued(self) -> int:
        """How many wait for a busy provider."""
        return len(self._queued)

    @property
    def waiting(self) -> Counter[str]:
        """How many wait, by provider."""
        return Counter(self._queued.values())

    def has_room(self, agent: AgentId, completions_max: int, share: float) -> bool:
        """May this agent begin another?"""
        return fairness.has_room(self._held.get(agent, 0), len(self._calls), completions_max, share)

    def find(self, completion: CompletionId) -> Call | None:
        """A completion that is not over."""
        return self._calls.get(completion)

    def by_ticket(self, ticket: str) -> CompletionId:
        """The completion that was asked for with this ticket and is not over; empty if there is none."""
        return self._tickets.get(ticket, CompletionId(""))

    def add(self, call: Call) -> None:
        """A completion begins."""
        self._calls[call.completion] = call
        self._held[call.agent] = self._held.get(call.agent, 0) + 1
        if call.request.ticket:
            self._tickets[call.request.ticket] = call.completion

    def remove(self, call: Call) -> None:
        """A completion is over."""
        del self._calls[call.completion]
        self._queued.pop(call.completion, None)
        if call.request.ticket and self._tickets.get(call.request.ticket) == call.completion:
            del self._tickets[call.request.ticket]
        if left := self._held[call.agent] - 1:
            self._held[call.agent] = left
        else:
            del self._held[call.agent]
            self._turns.pop(call.agent, None)

    def note_turn(self, call: Call) -> None:
        """It has got a place."""
        self._turn += 1
        self._turns[call.agent] = self._turn

    def queue(self, call: Call, provider: str) -> None:
        """It waits for a place at a provider."""
        self._queued[call.completion] = provider

    def unqueue(self, completion: CompletionId) -> None:
        """It waits no longer."""
        self._queued.pop(completion, None)

    def stranded(self, providers: Collection[str]) -> tuple[Call, ...]:
        """Those that wait for a provider which is not one of these."""
        return tuple(self._calls[one] for one, name in self._queued.items() if name not in providers)

    def next_for(self, provider: str) -> Call | None:
        """Who goes next of those that wait for a provider."""
        if not self._queued:
            return None  # as a rule, and counting who is under way takes its time
        waiting = ((one, self._calls[one].agent) for one, name in self._queued.items() if name == provider)
        under_way = Counter(call.agent for call in self._calls.values() if call.flights)
        completion = fairness.next_of(waiting, under_way, self._turns)
        return self._calls[completion] if completion is not None else None

    def open_stream(self, call: Call) -> None:
        """Its words will be read."""
        call.stream = self._streams[call.completion] = Stream()

    def stream(self, completion: CompletionId) -> Stream | None:
        """A stream that is still read."""
        return self._streams.get(completion)

    def close_stream(self, completion: CompletionId) -> bool:
        """Nobody reads it any more; False if nobody did before."""
        return self._streams.pop(completion, None) is not None
