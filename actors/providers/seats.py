"""The cascade as it lives: each provider with its breaker, its calls under way and how it has fared.

Rules: what outlives the process is read from the folded records, and is not kept here; a permit that was taken is
given back exactly once. No clock and no dice: times and jitter are handed in.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal, Protocol

import anyio
import msgspec

from actors.providers import health
from actors.providers.dialect import Prompt
from actors.providers.embeddings import Texts
from actors.providers.opening import open_provider
from actors.providers.options import IN_CHILDREN, ProviderOptions
from actors.providers.provider import Provider
from actors.providers.transport import Transport
from actors.rules import breaker as breakers
from actors.rules import capabilities, cascade, records
from actors.rules.breaker import Breaker, BreakerOptions, Outcome, Permit
from actors.rules.cascade import Attempted, Candidate, ErrorClass, GiveUp
from actors.rules.rates import Rate
from actors.rules.records import Cascade
from actors.rules.spending import Price, cost
from actors.rules.trials import lately
from bus.errors import Refused
from bus.messages.base import Event, Microseconds
from bus.messages.completions import BreakerState, Complete, ProviderDisabled, ProviderEnabled, ProviderView
from bus.messages.embeddings import Embed
from bus.refusals import AllProvidersFailed, AllProvidersThrottled, NotFound, NoTimeLeft

BY_SETTINGS = "by the settings"
"""Why a provider is out that the config takes out; the config can put it back."""
LATENCIES_MAX = 200
"""Answers of each provider whose times are remembered for the view."""


class Asked(Protocol):
    """What a seat wants to know of a completion."""

    @property
    def request(self) -> Complete:
        """What was asked."""
        ...

    @property
    def texts(self) -> Embed | None:
        """What is to become vectors, if it is not about words."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """What a provider must declare to be asked."""
        ...

    @property
    def tokens_in(self) -> int:
        """About how long it is."""
        ...

    @property
    def overflowed(self) -> int:
        """The largest context that it was too long for; 0 if there is none."""
        ...

    @property
    def attempted(self) -> Sequence[Attempted]:
        """The failed attempts."""
        ...

    @property
    def lines(self) -> Sequence[str]:
        """What happened so far, a line per attempt."""
        ...


class Seat:
    """A provider in the cascade."""

    def __init__(self, options: ProviderOptions, provider: Provider, breaker_options: BreakerOptions) -> None:
        self.name = options.name
        self.options = options
        self.provider = provider
        self.price = options.price
        self.embedding_price = options.embedding_price
        self.abilities = options.abilities
        self.is_paid = (self.price, self.embedding_price) != (Price(), Price())
        self.is_last_resort = options.dialect == "extractive"
        self._breaker_options = _breaker_options(options, breaker_options)
        self.breaker = Breaker()
        self.requests = Rate(options.requests_per_minute)
        self.tokens = Rate(options.tokens_per_minute)
        self.in_flight = 0
        self.latency_s = 0.0
        """What an answer takes lately; 0 when nobody knows."""
        self.asked_s = -math.inf
        """When its last call began or ended."""
        self._answered_s = -math.inf
        self.is_looked_at = False
        """Whether a look at it is under way."""
        self._recent: deque[str] = deque(maxlen=breaker_options.window)
        self._latencies_s: deque[float] = deque(maxlen=LATENCIES_MAX)

    def reconfigure(self, options: ProviderOptions, provider: Provider, breaker_options: BreakerOptions) -> None:
        """Go on with other settings; its breaker, its calls and what is known of it stay."""
        if options.requests_per_minute != self.options.requests_per_minute:
            self.requests = Rate(options.requests_per_minute)
        if options.tokens_per_minute != self.options.tokens_per_minute:
            self.tokens = Rate(options.tokens_per_minute)
        if breaker_options.window != self._breaker_options.window:
            self._recent = deque(self._recent, maxlen=breaker_options.window)
        self.options, self.provider = options, provider
        self._breaker_options = _breaker_options(options, breaker_options)
        self.price, self.embedding_price = options.price, options.embedding_price
        self.abilities = options.abilities
        self.is_paid = (self.price, self.embedding_price) != (Price(), Price())
        self.is_last_resort = options.dialect == "extractive"

    def hasten(self, now_s: float) -> None:
        """It was gone and is there again: let its next call be a probe."""
        breakers.hasten(self.breaker, now_s)

    def unfit(self, call: Asked) -> str:
        """Why this provider must not be asked, in words; empty if it may."""
        options, request = self.options, call.request
        if request.privacy == "local" and not options.is_local:
            return "not local"
        if call.needs and (lacks := self.lacks(call)):
            return f"no {' and no '.join(lacks)}"
        return self._too_small(call) if options.context_tokens else ""

    def may_ever_be_asked(self, call: Asked) -> bool:
        """Whether anything but a change of the settings could bring this to it."""
        return not self.unfit(call) and self._breaker_options.mode != "forced_open"

    def lacks(self, call: Asked) -> tuple[str, ...]:
        """What it does not declare of what this needs."""
        return tuple(need for need in call.needs if need not in self.abilities) if call.needs else ()

    def bounds(self, call: Asked) -> tuple[str, ...]:
        """What keeps it from this whatever happens: what it lacks, or else its size."""
        overflowed = (past.error is ErrorClass.OVERFLOW and past.provider == self.name for past in call.attempted)
        is_too_small = self._too_small(call) or any(overflowed) or (call.overflowed and self._no_larger(call))
        return self.lacks(call) or ((capabilities.CONTEXT,) if is_too_small else ())

    def _too_small(self, call: Asked) -> str:
        if call.texts is not None:  # each text has a context of its own
            return ""
        return cascade.too_small(self.options.context_tokens, call.tokens_in, call.request.tokens_max)

    def _no_larger(self, call: Asked) -> str:
        if 0 < self.options.context_tokens <= call.overflowed:
            return f"its context of {self.options.context_tokens} tokens is no larger than one that overflowed"
        return ""

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
            tools=request.tools,
            tool_choice=request.tool_choice,
            has_parallel_calls=request.has_parallel_calls,
        )

    def texts(self, asked: Embed) -> Texts:
        """What is to become vectors, in this provider's terms."""
        return Texts(asked.texts, self.options.embedding_model, asked.dimensions)

    def estimate(self, call: Asked) -> int:
        """The most that an attempt should cost, in USD micros."""
        return self.cost(call, call.tokens_in, call.request.tokens_max)

    def cost(self, call: Asked, tokens_in: int, tokens_out: int) -> int:
        """What so many tokens cost here, in USD micros."""
        return cost(self.price_of(call), tokens_in, tokens_out)

    def price_of(self, call: Asked) -> Price:
        """What tokens cost here; vectors have a price of their own."""
        return self.price if call.texts is None else self.embedding_price

    def take(self, tokens: int, now_s: float, now_us: Microseconds) -> tuple[Permit, tuple[Event, ...]]:
        """Begin a call of so many tokens that the breaker admits. Returns what is to be recorded, if anything."""
        self.requests.take(1, now_s)
        self.tokens.take(tokens, now_s)
        permit, transition = breakers.acquire(self.breaker, self._breaker_options, now_s)
        assert permit is not None, "only who is admitted is called"
        self.in_flight += 1
        self.asked_s = now_s
        return permit, _events(transition, self.name, now_us)

    def give_back(
        self, permit: Permit, outcome: Outcome, label: str, now: tuple[float, Microseconds], jitter: float
    ) -> tuple[Event, ...]:
        """End a call. `label` is what the view shows of it. Returns what is to be recorded, if anything."""
        now_s, now_us = now
        self.in_flight -= 1
        self.asked_s = now_s
        self._recent.append(label)
        transition = breakers.record(self.breaker, self._breaker_options, permit, outcome, now_s, jitter)
        return _events(transition, self.name, now_us)

    def judge(self, elapsed_s: float, now_s: float, stale_s: float) -> Outcome:
        """Whether an answer that took so long was slow; the time is remembered, and counts for so long."""
        self._latencies_s.append(elapsed_s)
        self.latency_s = lately(self.latency_s, now_s - self._answered_s, elapsed_s, stale_s)
        self._answered_s = now_s
        return breakers.judge(self._breaker_options, elapsed_s)

    def reset(self, now_us: Microseconds) -> tuple[Event, ...]:
        """Close the breaker by hand. Returns what is to be recorded, if anything."""
        return _events(breakers.reset(self.breaker, "an operator enabled the provider"), self.name, now_us)

    def candidate(self, state: Cascade, call: Asked, now_s: float) -> Candidate:
        """The provider as the choice sees it now."""
        options = self.options
        rate_wait_s = 0.0
        if self.requests.per_minute or self.tokens.per_minute:
            tokens = call.tokens_in + call.request.tokens_max
            rate_wait_s = max(self.requests.wait_s(1, now_s), self.tokens.wait_s(tokens, now_s))
        is_admitted = breakers.admits(self.breaker, self._breaker_options, now_s)
        return Candidate(
            name=self.name,
            is_enabled=records.standing(state, self.name).is_enabled,
            is_admitted=is_admitted and rate_wait_s == 0.0,
            is_forced_open=self._breaker_options.mode == "forced_open",
            is_busy=self.in_flight >= options.concurrency_max,
            gate_left_s=max(self.breaker.gated_until_s - now_s, rate_wait_s, 0.0),
            timeout_s=options.timeout_s,
            needed_s=options.needed_s,
            unfit=self.unfit(call) or (self._no_larger(call) if call.overflowed else ""),
            latency_s=self.latency_s,
            unasked_s=0.0 if self.in_flight else now_s - self.asked_s,
            cost=self.estimate(call) if self.is_paid else 0,
            weight=options.weight,
            is_last_resort=self.is_last_resort,
        )

    def view(self, state: Cascade, now_s: float) -> ProviderView:
        """The provider as anyone may see it."""
        record = records.standing(state, self.name)
        is_open = self.breaker.state is BreakerState.OPEN
        return ProviderView(
            name=self.name,
            dialect=self.options.dialect,
            model=self.options.model,
            is_enabled=record.is_enabled,
            disabled_reason=record.disabled_reason,
            breaker=breakers.effective(self.breaker, self._breaker_options),
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
            mode=self._breaker_options.mode,
            throttled_for_s=max(self.breaker.gated_until_s - now_s, self.requests.wait_s(1, now_s), 0.0),
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
        self._transport = transport
        self._environment = environment
        self._released: list[Provider] = []
        """Whose processes may still end a last call."""
        self._seats = {
            options.name: Seat(options, open_provider(options, transport, environment), breaker_options)
            for options in providers
        }

    @property
    def all(self) -> tuple[Seat, ...]:
        """Every provider, as configured."""
        return tuple(self._seats.values())

    def find(self, provider: str) -> Seat | None:
        """The seat of a provider, if it has one."""
        return self._seats.get(provider)

    def reconfigure(self, providers: Sequence[ProviderOptions], breaker_options: BreakerOptions) -> None:
        """Go on with these providers in this order: who stays keeps its breaker, a new one's is closed."""
        before, self._seats = self._seats, {}
        for options in providers:
            seat = before.pop(options.name, None)
            if seat is None:
                seat = Seat(options, open_provider(options, self._transport, self._environment), breaker_options)
            elif _without_rules(seat.options) == _without_rules(options):
                seat.reconfigure(options, seat.provider, breaker_options)
            else:
                self._release(seat)
                provider = open_provider(options, self._transport, self._environment)
                seat.reconfigure(options, provider, breaker_options)
            self._seats[options.name] = seat
        for gone in before.values():
            self._release(gone)

    def _release(self, seat: Seat) -> None:
        """Nobody new asks this provider; a process of ours ends with its last call."""
        if seat.options.dialect in IN_CHILDREN:
            seat.provider.release()
            self._released.append(seat.provider)

    def switched(self, state: Cascade) -> tuple[Event, ...]:
        """What is to be recorded of providers that the settings have taken out of the cascade, or put back."""
        events: list[Event] = []
        for name, seat in self._seats.items():
            record = records.standing(state, name)
            if record.is_enabled and not seat.options.enabled:
                events.append(ProviderDisabled(provider=name, reason=BY_SETTINGS))
            elif seat.options.enabled and not record.is_enabled and record.disabled_reason == BY_SETTINGS:
                events.append(ProviderEnabled(provider=name))
        return tuple(events)

    def to_look_at(self, which: Literal["sick", "all", "off"]) -> tuple[Seat, ...]:
        """Whom to look at beside all requests."""
        if which == "off":
            return ()
        there = (seat for seat in self._seats.values() if health.url_of(seat.options))
        return tuple(seat for seat in there if which == "all" or seat.breaker.state is BreakerState.OPEN)

    async def close(self) -> None:
        """End the processes of models that run here, all at once: each takes a while."""
        async with anyio.create_task_group() as closing:
            for provider in (*(seat.provider for seat in self._seats.values()), *self._released):
                closing.start_soon(provider.close)

    def seat(self, provider: str) -> Seat:
        """The seat of a provider. Raises NotFound."""
        seat = self._seats.get(provider)
        if seat is None:
            raise NotFound("provider", provider)
        return seat

    def restore(self, state: Cascade, now_s: float, now_us: Microseconds) -> tuple[str, ...]:
        """Put the breakers back as they were recorded. Returns the providers that only the router had disabled."""
        for name, seat in self._seats.items():
            seat.breaker = breakers.restore(records.breaker_snapshot(records.standing(state, name), now_us), now_s)
        return tuple(name for name in self._seats if records.standing(state, name).is_disabled_by_router)

    def candidates(self, state: Cascade, call: Asked, now_s: float) -> tuple[Candidate, ...]:
        """All providers as the choice sees them now, in the order in force."""
        return tuple([self._seats[name].candidate(state, call, now_s) for name in self.order(state)])

    def order(self, state: Cascade) -> tuple[str, ...]:
        """The configured order, with those in front whom an operator put there."""
        if not state.order:
            return tuple(self._seats)
        first = [name for name in state.order if name in self._seats]
        return (*first, *(name for name in self._seats if name not in first))

    def dearest(self, state: Cascade, call: Asked) -> int:
        """The most that an attempt at any enabled provider should cost that may be asked this."""
        dearest = 0
        for name, seat in self._seats.items():
            if seat.is_paid and records.standing(state, name).is_enabled and seat.may_ever_be_asked(call):
                dearest = max(dearest, seat.estimate(call))
        return dearest

    def refusal(self, state: Cascade, call: Asked, end: GiveUp, now_s: float) -> Refused:
        """Why nobody answers: nobody ever could, or else what kept each of them."""
        bounds = {name: seat.bounds(call) for name, seat in self._seats.items()}
        if (incapable := capabilities.refusal((*call.needs, capabilities.CONTEXT), bounds)) is not None:
            return incapable
        why = (*call.lines, *self.why_skipped(state, call, now_s), end.reason)
        if end.is_late:
            return NoTimeLeft(why)
        if wait_s := cascade.throttled_s(self.candidates(state, call, now_s), call.attempted):
            return AllProvidersThrottled(why, wait_s)
        return AllProvidersFailed(why)

    def why_skipped(self, state: Cascade, call: Asked, now_s: float) -> tuple[str, ...]:
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


def _breaker_options(options: ProviderOptions, shared: BreakerOptions) -> BreakerOptions:
    return breakers.of_provider(shared, options.breaker_mode, is_last_resort=options.dialect == "extractive")


def _without_rules(options: ProviderOptions) -> ProviderOptions:
    """What of it is the provider's own business: nothing of the rest is a reason to start its process again."""
    return msgspec.structs.replace(
        options,
        enabled=True,
        breaker_mode="",
        weight=1.0,
        needed_s=2.0,
        requests_per_minute=0,
        tokens_per_minute=0,
        price_in=Decimal(0),
        price_out=Decimal(0),
        price_embedding=Decimal(0),
    )


def _events(transition: breakers.Transition | None, provider: str, now_us: Microseconds) -> tuple[Event, ...]:
    return () if transition is None else (breakers.event_of(transition, provider, now_us),)


def _quantile(values: deque[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
