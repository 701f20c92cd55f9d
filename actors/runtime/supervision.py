"""What a supervisor does when a child ends: OTP's rules.

Rules: a permanent child is restarted whatever ended it, a transient one only after a fault, a temporary one never.
one_for_one restarts the child, one_for_all all children, rest_for_one the child and those started after it. More than
`intensity_max` restarts within `period_s` are too many: the supervisor gives up and its own supervisor decides.
The wait before a restart doubles with each restart within the period, with jitter, up to a bound, and starts anew
once a period has passed in peace.

Source: Erlang/OTP, supervisor behaviour. Pure: no clock, no dice, no loop.
"""

from enum import StrEnum

import msgspec

from bus.address import Address


class Restart(StrEnum):
    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class Strategy(StrEnum):
    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


class SupervisionOptions(msgspec.Struct, frozen=True):
    """How a supervisor treats its children."""

    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity_max: int = 5
    period_s: float = 30.0
    backoff_first_s: float = 0.05
    backoff_max_s: float = 5.0


class RestartHistory(msgspec.Struct, frozen=True):
    """When the children of one supervisor were restarted, newest last, within the period."""

    times_s: tuple[float, ...] = ()


class GiveUp(msgspec.Struct, frozen=True):
    """Too many restarts: the fault goes to the next supervisor."""

    restarts: int


class RestartChildren(msgspec.Struct, frozen=True):
    """Restart these, in this order, after a wait. They were stopped in reverse."""

    children: tuple[Address, ...]
    wait_s: float
    history: RestartHistory


class LetGo(msgspec.Struct, frozen=True):
    """The child stays ended."""


Decision = GiveUp | RestartChildren | LetGo


def decide(
    options: SupervisionOptions,
    history: RestartHistory,
    *,
    children: tuple[Address, ...],
    failed: Address,
    restart: Restart,
    is_fault: bool,
    now_s: float,
    jitter: float,
) -> Decision:
    """What to do about `failed`, one of `children` (in start order). `jitter` is in [0, 1)."""
    if restart is Restart.TEMPORARY or (restart is Restart.TRANSIENT and not is_fault):
        return LetGo()
    recent = tuple(time_s for time_s in history.times_s if now_s - time_s < options.period_s)
    if len(recent) >= options.intensity_max:
        return GiveUp(restarts=len(recent))
    wait_s = min(options.backoff_first_s * 2 ** len(recent), options.backoff_max_s)
    return RestartChildren(
        children=_affected(options.strategy, children, failed),
        wait_s=wait_s * (0.5 + jitter / 2),
        history=RestartHistory((*recent, now_s)),
    )


def _affected(strategy: Strategy, children: tuple[Address, ...], failed: Address) -> tuple[Address, ...]:
    match strategy:
        case Strategy.ONE_FOR_ONE:
            return (failed,)
        case Strategy.ONE_FOR_ALL:
            return children
        case Strategy.REST_FOR_ONE:
            return children[children.index(failed) :]
