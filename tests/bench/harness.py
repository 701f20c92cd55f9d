"""How a figure comes about.

Rules: ours and the baseline take turns, so that a noisy minute hurts both alike; a figure is the median of at least
three such rounds; who goes first alternates; garbage is collected before each sample and stays on during it. What
is compared is measured the same way: the same messages, the same work, the same durability. Each comparison gives a
figure by the clock on the wall and one by the processor time of this process, all of its threads included.
"""

import gc
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

import msgspec

ROUNDS = 5
"""Odd, and enough that one noisy round on a shared machine does not decide."""
QUICK_DIVISOR = 100

LOOPS = (("idle", False), ("saturated", True))
"""With a loop that has nothing else to do, and with one that runs a callback every turn."""

Bound = Literal["at_least", "at_most"]


class Figure(msgspec.Struct, frozen=True):
    """One line of the report. `ratio` is ours by baseline; `aim` bounds it, or bounds ours where there is none."""

    name: str
    unit: str
    ours: float
    baseline: float | None
    ratio: float | None
    aim: float | None
    met: bool | None


class Aim(NamedTuple):
    """What a figure shall reach."""

    value: float
    bound: Bound = "at_least"

    def is_met(self, value: float) -> bool:
        return value >= self.value if self.bound == "at_least" else value <= self.value


class Sample(NamedTuple):
    """One run: how much was done, and what it took."""

    done: int
    wall_s: float
    cpu_s: float


Run = Callable[[], Awaitable[Sample]]


class Scale(NamedTuple):
    """How much is measured. The quick scale only shows that a benchmark runs; its figures mean nothing."""

    is_quick: bool = False

    @property
    def rounds(self) -> int:
        return 1 if self.is_quick else ROUNDS

    def count(self, full: int, *, at_least: int = 1) -> int:
        return max(at_least, full // QUICK_DIVISOR) if self.is_quick else full


class Stopwatch:
    """Wall and processor time of a block."""

    def __init__(self) -> None:
        self.wall_s = 0.0
        self.cpu_s = 0.0

    def sample(self, done: int) -> Sample:
        return Sample(done, self.wall_s, self.cpu_s)


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Measures its block, garbage of earlier blocks excluded."""
    watch = Stopwatch()
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    yield watch
    watch.wall_s, watch.cpu_s = time.perf_counter() - wall, time.process_time() - cpu


async def compare_rates(
    name: str, unit: str, ours: Run, baseline: Run, *, scale: Scale, aim: Aim | None = None
) -> AsyncIterator[Figure]:
    """How many a second, by the wall and by processor time. The aim is for the wall."""
    mine, theirs = await take_turns(ours, baseline, scale)
    yield figure(name, f"{unit}/s", _rate_by_wall(mine), _rate_by_wall(theirs), scale=scale, aim=aim)
    yield figure(f"{name} (CPU)", f"{unit}/CPU s", _rate_by_cpu(mine), _rate_by_cpu(theirs), scale=scale)


async def take_turns(ours: Run, baseline: Run, scale: Scale) -> tuple[list[Sample], list[Sample]]:
    """Samples of both, interleaved; who goes first alternates."""
    mine: list[Sample] = []
    theirs: list[Sample] = []
    for turn in range(scale.rounds):
        pair = ((ours, mine), (baseline, theirs))
        for run, samples in pair if turn % 2 else pair[::-1]:
            samples.append(await run())
    return mine, theirs


def figure(
    name: str, unit: str, ours: float, baseline: float | None, *, scale: Scale, aim: Aim | None = None
) -> Figure:
    """A figure with its verdict. The quick scale has no aims: they hold for the full amounts."""
    ratio = None if not baseline else ours / baseline
    if aim is None or scale.is_quick:
        return Figure(name, unit, ours, baseline, ratio, None, None)
    return Figure(name, unit, ours, baseline, ratio, aim.value, aim.is_met(ours if ratio is None else ratio))


def median(values: list[float]) -> float:
    return statistics.median(values)


def p99(values: Sequence[float]) -> float:
    return sorted(values)[len(values) * 99 // 100]


def _rate_by_wall(samples: list[Sample]) -> float:
    return median([sample.done / sample.wall_s for sample in samples])


def _rate_by_cpu(samples: list[Sample]) -> float:
    return median([sample.done / max(sample.cpu_s, 1e-9) for sample in samples])
