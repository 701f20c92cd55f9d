"""What the cascade promises, tried on the whole router where several of its rules meet."""

import asyncio
import random

import msgspec
import pytest

from actors.providers import ProviderOptions
from actors.providers.discovery import EXTRACTIVE
from actors.providers.settings import RouterOptions
from actors.router import Reconfigure
from actors.rules.breaker import BreakerOptions
from actors.rules.cascade import CascadeOptions, ErrorClass, Policy
from bus.errors import AgoraError
from bus.messages.completions import (
    ROUTER,
    CompletionAttemptFailed,
    DisableProvider,
)
from bus.messages.embeddings import Embed
from bus.messages.routing import ReorderProviders
from tests.support.fault_server import TEXT, FaultServer, Sickness
from tests.support.routing import DOCUMENT, FIRST, QUICK, Routing, behind, request, routing

PATIENCE_S = 300.0
SECRET = "Nobody else may read of the blue heron at pier nine."


def patient(options: ProviderOptions) -> ProviderOptions:
    """The same provider, whose connections may take as long as a busy machine takes."""
    return msgspec.structs.replace(options, connect_timeout_s=PATIENCE_S)


@pytest.mark.slow
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_fifty_callers_of_a_hanging_provider_with_eight_places_all_get_their_answer(is_streamed: bool) -> None:
    """Only a call that hangs ends by a time; everybody else has more of it than any machine needs."""
    async with FaultServer(Sickness.HANGS) as sick, FaultServer() as well:
        hanging = patient(behind(sick.url, concurrency_max=8, timeout_s=0.3, stall_s=0.3))
        healthy = patient(behind(well.url, "secondary", concurrency_max=8, timeout_s=PATIENCE_S, stall_s=PATIENCE_S))
        async with routing(hanging, healthy) as router:
            asked = request(deadline_s=PATIENCE_S)
            async with asyncio.TaskGroup() as callers:
                answers = [
                    callers.create_task(router.stream(asked) if is_streamed else router.complete(deadline_s=PATIENCE_S))
                    for _ in range(50)
                ]
            assert [answer.result().text for answer in answers] == [TEXT] * 50
            assert 8 <= sick.calls < 8 + BreakerOptions().calls_min
            assert [(await router.provider(name)).in_flight for name in (FIRST, "secondary")] == [0, 0]


@pytest.mark.parametrize("policy", ["ordered", "latency", "cost", "weighted"])
async def test_whatever_happens_no_byte_of_a_local_request_reaches_who_is_not(policy: Policy) -> None:
    """Failures, hedges, rounds, streams, vectors, other orders and other settings, all at once and in any order."""
    dice = random.Random(policy)
    cascade = CascadeOptions(policy=policy, hedge_after_s=0.01, round_delay_s=0.01)
    options = RouterOptions(cascade=cascade, breaker=BreakerOptions(mode="disabled"), allowance_usd_micros=0)
    sicknesses = [Sickness.HEALTHY, Sickness.SERVER_ERROR, Sickness.GARBAGE, Sickness.BREAKS, Sickness.CONTEXT_OVERFLOW]
    async with FaultServer() as far, FaultServer() as near:
        paid = msgspec.structs.replace(behind(far.url, "far", price="1"), location="remote", embedding_model="e")
        local = msgspec.structs.replace(behind(near.url, "near", concurrency_max=3, price="1"), embedding_model="e")
        async with routing(paid, local, EXTRACTIVE, options=options) as router:
            async with asyncio.TaskGroup() as callers:
                for number in range(60):
                    near.sickness, far.sickness = dice.choice(sicknesses), dice.choice(sicknesses)
                    callers.create_task(_ask_somehow(router, number))
                    if number % 7 == 3:
                        await router.system.ask(ROUTER, ReorderProviders(("far", "near")))
                    if number % 7 == 5:
                        moved = msgspec.structs.replace(local, location="remote" if number % 2 else "auto")
                        new = msgspec.structs.replace(options, providers=(paid, moved, EXTRACTIVE))
                        await router.system.ask(ROUTER, Reconfigure(new))
            assert far.calls > 0, "it was asked what it may hear"
            assert not any(SECRET.encode() in body for body in far.bodies)
            assert policy == "cost" or any(SECRET.encode() in body for body in near.bodies)


async def _ask_somehow(router: Routing, number: int) -> None:
    local = number % 2 == 0
    asked = msgspec.structs.replace(
        request(SECRET if local else DOCUMENT), privacy="local" if local else "any", may_restart=number % 3 == 0
    )
    try:
        match number % 4:
            case 0 | 1:
                await router.system.ask(ROUTER, asked, timeout_s=10.0)
            case 2:
                await router.stream(asked)
            case _:
                texts = Embed((SECRET if local else DOCUMENT,), 5.0, privacy=asked.privacy)
                await router.system.ask(ROUTER, texts, timeout_s=10.0)
    except AgoraError:
        pass  # an answer is not what is asked for here


async def test_settings_that_make_a_provider_remote_stop_a_local_request_that_waits_for_its_commit() -> None:
    options = RouterOptions(cascade=QUICK, allowance_usd_micros=0)
    async with FaultServer() as near:
        local = behind(near.url, price="1")
        moved = msgspec.structs.replace(local, location="remote")
        async with routing(local, EXTRACTIVE, options=options) as router:
            asked = msgspec.structs.replace(request(), privacy="local")
            reload = Reconfigure(msgspec.structs.replace(options, providers=(moved, EXTRACTIVE)))
            answer, _ = await asyncio.gather(router.system.ask(ROUTER, asked), router.system.ask(ROUTER, reload))
            assert (answer.provider, near.calls) == ("extractive", 0)
            assert (await router.provider()).in_flight == 0


async def test_what_overflowed_one_context_is_asked_of_a_larger_one_and_of_none_that_is_no_larger() -> None:
    async with FaultServer(Sickness.CONTEXT_OVERFLOW) as sick, FaultServer() as small, FaultServer() as large:
        providers = [
            msgspec.structs.replace(behind(server.url, name), context_tokens=tokens)
            for server, name, tokens in ((sick, FIRST, 8_192), (small, "small", 8_192), (large, "large", 32_768))
        ]
        async with routing(*providers) as router:
            assert (await router.complete()).provider == "large"
            assert small.calls == 0
            assert [failed.error for failed in router.events(CompletionAttemptFailed)] == [ErrorClass.OVERFLOW]
            await router.system.ask(ROUTER, DisableProvider(FIRST))
            assert (await router.complete()).provider == "small"
