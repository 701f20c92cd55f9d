"""A reply that is promised in one turn and given in another."""

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from bus.envelope import Answer, Failure, Origin
from bus.errors import AgoraError
from bus.messages.base import Message, Position

A = TypeVar("A", bound=Message, contravariant=True)


class Debtor(Protocol):
    """Who owes replies; an actor's `Context` is the one there is."""

    after: Position
    turn_position: Position
    deferred: "dict[Deferred[Any], None]"
    """The replies that are promised and not given yet."""

    def settle(self, deferred: "Deferred[Any]") -> None:
        """A promised reply is being given."""
        ...

    def output(self, leave: Callable[[], None]) -> None:
        """Let something leave the actor: at once, or with the turn."""
        ...


class Deferred(Generic[A]):
    """A reply that a later turn or job of the same actor gives, once."""

    __slots__ = ("_debtor", "_origin", "_position")

    def __init__(self, debtor: Debtor, origin: Origin) -> None:
        self._debtor = debtor
        self._origin = origin
        self._position = Position(0)

    @property
    def is_open(self) -> bool:
        """Whether the answer is still to be given."""
        return self in self._debtor.deferred

    def note_position(self, position: Position) -> None:
        """Remember the first event of the turn that deferred."""
        self._position = position

    def answer(self, reply: A) -> None:
        """Answer the asker; what it rests on travels along."""
        debtor = self._debtor
        self._settle(lambda: Answer(reply, self._position or debtor.turn_position, debtor.after))

    def refuse(self, error: AgoraError) -> None:
        """Tell the asker that it gets no reply, and why."""
        self._settle(lambda: Failure(error, self._debtor.after))

    def _settle(self, outcome: Callable[[], Answer[Message] | Failure]) -> None:
        assert self.is_open, "a deferred reply is given once"
        self._debtor.settle(self)
        reply_to = self._origin.reply_to
        if reply_to is not None:
            self._debtor.output(lambda: reply_to(outcome()))
