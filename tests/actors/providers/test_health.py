"""Looks at providers beside all requests."""

import asyncio
from decimal import Decimal

import msgspec
import pytest

from actors.providers import ProviderOptions
from actors.providers.discovery import EXTRACTIVE
from actors.providers.health import url_of
from actors.providers.options import DialectName
from actors.providers.settings import RouterOptions
from actors.rules.breaker import BreakerOptions
from actors.runtime.simulation import MemoryJournal
from bus.clock import VirtualClock
from bus.messages.completions import BreakerHalfOpened, BreakerOpened, BreakerState
from bus.messages.routing import ProviderSeen
from tests.support.fault_server import FaultServer, Sickness, refusing_url
from tests.support.routing import FIRST, QUICK, Routing, behind, routing

OFTEN = RouterOptions(probe_interval_s=0.02, breaker=BreakerOptions(wait_min_s=30.0), cascade=QUICK)


@pytest.mark.parametrize(
    ("dialect", "url"),
    [
        ("openai", "http://x/v1/models"),
        ("ollama", "http://x/api/tags"),
        ("anthropic", "http://x/v1/models"),
        ("gemini", "http://x/v1beta/models"),
    ],
)
def test_each_dialect_has_a_place_to_look_at(dialect: DialectName, url: str) -> None:
    base = "http://x/v1" if dialect == "openai" else "http://x/"
    assert url_of(ProviderOptions("a", dialect, base_url=base, model="m", price_in=Decimal(0))) == url


def test_nobody_looks_at_who_is_always_there() -> None:
    assert url_of(EXTRACTIVE) == ""


def gone() -> tuple[ProviderOptions, int]:
    """A provider that nobody is at, and the port at which somebody may come to listen."""
    with refusing_url() as url:
        return behind(url), int(url.rpartition(":")[2])


async def until(router: Routing, seen: list[bool]) -> None:
    async with asyncio.timeout(30.0):
        while [event.is_there for event in router.events(ProviderSeen)] != seen:  # noqa: ASYNC110  # no bell
            await asyncio.sleep(0)


async def test_a_provider_that_was_gone_and_is_there_again_is_tried_before_its_wait_is_over() -> None:
    options, port = gone()
    async with routing(options, EXTRACTIVE, options=OFTEN) as router:
        for _ in range(2):
            assert (await router.complete()).provider == "extractive"
        assert (await router.provider()).breaker is BreakerState.OPEN
        await until(router, [False])
        async with FaultServer(port=port):
            await until(router, [False, True])
            assert (await router.provider()).reopens_in_s == 0.0
            assert (await router.complete()).provider == FIRST
            assert len(router.events(BreakerHalfOpened)) == 1


async def test_only_the_probes_get_through_however_many_callers_there_are() -> None:
    options, port = gone()
    few = msgspec.structs.replace(OFTEN, breaker=BreakerOptions(wait_min_s=30.0, probes=2))
    async with routing(options, EXTRACTIVE, options=few) as router:
        for _ in range(2):
            await router.complete()
        await until(router, [False])
        async with FaultServer(port=port) as server:
            await until(router, [False, True])
            server.sickness = Sickness.HELD
            asked = server.calls
            async with asyncio.TaskGroup() as callers:
                answers = [callers.create_task(router.complete()) for _ in range(50)]
                await server.called(asked + 2)
                async with asyncio.timeout(30.0):
                    while sum(one.done() for one in answers) < 48:  # noqa: ASYNC110  # turns of the loop
                        await asyncio.sleep(0)
                server.release()
            prompts = [path for path in server.paths[asked:] if path.endswith("/completions")]
            assert len(prompts) == 2


async def test_a_provider_that_lists_models_and_fails_prompts_waits_as_long_as_ever() -> None:
    async with (
        FaultServer(Sickness.SERVER_ERROR) as server,
        routing(behind(server.url), EXTRACTIVE, options=OFTEN) as router,
    ):
        for _ in range(BreakerOptions().calls_min):
            await router.complete()
        server.sickness = Sickness.HEALTHY
        prompts = server.calls
        await server.called(prompts + 3)
        assert router.events(ProviderSeen) == []
        assert (await router.provider()).breaker is BreakerState.OPEN
        assert (await router.complete()).provider == "extractive"


async def test_what_was_seen_outlives_a_restart() -> None:
    journal, clock = MemoryJournal(), VirtualClock()
    options, port = gone()
    async with routing(options, EXTRACTIVE, options=OFTEN, journal=journal, clock=clock) as router:
        for _ in range(2):
            await router.complete()
        await until(router, [False])
        before = router.state()
    async with routing(options, EXTRACTIVE, options=OFTEN, journal=journal, clock=clock) as router:
        assert router.state() == before
        assert len(router.events(BreakerOpened)) == 1
        async with FaultServer(port=port):
            await until(router, [False, True])
            assert (await router.complete()).provider == FIRST


async def test_nobody_looks_where_that_is_switched_off() -> None:
    off = msgspec.structs.replace(OFTEN, probe="off")
    async with (
        FaultServer(Sickness.SERVER_ERROR) as server,
        routing(behind(server.url), EXTRACTIVE, options=off) as router,
    ):
        for _ in range(8):
            await router.complete()
        assert {path.rpartition("/")[2] for path in server.paths} == {"completions"}
