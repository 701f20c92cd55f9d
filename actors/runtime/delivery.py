"""How a message reaches its actor: delivery, asks with deadlines, the bus, dead letters.

What cannot be delivered is never lost in silence: it becomes a dead letter, and whoever asked is told at once. An ask
that would wait for itself is refused by the chain in its envelope; one that comes from an edge returns only after the
commit of what the answer rests on. One deadline covers the whole ask: the room, the answer and the commit.
"""

import asyncio
from collections.abc import Mapping

from actors.runtime.cell import Cell
from actors.runtime.deadlines import Deadlines
from actors.runtime.dispatcher import Dispatcher
from actors.runtime.log import Log
from actors.runtime.reply import ReplyBox
from actors.runtime.timers import told
from bus.address import Address
from bus.bus import Bus, BusSubscription, Interest
from bus.envelope import HOPS_MAX, Answer, Envelope, Failure, Origin, Outcome
from bus.errors import (
    ActorStopped,
    AskCycle,
    DeadlinePassed,
    MailboxFull,
    NoSuchActor,
    TooManyHops,
    Undeliverable,
)
from bus.mailbox import Mailbox, Overflow, Verdict
from bus.messages.base import Message
from bus.messages.runtime import DeadLettered, Terminated

OWN_BEYOND_MAX = 1_024
"""What an actor tells itself, timers and the reports of its jobs included, has room beyond the mailbox's bound: it
cannot wait for itself, and a lost timer would leave something undone for ever."""


class Delivery:
    """The roads between all actors of a system."""

    def __init__(self, dispatcher: Dispatcher, log: Log, deadlines: Deadlines) -> None:
        self._loop = asyncio.get_running_loop()
        self._dispatcher = dispatcher
        self._log = log
        self._deadlines = deadlines
        self._bus = Bus()
        self._cells: dict[Address, Cell] = {}
        self._inboxes: dict[Address, Mailbox] = {}
        self._watchers: dict[Address, dict[Address, None]] = {}
        self._watching: dict[Address, dict[Address, None]] = {}
        self.dead_letters = 0
        self.late_replies = 0

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All actors there are, in start order."""
        return tuple(self._cells.values())

    @property
    def inboxes(self) -> Mapping[Address, Mailbox]:
        """The mailboxes that may be put into directly, within their bound and while they hold something."""
        return self._inboxes

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
        self._inboxes[cell.address] = cell.mailbox

    def close(self, cell: Cell, reason: str) -> None:
        """The cell has stopped for good: what it had queued are dead letters, and its watchers hear of it."""
        address = cell.address
        self.end_subscriptions(cell)
        self._cells.pop(address, None)
        self._inboxes.pop(address, None)
        for watched in self._watching.pop(address, {}):
            self._watchers.get(watched, {}).pop(address, None)
        for envelope in cell.mailbox.drain():
            self._bounce(address, envelope, ActorStopped(address))
        for watcher in self._watchers.pop(address, {}):
            self._watching.get(watcher, {}).pop(address, None)
            self._notify(watcher, Terminated(address, reason))

    def deliver(self, to: Address, envelope: Envelope) -> None:
        """Queue a message for an actor; what cannot be queued becomes a dead letter, and its asker is told."""
        cell = self._cells.get(to)
        if cell is not None and cell.is_open and envelope[1].hops <= HOPS_MAX and cell.mailbox.put(envelope):
            if cell.may_run and not cell.is_queued:
                self._dispatcher.wake(cell)
        else:
            self._deliver_otherwise(to, cell, envelope)

    def _deliver_otherwise(self, to: Address, cell: Cell | None, envelope: Envelope) -> None:
        _, origin = envelope
        error = self._obstacle(to, cell, origin)
        if error is not None or cell is None:
            self._bounce(to, envelope, error or NoSuchActor(to))
            return
        is_own = origin.sender == to and cell.mailbox.overflow is Overflow.WAIT
        if is_own and cell.mailbox.offer_beyond(envelope, OWN_BEYOND_MAX):
            self._dispatcher.wake(cell)
            return
        verdict, displaced = cell.mailbox.offer(envelope)
        if displaced is not None:
            self._bounce(to, displaced, MailboxFull(to, cell.mailbox.size_max))
        if verdict is not Verdict.ACCEPTED:
            self._bounce(to, envelope, MailboxFull(to, cell.mailbox.size_max))
        elif cell.may_run and not cell.is_queued:
            self._dispatcher.wake(cell)

    def hand_over(self, to: Address, envelope: Envelope) -> bool:
        """Have an idle actor handle a message now, on this stack; False, and nothing has happened, when it is busy."""
        cell = self._cells.get(to)
        return cell is not None and cell.is_open and self._dispatcher.run_in_place(cell, envelope)

    async def send(self, to: Address, envelope: Envelope, *, timeout_s: float) -> None:
        """Queue a message, waiting for room. Raises Undeliverable."""
        cell = self.cell(to)
        error = self._obstacle(to, cell, envelope[1])
        if error is not None:
            raise error
        if cell.mailbox.overflow is Overflow.WAIT and not cell.mailbox.has_room:
            await self._wait_for_room(cell, envelope, timeout_s)
        else:
            verdict, displaced = cell.mailbox.offer(envelope)
            if displaced is not None:
                self._bounce(to, displaced, MailboxFull(to, cell.mailbox.size_max))
            if verdict is not Verdict.ACCEPTED:
                raise MailboxFull(to, cell.mailbox.size_max)
        if cell.may_run and not cell.is_queued:
            self._dispatcher.wake(cell)

    async def exchange(
        self,
        to: Address,
        request: Message,
        origin: Origin,
        *,
        timeout_s: float,
        is_edge: bool = True,
        chain: tuple[Address, ...] = (),
    ) -> Answer[Message]:
        """Ask; at an edge, return only after the commit of what the answer rests on. `chain` waits for the answer."""
        cell = self.cell(to)
        if to in chain:
            raise AskCycle((*chain, to))
        error = self._obstacle(to, cell, origin)
        if error is not None:
            raise error
        box = ReplyBox(self._late_reply)
        deadline_s = self._loop.time() + timeout_s
        asked = Origin(
            origin.sender,
            origin.after,
            origin.cause,
            origin.correlation,
            origin.hops,
            reply_to=box.put,
            deadline=deadline_s,
            chain=chain,
        )
        envelope = request, asked
        is_taken = self._dispatcher.run_in_place(cell, envelope)
        outcome = box.outcome
        if outcome is None or (is_edge and outcome.after > self._log.watermark):
            if not is_taken:
                await self._queue_request(cell, envelope, timeout_s)
            outcome = await self._wait_for_answer(cell, envelope, box, timeout_s, deadline_s, is_edge=is_edge)
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
            if cell.pulls is not None:
                cell.pulls.append(subscription)
                self._dispatcher.wake(cell)

        subscription = self._bus.subscribe(interest, wake, size_max=size_max, overflow=overflow)
        cell.hold_subscription(subscription)
        return subscription

    def watch(self, watcher: Address, watched: Address) -> None:
        """Tell `watcher` when `watched` has stopped for good, once; at once when there is no such actor."""
        if watched not in self._cells:
            self._notify(watcher, Terminated(watched, "there is no such actor"))
        else:
            self._watchers.setdefault(watched, {})[watcher] = None
            self._watching.setdefault(watcher, {})[watched] = None

    def unstash(self, address: Address, envelopes: list[Envelope]) -> None:
        """Put stashed messages back in front of an actor's mailbox."""
        cell = self.cell(address)
        cell.mailbox.put_back(envelopes)
        self._dispatcher.wake(cell)

    def end_subscriptions(self, cell: Cell) -> None:
        """End what an incarnation had subscribed to on the bus."""
        for subscription in cell.bus_subscriptions:
            self._bus.unsubscribe(subscription)
        cell.drop_subscriptions()

    def undelivered(self, cell: Cell, envelope: Envelope, reason: str) -> None:
        """A message that was taken from the mailbox and not handled."""
        cell.handled -= 1
        cell.fail_envelope(envelope, ActorStopped(cell.address))
        self.dead_letter(cell.address, envelope, reason)

    def dead_letter(self, to: Address, envelope: Envelope, reason: str) -> None:
        """Count and publish a message that no handler took. A timer that stands no more is nobody's loss."""
        live = told(envelope)
        if live is None:
            return
        message, origin = live
        self.dead_letters += 1
        if isinstance(message, DeadLettered):
            return
        name = message.wire_name or type(message).__name__
        self.publish((DeadLettered(to, origin.sender, name, reason), Origin(after=origin.after)))

    def _obstacle(self, to: Address, cell: Cell | None, origin: Origin) -> Undeliverable | None:
        """Why a message cannot even be offered to its actor, if it cannot."""
        if cell is None:
            return NoSuchActor(to)
        if origin.hops > HOPS_MAX:
            return TooManyHops(to, origin.hops)
        return None if cell.is_open else ActorStopped(to)

    async def _wait_for_room(self, cell: Cell, envelope: Envelope, timeout_s: float) -> None:
        """Stand in line outside the mailbox until the message is let in."""
        address, mailbox = cell.address, cell.mailbox
        room: asyncio.Future[Undeliverable | None] = self._loop.create_future()

        def end(error: Undeliverable | None) -> None:
            if not room.done():
                room.set_result(error)

        began_s = self._loop.time()
        late = self._deadlines.after(timeout_s, lambda: end(MailboxFull(address, mailbox.size_max)))
        mailbox.park(envelope, lambda is_admitted: end(None if is_admitted else ActorStopped(address)))
        try:
            error = await room
        finally:
            late.cancel()
            mailbox.unpark(envelope)
            cell.backpressure_s += self._loop.time() - began_s
        if error is not None:
            raise error

    async def _queue_request(self, cell: Cell, envelope: Envelope, timeout_s: float) -> None:
        if cell.mailbox.overflow is Overflow.WAIT and not cell.mailbox.has_room:
            await self._wait_for_room(cell, envelope, timeout_s)
            self._dispatcher.wake(cell)
        else:
            self.deliver(cell.address, envelope)

    async def _wait_for_answer(
        self, cell: Cell, envelope: Envelope, box: ReplyBox, timeout_s: float, deadline_s: float, *, is_edge: bool
    ) -> Outcome:
        """Wait for the answer and, at an edge, for the commit of what it rests on. Raises DeadlinePassed."""
        if box.outcome is None:
            await box.wait(self._deadlines, deadline_s - self._loop.time())
        outcome = box.outcome
        if outcome is not None and is_edge and outcome.after > self._log.watermark:
            try:
                async with asyncio.timeout_at(deadline_s):
                    await self._log.committed(outcome.after)
            except TimeoutError:
                outcome = None
        if outcome is None:
            raise DeadlinePassed(f"{cell.address} ({type(envelope[0]).__name__})", timeout_s)
        return outcome

    def _bounce(self, to: Address, envelope: Envelope, error: Undeliverable) -> None:
        _, origin = envelope
        if origin.reply_to is not None:
            origin.reply_to(Failure(error, origin.after))
        self.dead_letter(to, envelope, str(error))

    def _late_reply(self) -> None:
        self.late_replies += 1

    def _notify(self, watcher: Address, notice: Terminated) -> None:
        cell = self._cells.get(watcher)
        if cell is not None:
            cell.mailbox.offer_control((notice, Origin()))
            cell.interrupt()
            self._dispatcher.wake(cell)
