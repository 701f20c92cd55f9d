"""Choose which provider answers next, and what follows from each kind of failure.

Rules: providers are tried in their order, each at most once per round. One that is disabled, or whose breaker or gate
lets nobody through, is skipped, never tried; when none is left that can still be tried in time, the completion ends
at once, so that a caller never waits on a dead cascade. Waiting happens in three cases only, inside the deadline: for
a provider that is merely busy; for one that said when to come back; and, when everyone failed in a way that may pass,
for the next round. One deadline spans everything: no attempt starts with less than `attempt_min_s` left, and each
leaves time for those that may have to follow it. What follows from a failure stands in one table.

Pure: the router hands in what it sees and does what it is told.
"""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

import msgspec

from actors.rules.breaker import Outcome

Policy = Literal["ordered", "latency", "cost", "weighted"]


class CascadeOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long and how often the cascade tries."""

    attempt_min_s: float = 0.05
    """No attempt starts with less time than this before the deadline."""
    rounds_max: int = 2
    """How often each provider may be tried for one completion."""
    round_delay_s: float = 0.25
    """The wait before the second round; it doubles with each further one, and jitter adds up to half of it."""
    retry_ratio: float = 0.2
    """Which part of a retry each completion earns; further rounds add at most so much to the load of the providers."""
    retry_burst: int = 10
    """How many retries are in store at most, and at the beginning."""
    policy: Policy = "ordered"
    """Who is asked first: as configured, the quickest lately, the cheapest, or drawn by weight. Except as configured,
    who only quotes comes last, however quick and cheap that is."""
    latency_stale_s: float = 60.0
    """Where the quickest lately is asked first: a provider that nobody has asked for so long is asked first once, to
    find out what it takes now, since who was slow need not have stayed so. One such call at a time, with half of its
    deadline at most while others are there; never a second try, a hedge, or a request that asks for hedging."""
    latency_trials: float = 0.1
    """Which part of completions may find that out at most; 0 lets none, and who was slow is not asked again."""
    on_disabled: Literal["next", "stop"] = "next"
    """What follows for a completion whose provider leaves the cascade because of it, since a key or a model was not
    accepted: the next provider is asked, or nobody else, so that a mistake in the settings is not papered over."""
    hedge_after_s: float = 0.0
    """If an attempt has said nothing for so long, the next provider is asked beside it, and the quicker one counts.
    Each such attempt uses up a retry, so hedging cannot multiply the load. 0 hedges only when a request asks for it."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense.

        Raises:
            ValueError: it names the setting.
        """
        if self.attempt_min_s <= 0.0 or self.round_delay_s <= 0.0:
            raise ValueError("`attempt_min_s` and `round_delay_s` must be above 0")
        if not 0.0 <= self.retry_ratio <= 1.0 or self.retry_burst < 0:
            raise ValueError("`retry_ratio` must be from 0 to 1 and `retry_burst` at least 0")
        if not 0.0 < self.latency_stale_s < math.inf or not 0.0 <= self.latency_trials <= 1.0:
            raise ValueError("`latency_stale_s` must be above 0 and `latency_trials` from 0 to 1")
        if not 1 <= self.rounds_max <= 5:
            raise ValueError("`rounds_max` must be from 1 to 5")
        if self.hedge_after_s < 0.0:
            raise ValueError("`hedge_after_s` must be at least 0")


class ErrorClass(StrEnum):
    """Why an attempt gave no answer."""

    REFUSED = "refused"
    """Nobody listens at the address."""
    CONNECT = "connect"
    """No connection came about: no such host, no route, a broken handshake."""
    SERVER = "server"
    """The provider said that it is in trouble (5xx)."""
    TIMEOUT = "timeout"
    STALLED = "stalled"
    """A stream began and then said nothing for too long."""
    TRUNCATED = "truncated"
    """The reply ended early, or never said that it was whole."""
    GARBAGE = "garbage"
    """The reply was not what the dialect says."""
    TOO_LARGE = "too_large"
    """The reply was longer than any honest one."""
    INVALID = "invalid"
    """A whole reply that does not keep the schema that was asked for."""
    EMPTY = "empty"
    """A whole reply with no text in it."""
    FILTERED = "filtered"
    """The provider will not speak about this; another may."""
    OVERFLOW = "overflow"
    """The prompt is longer than this model's context."""
    REJECTED = "rejected"
    """The request itself is wrong."""
    UNAUTHORISED = "unauthorised"
    UNKNOWN_MODEL = "unknown_model"
    THROTTLED = "throttled"
    LATE = "late"
    """Nothing was sent: the deadline was used up, or the settings had changed, before the attempt could begin."""
    CANCELLED = "cancelled"
    """The caller no longer wants the answer."""
    OUTRUN = "outrun"
    """Another attempt of the same completion was quicker."""
    UNRECORDED = "unrecorded"
    """Completions are replayed, and no answer to this request was recorded."""


class Next(StrEnum):
    """Where a completion goes after a failed attempt."""

    PROVIDER = "provider"
    """On to the next provider."""
    STOP = "stop"
    """No other provider is asked."""


class Consequence(msgspec.Struct, frozen=True):
    """What follows from one class of failure."""

    outcome: Outcome
    """What the breaker hears."""
    next: Next = Next.PROVIDER
    disables: bool = False
    """The provider leaves the cascade until someone looks at it."""
    gates: bool = False
    """The provider is left alone until its Retry-After is over."""
    is_retryable: bool = False
    """It may pass: the same provider may be tried again in a later round."""
    may_cost: bool = False
    """The provider may have charged for it: the attempt's estimate counts as spent."""


CONSEQUENCES: Mapping[ErrorClass, Consequence] = MappingProxyType(
    {
        ErrorClass.REFUSED: Consequence(Outcome.REFUSED, is_retryable=True),
        ErrorClass.CONNECT: Consequence(Outcome.FAILED, is_retryable=True),
        ErrorClass.SERVER: Consequence(Outcome.FAILED, is_retryable=True),
        ErrorClass.TIMEOUT: Consequence(Outcome.FAILED, is_retryable=True, may_cost=True),
        ErrorClass.STALLED: Consequence(Outcome.FAILED, is_retryable=True, may_cost=True),
        ErrorClass.TRUNCATED: Consequence(Outcome.FAILED, is_retryable=True, may_cost=True),
        ErrorClass.GARBAGE: Consequence(Outcome.FAILED, is_retryable=True, may_cost=True),
        ErrorClass.TOO_LARGE: Consequence(Outcome.FAILED, may_cost=True),
        ErrorClass.INVALID: Consequence(Outcome.NEUTRAL, may_cost=True),
        ErrorClass.EMPTY: Consequence(Outcome.FAILED, is_retryable=True, may_cost=True),
        ErrorClass.FILTERED: Consequence(Outcome.NEUTRAL, may_cost=True),
        ErrorClass.OVERFLOW: Consequence(Outcome.NEUTRAL),
        ErrorClass.REJECTED: Consequence(Outcome.NEUTRAL, next=Next.STOP),
        ErrorClass.UNAUTHORISED: Consequence(Outcome.NEUTRAL, disables=True),
        ErrorClass.UNKNOWN_MODEL: Consequence(Outcome.NEUTRAL, disables=True),
        ErrorClass.THROTTLED: Consequence(Outcome.NEUTRAL, gates=True, is_retryable=True),
        ErrorClass.LATE: Consequence(Outcome.NEUTRAL),
        ErrorClass.CANCELLED: Consequence(Outcome.NEUTRAL, next=Next.STOP, may_cost=True),
        ErrorClass.OUTRUN: Consequence(Outcome.NEUTRAL, is_retryable=True, may_cost=True),
        ErrorClass.UNRECORDED: Consequence(Outcome.NEUTRAL, next=Next.STOP),
    }
)


BLAMELESS = frozenset({ErrorClass.CANCELLED, ErrorClass.OUTRUN, ErrorClass.UNRECORDED})
"""What ends an attempt and is no failure of its provider."""


THROTTLED_LEAST_S = 1.0
"""What is waited for who throttles and names no time, or one that is over at once."""


class Candidate(msgspec.Struct, frozen=True):
    """A provider as the choice sees it, in the cascade's order."""

    name: str
    is_enabled: bool = True
    is_admitted: bool = True
    """Its breaker would give a permit now."""
    is_forced_open: bool = False
    """The settings keep its breaker open."""
    is_busy: bool = False
    """It has as many calls under way as it takes."""
    gate_left_s: float = 0.0
    timeout_s: float = 60.0
    needed_s: float = 2.0
    """What those before it leave it of the deadline."""
    unfit: str = ""
    """Why it must not be asked this, whatever happens; empty if it may."""
    latency_s: float = 0.0
    """What an answer takes lately; 0 when nobody knows."""
    unasked_s: float = 0.0
    """For how long nobody has asked it: 0 while a call is under way, infinite if nobody ever has."""
    cost: int = 0
    """What this attempt should cost at most."""
    weight: float = 1.0
    is_last_resort: bool = False
    """It is no model: it answers when no model can."""


class Attempted(msgspec.Struct, frozen=True):
    """A failed attempt of the completion at hand."""

    provider: str
    error: ErrorClass
    round: int = 0


class Try(msgspec.Struct, frozen=True):
    """Call this provider and allow it so long."""

    provider: str
    limit_s: float
    is_trial: bool = False
    """Whether it is asked to find out what it takes now, since what is known of it is old."""


class Queue(msgspec.Struct, frozen=True):
    """Look again when a call of this provider ends, or when so much time is up."""

    provider: str
    delay_s: float


class NextRound(msgspec.Struct, frozen=True):
    """Begin the next round after so long."""

    delay_s: float


class GiveUp(msgspec.Struct, frozen=True):
    """No provider can answer in time."""

    reason: str
    is_late: bool = False
    """The deadline alone forbids another attempt."""


Choice = Try | Queue | NextRound | GiveUp


def choose(  # noqa: PLR0917  # all that the choice rests on
    candidates: Sequence[Candidate],
    attempted: Sequence[Attempted],
    round_: int,
    time_left_s: float,
    options: CascadeOptions,
    jitter: float,
    *,
    trial_after_s: float | None = None,
) -> Choice:
    """What to do next for a completion with these failed attempts behind it and so much time before it.

    `round_` counts from 0; `jitter` is in [0, 1). Under the policy `latency`, a first attempt goes to who was not asked
    for `trial_after_s`, if to anyone: infinite leaves those that nobody knows, None nobody.
    """
    if time_left_s < options.attempt_min_s:
        return GiveUp("the deadline leaves no time for an attempt", is_late=True)
    ordered = candidates
    if options.policy != "ordered":
        ordered = in_order(candidates, options.policy, attempted, jitter, trial_after_s)
    hopeful = [one for one in ordered if one.is_enabled and not one.unfit]
    ready = [one for one in hopeful if one.is_admitted]
    if attempted:
        hopeless = {past.provider for past in attempted if not CONSEQUENCES[past.error].is_retryable}
        hopeful = [one for one in hopeful if one.name not in hopeless]
        tried_now = {past.provider for past in attempted if past.round == round_} | hopeless
        ready = [one for one in ready if one.name not in tried_now]
    if ready and ready[0].is_busy:
        return Queue(ready[0].name, time_left_s - options.attempt_min_s)
    if ready:
        one, later = ready[0], ready[1:]
        limit_s = _limit(one, later, time_left_s)
        if options.policy == "latency" and not attempted and _is_due(one, trial_after_s) and one.unasked_s < math.inf:
            return Try(one.name, min(limit_s, time_left_s / 2.0) if later else limit_s, is_trial=True)
        return Try(one.name, limit_s)
    later = [one for one in hopeful if one.is_admitted or one.gate_left_s > 0.0]
    if later and round_ + 1 < options.rounds_max:
        backoff_s = options.round_delay_s * 2.0**round_ * (1.0 + jitter / 2.0)
        delay_s = max(backoff_s, min(one.gate_left_s for one in later))
        if delay_s + options.attempt_min_s <= time_left_s:
            return NextRound(delay_s)
    return GiveUp("no provider is left to try")


def choose_hedge(  # noqa: PLR0917  # as `choose`, and who is asked already
    candidates: Sequence[Candidate],
    attempted: Sequence[Attempted],
    under_way: Sequence[str],
    round_: int,
    time_left_s: float,
    options: CascadeOptions,
    jitter: float,
) -> Try | None:
    """Whom to ask beside those `under_way`, or None: a hedge waits for nobody and begins no round."""
    busy = [Attempted(name, ErrorClass.OUTRUN, round_) for name in under_way]
    choice = choose(candidates, (*attempted, *busy), round_, time_left_s, options, jitter)
    return choice if isinstance(choice, Try) else None


def in_order(
    candidates: Sequence[Candidate],
    policy: Policy,
    attempted: Sequence[Attempted],
    jitter: float,
    trial_after_s: float | None = None,
) -> list[Candidate]:
    """The candidates as the policy asks them; equals stay as they stand."""
    match policy:
        case "ordered":
            return list(candidates)
        case "latency":
            return _quickest_first(candidates, None if attempted else trial_after_s)
        case "cost":
            return sorted(candidates, key=lambda one: (one.is_last_resort, one.cost))
        case "weighted":
            return _drawn_first(candidates, attempted, jitter)


def too_small(context_tokens: int, tokens_in: int, tokens_max: int) -> str:
    """Why a request does not fit into a context, in words; empty if it may. An estimate errs upwards: allow for it."""
    least = tokens_in * 3 // 4 + tokens_max
    if context_tokens and least > context_tokens:
        return f"at least {least} tokens do not fit into its {context_tokens}"
    return ""


def why_skipped(candidate: Candidate) -> str:
    """Why a provider that was not tried was not, in words; empty if nothing kept it from being tried."""
    if candidate.unfit:
        return f"{candidate.name}: {candidate.unfit}"
    if not candidate.is_enabled:
        return f"{candidate.name}: disabled"
    if candidate.is_forced_open:
        return f"{candidate.name}: its breaker is forced open"
    if candidate.gate_left_s > 0.0:
        return f"{candidate.name}: throttled for another {candidate.gate_left_s:.1f} s"
    if not candidate.is_admitted:
        return f"{candidate.name}: its breaker is open"
    return ""


def throttled_s(candidates: Sequence[Candidate], attempted: Sequence[Attempted]) -> float:
    """How soon somebody may be asked again, if nothing else keeps anybody from answering than that all who could are
    to be left alone for a while; 0 otherwise."""
    if any(past.error is not ErrorClass.THROTTLED for past in attempted):
        return 0.0
    able = [one for one in candidates if one.is_enabled and not one.unfit]
    throttled = {past.provider for past in attempted}
    if any(one.is_admitted and one.name not in throttled for one in able):
        return 0.0
    waits_s = [one.gate_left_s for one in able if one.gate_left_s > 0.0 and not one.is_forced_open]
    return min(waits_s, default=THROTTLED_LEAST_S if throttled else 0.0)


def _quickest_first(candidates: Sequence[Candidate], trial_after_s: float | None) -> list[Candidate]:
    """Before them those who are due for a trial, longest unasked first; of whom nobody knows comes after them."""

    def rank(one: Candidate) -> tuple[bool, float, float]:
        return one.is_last_resort, -one.unasked_s if _is_due(one, trial_after_s) else 0.0, one.latency_s or math.inf

    return sorted(candidates, key=rank)


def _is_due(one: Candidate, trial_after_s: float | None) -> bool:
    return trial_after_s is not None and one.unasked_s >= trial_after_s and not one.is_last_resort


def _drawn_first(candidates: Sequence[Candidate], attempted: Sequence[Attempted], jitter: float) -> list[Candidate]:
    """One is drawn by weight among those that can answer, and comes first; who has been tried is not drawn again."""
    tried = {past.provider for past in attempted}
    models_first = sorted(candidates, key=lambda one: one.is_last_resort)
    able = [one for one in candidates if one.is_enabled and one.is_admitted and not one.unfit and one.name not in tried]
    drawn = [one for one in able if not one.is_last_resort]
    point = jitter * sum(one.weight for one in drawn)
    for one in drawn:
        point -= one.weight
        if point < 0.0:
            return [one, *(other for other in models_first if other is not one)]
    return models_first


def _limit(one: Candidate, later: Sequence[Candidate], time_left_s: float) -> float:
    """How long this attempt may take: those that may have to follow get what they need, if half the time allows it."""
    if not later:
        return min(one.timeout_s, time_left_s)
    needed_s = min(sum(other.needed_s for other in later), time_left_s / 2.0)
    return min(one.timeout_s, time_left_s - needed_s)
