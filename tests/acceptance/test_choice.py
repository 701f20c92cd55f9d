"""Who is asked first, on the whole router with real servers: each policy, each filter, and what a bad answer leads to.

The router's clock moves only when a test moves it, so how long an answer takes is what the test says.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

import msgspec
import orjson
import pytest

from actors.providers.discovery import EXTRACTIVE
from actors.providers.options import ProviderOptions
from actors.providers.settings import RouterOptions
from actors.router import Reconfigure
from actors.rules.breaker import BreakerOptions
from actors.rules.cascade import ErrorClass, Policy
from bus.messages.completions import (
    ROUTER,
    BreakerOpened,
    ChatMessage,
    Complete,
    CompletionAttemptFailed,
    DisableProvider,
    Image,
    Tool,
)
from bus.refusals import AllProvidersFailed, NotCapable
from tests.support.fault_server import FaultServer, Sickness
from tests.support.routing import FIRST, QUICK, Routing, behind, request, routing

POLICIES: tuple[Policy, ...] = ("ordered", "latency", "cost", "weighted")
SCHEMA = '{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}'
LOOK = Tool("look")
PIXEL = Image("image/png", "iVBORw0KGgo=")


def choosing(policy: Policy) -> RouterOptions:
    return RouterOptions(cascade=msgspec.structs.replace(QUICK, policy=policy))


async def taking(router: Routing, servers: Sequence[FaultServer], seconds: float, *, hedge_after_s: float = 0.0) -> str:
    """Who answers one completion, when its answer takes so long."""
    for server in servers:
        server.hold()
        server.sickness = Sickness.HELD
    before = sum(server.calls for server in servers)
    wanted = msgspec.structs.replace(request(deadline_s=1_000.0), hedge_after_s=hedge_after_s)
    asked = asyncio.create_task(router.system.ask(ROUTER, wanted, timeout_s=10))
    async with asyncio.TaskGroup() as waiting:
        calls = [waiting.create_task(server.called(server.calls + 1)) for server in servers]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        for call in calls:
            call.cancel()
    router.clock.advance(seconds)
    for server in servers:
        server.release()
    answer = await asked
    assert sum(server.calls for server in servers) == before + 1
    return answer.provider


async def test_by_latency_each_is_tried_once_then_the_quickest_lately_is_asked() -> None:
    async with FaultServer() as one, FaultServer() as two, FaultServer() as three:
        servers = one, two, three
        providers = [behind(server.url, name, timeout_s=60.0) for server, name in zip(servers, "abc", strict=True)]
        async with routing(EXTRACTIVE, *providers, options=choosing("latency")) as router:
            assert [await taking(router, servers, seconds) for seconds in (3.0, 1.0, 2.0)] == ["a", "b", "c"]
            assert [await taking(router, servers, 1.0) for _ in range(4)] == ["b"] * 4
            assert await taking(router, servers, 9.0) == "b"  # now it takes 2.6 s lately
            assert [await taking(router, servers, 2.0) for _ in range(3)] == ["c"] * 3
            two.sickness = three.sickness = Sickness.SERVER_ERROR
            one.sickness = Sickness.HEALTHY
            answer = await router.complete(deadline_s=1_000.0)
            assert answer.provider == "a", "the others fail, the quotes come last"
            assert [failed.provider for failed in router.events(CompletionAttemptFailed)] == ["c", "b"]


async def test_by_latency_who_was_slow_is_asked_again_once_that_is_old_news() -> None:
    async with FaultServer() as one, FaultServer() as two:
        servers = one, two
        providers = [behind(server.url, name, timeout_s=600.0) for server, name in zip(servers, "ab", strict=True)]
        async with routing(*providers, options=choosing("latency")) as router:
            assert [await taking(router, servers, seconds) for seconds in (30.0, 1.0)] == ["a", "b"]
            assert [await taking(router, servers, 1.0) for _ in range(10)] == ["b"] * 10
            router.clock.advance(60.0)
            assert await taking(router, servers, 1.0, hedge_after_s=100.0) == "b", "who is in a hurry finds nothing out"
            one.hold()
            trial = asyncio.create_task(router.complete(deadline_s=900.0))
            await one.called(2)
            assert [await taking(router, [two], 1.0) for _ in range(5)] == ["b"] * 5, "one trial at a time"
            one.release()
            assert (await trial).provider == "a"  # which took 5 s
            assert [await taking(router, servers, 9.0) for _ in range(4)] == ["b"] * 4  # now it takes 5.7 s lately
            assert await taking(router, servers, 4.0) == "a", "the 30 s that it once took count no more"


async def test_by_latency_no_more_than_a_part_of_completions_looks_into_old_news_however_many_are_slow() -> None:
    async with FaultServer() as one, FaultServer() as two, FaultServer() as three:
        servers = one, two, three
        providers = [behind(server.url, name, timeout_s=600.0) for server, name in zip(servers, "abc", strict=True)]
        async with routing(*providers, options=choosing("latency")) as router:
            assert [await taking(router, servers, seconds) for seconds in (30.0, 20.0, 1.0)] == ["a", "b", "c"]
            assert [await taking(router, servers, 1.0) for _ in range(12)] == ["c"] * 12
            router.clock.advance(60.0)
            asked = [await taking(router, servers, seconds) for seconds in (3.0, *[1.0] * 10, 3.0, 1.0)]
            assert asked == ["a", *["c"] * 10, "b", "c"], "one in ten looks, and who was unasked for longest first"


async def test_by_cost_the_cheapest_for_this_request_is_asked_and_then_the_next() -> None:
    async with FaultServer() as reader, FaultServer() as writer, FaultServer() as dear:
        providers = (
            _priced(dear, "dear", 50, 50),
            _priced(reader, "cheap to read", 1, 20),
            _priced(writer, "cheap to write", 20, 1),
        )
        async with routing(EXTRACTIVE, *providers, options=choosing("cost")) as router:
            long, short = request("word " * 2_000, tokens_max=10), request("word", tokens_max=2_000)
            assert (await router.system.ask(ROUTER, long)).provider == "cheap to read"
            assert (await router.system.ask(ROUTER, short)).provider == "cheap to write"
            writer.sickness = reader.sickness = Sickness.SERVER_ERROR
            assert (await router.system.ask(ROUTER, short)).provider == "dear"
            assert [failed.provider for failed in router.events(CompletionAttemptFailed)] == [
                "cheap to write",
                "cheap to read",
            ]
            await router.system.ask(ROUTER, DisableProvider("dear"))
            assert (await router.system.ask(ROUTER, short)).provider == "extractive"


async def test_by_weight_each_gets_its_share_and_who_failed_is_not_drawn_again() -> None:
    async with FaultServer() as often, FaultServer() as seldom:
        heavy = msgspec.structs.replace(behind(often.url, "often"), weight=3.0)
        options = msgspec.structs.replace(choosing("weighted"), breaker=BreakerOptions(mode="disabled"))
        async with routing(EXTRACTIVE, heavy, behind(seldom.url, "seldom"), options=options) as router:
            share = Counter([(await router.complete()).provider for _ in range(400)])
            assert 220 < share["often"] < 380, "three quarters are 300: 80 off is nine times what chance does"
            assert share["often"] + share["seldom"] == 400
            often.sickness = Sickness.SERVER_ERROR
            assert {(await router.complete()).provider for _ in range(40)} == {"seldom"}
            seldom.sickness = Sickness.SERVER_ERROR
            assert {(await router.complete()).provider for _ in range(10)} == {"extractive"}


async def test_another_policy_counts_from_the_next_request_on() -> None:
    async with FaultServer() as dear, FaultServer() as cheap:
        providers = _priced(dear, "dear", 9, 9), _priced(cheap, "cheap", 1, 1)
        async with routing(*providers, options=choosing("ordered")) as router:
            assert (await router.complete()).provider == "dear"
            await router.system.ask(ROUTER, Reconfigure(msgspec.structs.replace(choosing("cost"), providers=providers)))
            assert (await router.complete()).provider == "cheap"


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("asked", "needs"),
    [
        (msgspec.structs.replace(request(), tools=(LOOK,)), "tools"),
        (msgspec.structs.replace(request(), messages=(ChatMessage("user", "What?", images=(PIXEL,)),)), "vision"),
        (msgspec.structs.replace(request(), schema=SCHEMA), "json"),
    ],
)
async def test_who_does_not_declare_what_a_request_needs_is_never_asked(
    asked: Complete, needs: str, policy: Policy
) -> None:
    async with FaultServer() as unable, FaultServer() as able:
        able.text = unable.text = '{"n": 1}'
        lacking = tuple(one for one in ("tools", "vision", "json") if one != needs)
        less = msgspec.convert({"capabilities": lacking} | _plain(unable, "less"), ProviderOptions)
        more = msgspec.convert({"capabilities": [needs]} | _plain(able, "more"), ProviderOptions)
        async with routing(less, EXTRACTIVE, more, options=choosing(policy)) as router:
            for _ in range(3):
                assert (await router.system.ask(ROUTER, asked)).provider == "more"
            assert (unable.calls, able.calls) == (0, 3)
            able.sickness = Sickness.SERVER_ERROR
            with pytest.raises(AllProvidersFailed):
                await router.system.ask(ROUTER, asked)
            assert unable.calls == 0
        async with routing(less, EXTRACTIVE, options=choosing(policy)) as router:
            with pytest.raises(NotCapable):
                await router.system.ask(ROUTER, asked)


@pytest.mark.parametrize("policy", POLICIES)
async def test_what_does_not_fit_into_a_context_goes_where_it_does_without_being_sent_elsewhere(
    policy: Policy,
) -> None:
    async with FaultServer() as small, FaultServer() as large:
        little = msgspec.structs.replace(behind(small.url, "small"), context_tokens=1_000)
        much = msgspec.structs.replace(behind(large.url, "large", price="9"), context_tokens=100_000)
        async with routing(little, much, options=choosing(policy)) as router:
            long = request("word " * 5_000)
            assert [(await router.system.ask(ROUTER, long)).provider for _ in range(3)] == ["large"] * 3
            assert small.calls == 0
            with pytest.raises(NotCapable):
                await router.system.ask(ROUTER, request("word " * 500_000))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_an_answer_that_does_not_keep_its_schema_is_asked_of_the_next_and_held_against_nobody(
    policy: Policy, is_streamed: bool
) -> None:
    async with FaultServer() as wrong, FaultServer() as right:
        wrong.text, right.text = '{"n": "one"}', '{"n": 1}'
        providers = _priced(wrong, "wrong", 1, 1), _priced(right, "right", 2, 2)
        asked = msgspec.structs.replace(request(), schema=SCHEMA)
        async with routing(EXTRACTIVE, *providers, options=choosing(policy)) as router:
            for _ in range(8):
                answer = await (router.stream(asked) if is_streamed else router.system.ask(ROUTER, asked))
                assert (answer.provider, orjson.loads(answer.text)) == ("right", {"n": 1})
            failed = router.events(CompletionAttemptFailed)
            assert {one.error for one in failed} <= {ErrorClass.INVALID}
            assert policy != "cost" or len(failed) == 8
            assert router.events(BreakerOpened) == []


@pytest.mark.parametrize("sickness", [Sickness.UNAUTHORISED, Sickness.FORBIDDEN, Sickness.UNKNOWN_MODEL])
async def test_where_the_settings_say_so_a_completion_stops_at_a_provider_that_it_disables(sickness: Sickness) -> None:
    stop = RouterOptions(cascade=msgspec.structs.replace(QUICK, on_disabled="stop"))
    async with (
        FaultServer(sickness) as sick,
        FaultServer() as well,
        routing(behind(sick.url), behind(well.url, "second"), options=stop) as router,
    ):
        with pytest.raises(AllProvidersFailed, match="primary was disabled by it"):
            await router.complete()
        assert well.calls == 0
        assert not (await router.provider(FIRST)).is_enabled
        assert (await router.complete()).provider == "second", "it is disabled, and that was said"


def _priced(server: FaultServer, name: str, price_in: int, price_out: int) -> ProviderOptions:
    return msgspec.structs.replace(
        behind(server.url, name), price_in=Decimal(price_in), price_out=Decimal(price_out), capabilities=("json",)
    )


def _plain(server: FaultServer, name: str) -> dict[str, object]:
    return {"name": name, "dialect": "openai", "base_url": f"{server.url}/v1", "model": "tiny"}
