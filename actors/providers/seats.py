"""The cascade as it lives: each provider with its breaker, its calls under way and how it has fared.

Rules: what outlives the process is read from the folded records, and is not kept here; a permit that was taken is
given back exactly once. No clock and no dice: times and jitter are handed in.
"""

from collections import deque
from collections.abc import Mapping, Sequence

from actors.providers.calls import Call
from actors.providers.dialect import Prompt
from actors.providers.options import ProviderOptions
from actors.providers.provider import Provider, open_provider
from actors.providers.transport import Transport
from actors.rules import breaker as breakers
from actors.rules import cascade
from actors.rules.breaker import Breaker, BreakerOptions, Outcome, Permit
from actors.rules.cascade import Candidate, Cascade
from actors.rules.rates import Rate
from actors.rules.spending import Price, cost
from bus.messages.base import Event, Microseconds
from bus.messages.completions import BreakerState, Complete, ProviderView
from bus.refusals import NotFound

LATENCY_WEIGHT = 0.2
"""Of the newest answer, in what an answer takes lately: a change shows within some ten."""
LATENCIES_MAX = 200
"""Answers of each provider whose times are remembered for the view."""


class Seat:
    """A provider in the cascade."""

    def __init__(self, options: ProviderOptions, provider: Provider, breaker_options: BreakerOptions) -> None:
        self.name = options.name
        self.options = options
        self.provider = provider
        self.price = options.price
        self.is_paid = self.price != Price()
        self.breaker = Breaker()
        self.requests = Rate(options.requests_per_minute)
        self.tokens = Rate(options.tokens_per_minute)
        self.in_flight = 0
        self.latency_s = 0.0
        """What an answer takes lately; 0 when nobody knows."""
        self._breaker_options = breaker_options
        self._recent: deque[str] = deque(maxlen=breaker_options.window)
        self._latencies_s: deque[float] = deque(maxlen=LATENCIES_MAX)

    def unfit(self, call: Call) -> str:
        """Why this provider must not be asked, in words; empty if it may."""
        options, request = self.options, call.request
        if request.privacy == "local" and not options.is_local:
            return "not local"
        return cascade.too_small(options.context_tokens, call.tokens_in, request.tokens_max)

    def prompt(self, request: Complete, *, is_streamed: bool = False) -> Prompt:
        """The request in this provider's terms: with the wanted model, if it has that."""
        options = self.options
        has_it = request.model == options.model or request.model in options.models
        model = request.model if has_it else options.model
        return Prompt(
            request.messages,
            request.tokens_max,
            model,
            is_streamed=is_streamed,
            schema=request.schema,
            temperature=request.temperature,
            stop=request.stop,
        )

    def estimate(self, tokens_in: int, tokens_max: int) -> int:
        """The most that an attempt should cost, in USD micros."""
        return cost(self.price, tokens_in, tokens_max)

    def take(self, tokens: int, now_s: float, now_us: Microseconds) -> tuple[Permit, tuple[Event, ...]]:
        """Begin a call of so many tokens that the breaker admits. Returns what is to be recorded, if anything."""
        self.requests.take(1, now_s)
        self.tokens.take(tokens, now_s)
        permit, transition = breakers.acquire(self.breaker, self._breaker_options, now_s)
        assert permit is not None, "only who is admitted is called"
        self.in_flight += 1
        return permit, _events(transition, self.name, now_us)

    def give_back(
        self, permit: Permit, outcome: Outcome, label: str, now: tuple[float, Microseconds], jitter: float
    ) -> tuple[Event, ...]:
        """End a call. `label` is what the view shows of it. Returns what is to be recorded, if anything."""
        now_s, now_us = now
        self.in_flight -= 1
        self._recent.append(label)
        transition = breakers.record(self.breaker, self._breaker_options, permit, outcome, now_s, jitter)
        return _events(transition, self.name, now_us)

    def judge(self, elapsed_s: float) -> Outcome:
        """Whether an answer that took so long was slow; the time is remembered."""
        self._latencies_s.append(elapsed_s)
        self.latency_s += (elapsed_s - self.latency_s) * (LATENCY_WEIGHT if self.latency_s else 1.0)
        return breakers.judge(self._breaker_options, elapsed_s)

    def reset(self, now_us: Microseconds) -> tuple[Event, ...]:
        """Close the breaker by hand. Returns what is to be recorded, if anything."""
        return _events(breakers.reset(self.breaker, "an operator enabled the provider"), self.name, now_us)

    def candidate(self, state: Cascade, call: Call, now_s: float) -> Candidate:
        """The provider as the choice sees it now."""
        options = self.options
        tokens = call.tokens_in + call.request.tokens_max
        rate_wait_s = max(self.requests.wait_s(1, now_s), self.tokens.wait_s(tokens, now_s))
        is_admitted = breakers.admits(self.breaker, self._breaker_options, now_s)
        return Candidate(
            name=self.name,
            is_enabled=cascade.standing(state, self.name).is_enabled,
            is_admitted=is_admitted and rate_wait_s == 0.0,
            is_busy=self.in_flight >= options.concurrency_max,
            gate_left_s=max(self.breaker.gated_until_s - now_s, rate_wait_s, 0.0),
            timeout_s=options.timeout_s,
            needed_s=options.needed_s,
            unfit=self.unfit(call),
            latency_s=self.latency_s,
            cost=self.estimate(call.tokens_in, call.request.tokens_max),
            weight=options.weight,
        )

    def view(self, state: Cascade, now_s: float) -> ProviderView:
        """The provider as anyone may see it."""
        record = cascade.standing(state, self.name)
        is_open = self.breaker.state is BreakerState.OPEN
        return ProviderView(
            name=self.name,
            dialect=self.options.dialect,
            model=self.options.model,
            is_enabled=record.is_enabled,
            disabled_reason=record.disabled_reason,
            breaker=self.breaker.state,
            reopens_in_s=max(0.0, self.breaker.reopens_s - now_s) if is_open else 0.0,
            outcomes=tuple(self._recent),
            in_flight=self.in_flight,
            completed=record.completed,
            failed=record.failed,
            latency_p50_s=_quantile(self._latencies_s, 0.5),
            latency_p90_s=_quantile(self._latencies_s, 0.9),
            latency_p99_s=_quantile(self._latencies_s, 0.99),
            spent_usd_micros=record.spent_usd_micros,
            last_error=record.last_error,
        )


class Seats:
    """All providers, in their order."""

    def __init__(
        self,
        providers: Sequence[ProviderOptions],
        breaker_options: BreakerOptions,
        transport: Transport,
        environment: Mapping[str, str],
    ) -> None:
        self._seats = {
            options.name: Seat(options, open_provider(options, transport, environment), breaker_options)
            for options in providers
        }

    def seat(self, provider: str) -> Seat:
        """The seat of a provider. Raises NotFound."""
        seat = self._seats.get(provider)
        if seat is None:
            raise NotFound("provider", provider)
        return seat

    def restore(self, state: Cascade, now_s: float, now_us: Microseconds) -> tuple[str, ...]:
        """Put the breakers back as they were recorded. Returns the providers that only the router had disabled."""
        for name, seat in self._seats.items():
            seat.breaker = breakers.restore(cascade.breaker_snapshot(cascade.standing(state, name), now_us), now_s)
        return tuple(name for name in self._seats if cascade.standing(state, name).is_disabled_by_router)

    def candidates(self, state: Cascade, call: Call, now_s: float) -> tuple[Candidate, ...]:
        """All providers as the choice sees them now, in the order in force."""
        return tuple(self._seats[name].candidate(state, call, now_s) for name in self.order(state))

    def order(self, state: Cascade) -> tuple[str, ...]:
        """The configured order, with those in front whom an operator put there."""
        if not state.order:
            return tuple(self._seats)
        first = [name for name in state.order if name in self._seats]
        return (*first, *(name for name in self._seats if name not in first))

    def dearest(self, state: Cascade, tokens_in: int, tokens_max: int) -> int:
        """The most that an attempt at any enabled provider should cost."""
        dearest = 0
        for name, seat in self._seats.items():
            if seat.is_paid and cascade.standing(state, name).is_enabled:
                dearest = max(dearest, seat.estimate(tokens_in, tokens_max))
        return dearest

    def why_skipped(self, state: Cascade, call: Call, now_s: float) -> tuple[str, ...]:
        """For each provider that was not tried and could not be: a line that says why."""
        tried = {past.provider for past in call.attempted}
        lines = (cascade.why_skipped(one) for one in self.candidates(state, call, now_s) if one.name not in tried)
        return tuple(line for line in lines if line)

    def views(self, state: Cascade, now_s: float) -> tuple[ProviderView, ...]:
        """All providers as anyone may see them."""
        return tuple(self._seats[name].view(state, now_s) for name in self.order(state))

    @property
    def places(self) -> int:
        """How many calls all providers take at once."""
        return sum(seat.options.concurrency_max for seat in self._seats.values())

    @property
    def latency_s(self) -> float:
        """What an answer takes lately, of the slowest provider."""
        return max((seat.latency_s for seat in self._seats.values()), default=0.0) or 1.0


def _events(transition: breakers.Transition | None, provider: str, now_us: Microseconds) -> tuple[Event, ...]:
    return () if transition is None else (breakers.event_of(transition, provider, now_us),)


def _quantile(values: deque[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
