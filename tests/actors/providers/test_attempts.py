"""Attempts: what is sent to whom, and how they report."""

import msgspec
import pytest

from actors.providers.discovery import EXTRACTIVE
from bus.messages.completions import ROUTER, CompletionAttemptFailed, CompletionRequested
from bus.refusals import AllProvidersFailed
from tests.support.fault_server import FaultServer, Sickness
from tests.support.routing import DOCUMENT, behind, request, routing

SECRET = msgspec.structs.replace(request("A secret that stays here. " * 3), privacy="local")


async def test_no_byte_of_a_local_request_reaches_a_provider_that_is_not() -> None:
    async with FaultServer() as far, FaultServer(Sickness.SERVER_ERROR) as near:
        remote = msgspec.structs.replace(behind(far.url, "far"), location="remote")
        async with routing(remote, behind(near.url, "near"), EXTRACTIVE) as router:
            for _ in range(8):
                assert (await router.system.ask(ROUTER, SECRET)).provider == "extractive"
                assert (await router.stream(SECRET)).provider == "extractive"
            assert far.connections == set()
            assert near.calls > 0
            assert (await router.complete()).provider == "far"


async def test_a_local_request_without_a_local_provider_is_refused_and_says_why() -> None:
    async with FaultServer() as far:
        remote = msgspec.structs.replace(behind(far.url, "far"), location="remote")
        async with routing(remote) as router:
            with pytest.raises(AllProvidersFailed, match="far: not local"):
                await router.system.ask(ROUTER, SECRET)
            assert (far.connections, router.events(CompletionRequested)) == (set(), [])


async def test_a_request_longer_than_a_context_goes_to_a_larger_one_without_asking() -> None:
    async with FaultServer() as small, FaultServer() as large:
        first = msgspec.structs.replace(behind(small.url), context_tokens=50)
        async with routing(first, behind(large.url, "large")) as router:
            assert (await router.complete()).provider == "large"
            assert (small.calls, router.events(CompletionAttemptFailed)) == (0, [])
            asked = msgspec.structs.replace(request("Hi."), tokens_max=10)
            assert (await router.system.ask(ROUTER, asked)).provider == "primary"


async def test_a_providers_rate_sends_the_rest_to_the_next_one() -> None:
    async with FaultServer() as slow, FaultServer() as spare:
        limited = msgspec.structs.replace(behind(slow.url), requests_per_minute=2)
        async with routing(limited, behind(spare.url, "spare")) as router:
            providers = [(await router.complete()).provider for _ in range(4)]
            assert providers == ["primary", "primary", "spare", "spare"]
            router.clock.advance(30.0)
            assert [(await router.complete()).provider for _ in range(2)] == ["primary", "spare"]


async def test_tokens_count_against_a_rate_as_well() -> None:
    async with FaultServer() as slow:
        limited = msgspec.structs.replace(behind(slow.url), tokens_per_minute=200)
        async with routing(limited, EXTRACTIVE) as router:
            assert [(await router.complete()).text == DOCUMENT for _ in range(2)] == [False, True]
