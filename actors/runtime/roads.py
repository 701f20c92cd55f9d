"""How messages leave an actor, as the actor sees it."""

from collections.abc import Mapping
from typing import Protocol

from bus.address import Address
from bus.bus import BusSubscription, Interest
from bus.envelope import Answer, Envelope, Origin
from bus.mailbox import Mailbox, Overflow
from bus.messages.base import Message


class Roads(Protocol):
    """The ways out; `delivery.Delivery` is the one there is."""

    @property
    def inboxes(self) -> Mapping[Address, Mailbox]:
        """The mailboxes that may be put into directly, within their bound and while they hold something."""
        ...

    def deliver(self, to: Address, envelope: Envelope) -> None: ...
    def hand_over(self, to: Address, envelope: Envelope) -> bool: ...
    async def send(self, to: Address, envelope: Envelope, *, timeout_s: float) -> None: ...
    async def exchange(
        self,
        to: Address,
        request: Message,
        origin: Origin,
        *,
        timeout_s: float,
        is_edge: bool = True,
        chain: tuple[Address, ...] = (),
    ) -> Answer[Message]: ...
    def publish(self, envelope: Envelope) -> None: ...
    def subscribe(self, owner: Address, interest: Interest, size_max: int, overflow: Overflow) -> BusSubscription: ...
    def watch(self, watcher: Address, watched: Address) -> None: ...
    def unstash(self, address: Address, envelopes: list[Envelope]) -> None: ...
