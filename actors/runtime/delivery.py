"""How a message reaches its actor: delivery, asks with deadlines, the bus, dead letters.

What cannot be delivered is never lost in silence: it becomes a dead letter, and whoever asked is told at once. An ask
that would wait for itself is refused by the chain in its envelope; one that comes from an edge returns only after the
commit of what the answer rests on.
"""

import asyncio

from actors.runtime.cell import Cell
from actors.runtime.deadlines import Deadlines
from actors.runtime.dispatcher import Dispatcher
from actors.runtime.lifecycle import Lifecycle
from actors.runtime.log import Log
from actors.runtime.reply import ReplyBox
from bus.address import NOBODY, Address
from bus.bus import Bus, BusSubscription, Interest
from bus.envelope import HOPS_MAX, Answer, Envelope, Failure
from bus.errors import (
    ActorStopped,
    AskCycle,
    DeadlinePassed,
    MailboxFull,
    NoSuchActor,
    TooManyHops,
    Undeliverable,
)
from bus.mailbox import Overflow, Verdict
from bus.messages.base import Message
from bus.messages.runtime import DeadLettered, Terminated


class Delivery:
    """The roads between all actors of a system."""

    def __init__(self, dispatcher: Dispatcher, log: Log, deadlines: Deadlines) -> None:
        self._loop = asyncio.get_running_loop()
        self._dispatcher = dispatcher
        self._log = log
        self._deadlines = deadlines
        self._bus = Bus()
        self._cells: dict[Address, Cell] = {}
        self.dead_letters = 0
        self.late_replies = 0

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All actors there are, in start order."""
        return tuple(self._cells.values())

    def find(self, address: Address) -> Cell | None:
        """The actor at an address, if there is one."""
        return self._cells.get(address)

    def cell(self, address: Address) -> Cell:
        """The actor at an address. Raises NoSuchActor."""
        cell = self._cells.get(address)
        if cell is None:
            raise NoSuchActor(address)
        return cell

    def open(self, cell: Cell) -> None:
        """Deliver to the cell from now on. Raises ValueError when its address is taken."""
        if cell.address in self._cells:
            raise ValueError(f"there is an actor at {cell.address} already")
        self._cells[cell.address] = cell

    def close(self, cell: Cell, reason: str) -> None:
        """The cell has stopped for good: what it had queued are dead letters, and its watchers hear of it."""
        self.end_subscriptions(cell)
        self._cells.pop(cell.address, None)
        for envelope in cell.mailbox.drain():
            self._bounce(cell.address, envelope, ActorStopped(cell.address))
        for watcher in cell.watchers:
            self._notify(watcher, Terminated(cell.address, reason))

    def deliver(self, to: Address, envelope: Envelope) -> None:
        """Queue a message for an actor; what cannot be queued becomes a dead letter, and its asker is told."""
        cell = self._cells.get(to)
        if cell is None:
            self._bounce(to, envelope, NoSuchActor(to))
        elif envelope.hops > HOPS_MAX:
            self._bounce(to, envelope, TooManyHops(to, envelope.hops))
        elif cell.state in (Lifecycle.STOPPING, Lifecycle.STOPPED):
            self._bounce(to, envelope, ActorStopped(to))
        else:
            verdict, displaced = cell.mailbox.offer(envelope)
            if displaced is not None:
                self._bounce(to, displaced, MailboxFull(to, cell.mailbox.size_max))
            if verdict is Verdict.ACCEPTED:
                self._dispatcher.wake(cell)
            else:
                self._bounce(to, envelope, MailboxFull(to, cell.mailbox.size_max))

    async def send(self, to: Address, envelope: Envelope, *, timeout_s: float) -> None:
        """Queue a message, waiting for room. Raises Undeliverable."""
        await self._wait_for_room(to, timeout_s)
        cell = self._cells[to]
        verdict, displaced = cell.mailbox.offer(envelope)
        if displaced is not None:
            self._bounce(to, displaced, MailboxFull(to, cell.mailbox.size_max))
        if verdict is not Verdict.ACCEPTED:
            raise MailboxFull(to, cell.mailbox.size_max)
        self._dispatcher.wake(cell)

    async def exchange(
        self, to: Address, envelope: Envelope, *, timeout_s: float, is_edge: bool = True
    ) -> Answer[Message]:
        """Ask; at an edge, return only after the commit of what the answer rests on."""
        cell = self._cells.get(to)
        if cell is None:
            raise NoSuchActor(to)
        if to in envelope.chain:
            raise AskCycle((*envelope.chain, to))
        box = ReplyBox(self._late_reply)
        envelope.reply_to = box.put
        if cell.mailbox.has_room:
            self.deliver(to, envelope)
            self._dispatcher.run_in_place(cell)
        else:
            await self.send(to, envelope, timeout_s=timeout_s)
        if box.outcome is None:
            envelope.deadline = self._loop.time() + timeout_s
            await box.wait(self._deadlines, timeout_s)
        outcome = box.outcome
        if outcome is None:
            raise DeadlinePassed(f"{to} ({type(envelope.message).__name__})", timeout_s)
        if is_edge:
            await self._log.committed(outcome.after)
        if isinstance(outcome, Failure):
            raise outcome.error
        return outcome

    def publish(self, envelope: Envelope) -> None:
        """Offer a message to the bus's subscribers."""
        self._bus.publish(envelope)

    def subscribe(self, owner: Address, interest: Interest, size_max: int, overflow: Overflow) -> BusSubscription:
        """Subscribe an actor to the bus."""
        cell = self.cell(owner)

        def wake(subscription: BusSubscription) -> None:
            cell.pulls.append(subscription)
            self._dispatcher.wake(cell)

        subscription = self._bus.subscribe(interest, wake, size_max=size_max, overflow=overflow)
        cell.bus_subscriptions.append(subscription)
        return subscription

    def watch(self, watcher: Address, watched: Address) -> None:
        """Tell `watcher` when `watched` has stopped for good; at once when there is no such actor."""
        cell = self._cells.get(watched)
        if cell is None:
            self._notify(watcher, Terminated(watched, "there is no such actor"))
        else:
            cell.watchers.append(watcher)

    def unstash(self, address: Address, envelopes: list[Envelope]) -> None:
        """Put stashed messages back in front of an actor's mailbox."""
        cell = self.cell(address)
        cell.mailbox.put_back(envelopes)
        self._dispatcher.wake(cell)

    def end_subscriptions(self, cell: Cell) -> None:
        """End what an incarnation had subscribed to on the bus."""
        for subscription in cell.bus_subscriptions:
            self._bus.unsubscribe(subscription)
        cell.bus_subscriptions.clear()
        cell.pulls.clear()

    def undelivered(self, cell: Cell, envelope: Envelope, reason: str) -> None:
        """A message that was taken from the mailbox and not handled."""
        cell.fail_envelope(envelope, ActorStopped(cell.address))
        self.dead_letter(cell.address, envelope, reason)

    def dead_letter(self, to: Address, envelope: Envelope, reason: str) -> None:
        """Count and publish a message that no handler took."""
        self.dead_letters += 1
        if isinstance(envelope.message, DeadLettered):
            return
        name = envelope.message.wire_name or type(envelope.message).__name__
        self.publish(Envelope(DeadLettered(to, envelope.sender, name, reason), sender=NOBODY, after=envelope.after))

    async def _wait_for_room(self, to: Address, timeout_s: float) -> None:
        deadline = self._loop.time() + timeout_s
        while True:
            cell = self._cells.get(to)
            if cell is None or cell.state in (Lifecycle.STOPPING, Lifecycle.STOPPED):
                raise ActorStopped(to) if cell is not None else NoSuchActor(to)
            if cell.mailbox.has_room or cell.mailbox.overflow is not Overflow.WAIT:
                return
            room: asyncio.Future[None] = self._loop.create_future()

            def wake(room: "asyncio.Future[None]" = room) -> None:
                if not room.done():
                    room.set_result(None)

            cell.mailbox.park(wake)
            try:
                async with asyncio.timeout_at(deadline):
                    await room
            except TimeoutError as error:
                raise MailboxFull(to, cell.mailbox.size_max) from error
            finally:
                cell.mailbox.unpark(wake)

    def _bounce(self, to: Address, envelope: Envelope, error: Undeliverable) -> None:
        if envelope.reply_to is not None:
            envelope.reply_to(Failure(error, envelope.after))
        self.dead_letter(to, envelope, str(error))

    def _late_reply(self) -> None:
        self.late_replies += 1

    def _notify(self, watcher: Address, notice: Terminated) -> None:
        cell = self._cells.get(watcher)
        if cell is not None:
            cell.mailbox.offer_control(Envelope(notice))
            self._dispatcher.wake(cell)
