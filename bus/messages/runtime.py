"""What the runtime says of actors and of messages that reached nobody."""

from bus.address import Address
from bus.messages.base import Message


class Terminated(Message, frozen=True):
    """Sent to those who watch an actor when it has stopped for good, or when there never was one."""

    wire_name = "actor.terminated"

    address: Address
    reason: str


class DeadLettered(Message, frozen=True):
    """Published for each message that no handler took: who sent what to whom, and why it was not handled."""

    wire_name = "dead.letter"

    to: Address
    sender: Address
    message: str
    """The message's wire name."""
    reason: str
