"""The way of a completion through the cascade: hedges, callers that give up, and how much may be repeated."""

import asyncio
from collections.abc import Awaitable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.providers import ProviderOptions
from actors.providers.attempts import AttemptFailed
from actors.providers.discovery import EXTRACTIVE
from actors.providers.settings import RouterOptions
from actors.router import Reconfigure
from actors.rules.cascade import CascadeOptions, ErrorClass
from bus.messages.base import CompletionId
from bus.messages.completions import (
    ROUTER,
    CancelCompletion,
    Complete,
    CompletionAttemptFailed,
    CompletionCompleted,
    CompletionFailed,
    CompletionRequested,
)
from bus.refusals import AllProvidersFailed, BudgetExhausted, Halted, IllegalTransition
from bus.switch import Switch
from tests.support.fault_server import TEXT, FaultServer, Sickness
from tests.support.routing import FIRST, behind, request, routing

PATIENCE_S = 600.0
"""So long nobody ends anything by himself: what is over before was ended."""
HEDGED = msgspec.structs.replace(request(deadline_s=PATIENCE_S), hedge_after_s=0.02)


def named(server: FaultServer, name: str, *, price: str = "0") -> ProviderOptions:
    return behind(server.url, name, price=price, timeout_s=PATIENCE_S, stall_s=PATIENCE_S)


async def test_a_hedge_answers_beside_an_attempt_that_says_nothing_and_the_loser_is_hung_up_on() -> None:
    async with (
        FaultServer(Sickness.HANGS) as slow,
        FaultServer() as quick,
        routing(named(slow, FIRST, price="1"), named(quick, "second", price="1")) as router,
    ):
        completion = await router.system.ask(ROUTER, HEDGED)
        assert (completion.provider, completion.text) == ("second", TEXT)
        await slow.all_closed()
        (lost,) = router.events(CompletionAttemptFailed)
        assert (lost.provider, lost.error, lost.cost_usd_micros > 0) == (FIRST, "outrun", True)
        assert router.events(CompletionCompleted)[0].cost_usd_micros == (
            lost.cost_usd_micros + router.events(CompletionCompleted)[0].answer_cost_usd_micros
        )
        view = await router.provider()
        assert (view.in_flight, view.failed, view.outcomes) == (0, 0, ("outrun",))


async def test_what_a_hedge_may_cost_is_reserved_before_anything_is_sent() -> None:
    async with FaultServer() as server, routing(named(server, FIRST, price="1")) as router:
        await router.complete()
        await router.system.ask(ROUTER, HEDGED)
        plain, hedged = (event.reserved_usd_micros for event in router.events(CompletionRequested))
        assert hedged == 2 * plain
    limited = RouterOptions(budget_run_usd_micros=hedged - 1)
    async with FaultServer() as server, routing(named(server, FIRST, price="1"), options=limited) as router:
        with pytest.raises(BudgetExhausted):
            await router.system.ask(ROUTER, HEDGED)
        assert server.calls == 0


async def test_an_attempt_that_answers_in_time_is_not_hedged() -> None:
    patient = msgspec.structs.replace(request(), hedge_after_s=5.0)
    async with (
        FaultServer() as first,
        FaultServer() as second,
        routing(named(first, FIRST), named(second, "second")) as router,
    ):
        assert (await router.system.ask(ROUTER, patient)).provider == FIRST
        assert second.calls == 0


async def test_the_first_attempt_may_still_win_against_its_hedge() -> None:
    async with (
        FaultServer(Sickness.HELD) as first,
        FaultServer(Sickness.HANGS) as second,
        routing(named(first, FIRST), named(second, "second")) as router,
    ):
        asked = asyncio.create_task(router.system.ask(ROUTER, HEDGED))
        await second.called(1)
        first.release()
        assert (await asked).provider == FIRST
        await second.all_closed()
        assert [one.error for one in router.events(CompletionAttemptFailed)] == ["outrun"]


async def test_when_both_fail_the_next_provider_answers() -> None:
    options = RouterOptions(cascade=CascadeOptions(hedge_after_s=0.02, round_delay_s=0.01))
    async with FaultServer(Sickness.HANGS) as first, FaultServer(Sickness.HANGS) as second:
        providers = (behind(first.url, timeout_s=0.3), behind(second.url, "second", timeout_s=0.2), EXTRACTIVE)
        async with routing(*providers, options=options) as router:
            assert (await router.complete()).provider == "extractive"
            assert [one.error for one in router.events(CompletionAttemptFailed)] == ["timeout", "timeout"]


async def test_of_a_hedged_stream_the_first_to_speak_is_heard_and_nobody_else() -> None:
    async with (
        FaultServer(Sickness.HANGS) as silent,
        FaultServer() as talkative,
        routing(named(silent, FIRST), named(talkative, "second")) as router,
    ):
        heard: list[str] = []
        completion = await router.stream(HEDGED, heard)
        assert ("".join(heard), completion.provider) == (TEXT, "second")
        await silent.all_closed()


async def test_hedges_use_up_retries_so_that_they_cannot_double_the_load() -> None:
    options = RouterOptions(cascade=CascadeOptions(hedge_after_s=0.01, retry_burst=2, retry_ratio=0.0))
    async with (
        FaultServer(Sickness.HELD) as first,
        FaultServer(Sickness.HELD) as second,
        routing(named(first, FIRST), named(second, "second"), options=options) as router,
    ):
        async with asyncio.TaskGroup() as callers:
            for _ in range(10):
                callers.create_task(router.complete())
            await first.called(10)
            await second.called(2)
            first.release()
            second.release()
        assert (first.calls, second.calls) == (10, 2)


async def _refused(asked: Awaitable[object]) -> None:
    with pytest.raises(AllProvidersFailed):
        await asked


async def test_a_report_that_is_told_twice_counts_once() -> None:
    async with (
        FaultServer(Sickness.HELD) as first,
        FaultServer() as second,
        routing(named(first, FIRST), named(second, "second")) as router,
    ):
        asked = asyncio.create_task(router.system.ask(ROUTER, request(deadline_s=PATIENCE_S), timeout_s=10))
        await first.called(1)
        told = AttemptFailed(CompletionId("m-1"), 1, ErrorClass.SERVER, "it broke", 0.0, 0.1)
        await router.system.ask(ROUTER, told)
        assert (await asked).provider == "second"
        await router.system.ask(ROUTER, told)
        first.release()
        await first.all_closed()  # its answer comes too late to be one
        assert [failed.provider for failed in router.events(CompletionAttemptFailed)] == [FIRST]
        assert len(router.events(CompletionCompleted)) == 1
        view = await router.provider()
        assert (view.outcomes, view.in_flight) == (("server",), 0)


async def test_once_everything_is_halted_a_completion_under_way_is_asked_of_nobody_else() -> None:
    switch = Switch()
    async with (
        FaultServer(Sickness.HELD) as first,
        FaultServer() as second,
        routing(named(first, FIRST), named(second, "second"), switch=switch) as router,
    ):
        under_way = asyncio.create_task(router.system.ask(ROUTER, request(deadline_s=PATIENCE_S), timeout_s=10))
        await first.called(1)
        switch.is_halted = True
        first.drop()
        with pytest.raises(Halted):
            await under_way
        with pytest.raises(Halted):
            await router.complete()
        switch.is_halted = False
        first.sickness = Sickness.HEALTHY
        assert (await router.complete()).provider == FIRST
        assert (first.calls, second.calls) == (2, 0)


async def test_who_gives_up_cancels_by_the_ticket_that_only_he_knows() -> None:
    asked = msgspec.structs.replace(request(deadline_s=PATIENCE_S), ticket="scout/t-1/1/1")
    async with FaultServer(Sickness.HANGS) as server, routing(named(server, FIRST, price="1")) as router:
        pending = asyncio.create_task(router.system.ask(ROUTER, asked))
        await server.called(1)
        await router.system.ask(ROUTER, CancelCompletion(ticket="someone else's"))
        assert not pending.done()
        await router.system.ask(ROUTER, CancelCompletion(ticket=asked.ticket))
        with pytest.raises(IllegalTransition):
            await pending
        await server.all_closed()
        (failed,) = router.events(CompletionFailed)
        assert (failed.error, failed.cost_usd_micros > 0) == ("cancelled", True)
        view = await router.provider()
        assert (view.in_flight, view.failed, view.outcomes) == (0, 0, ("cancelled",))


async def test_a_ticket_that_is_used_again_names_the_completion_that_is_under_way() -> None:
    asked = msgspec.structs.replace(request(), ticket="mine")
    async with FaultServer() as server, routing(named(server, FIRST)) as router:
        await router.system.ask(ROUTER, asked)
        server.sickness = Sickness.HANGS
        pending = asyncio.create_task(router.system.ask(ROUTER, asked))
        await server.called(2)
        await router.system.ask(ROUTER, CancelCompletion(ticket="mine"))
        with pytest.raises(IllegalTransition, match="m-2"):
            await pending


@pytest.mark.parametrize(("budget", "is_refused"), [(1_000, True), (10_000, False)])
async def test_an_attempt_that_has_become_dearer_since_its_call_began_reserves_the_rest_first_or_is_refused(
    budget: int, is_refused: bool
) -> None:
    options = RouterOptions(budget_run_usd_micros=budget)
    async with FaultServer(Sickness.HELD) as held:
        cheap, dear = (behind(held.url, price=price, concurrency_max=1) for price in ("1", "10"))
        async with routing(cheap, options=options) as router:
            first = asyncio.create_task(router.complete())
            await held.called(1)
            second = asyncio.create_task(router.complete())
            async with asyncio.timeout(30.0):
                while len(router.events(CompletionRequested)) < 2:  # noqa: ASYNC110  # a journal in memory has no bell
                    await asyncio.sleep(0)
            raised = msgspec.structs.replace(options, providers=(dear,))
            await router.system.ask(ROUTER, Reconfigure(raised))
            held.release()
            await first
            if is_refused:
                with pytest.raises(BudgetExhausted):
                    await second
            else:
                await second
            reserved = [event.reserved_usd_micros for event in router.events(CompletionRequested)]
            assert reserved == ([139, 139] if is_refused else [139, 139, 1_390])
            assert held.calls == (1 if is_refused else 2)
            assert router.events(CompletionCompleted)[-1].cost_usd_micros <= reserved[-1]
            assert (await router.view()).reserved_usd_micros == 0


async def test_cancelling_many_at_once_leaves_no_place_taken_and_no_money_reserved() -> None:
    async with FaultServer(Sickness.HANGS) as server:
        few = msgspec.structs.replace(named(server, FIRST, price="1"), concurrency_max=5)
        async with routing(few) as router:
            lasting = request(deadline_s=PATIENCE_S)
            asked: list[Complete] = [msgspec.structs.replace(lasting, ticket=f"n-{n}") for n in range(20)]
            pending = [asyncio.create_task(router.system.ask(ROUTER, one)) for one in asked]
            await server.called(5)
            for one in asked:
                await router.system.ask(ROUTER, CancelCompletion(ticket=one.ticket))
            ended = await asyncio.gather(*pending, return_exceptions=True)
            assert {type(one) for one in ended} == {IllegalTransition}
            view = await router.view()
            assert (view.queued, view.reserved_usd_micros, view.providers[0].in_flight) == (0, 0, 0)
            await server.all_closed()


@settings(max_examples=12)
@given(st.integers(1, 8), st.integers(0, 4), st.sampled_from([0.0, 0.2, 1.0]))
def test_what_is_sent_is_bounded_by_what_is_asked_and_the_store_of_retries(
    callers: int, burst: int, ratio: float
) -> None:
    """Everybody fails for everyone: each completion tries each provider once, and rounds beyond that are budgeted."""

    async def run() -> int:
        options = RouterOptions(
            cascade=CascadeOptions(round_delay_s=0.001, rounds_max=5, retry_burst=burst, retry_ratio=ratio)
        )
        options = msgspec.structs.replace(
            options, breaker=msgspec.structs.replace(options.breaker, mode="metrics_only")
        )
        async with (
            FaultServer(Sickness.SERVER_ERROR) as server,
            routing(named(server, FIRST), options=options) as router,
        ):
            async with asyncio.TaskGroup() as group:
                for _ in range(callers):
                    group.create_task(_refused(router.complete()))
            return server.calls

    assert asyncio.run(run()) <= callers + burst + ratio * callers
