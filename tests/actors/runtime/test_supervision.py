"""OTP's rules: who is restarted, when, and when it is enough."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.supervision import (
    Decision,
    GiveUp,
    LetGo,
    Restart,
    RestartChildren,
    RestartHistory,
    Strategy,
    SupervisionOptions,
    decide,
)
from bus.address import Address

CHILDREN = tuple(Address(name) for name in ("first", "second", "third"))
SECOND = CHILDREN[1]


def judged(
    options: SupervisionOptions | None = None,
    history: RestartHistory | None = None,
    *,
    restart: Restart = Restart.PERMANENT,
    is_fault: bool = True,
    now_s: float = 100.0,
    jitter: float = 0.0,
) -> Decision:
    return decide(
        options or SupervisionOptions(),
        history or RestartHistory(),
        children=CHILDREN,
        failed=SECOND,
        restart=restart,
        is_fault=is_fault,
        now_s=now_s,
        jitter=jitter,
    )


@pytest.mark.parametrize(
    ("restart", "is_fault", "comes_back"),
    [
        (Restart.PERMANENT, True, True),
        (Restart.PERMANENT, False, True),
        (Restart.TRANSIENT, True, True),
        (Restart.TRANSIENT, False, False),
        (Restart.TEMPORARY, True, False),
        (Restart.TEMPORARY, False, False),
    ],
)
def test_who_comes_back_depends_on_the_kind_and_on_what_ended_it(
    restart: Restart, is_fault: bool, comes_back: bool
) -> None:
    decision = judged(restart=restart, is_fault=is_fault)
    assert isinstance(decision, RestartChildren if comes_back else LetGo)


@pytest.mark.parametrize(
    ("strategy", "affected"),
    [
        (Strategy.ONE_FOR_ONE, (SECOND,)),
        (Strategy.ONE_FOR_ALL, CHILDREN),
        (Strategy.REST_FOR_ONE, CHILDREN[1:]),
    ],
)
def test_the_strategy_says_who_goes_with_it(strategy: Strategy, affected: tuple[Address, ...]) -> None:
    decision = judged(SupervisionOptions(strategy=strategy))
    assert isinstance(decision, RestartChildren)
    assert decision.children == affected


@pytest.mark.parametrize(
    ("restarts", "jitter", "wait_s"), [(0, 0.0, 0.025), (0, 1.0, 0.05), (1, 1.0, 0.1), (4, 1.0, 0.8), (9, 1.0, 5.0)]
)
def test_the_wait_doubles_up_to_a_bound_with_jitter_below_it(restarts: int, jitter: float, wait_s: float) -> None:
    options = SupervisionOptions(intensity_max=20)
    decision = judged(options, RestartHistory((99.0,) * restarts), jitter=jitter)
    assert isinstance(decision, RestartChildren)
    assert decision.wait_s == pytest.approx(wait_s)


def test_a_period_in_peace_lets_the_wait_start_anew() -> None:
    decision = judged(history=RestartHistory((1.0, 2.0, 3.0)), now_s=1_000.0, jitter=1.0)
    assert isinstance(decision, RestartChildren)
    assert (decision.wait_s, decision.history) == (0.05, RestartHistory((1_000.0,)))


@given(
    steps_s=st.lists(st.floats(0, 20), max_size=40),
    intensity_max=st.integers(0, 5),
    period_s=st.floats(1, 30),
)
def test_no_period_ever_has_more_restarts_than_the_intensity(
    steps_s: list[float], intensity_max: int, period_s: float
) -> None:
    options = SupervisionOptions(intensity_max=intensity_max, period_s=period_s)
    history, now_s, restarted_s = RestartHistory(), 0.0, list[float]()
    for step_s in steps_s:
        now_s += step_s
        decision = judged(options, history, now_s=now_s)
        if isinstance(decision, GiveUp):
            assert decision.restarts >= intensity_max
            continue
        assert isinstance(decision, RestartChildren)
        history = decision.history
        restarted_s.append(now_s)
        assert sum(now_s - time_s < period_s for time_s in restarted_s) <= intensity_max
