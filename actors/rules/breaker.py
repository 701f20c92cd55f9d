"""Decide whether a provider may be called now.

Rules: closed lets everything through and watches the last `window` outcomes, of the last `window_s` seconds if that is
set; too many failures or slow calls among
at least `calls_min` of them open it, and so do `refusals_max` refused connections in a row, at once. Open lets nothing
through until its wait is over; each reopening doubles the wait, from `wait_min_s` to `wait_max_s`. Half open lets
exactly `probes` calls through, and nobody else: all must succeed to close it, one failure opens it again. An outcome
belongs to the generation in which its call was let through; those of older generations change nothing. A call that
was cancelled, or that says nothing about the provider's health, is neutral. Being throttled is no failure: a gate
stands in front of the breaker until the provider's `Retry-After` is over.

Only an enforced breaker changes its state. Under another mode it stays where it is, to go on from there: a probe that
ends meanwhile gives its place back and is watched like any call, and a call that the mode has let through past an open
or half open breaker decides nothing about it, whenever it ends.

Pure: times are monotonic seconds and jitter is a number in [0, 1), both handed in. States and rates follow Nygard's
"Release It!" and resilience4j; generations and exact probes follow sony/gobreaker.
"""

from enum import StrEnum
from typing import Literal

import msgspec

from bus.messages.base import Event, Microseconds
from bus.messages.completions import BreakerClosed, BreakerHalfOpened, BreakerOpened, BreakerState

Mode = Literal["enforced", "metrics_only", "disabled", "forced_open"]


class BreakerOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a provider counts as sick, and how soon it is tried again."""

    mode: Mode = "enforced"
    """`metrics_only` watches and never opens, `disabled` does not even watch, `forced_open` lets nobody through: to no
    model, that is. Who only quotes calls nobody, and answers as it does when all breakers have opened by themselves."""
    window: int = 20
    """How many outcomes are remembered."""
    window_s: float = 0.0
    """For how long; an older one no longer counts. 0 forgets by their number alone."""
    calls_min: int = 5
    """With fewer outcomes than this, no rate is judged."""
    failure_rate: float = 0.5
    """At this share of failures the breaker opens."""
    slow_rate: float = 0.8
    """At this share of slow calls the breaker opens."""
    slow_call_s: float = 60.0
    """A call that takes at least this long is slow. A large model on a processor may well need half a minute."""
    refusals_max: int = 2
    """So many refused connections in a row open the breaker at once: nobody listens there."""
    probes: int = 1
    """How many calls are let through half open; all of them must succeed to close the breaker."""
    wait_min_s: float = 1.0
    """The first wait; it doubles with each reopening."""
    wait_max_s: float = 60.0
    """The longest wait."""

    def __post_init__(self) -> None:
        """Refuse settings under which a breaker would never open, or never close.

        Raises:
            ValueError: it names the setting.
        """
        counts = (self.window, self.calls_min, self.refusals_max, self.probes)
        for name, count in zip(("window", "calls_min", "refusals_max", "probes"), counts, strict=True):
            if count < 1:
                raise ValueError(f"`{name}` must be at least 1")
        for name, rate in (("failure_rate", self.failure_rate), ("slow_rate", self.slow_rate)):
            if not 0.0 < rate <= 1.0:
                raise ValueError(f"`{name}` must be above 0 and at most 1")
        if self.calls_min > self.window:
            raise ValueError("`calls_min` must be at most `window`")
        if self.window_s < 0.0:
            raise ValueError("`window_s` must be at least 0")
        if self.slow_call_s <= 0.0:
            raise ValueError("`slow_call_s` must be above 0")
        if not 0.0 < self.wait_min_s <= self.wait_max_s:
            raise ValueError("`wait_min_s` must be above 0 and at most `wait_max_s`")


def of_provider(shared: BreakerOptions, own: Mode | Literal[""], *, is_last_resort: bool) -> BreakerOptions:
    """What counts for one provider: its own mode if it has one, and else the mode of all."""
    if own:
        return shared if own == shared.mode else msgspec.structs.replace(shared, mode=own)
    if is_last_resort and shared.mode == "forced_open":
        return msgspec.structs.replace(shared, mode="enforced")
    return shared


class Outcome(StrEnum):
    """What a call said about the provider's health."""

    OK = "ok"
    SLOW = "slow"
    FAILED = "failed"
    REFUSED = "refused"
    """A failure too: the connection was refused."""
    NEUTRAL = "neutral"


FAILURES = frozenset({Outcome.FAILED, Outcome.REFUSED})


class Permit(msgspec.Struct, frozen=True):
    """The right to make one call; it is given back with the call's outcome."""

    generation: int
    is_probe: bool


class Opened(msgspec.Struct, frozen=True):
    """The breaker opened for `wait_s`."""

    generation: int
    reason: str
    wait_s: float


class HalfOpened(msgspec.Struct, frozen=True):
    """The wait is over."""

    generation: int


class Closed(msgspec.Struct, frozen=True):
    """The provider is trusted again."""

    generation: int
    reason: str


Transition = Opened | HalfOpened | Closed


class Breaker(msgspec.Struct):
    """A breaker as it lives; only the functions of this module change it."""

    state: BreakerState = BreakerState.CLOSED
    generation: int = 0
    outcomes: list[Outcome] = msgspec.field(default_factory=list)
    """The window, oldest first."""
    times_s: list[float] = msgspec.field(default_factory=list)
    """When each of them was."""
    refusals: int = 0
    """Refused connections in a row."""
    openings: int = 0
    """How often it opened since it was last closed."""
    reopens_s: float = 0.0
    probes_started: int = 0
    probes_succeeded: int = 0
    gated_until_s: float = 0.0


class Snapshot(msgspec.Struct, frozen=True):
    """A breaker apart from any clock: waits are what is left of them."""

    state: BreakerState = BreakerState.CLOSED
    generation: int = 0
    openings: int = 0
    wait_left_s: float = 0.0
    gate_left_s: float = 0.0
    refusals: int = 0
    outcomes: tuple[Outcome, ...] = ()
    ages_s: tuple[float, ...] = ()


def admits(breaker: Breaker, options: BreakerOptions, now_s: float) -> bool:
    """Would `acquire` give a permit now? Changes nothing."""
    if now_s < breaker.gated_until_s or options.mode == "forced_open":
        return False
    if options.mode != "enforced":
        return True
    match breaker.state:
        case BreakerState.CLOSED:
            return True
        case BreakerState.OPEN:
            return now_s >= breaker.reopens_s
        case BreakerState.HALF_OPEN:
            if breaker.probes_started < options.probes:
                return True
            return breaker.probes_started == breaker.probes_succeeded  # it needed more of them when they were let out


def acquire(breaker: Breaker, options: BreakerOptions, now_s: float) -> tuple[Permit | None, HalfOpened | None]:
    """Ask for a permit: none while the breaker is open, gated, or has all its probes out."""
    if not admits(breaker, options, now_s):
        return None, None
    if breaker.state is BreakerState.CLOSED or options.mode != "enforced":
        return Permit(breaker.generation, is_probe=False), None
    transition = None
    if breaker.state is BreakerState.OPEN:
        _enter(breaker, BreakerState.HALF_OPEN)
        transition = HalfOpened(breaker.generation)
    breaker.probes_started += 1
    return Permit(breaker.generation, is_probe=True), transition


def judge(options: BreakerOptions, elapsed_s: float) -> Outcome:
    """The outcome of a call that was answered."""
    return Outcome.SLOW if elapsed_s >= options.slow_call_s else Outcome.OK


def record(  # noqa: PLR0917  # the permit, what came of it, and when
    breaker: Breaker, options: BreakerOptions, permit: Permit, outcome: Outcome, now_s: float, jitter: float
) -> Opened | Closed | None:
    """Give a permit back with what came of the call."""
    if permit.generation != breaker.generation:
        return None
    if permit.is_probe:
        if options.mode == "enforced":
            return _record_probe(breaker, options, outcome, now_s, jitter)
        breaker.probes_started -= 1
    if outcome is Outcome.NEUTRAL or options.mode == "disabled":
        return None
    breaker.outcomes.append(outcome)
    breaker.times_s.append(now_s)
    _forget(breaker, options, now_s)
    breaker.refusals = breaker.refusals + 1 if outcome is Outcome.REFUSED else 0
    if options.mode != "enforced" or breaker.state is not BreakerState.CLOSED:
        return None
    reason = _sickness(breaker, options)
    return _open(breaker, options, reason, now_s, jitter) if reason else None


def effective(breaker: Breaker, options: BreakerOptions) -> BreakerState:
    """How it stands to whoever wants to call: the mode decides before the state does."""
    match options.mode:
        case "enforced":
            return breaker.state
        case "forced_open":
            return BreakerState.OPEN
        case "metrics_only" | "disabled":
            return BreakerState.CLOSED


def gate(breaker: Breaker, until_s: float) -> None:
    """Let nobody through until then; an earlier gate never shortens a later one."""
    breaker.gated_until_s = max(breaker.gated_until_s, until_s)


def hasten(breaker: Breaker, now_s: float) -> None:
    """End the wait of an open breaker now: the next call is a probe, and no more of them than ever get through."""
    if breaker.state is BreakerState.OPEN:
        breaker.reopens_s = min(breaker.reopens_s, now_s)


def reset(breaker: Breaker, reason: str) -> Closed | None:
    """Close the breaker whatever it knows, and lift its gate; calls under way no longer count."""
    was_closed = breaker.state is BreakerState.CLOSED
    _enter(breaker, BreakerState.CLOSED)
    breaker.gated_until_s = 0.0
    return None if was_closed else Closed(breaker.generation, reason)


def snapshot(breaker: Breaker, now_s: float) -> Snapshot:
    """The breaker apart from its clock. Probes are not part of it: their outcome is lost, and they begin anew."""
    return Snapshot(
        state=breaker.state,
        generation=breaker.generation,
        openings=breaker.openings,
        wait_left_s=max(0.0, breaker.reopens_s - now_s) if breaker.state is BreakerState.OPEN else 0.0,
        gate_left_s=max(0.0, breaker.gated_until_s - now_s),
        refusals=breaker.refusals,
        outcomes=tuple(breaker.outcomes),
        ages_s=tuple(now_s - time_s for time_s in breaker.times_s),
    )


def restore(saved: Snapshot, now_s: float) -> Breaker:
    """The breaker as it was, with the rest of its waits before it."""
    return Breaker(
        state=saved.state,
        generation=saved.generation,
        outcomes=list(saved.outcomes),
        times_s=[now_s - age_s for age_s in saved.ages_s],
        refusals=saved.refusals,
        openings=saved.openings,
        reopens_s=now_s + saved.wait_left_s,
        gated_until_s=now_s + saved.gate_left_s if saved.gate_left_s > 0.0 else 0.0,
    )


def event_of(transition: Transition, provider: str, now_us: Microseconds) -> Event:
    """The transition as it is recorded."""
    match transition:
        case Opened(generation, reason, wait_s):
            reopens_us = now_us + round(wait_s * 1_000_000)
            return BreakerOpened(
                provider=provider, reason=reason, wait_s=wait_s, reopens_us=reopens_us, generation=generation
            )
        case HalfOpened(generation):
            return BreakerHalfOpened(provider=provider, generation=generation)
        case Closed(generation, reason):
            return BreakerClosed(provider=provider, reason=reason, generation=generation)


def wait_of(options: BreakerOptions, openings: int, jitter: float) -> float:
    """How long the breaker stays open the `openings`-th time in a row: doubling, up to a quarter shorter by jitter."""
    doubled = options.wait_min_s * 2.0 ** min(openings - 1, 32)
    return max(options.wait_min_s, min(doubled, options.wait_max_s) * (1.0 - jitter / 4.0))


def _record_probe(
    breaker: Breaker, options: BreakerOptions, outcome: Outcome, now_s: float, jitter: float
) -> Opened | Closed | None:
    match outcome:
        case Outcome.NEUTRAL:
            breaker.probes_started -= 1
            return None
        case Outcome.OK:
            breaker.probes_succeeded += 1
            if breaker.probes_succeeded < options.probes:
                return None
            _enter(breaker, BreakerState.CLOSED)
            return Closed(breaker.generation, f"{options.probes} of {options.probes} probes succeeded")
        case Outcome.SLOW | Outcome.FAILED | Outcome.REFUSED:
            how = "failed" if outcome is Outcome.FAILED else f"was {outcome}"
            return _open(breaker, options, f"a probe {how}", now_s, jitter)


def _forget(breaker: Breaker, options: BreakerOptions, now_s: float) -> None:
    """Drop what the window no longer holds: too many, or too old."""
    surplus = max(0, len(breaker.outcomes) - options.window)
    if options.window_s:
        while surplus < len(breaker.times_s) and now_s - breaker.times_s[surplus] >= options.window_s:
            surplus += 1
    if surplus:
        del breaker.outcomes[:surplus]
        del breaker.times_s[:surplus]


def _sickness(breaker: Breaker, options: BreakerOptions) -> str:
    """Why the window says that the provider is sick, or nothing."""
    if breaker.refusals >= options.refusals_max:
        return f"{breaker.refusals} connections in a row were refused"
    calls = len(breaker.outcomes)
    if calls < options.calls_min or breaker.outcomes.count(Outcome.OK) == calls:
        return ""
    failures = sum(outcome in FAILURES for outcome in breaker.outcomes)
    if failures >= options.failure_rate * calls:
        return f"{failures} of the last {calls} calls failed"
    slow = breaker.outcomes.count(Outcome.SLOW)
    if slow >= options.slow_rate * calls:
        return f"{slow} of the last {calls} calls were slow"
    return ""


def _open(breaker: Breaker, options: BreakerOptions, reason: str, now_s: float, jitter: float) -> Opened:
    _enter(breaker, BreakerState.OPEN)
    breaker.openings += 1
    wait_s = wait_of(options, breaker.openings, jitter)
    breaker.reopens_s = now_s + wait_s
    return Opened(breaker.generation, reason, wait_s)


def _enter(breaker: Breaker, state: BreakerState) -> None:
    """Begin a new generation with an empty window."""
    breaker.state = state
    breaker.generation += 1
    breaker.outcomes.clear()
    breaker.times_s.clear()
    breaker.refusals = 0
    breaker.probes_started = 0
    breaker.probes_succeeded = 0
    if state is BreakerState.CLOSED:
        breaker.openings = 0
