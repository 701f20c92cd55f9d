"""The one door from the web to the actors.

Whoever fills it returns an answer only after the commit of what the answer rests on: nothing that goes through here to
a client can be undone by a crash.
"""

from typing import Protocol

from bus.address import Address
from bus.envelope import Answer
from bus.messages.base import Message, R, Request

ASK_TIMEOUT_S = 10.0
"""An edge waits for a commit; past this the disk stands still, and the client should hear so."""
CHECKPOINT_TIMEOUT_S = 60.0
"""For what writes or reads a checkpoint, which is as large as all states together."""


class Gateway(Protocol):
    """Asks and tells actors from outside."""

    async def exchange(self, to: Address, request: Request[R], *, timeout_s: float) -> Answer[R]:
        """The reply and the position of the first event that it caused, after the commit.

        Raises Refused, Undeliverable, DeadlinePassed, ActorFault or StorageError.
        """
        ...

    def tell(self, to: Address, message: Message) -> None:
        """Tell without waiting."""
        ...
