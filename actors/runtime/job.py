"""A child task of an actor, with what its outputs may rest on."""

from collections.abc import Callable
from typing import TypeVar, cast

from actors.runtime.roads import Roads
from bus.address import Address
from bus.envelope import Origin
from bus.messages.base import Message, Position, Request

R = TypeVar("R", bound=Message)


class Job:
    """What a child task tells and asks with.

    In a persistent actor it begins after the commit of the turn that started it, and each of its asks returns after
    the commit of what the reply rests on: whatever it does outside is therefore safe to do.
    """

    __slots__ = ("_address", "_roads", "after", "cancel", "cause", "correlation")

    def __init__(self, roads: Roads, address: Address, correlation: str, cancel: Callable[[], None]) -> None:
        self._roads = roads
        self._address = address
        self.correlation = correlation
        self.after = Position(0)
        self.cause = Position(0)
        self.cancel = cancel

    def rest_on(self, after: Position, cause: Position) -> None:
        """What the turn that starts it has received and appended, and what led to it."""
        self.after = max(self.after, after)
        self.cause = cause

    async def ask(self, to: Address, request: Request[R], *, timeout_s: float, is_edge: bool = True) -> R:
        """Ask, and wait for the commit of what the reply rests on, unless nothing outside will follow from it.

        Raises Refused, Undeliverable, DeadlinePassed or ActorFault.
        """
        answer = await self._roads.exchange(to, request, self._origin(), timeout_s=timeout_s, is_edge=is_edge)
        self.after = max(self.after, answer.after)
        return cast(R, answer.message)  # the request's type parameter is the contract of its handler

    def report(self, message: Message) -> bool:
        """Have one's own actor take a message in one turn, now; False, and nothing has happened, while it is busy."""
        return self._roads.hand_over(self._address, (message, self._origin()))

    def tell(self, to: Address, message: Message) -> None:
        """Tell without waiting; what cannot be delivered becomes a dead letter."""
        self._roads.deliver(to, (message, self._origin()))

    def _origin(self) -> Origin:
        return Origin(self._address, self.after, self.cause, self.correlation)
