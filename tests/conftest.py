"""What holds for every test: nothing of ours blocks the loop, and property tests repeat.

In the daily runs Hypothesis draws the same examples each time, so that a red check is about the change and not about
luck; `python -m tests.check --long` explores with fresh ones and many more.
"""

from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, settings

FLOORS = ("actors", "bus", "storage", "web")

settings.register_profile("check", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", deadline=None, max_examples=5_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("check")


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    """A call of ours that blocks inside a running loop raises, wherever it is."""
    with blockbuster_ctx(scanned_modules=FLOORS):
        yield
