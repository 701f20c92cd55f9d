"""A small society under faults, over many seeds: what must hold holds in every one of them."""

import logging

import pytest

from actors.runtime.simulation import MemoryJournal
from actors.runtime.virtual_time import Simulation, simulate
from tests.simulation.mutants import MUTANTS, Mutant, planted
from tests.simulation.scenario import Society, queries_at_the_edge, society

SEEDS_QUICK = 100
SEEDS = 1_000
RUNS = (society, queries_at_the_edge)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Faults are planned here; their log lines would be many thousands."""
    caplog.set_level(logging.CRITICAL + 1, logger="actors.runtime")


@pytest.mark.slow
def test_whatever_happens_nothing_is_lost_doubled_or_told_too_early() -> None:
    for seed in range(SEEDS_QUICK):
        for run in RUNS:
            simulate(seed, run)


@pytest.mark.long
def test_whatever_happens_over_a_thousand_seeds() -> None:
    for seed in range(SEEDS_QUICK, SEEDS):
        for run in RUNS:
            simulate(seed, run)


def test_a_seed_repeats_its_run_to_the_last_event() -> None:
    async def run(simulation: Simulation) -> MemoryJournal:
        society = Society(simulation)
        await society.run()
        return society.journal

    first, again, other = (simulate(seed, run).stored for seed in (7, 7, 8))
    assert first == again
    assert first != other


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.what for mutant in MUTANTS])
def test_a_planted_bug_is_found_within_a_thousand_seeds(mutant: Mutant) -> None:
    with planted(mutant):
        assert any(_fails(seed) for seed in range(SEEDS))


def _fails(seed: int) -> bool:
    is_found = False
    for run in RUNS:
        try:
            simulate(seed, run)
        except* AssertionError:
            is_found = True
    return is_found
