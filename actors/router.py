"""The cascade router: it asks one provider after the other until one answers, within one deadline and one budget.

It owns all state: breakers, permits, money. Each completion is a `Call` with at most one attempt under way; an attempt
is a job that calls one provider and reports back as a message; the turn that takes the report decides what comes next.
One that costs money runs on an allowance that is committed already; one that is free waits for nothing. So there are no
locks, and no check grows stale while something is awaited. Which provider is next is decided in `actors.rules.cascade`,
who may be called in `actors.rules.breaker`, who goes first in `actors.rules.fairness`, what may be spent in
`actors.rules.spending` and `actors.rules.allowance`.

What outlives the process is folded from events: who is enabled, breakers with the rest of their wait, all money. What
does not: outcomes in a closed breaker's window, gates after throttling, latencies. An intent that a crash left without
an outcome is recorded as unknown and counts as spent; it is never sent again.
"""

from collections.abc import Mapping

from actors.providers import Call, Seat, Seats, Transport
from actors.providers.attempts import Attempt, AttemptAnswered, AttemptFailed, attempt
from actors.providers.register import AllowanceIdle, CallDue, PartDue, ReaderGone, Register
from actors.providers.settings import RouterOptions
from actors.rules import allowance, cascade, fairness, requests, routing, spending
from actors.rules import breaker as breakers
from actors.rules.cascade import (
    CONSEQUENCES,
    Choice,
    ErrorClass,
    GiveUp,
    Next,
    NextRound,
    Queue,
    Try,
)
from actors.rules.retries import Retries
from actors.rules.routing import RouterState
from actors.rules.spending import Limits
from actors.runtime import Deferred, PersistentActor
from bus.errors import AgoraError
from bus.messages.base import CompletionId, Done, Event, Position
from bus.messages.completions import (
    AllowanceDrawn,
    AllowanceReturned,
    BudgetRaised,
    BudgetSpent,
    CancelCompletion,
    CascadeReordered,
    Complete,
    Completion,
    CompletionBegun,
    DisableProvider,
    EnableProvider,
    ProviderDisabled,
    ProviderEnabled,
    ReadRouter,
    ReadStream,
    ReorderProviders,
    RouterView,
    SetBudget,
    StreamCompletion,
    StreamPart,
)
from bus.messages.system import JOURNAL, SaveCheckpoint
from bus.refusals import (
    AllProvidersFailed,
    Halted,
    IllegalTransition,
    InvalidField,
    NotFound,
    Overloaded,
    RequestRejected,
    StreamBroken,
)
from bus.switch import Switch

__all__ = ["Router", "RouterOptions", "RouterState"]

ALLOWANCE_KEY = "allowance"
ALLOWANCE_IDLE_S = 0.5
"""Long enough that a busy router draws seldom; what is left is at stake only so long."""
UNAVAILABLE = "unavailable"
"""The error of a completion for which nobody could be tried."""


class Router(PersistentActor[RouterState]):
    """One actor for all providers."""

    state_type = RouterState

    def __init__(self, options: RouterOptions, environment: Mapping[str, str], switch: Switch | None = None) -> None:
        self._options = options
        self._switch = switch or Switch()
        self._limits = Limits(
            options.budget_run_usd_micros, options.budget_day_usd_micros, options.budget_agent_usd_micros
        )
        self._transport = Transport()
        self._seats = Seats(options.providers, options.breaker, self._transport, environment)
        self._register = Register()
        self._retries = Retries(options.cascade)
        self._drawn_at = Position(0)
        """Where the last draw of an allowance stands in the journal."""

    def initial(self) -> RouterState:
        return RouterState()

    def apply(self, event: Event) -> None:
        routing.apply(self.state, event)

    async def on_start(self) -> None:
        await self._transport.__aenter__()

    def on_recovered(self) -> None:
        """Put the breakers back, try again whom only the router had disabled, and own up to what is unknown."""
        returning = self._seats.restore(self.state.cascade, self.monotonic_s, self.now_us)
        events = (
            *(ProviderEnabled(provider=name) for name in returning),
            *spending.unknown(self.state.spending, self.now_us),
        )
        if events:
            self.persist(*events)
        if lost := spending.lost_allowance(self.state.spending, self.now_us):
            self.persist(*lost)

    def on_complete(self, request: Complete) -> Completion | None:
        """Begin a completion; the reply is deferred until it ends."""
        call = Call(request, self.monotonic_s)
        begun = self._begin(call)
        owed: Deferred[Completion] = self.defer()
        if isinstance(begun, AgoraError):
            owed.refuse(begun)
        else:
            call.owed = owed
            self._follow(call, begun)
        return None

    def on_stream_completion(self, command: StreamCompletion) -> CompletionBegun | None:
        """Begin a completion whose words are read as they come."""
        call = Call(command.request, self.monotonic_s)
        begun = self._begin(call)
        if isinstance(begun, AgoraError):
            owed: Deferred[CompletionBegun] = self.defer()
            owed.refuse(begun)
            return None
        self._register.open_stream(call)
        self._await_reader(call.completion)
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

    def on_cancel_completion(self, command: CancelCompletion) -> Done:
        """End a call, wherever it is."""
        self._cancel(command.completion)
        if self._register.close_stream(command.completion):
            self.cancel_timer(_reader_key(command.completion))
        return Done()

    def on_attempt_answered(self, ended: AttemptAnswered) -> Done:
        """Settle the money, answer the asker."""
        call, seat = self._under_way(ended)
        if call is None or seat is None:
            return Done()
        outcome = seat.judge(ended.elapsed_s)
        now = (self.monotonic_s, self.now_us)
        transition = seat.give_back(call.permit, outcome, outcome, now, self.dice.random())
        lost = self.state.spending.open[call.completion].lost
        completed = call.completed(seat, ended.reply, lost, ended.elapsed_s, now)
        self.persist(*transition, completed)
        self._end(call, call.reply(completed, ended.reply))
        self._look_again(seat)
        return Done()

    def on_attempt_failed(self, ended: AttemptFailed) -> Done:
        """Draw the consequences of the failure, then go on to whoever is next."""
        call, seat = self._under_way(ended)
        if call is None or seat is None:
            return Done()
        consequence = CONSEQUENCES[ended.error]
        now = (self.monotonic_s, self.now_us)
        events = [*seat.give_back(call.permit, consequence.outcome, ended.error, now, self.dice.random())]
        if consequence.gates:
            breakers.gate(seat.breaker, self.monotonic_s + ended.retry_after_s)
        if consequence.disables and cascade.standing(self.state.cascade, seat.name).is_enabled:
            events.append(ProviderDisabled(provider=seat.name, reason=ended.reason, is_automatic=True))
        charged = call.estimate(seat) if consequence.may_cost else 0
        events.append(call.attempt_failed(seat, ended.error, ended.reason, charged, ended.elapsed_s))
        self.persist(*events)
        stream = call.stream
        if consequence.next is Next.STOP:
            self._fail(call, ended.error, ended.reason, RequestRejected(seat.name, ended.reason))
        elif stream is not None and stream.text and not call.request.may_restart:
            self._fail(call, ended.error, ended.reason, StreamBroken(seat.name, ended.reason, stream.text))
        else:
            if stream is not None and stream.text:
                stream.restart()
            self._go_on(call)
        self._look_again(seat)
        return Done()

    def on_call_due(self, due: CallDue) -> None:
        """A wait is over."""
        call = self._register.find(due.completion)
        if call is None or call.seat is not None:
            return
        self._register.unqueue(due.completion)
        call.round += due.is_next_round
        self._go_on(call)

    def on_allowance_idle(self, _: AllowanceIdle) -> None:
        """Give back what no call has needed for a while."""
        books = self.state.spending
        if books.reserved:
            self.start_timer(ALLOWANCE_KEY, ALLOWANCE_IDLE_S, AllowanceIdle())
        elif books.allowance:
            self.persist(AllowanceReturned(amount_usd_micros=books.allowance))

    def on_read_router(self, _: ReadRouter) -> RouterView:
        """Show the cascade and the money."""
        providers = self._seats.views(self.state.cascade, self.monotonic_s)
        return routing.view(self.state, self._limits, providers, self._register.queued, self.now_us)

    def on_enable_provider(self, command: EnableProvider) -> Done:
        """Take a provider into the cascade again, its breaker closed."""
        seat = self._seats.seat(command.provider)
        events = [*seat.reset(self.now_us)]
        if not cascade.standing(self.state.cascade, seat.name).is_enabled:
            events.append(ProviderEnabled(provider=seat.name))
        if events:
            self.persist(*events)
        return Done()

    def on_disable_provider(self, command: DisableProvider) -> Done:
        """Take a provider out of the cascade; its calls under way may still answer."""
        seat = self._seats.seat(command.provider)
        record = cascade.standing(self.state.cascade, seat.name)
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

    async def on_stop(self) -> None:
        await self._transport.__aexit__(None, None, None)

    def _under_way(self, ended: AttemptAnswered | AttemptFailed) -> tuple[Call | None, Seat | None]:
        """The call whose attempt has ended, and where; None if that was told before."""
        call = self._register.find(ended.completion)
        return (call, call.seat) if call is not None and call.attempts == ended.attempt else (None, None)

    def _begin(self, call: Call) -> Choice | AgoraError:
        """Take a completion in: what to do first, or a refusal that is recorded.

        Raises:
            Refused: a refusal that leaves no trace.
        """
        request = call.request
        requests.check(request)
        if self._switch.is_halted:
            raise Halted
        if not self._register.has_room(call.agent, self._options.completions_max, self._options.agent_share):
            wait_s = fairness.retry_after_s(self._register.queued + 1, self._seats.places, self._seats.latency_s)
            raise Overloaded("the router", wait_s)
        needed = self._seats.dearest(self.state.cascade, call.tokens_in, request.tokens_max)
        drawn = spending.budgets(self.state.spending, self._limits, request.agent, self.now_us)
        refused, notes = spending.refusal(self.state.spending, drawn, needed)
        if refused is not None and not notes:
            raise refused
        choice = self._choose(call)
        if refused is None and isinstance(choice, GiveUp):
            raise self._nobody(call, choice.reason)
        if refused is not None:
            self._note(notes)
            return refused
        call.completion = CompletionId(f"m-{self.state.spending.requested + 1}")
        self.persist(*spending.warnings(self.state.spending, drawn, needed), call.requested(needed, self.now_us))
        self._register.add(call)
        self._retries.earn()
        return choice

    def _choose(self, call: Call) -> Choice:
        now_s = self.monotonic_s
        candidates = self._seats.candidates(self.state.cascade, call, now_s)
        left_s = call.deadline_s - now_s
        jitter = self.dice.random()
        return cascade.choose(candidates, call.attempted, call.round, left_s, self._options.cascade, jitter)

    def _go_on(self, call: Call) -> None:
        """The next attempt, or the end. What failed attempts may have cost can leave no money for another."""
        intent = self.state.spending.open[call.completion]
        if intent.lost:
            drawn = spending.budgets(self.state.spending, self._limits, call.request.agent, self.now_us)
            refused, notes = spending.refusal(self.state.spending, drawn, intent.reserved, intent.reserved)
            if refused is not None:
                self._note(notes)
                self._fail(call, "budget", str(refused), refused)
                return
        self._follow(call, self._choose(call))

    def _follow(self, call: Call, choice: Choice) -> None:
        match choice:
            case Try() if self._switch.is_halted:
                refusal = Halted()
                self._fail(call, refusal.code, str(refusal), refusal)
            case Try(provider, limit_s):
                self._try(call, self._seats.seat(provider), limit_s)
            case Queue(provider, delay_s):
                self._register.queue(call, provider)
                self.start_timer(call.completion, delay_s, CallDue(call.completion, is_next_round=False))
            case NextRound(delay_s) if self._retries.take():
                self.start_timer(call.completion, delay_s, CallDue(call.completion, is_next_round=True))
            case NextRound():
                self._follow(call, GiveUp("too many completions had to be tried again of late"))
            case GiveUp(reason):
                error = call.attempted[-1].error if call.attempted else UNAVAILABLE
                self._fail(call, error, reason, self._nobody(call, reason))

    def _try(self, call: Call, seat: Seat, limit_s: float) -> None:
        """Begin an attempt. One that may cost money waits until that money is committed; it mostly is already."""
        permit, events = seat.take(call.tokens_in + call.request.tokens_max, self.monotonic_s, self.now_us)
        call.begin(seat, permit)
        self._register.note_turn(call)
        if events:
            self.persist(*events)
        clock = self._context.core.clock
        what = Attempt(self.address, call, seat, limit_s, self._options.cascade.attempt_min_s, clock.monotonic_s)
        perform = self.perform_at_once if not seat.is_paid or self._is_covered() else self.perform
        call.cancel = perform(attempt, what).cancel

    def _is_covered(self) -> bool:
        """Whether all that paid calls may cost was drawn in advance and is committed. Draws what is missing."""
        if not self._options.allowance_usd_micros or self._limits.agent:
            return False
        books = self.state.spending
        shared = spending.shared_budgets(books, self._limits, self.now_us)
        if amount := allowance.to_draw(books, shared, self._options.allowance_usd_micros):
            self._drawn_at = self.persist(AllowanceDrawn(amount_usd_micros=amount))
        self.start_timer(ALLOWANCE_KEY, ALLOWANCE_IDLE_S, AllowanceIdle())
        return self._context.core.log.watermark >= self._drawn_at

    def _nobody(self, call: Call, reason: str) -> AllProvidersFailed:
        skipped = self._seats.why_skipped(self.state.cascade, call, self.monotonic_s)
        return AllProvidersFailed((*call.lines, *skipped, reason))

    def _look_again(self, seat: Seat) -> None:
        """A place came free: let those who wait for it look again, in a fair order, until one has to go on waiting."""
        while (call := self._register.next_for(seat.name)) is not None:
            choice = self._choose(call)
            if isinstance(choice, Queue) and choice.provider == seat.name:
                return
            self._register.unqueue(call.completion)
            self.cancel_timer(call.completion)
            self._follow(call, choice)

    def _cancel(self, completion: CompletionId) -> None:
        """End a call that nobody wants any more: its socket is closed, and its provider is not blamed."""
        call = self._register.find(completion)
        if call is None:
            return
        self.cancel_timer(completion)
        seat, charged = call.seat, 0
        if seat is not None:
            assert call.cancel is not None, "an attempt under way can be cancelled"
            call.cancel()
            error = ErrorClass.CANCELLED
            consequence = CONSEQUENCES[error]
            now = (self.monotonic_s, self.now_us)
            events = seat.give_back(call.permit, consequence.outcome, error, now, self.dice.random())
            charged = call.estimate(seat) if consequence.may_cost else 0
            call.seat = None
            if events:
                self.persist(*events)
        self._fail(
            call,
            ErrorClass.CANCELLED,
            "nobody wants it any more",
            IllegalTransition(f"completion {completion}", "cancelled", "answered"),
            charged,
        )
        if seat is not None:
            self._look_again(seat)

    def _fail(self, call: Call, error: str, reason: str, refusal: AgoraError, charged: int = 0) -> None:
        """`charged` is what an attempt that was cut short may have cost."""
        lost = self.state.spending.open[call.completion].lost
        self.persist(call.failed(error, reason, lost + charged, self.now_us))
        self._end(call, refusal)

    def _end(self, call: Call, outcome: Completion | AgoraError) -> None:
        """The completion is over: tell who asked."""
        self._register.remove(call)
        call.end(outcome)

    def _await_reader(self, completion: CompletionId) -> None:
        self.start_timer(_reader_key(completion), self._options.reader_gone_s, ReaderGone(completion))

    def _note(self, notes: tuple[Event, ...]) -> None:
        """Record that a budget is spent; if it is everybody's, keep a checkpoint to go on from."""
        if notes:
            self.persist(*notes)
        if any(isinstance(note, BudgetSpent) and spending.is_shared(note.budget) for note in notes):
            self.tell(JOURNAL, SaveCheckpoint(reason="budget_exhausted"))


def _wait_key(completion: CompletionId) -> str:
    return f"part/{completion}"


def _reader_key(completion: CompletionId) -> str:
    return f"reader/{completion}"
