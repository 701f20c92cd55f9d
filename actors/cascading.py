"""The way of a completion through the cascade: one provider after the other until one answers.

Each completion is a `Call` with an attempt under way, or a hedge beside it; an attempt is a job that calls one provider
and reports back as a message; the turn that takes the report decides what comes next. One that costs money runs on an
allowance that is committed already; one that is free waits for nothing. So there are no locks, and no check grows stale
while something is awaited. Which provider is next is decided in `actors.rules.cascade`, who may be called in
`actors.rules.breaker`, who goes first in `actors.rules.fairness`, how much may be repeated in `actors.rules.retries`.
"""

from collections.abc import Mapping

from actors.providers import Call, Seat, Seats, Transport
from actors.providers.attempts import Attempt, AttemptAnswered, AttemptFailed, AttemptSpoke, attempt
from actors.providers.calls import Failure, Flight, Times
from actors.providers.register import CallDue, HedgeDue, Register
from actors.providers.settings import RouterOptions
from actors.purse import Neighbours, Purse
from actors.rules import breaker as breakers
from actors.rules import cascade, fairness, records, requests, spending
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
from actors.rules.recordings import Recordings
from actors.rules.retries import Retries
from actors.rules.spending import cost
from actors.rules.trials import Trials
from bus.errors import AgoraError, Refused
from bus.messages.base import CompletionId, Done, Event
from bus.messages.completions import BreakerOpened, Completion, CompletionFailed, ProviderDisabled
from bus.messages.transcripts import Ending, LogCompletion
from bus.refusals import (
    Halted,
    IllegalTransition,
    NotRecorded,
    Overloaded,
    RequestRejected,
    StreamBroken,
)
from bus.switch import Switch

UNAVAILABLE = "unavailable"
"""The error of a completion for which nobody could be tried."""
OUTRUN = "another attempt was quicker"
UNWANTED = "nobody wants it any more"


class Cascading(Purse):
    """The half of the router that asks providers."""

    def __init__(
        self,
        options: RouterOptions,
        environment: Mapping[str, str],
        neighbours: Neighbours,
        *,
        switch: Switch | None,
        recordings: Recordings | None,
    ) -> None:
        super().__init__(options, neighbours)
        self._switch = switch or Switch()
        self._transport = Transport()
        self._seats = Seats(options.providers, options.breaker, self._transport, environment)
        self._recordings = recordings
        self._register = Register()
        self._retries = Retries(options.cascade)
        self._trials = Trials(options.cascade)
        self._log = neighbours.log if options.log != "off" else None

    def on_attempt_answered(self, ended: AttemptAnswered) -> Done:
        """Settle the money, answer the asker."""
        call, flight = self._under_way(ended)
        if call is None or flight is None:
            return Done()
        seat = flight.seat
        now_s, now_us = self.monotonic_s, self.now_us
        outcome = seat.judge(ended.elapsed_s, now_s, self._options.cascade.latency_stale_s)
        transition = seat.give_back(flight.permit, outcome, outcome, (now_s, now_us), self.dice.random())
        if call.speaking not in {0, flight.number}:  # it came to its end all the same, and somebody else is heard
            charged = cost(flight.price, ended.reply.tokens_in, ended.reply.tokens_out)
            failure = Failure(ErrorClass.OUTRUN, OUTRUN, charged, ended.elapsed_s, ended.first_s)
            self.persist(*transition, call.attempt_failed(flight, failure))
        else:
            if len(call.flights) > 1:
                self._drop_others(call, flight, ErrorClass.OUTRUN, OUTRUN)
            times = Times(ended.elapsed_s, ended.first_s, now_s)
            completed = call.completed(flight, ended.reply, times, now_us)
            self.persist(*transition, completed)
            self._end(call, call.reply(completed, ended.reply), "answered", completed.cost_usd_micros)
        if transition:  # a probe that was too slow
            self._breaker_opened()
        self._look_again(seat)
        return Done()

    def on_attempt_spoke(self, spoke: AttemptSpoke) -> None:
        """Of attempts beside each other, the first to speak is heard: the other is ended."""
        call = self._register.find(spoke.completion)
        flight = call.flights.get(spoke.attempt) if call is not None else None
        if call is not None and flight is not None and len(call.flights) > 1:
            self._drop_others(call, flight, ErrorClass.OUTRUN, OUTRUN)

    def on_attempt_failed(self, ended: AttemptFailed) -> Done:
        """Draw the consequences of the failure, then go on to whoever is next."""
        call, flight = self._under_way(ended)
        if call is None or flight is None:
            return Done()
        seat, consequence = flight.seat, CONSEQUENCES[ended.error]
        now = (self.monotonic_s, self.now_us)
        events = [*seat.give_back(flight.permit, consequence.outcome, ended.error, now, self.dice.random())]
        if consequence.gates:
            breakers.gate(seat.breaker, self.monotonic_s + ended.retry_after_s)
        if consequence.disables and records.standing(self.state.cascade, seat.name).is_enabled:
            events.append(ProviderDisabled(provider=seat.name, reason=ended.reason, is_automatic=True))
        charged = call.at_most(flight) if consequence.may_cost else 0
        failure = Failure(ended.error, ended.reason, charged, ended.elapsed_s, ended.first_s, ended.retry_after_s)
        was_heard = call.has_spoken and call.speaking == flight.number
        self.persist(*events, call.attempt_failed(flight, failure))
        if any(isinstance(event, BreakerOpened) for event in events):
            self._breaker_opened()
        if consequence.disables and self._options.cascade.on_disabled == "stop":
            self._fail(call, ended.error, ended.reason, self._nobody(call, GiveUp(f"{seat.name} was disabled by it")))
        elif consequence.next is Next.STOP:
            refusal = _refusal(ended.error, seat.name, ended.reason)
            self._fail(call, ended.error, ended.reason, refusal)
        elif was_heard and call.stream is not None and call.owed is None and not call.request.may_restart:
            self._fail(call, ended.error, ended.reason, StreamBroken(seat.name, ended.reason, call.stream.text))
        else:
            if was_heard:
                call.restart()
            if not call.flights:
                self._go_on(call)
        self._look_again(seat)
        return Done()

    def on_call_due(self, due: CallDue) -> None:
        """A wait is over."""
        call = self._register.find(due.completion)
        if call is None or call.flights:
            return
        self._register.unqueue(due.completion)
        call.round += due.is_next_round
        self._go_on(call)

    def on_hedge_due(self, due: HedgeDue) -> None:
        """An attempt has said nothing for a while: ask another provider beside it, if one is free and may be asked."""
        call = self._register.find(due.completion)
        if call is None or list(call.flights) != [due.attempt] or call.speaking or self._switch.is_halted:
            return
        now_s = self.monotonic_s
        choice = cascade.choose_hedge(
            self._seats.candidates(self.state.cascade, call, now_s),
            call.attempted,
            [flight.seat.name for flight in call.flights.values()],
            call.round,
            call.deadline_s - now_s,
            self._options.cascade,
            self.dice.random(),
        )
        if choice is None:
            return
        seat = self._seats.seat(choice.provider)
        if self._refused_money(call, seat) is None and self._retries.take():
            self._try(call, seat, choice.limit_s)

    def _breaker_opened(self) -> None:
        """A provider is sick."""

    def _fell_silent(self, call: Call) -> None:
        """A completion is over."""

    def _under_way(self, ended: AttemptAnswered | AttemptFailed) -> tuple[Call | None, Flight | None]:
        """The call and its attempt that has ended; None if that was told before."""
        call = self._register.find(ended.completion)
        return (call, call.flights.get(ended.attempt)) if call is not None else (None, None)

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
        needed = self._seats.dearest(self.state.cascade, call)
        if needed and self._hedge_after_s(call):
            needed *= 2
        drawn = spending.budgets(self.state.spending, self._limits, request.agent, self.now_us)
        refused, notes = spending.refusal(self.state.spending, drawn, needed) if needed else (None, ())
        if refused is not None and not notes:
            raise refused
        choice = self._choose(call)
        if refused is None and isinstance(choice, GiveUp):
            raise self._nobody(call, choice)
        if refused is not None:
            self._note(notes)
            return refused
        call.completion = self._next_number()
        if due := spending.warnings(self.state.spending, drawn, needed):
            self.persist(*due)
        if needed:
            self.persist(call.requested(needed, self.now_us))
        self._register.add(call)
        self._retries.earn()
        self._trials.earn()
        return choice

    def _start(self, call: Call, begun: Choice | AgoraError) -> None:
        """Do what was chosen first, or tell who asked why there is nothing to do."""
        call.end(begun) if isinstance(begun, AgoraError) else self._follow(call, begun)

    def _choose(self, call: Call) -> Choice:
        now_s = self.monotonic_s
        candidates = self._seats.candidates(self.state.cascade, call, now_s)
        left_s = call.deadline_s - now_s
        jitter = self.dice.random()
        after_s = None if call.request.hedge_after_s else self._trials.after_s  # who asks for hedging is in a hurry
        options = self._options.cascade
        return cascade.choose(candidates, call.attempted, call.round, left_s, options, jitter, trial_after_s=after_s)

    def _go_on(self, call: Call) -> None:
        """The next attempt, or the end. What failed attempts may have cost can leave no money for another."""
        if call.lost and (refused := self._reserve(call, call.reserved)) is not None:
            self._fail(call, "budget", str(refused), refused)
        else:
            self._follow(call, self._choose(call))

    def _reserve(self, call: Call, needed: int) -> Refused | None:
        """See that a call has so much set aside for it, beside what it has lost; why not, if the budgets forbid it."""
        books = self.state.spending
        drawn = spending.budgets(books, self._limits, call.agent, self.now_us)
        refused, notes = spending.refusal(books, drawn, needed, call.reserved)
        self._note(notes)
        if refused is None and needed > call.reserved:
            self.persist(*spending.warnings(books, drawn, needed - call.reserved), call.requested(needed, self.now_us))
        return refused

    def _follow(self, call: Call, choice: Choice) -> None:
        match choice:
            case Try() if self._switch.is_halted:
                refusal = Halted()
                self._fail(call, refusal.code, str(refusal), refusal)
            case Try(provider, limit_s, is_trial):
                seat = self._seats.seat(provider)
                refused = self._refused_money(call, seat)
                if refused is None:
                    if is_trial:
                        self._trials.take()
                    self._try(call, seat, limit_s)
                else:
                    self._fail(call, "budget", str(refused), refused)
            case Queue(provider, delay_s):
                self._register.queue(call, provider)
                self.start_timer(call.completion, delay_s, CallDue(call.completion, is_next_round=False))
            case NextRound(delay_s) if self._retries.take():
                self.start_timer(call.completion, delay_s, CallDue(call.completion, is_next_round=True))
            case NextRound():
                self._follow(call, GiveUp("too many completions had to be tried again of late"))
            case GiveUp():
                error = call.attempted[-1].error if call.attempted else UNAVAILABLE
                self._fail(call, error, choice.reason, self._nobody(call, choice))

    def _refused_money(self, call: Call, seat: Seat) -> Refused | None:
        """Why an attempt there may not cost what it may cost: prices may have changed since the call began."""
        if not seat.is_paid or (needed := call.estimate(seat)) <= call.reserved:
            return None
        return self._reserve(call, needed)

    def _try(self, call: Call, seat: Seat, limit_s: float) -> None:
        """Begin an attempt. One that may cost money waits until that money is committed; it mostly is already."""
        now_s = self.monotonic_s
        permit, events = seat.take(call.tokens_in + call.request.tokens_max, now_s, self.now_us)
        flight = call.begin(seat, permit, now_s, is_hedge=bool(call.flights))
        self._register.note_turn(call)
        if events:
            self.persist(*events)
        if not flight.is_hedge and (hedge_s := self._hedge_after_s(call)):
            self.start_timer(_hedge_key(call), hedge_s, HedgeDue(call.completion, flight.number))
        clock = self._context.core.clock
        what = Attempt(
            self.address,
            call,
            flight,
            limit_s,
            self._options.cascade.attempt_min_s,
            clock.monotonic_s,
            self._recordings,
        )
        perform = self.perform_at_once if not seat.is_paid or self._is_covered(call.agent) else self.perform
        flight.cancel = perform(attempt, what).cancel

    def _hedge_after_s(self, call: Call) -> float:
        return call.request.hedge_after_s or self._options.cascade.hedge_after_s

    def _nobody(self, call: Call, end: GiveUp) -> Refused:
        return self._seats.refusal(self.state.cascade, call, end, self.monotonic_s)

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
        """End a call that nobody wants any more: its sockets are closed, and its providers are not blamed."""
        call = self._register.find(completion)
        if call is None:
            return
        self.cancel_timer(completion)
        refusal = IllegalTransition(f"completion {completion}", "cancelled", "answered")
        self._fail(call, ErrorClass.CANCELLED, UNWANTED, refusal, "cancelled")

    def _drop_others(self, call: Call, kept: Flight | None, error: ErrorClass, reason: str) -> None:
        """End a call's attempts but one: their sockets are closed, and what they may have cost counts as spent."""
        now = (self.monotonic_s, self.now_us)
        consequence = CONSEQUENCES[error]
        for flight in tuple(call.flights.values()):
            if flight is kept:
                continue
            assert flight.cancel is not None, "an attempt under way can be cancelled"
            flight.cancel()
            seat = flight.seat
            events: list[Event] = [*seat.give_back(flight.permit, consequence.outcome, error, now, self.dice.random())]
            charged = call.at_most(flight) if consequence.may_cost else 0
            failure = Failure(error, reason, charged, now[0] - flight.began_s)
            self.persist(*events, call.attempt_failed(flight, failure))
            self._look_again(seat)

    def _fail(self, call: Call, error: str, reason: str, refusal: AgoraError, ending: Ending = "failed") -> None:
        """The completion ends without an answer, wherever it is."""
        self._drop_others(call, None, ErrorClass.CANCELLED, reason)
        failed = call.failed(error, reason, self.now_us)
        self.persist(failed)
        self._end(call, refusal, ending, call.lost, failed)

    def _end(  # how it ended, and what is recorded of it
        self,
        call: Call,
        outcome: Completion | AgoraError,
        ending: Ending,
        cost: int,
        failed: CompletionFailed | None = None,
    ) -> None:
        """The completion is over: tell who asked, and the log."""
        self._register.remove(call)
        if self._hedge_after_s(call):
            self.cancel_timer(_hedge_key(call))
        self._fell_silent(call)
        call.end(outcome)
        if self._log is not None:
            elapsed_s = self.monotonic_s - call.begun_s
            transcript = call.transcript(ending, cost, elapsed_s, failed)
            self.tell(self._log, LogCompletion(transcript))


def _refusal(error: ErrorClass, provider: str, reason: str) -> AgoraError:
    if error is ErrorClass.UNRECORDED:
        return NotRecorded(reason)
    return RequestRejected(provider, reason)


def _hedge_key(call: Call) -> str:
    return f"hedge/{call.completion}"
