"""The cascade router: it asks one provider after the other until one answers, within one deadline and one budget.

It owns all state: breakers, permits, money. What becomes of a completion on its way stands in `actors.cascading`, the
money in hand in `actors.purse`; here is who may ask for what: agents and visitors for completions, whole or word by
word, operators for the cascade itself.

What outlives the process is folded from events: who is enabled, breakers with the rest of their wait, all money. What
does not: outcomes in a closed breaker's window, gates after throttling, latencies. An intent that a crash left without
an outcome is recorded as unknown and counts as spent; it is never sent again.
"""

from collections.abc import Mapping

from actors.cascading import Cascading
from actors.providers import Call
from actors.providers.health import LOOK_KEY, LookDue, LookEnded, look
from actors.providers.register import PartDue, ReaderGone, ShowDue
from actors.providers.settings import RouterOptions
from actors.providers.showing import Showing
from actors.providers.streams import Stream
from actors.purse import Neighbours
from actors.rules import records, routing, spending, vectors
from actors.rules.recordings import Recordings
from actors.rules.retries import Retries
from actors.rules.routing import RouterState
from actors.rules.spending import Limits
from actors.rules.trials import Trials
from actors.runtime import Deferred
from bus.errors import AgoraError
from bus.messages.base import Command, CompletionId, Done, Event
from bus.messages.completions import (
    BudgetRaised,
    CancelCompletion,
    Complete,
    Completion,
    CompletionBegun,
    DisableProvider,
    EnableProvider,
    ProviderDisabled,
    ProviderEnabled,
    ReadRouter,
    ReadStream,
    RouterView,
    SetBudget,
    StreamCompletion,
    StreamPart,
)
from bus.messages.embeddings import Embed, Embedding
from bus.messages.routing import (
    CascadeReconfigured,
    CascadeReordered,
    ProviderSeen,
    Reconciled,
    ReconcileSpending,
    Reloaded,
    ReorderProviders,
    ResetProvider,
)
from bus.refusals import InvalidField, NotFound
from bus.switch import Switch

__all__ = ["Neighbours", "Reconfigure", "Router", "RouterOptions", "RouterState"]

SHOW_S = 0.1
"""Between two looks at what is being said: as often as an eye follows."""


class Reconfigure(Command[Reloaded], frozen=True):
    """Sent by who has read the settings again: go on with these."""

    wire_name = "router.reconfigure"

    options: RouterOptions


class Router(Cascading):
    """One actor for all providers."""

    state_type = RouterState

    def __init__(
        self,
        options: RouterOptions,
        environment: Mapping[str, str],
        switch: Switch | None = None,
        *,
        neighbours: Neighbours | None = None,
        recordings: Recordings | None = None,
    ) -> None:
        known = neighbours or Neighbours()
        super().__init__(options, environment, known, switch=switch, recordings=recordings)
        self._showing = Showing(known.audience, options, environment)
        self._awaits_look = False
        """Whether the timer of the next look runs."""

    def initial(self) -> RouterState:
        return RouterState()

    def apply(self, event: Event) -> None:
        routing.apply(self.state, event)

    async def on_start(self) -> None:
        await self._transport.__aenter__()

    def on_recovered(self) -> None:
        """Put the breakers back, try again whom only the router had disabled, and own up to what is unknown."""
        returning = self._seats.restore(self.state.cascade, self.monotonic_s, self.now_us)
        if returning:
            self.persist(*(ProviderEnabled(provider=name) for name in returning))
        if off := self._seats.switched(self.state.cascade):
            self.persist(*off)
        self._own_up()
        self._look_later()

    def on_complete(self, request: Complete) -> Completion | None:
        """Begin a completion; the reply is deferred until it ends."""
        call = Call(request, self.monotonic_s, self.now_us)
        begun = self._begin(call)
        call.owed = self.defer()
        if request.is_shown and self._showing.allows(call):
            call.stream = Stream()
            self._show_later(call.completion)
        self._start(call, begun)
        return None

    def on_embed(self, command: Embed) -> Embedding | None:
        """Begin to turn texts into vectors, as a completion is begun; the reply is deferred until it ends."""
        vectors.check(command)
        call = Call.embedding(command, self.monotonic_s, self.now_us)
        begun = self._begin(call)
        call.owed_vectors = self.defer()
        self._start(call, begun)
        return None

    def on_stream_completion(self, command: StreamCompletion) -> CompletionBegun | None:
        """Begin a completion whose words are read as they come."""
        call = Call(command.request, self.monotonic_s, self.now_us)
        begun = self._begin(call)
        if isinstance(begun, AgoraError):
            owed: Deferred[CompletionBegun] = self.defer()
            owed.refuse(begun)
            return None
        self._register.open_stream(call)
        self._await_reader(call.completion)
        if self._showing.allows(call):
            self._show_later(call.completion)
        self._follow(call, begun)
        return CompletionBegun(call.completion)

    def on_read_stream(self, read: ReadStream) -> StreamPart | None:
        """Tell what has come since; the reply is deferred until there is more."""
        stream = self._register.stream(read.completion)
        if stream is None:
            raise NotFound("stream", read.completion)
        self._await_reader(read.completion)
        part = stream.part(read)
        if part is None:
            stream.wait(read, self.defer())
            self.start_timer(_wait_key(read.completion), read.wait_s, PartDue(read.completion))
        return part

    def on_part_due(self, due: PartDue) -> None:
        """A reader has waited for long enough: it hears that there is nothing yet, and asks again."""
        if (stream := self._register.stream(due.completion)) is not None:
            stream.pacify()

    def on_reader_gone(self, gone: ReaderGone) -> None:
        """Nobody listens any more: end the call."""
        if self._register.close_stream(gone.completion):
            self._cancel(gone.completion)

    def on_show_due(self, due: ShowDue) -> None:
        """Show what is being said to whoever watches; the last look says that it is over."""
        call = self._register.find(due.completion)
        stream = call.stream if call is not None else None
        audience = self._showing.audience
        if audience is None or call is None or stream is None:
            return
        if len(stream.text) != due.shown:
            self.tell(audience, self._showing.words(call, is_over=False))
        self._show_later(due.completion, len(stream.text))

    def on_cancel_completion(self, command: CancelCompletion) -> Done:
        """End a call, wherever it is."""
        completion = command.completion or self._register.by_ticket(command.ticket)
        self._cancel(completion)
        if self._register.close_stream(completion):
            self.cancel_timer(_reader_key(completion))
        return Done()

    def on_look_due(self, _: LookDue) -> None:
        """Look at providers beside all requests."""
        self._awaits_look = False
        for seat in self._seats.to_look_at(self._options.probe):
            if seat.is_looked_at:
                continue
            seat.is_looked_at = True
            self.perform_at_once(look, self.address, seat.options, self._transport)
        self._look_later()

    def on_look_ended(self, ended: LookEnded) -> None:
        """A provider that was seen gone and is there again is tried with the next request, within its probes."""
        seat = self._seats.find(ended.provider)
        if seat is None:
            return
        seat.is_looked_at = False
        if ended.is_there != records.standing(self.state.cascade, seat.name).is_there:
            self.persist(
                ProviderSeen(provider=seat.name, is_there=ended.is_there, reason=ended.reason, seen_us=self.now_us)
            )
            if ended.is_there:
                seat.hasten(self.monotonic_s)

    def on_read_router(self, _: ReadRouter) -> RouterView:
        """Show the cascade and the money."""
        providers = self._seats.views(self.state.cascade, self.monotonic_s)
        return routing.view(self.state, self._limits, providers, self._register.waiting, self.now_us)

    def on_enable_provider(self, command: EnableProvider) -> Done:
        """Take a provider into the cascade again, its breaker closed."""
        seat = self._seats.seat(command.provider)
        events = [*seat.reset(self.now_us)]
        if not records.standing(self.state.cascade, seat.name).is_enabled:
            events.append(ProviderEnabled(provider=seat.name))
        if events:
            self.persist(*events)
        return Done()

    def on_reset_provider(self, command: ResetProvider) -> Done:
        """Close a provider's breaker and lift its gate."""
        if events := self._seats.seat(command.provider).reset(self.now_us):
            self.persist(*events)
        return Done()

    def on_disable_provider(self, command: DisableProvider) -> Done:
        """Take a provider out of the cascade; its calls under way may still answer."""
        seat = self._seats.seat(command.provider)
        record = records.standing(self.state.cascade, seat.name)
        if record.is_enabled or record.is_disabled_by_router:
            self.persist(ProviderDisabled(provider=seat.name, reason=command.reason or "by an operator"))
        return Done()

    def on_reorder_providers(self, command: ReorderProviders) -> Done:
        """Put providers in front."""
        for name in command.providers:
            self._seats.seat(name)
        if len(set(command.providers)) != len(command.providers):
            raise InvalidField("providers", "must name each one once")
        if command.providers != self.state.cascade.order:
            self.persist(CascadeReordered(providers=command.providers))
        return Done()

    def on_set_budget(self, command: SetBudget) -> Done:
        """Set what the run may spend; its cost so far stays."""
        if command.run_usd_micros < 0:
            raise InvalidField("run_usd_micros", "must be at least 0")
        self.persist(BudgetRaised(budget=spending.RUN, limit_usd_micros=command.run_usd_micros))
        return Done()

    def on_reconcile_spending(self, command: ReconcileSpending) -> Reconciled:
        """Learn from a bill what became of money of which nobody knew whether it was spent."""
        if events := spending.reconcile(self.state.spending, command, self._limits, self.now_us):
            self.persist(*events)
        return Reconciled(self.state.spending.unknown)

    def on_reconfigure(self, command: Reconfigure) -> Reloaded:
        """Go on with other settings: what is under way ends under those that it began with."""
        before, after = self._options, command.options
        changes = routing.changes(before, after)
        if not changes:
            return Reloaded((), ())
        self._options = after
        self._showing.reconfigure(after)
        self._limits = Limits(after.budget_run_usd_micros, after.budget_day_usd_micros, after.budget_agent_usd_micros)
        if after.cascade != before.cascade:
            self._retries = Retries(after.cascade)
            self._trials = Trials(after.cascade)
        self._seats.reconfigure(after.providers, after.breaker)
        self.persist(CascadeReconfigured(changes=changes), *self._seats.switched(self.state.cascade))
        self._reopen()
        for seat in self._seats.all:
            self._look_again(seat)
        for call in self._register.stranded({seat.name for seat in self._seats.all}):
            self._register.unqueue(call.completion)
            self.cancel_timer(call.completion)
            self._go_on(call)
        self._awaits_look = False  # another interval may count from now on
        self._look_later()
        return Reloaded(changes, ())

    async def on_stop(self) -> None:
        await self._seats.close()
        await self._transport.__aexit__(None, None, None)

    def _await_reader(self, completion: CompletionId) -> None:
        self.start_timer(_reader_key(completion), self._options.reader_gone_s, ReaderGone(completion))

    def _show_later(self, completion: CompletionId, shown: int = 0) -> None:
        self.start_timer(_show_key(completion), SHOW_S, ShowDue(completion, shown))

    def _fell_silent(self, call: Call) -> None:
        audience = self._showing.audience
        if audience is not None and call.stream is not None and self._showing.allows(call):
            self.cancel_timer(_show_key(call.completion))
            self.tell(audience, self._showing.words(call, is_over=True))

    def _breaker_opened(self) -> None:
        self._look_later()

    def _look_later(self) -> None:
        if not self._awaits_look and self._seats.to_look_at(self._options.probe):
            self._awaits_look = True
            self.start_timer(LOOK_KEY, self._options.probe_interval_s, LookDue())


def _wait_key(completion: CompletionId) -> str:
    return f"part/{completion}"


def _reader_key(completion: CompletionId) -> str:
    return f"reader/{completion}"


def _show_key(completion: CompletionId) -> str:
    return f"show/{completion}"
