"""The whole market under faults, over a thousand seeds: what must hold holds in every one of them."""

import logging

import pytest

from actors.runtime.virtual_time import LeftBehind, NothingLeftToRun, Simulation, simulate
from bus.envelope import StoredEvent
from bus.errors import AgoraError
from tests.simulation.market import Market, market
from tests.simulation.market_mutants import EDGE_MUTANTS, MARKET_MUTANTS
from tests.simulation.mutants import MUTANTS, Mutant, planted

SEEDS_AT_ONCE = 5
SEEDS = 1_000
BATCH = 100
IN_THE_SOCIETY_ALONE = ("a fact that comes twice is handled twice", "a turn that fails keeps its events")
"""Planted bugs that the market bears: its ids stick, and its handlers do not fail once they have persisted."""
PLANTED = (*MARKET_MUTANTS, *EDGE_MUTANTS, *(mutant for mutant in MUTANTS if mutant.what not in IN_THE_SOCIETY_ALONE))


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Faults are planned here; their log lines would be many thousands."""
    caplog.set_level(logging.CRITICAL + 1, logger="actors.runtime")


def test_whatever_happens_each_task_ends_once_and_its_winner_is_paid_once() -> None:
    for seed in range(SEEDS_AT_ONCE):
        simulate(seed, market)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_whatever_happens_over_a_thousand_seeds(first: int) -> None:
    for seed in range(first, first + BATCH):
        simulate(seed, market)


def test_a_seed_repeats_its_market_to_the_last_event() -> None:
    async def run(simulation: Simulation) -> list[StoredEvent]:
        one = Market(simulation)
        await one.run()
        return one.disk.stored

    assert simulate(7, run) == simulate(7, run)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", PLANTED, ids=[mutant.what for mutant in PLANTED])
def test_a_bug_planted_in_the_market_is_found_within_a_thousand_seeds(mutant: Mutant) -> None:
    with planted(mutant):
        assert any(_fails(seed) for seed in range(SEEDS))


def _fails(seed: int) -> bool:
    is_found = False
    try:
        simulate(seed, market)
    except* (AssertionError, AgoraError, LeftBehind, NothingLeftToRun):  # at the end of a run nobody is kept waiting
        is_found = True
    return is_found
