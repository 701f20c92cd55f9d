"""The router against providers with every sickness, over real sockets; its own clock stands still unless moved."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from actors.providers.discovery import EXTRACTIVE
from actors.providers.settings import RouterOptions
from actors.purse import NUMBERS
from actors.rules.allowance import ROOM_SHARE
from actors.rules.breaker import BreakerOptions
from actors.rules.cascade import CONSEQUENCES, ErrorClass
from actors.runtime.simulation import MemoryJournal
from bus.clock import VirtualClock
from bus.errors import AgoraError
from bus.messages.base import Position
from bus.messages.completions import (
    ROUTER,
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    BreakerState,
    BudgetRaised,
    BudgetReopened,
    BudgetSpent,
    BudgetWarned,
    ChatMessage,
    Complete,
    CompletionAttemptFailed,
    CompletionCompleted,
    CompletionFailed,
    CompletionRequested,
    CompletionUnknown,
    DisableProvider,
    EnableProvider,
    ProviderDisabled,
    ProviderEnabled,
    SetBudget,
)
from bus.messages.routing import AllowanceDrawn, AllowanceLost, CascadeReordered, ReconcileSpending, ReorderProviders
from bus.messages.system import SaveCheckpoint
from bus.refusals import (
    AllProvidersFailed,
    BudgetExhausted,
    InvalidField,
    NotFound,
    NoTimeLeft,
    Overloaded,
    RequestRejected,
)
from tests.support.fault_server import TEXT, FaultServer, Sickness, refusing_url
from tests.support.routing import DOCUMENT, FIRST, QUICK, behind, request, routing

KEY = "sk-very-secret-key"

SICK = [
    (Sickness.HANGS, ErrorClass.TIMEOUT),
    (Sickness.SERVER_ERROR, ErrorClass.SERVER),
    (Sickness.OVERLOADED, ErrorClass.SERVER),
    (Sickness.THROTTLED, ErrorClass.THROTTLED),
    (Sickness.CONTEXT_OVERFLOW, ErrorClass.OVERFLOW),
    (Sickness.UNAUTHORISED, ErrorClass.UNAUTHORISED),
    (Sickness.FORBIDDEN, ErrorClass.UNAUTHORISED),
    (Sickness.UNKNOWN_MODEL, ErrorClass.UNKNOWN_MODEL),
    (Sickness.REDIRECTS, ErrorClass.GARBAGE),
    (Sickness.GARBAGE, ErrorClass.GARBAGE),
    (Sickness.WRONG_TYPE, ErrorClass.GARBAGE),
    (Sickness.NOT_HTTP, ErrorClass.GARBAGE),
    (Sickness.ENDLESS_HEADERS, ErrorClass.GARBAGE),
    (Sickness.HALF_A_BODY, ErrorClass.TRUNCATED),
    (Sickness.NOTHING, ErrorClass.TRUNCATED),
    (Sickness.HUGE, ErrorClass.TOO_LARGE),
    (Sickness.HUGE_UNANNOUNCED, ErrorClass.TOO_LARGE),
    (Sickness.EMPTY, ErrorClass.EMPTY),
    (Sickness.ONLY_THINKING, ErrorClass.EMPTY),
    (Sickness.NO_FINISH, ErrorClass.TRUNCATED),
]
"""Every sickness that another provider can make good, and the row of the table in which it ends."""


@pytest.mark.parametrize(("sickness", "error"), SICK)
async def test_each_sickness_ends_in_its_row_and_the_next_provider_answers(
    sickness: Sickness, error: ErrorClass
) -> None:
    timeout_s = 0.2 if sickness is Sickness.HANGS else 5.0
    async with FaultServer(sickness) as sick, routing(behind(sick.url, timeout_s=timeout_s), EXTRACTIVE) as router:
        completion = await router.complete(deadline_s=10.0)
        assert (completion.provider, completion.text) == ("extractive", DOCUMENT)
        assert [failed.error for failed in router.events(CompletionAttemptFailed)] == [error]
        view = await router.provider()
        assert (view.outcomes, view.in_flight, view.failed) == ((error,), 0, 1)
        assert view.is_enabled is not CONSEQUENCES[error].disables
        assert sick.calls == 1


@pytest.mark.parametrize("sickness", [Sickness.BAD_REQUEST, Sickness.UNPROCESSABLE])
async def test_a_wrong_request_is_asked_of_nobody_else_and_counts_against_nobody(sickness: Sickness) -> None:
    async with FaultServer(sickness) as sick, routing(behind(sick.url), EXTRACTIVE) as router:
        for _ in range(12):
            with pytest.raises(RequestRejected, match="the request is wrong"):
                await router.complete()
        assert (await router.provider()).breaker is BreakerState.CLOSED
        assert len(router.events(CompletionFailed)) == 12
        assert (await router.provider("extractive")).completed == 0


async def test_a_dead_provider_is_left_at_once_and_then_not_called_at_all() -> None:
    with refusing_url() as url:
        async with routing(behind(url), EXTRACTIVE) as router:
            for _ in range(20):
                await router.complete()
            assert (await router.provider()).failed == BreakerOptions().refusals_max
            assert len(router.events(BreakerOpened)) == 1


async def test_a_failing_provider_gets_no_call_while_its_breaker_is_open() -> None:
    async with FaultServer(Sickness.SERVER_ERROR) as sick, routing(behind(sick.url), EXTRACTIVE) as router:
        for _ in range(20):
            await router.complete()
        assert sick.calls == BreakerOptions().calls_min
        assert (await router.provider()).breaker is BreakerState.OPEN


async def test_fifty_callers_of_a_hanging_provider_all_get_their_answer_from_the_next() -> None:
    async with FaultServer(Sickness.HANGS) as sick, FaultServer() as well:
        providers = behind(sick.url, timeout_s=0.3), behind(well.url, "secondary")
        async with routing(*providers) as router:
            async with asyncio.TaskGroup() as callers:
                answers = [callers.create_task(router.complete(deadline_s=30.0)) for _ in range(50)]
            assert {(answer.result().provider, answer.result().text) for answer in answers} == {("secondary", TEXT)}
            assert (await router.provider()).in_flight == 0
            await sick.all_closed()


async def test_a_half_open_breaker_lets_exactly_its_probes_through_among_fifty_callers() -> None:
    breaker = BreakerOptions(probes=3)
    async with (
        FaultServer(Sickness.SERVER_ERROR) as sick,
        routing(behind(sick.url), EXTRACTIVE, options=RouterOptions(breaker=breaker)) as router,
    ):
        for _ in range(breaker.calls_min):
            await router.complete()
        before = sick.calls
        sick.sickness = Sickness.HELD
        router.clock.advance(breaker.wait_min_s)
        async with asyncio.TaskGroup() as callers:
            answers = [callers.create_task(router.complete()) for _ in range(50)]
            await sick.called(before + breaker.probes)
            await _until(lambda: sum(answer.done() for answer in answers) == 50 - breaker.probes)
            sick.release()
        assert sick.calls == before + breaker.probes
        assert sorted({answer.result().provider for answer in answers}) == ["extractive", FIRST]
        assert (len(router.events(BreakerHalfOpened)), len(router.events(BreakerClosed))) == (1, 1)


async def test_a_breaker_that_was_open_is_open_after_a_restart_for_the_rest_of_its_wait() -> None:
    journal, clock = MemoryJournal(), VirtualClock()
    with refusing_url() as url:
        async with routing(behind(url), EXTRACTIVE, journal=journal, clock=clock) as router:
            for _ in range(3):
                await router.complete()
            opened = router.events(BreakerOpened)[0]
        clock.advance(0.4)
        async with routing(behind(url), EXTRACTIVE, journal=journal, clock=clock) as router:
            view = await router.provider()
            assert view.breaker is BreakerState.OPEN
            assert view.reopens_in_s == pytest.approx(opened.wait_s - 0.4, abs=0.001)
            await router.complete()
            clock.advance(opened.wait_s)
            await router.complete()
            assert [event.generation for event in router.events(BreakerHalfOpened)] == [opened.generation + 1]
            assert [event.wait_s > opened.wait_s for event in router.events(BreakerOpened)] == [False, True]


async def test_a_throttled_provider_is_left_alone_until_it_said_and_not_held_against_it() -> None:
    async with FaultServer(Sickness.THROTTLED) as sick, routing(behind(sick.url), EXTRACTIVE) as router:
        for _ in range(10):
            assert (await router.complete()).provider == "extractive"
        sick.sickness = Sickness.HEALTHY
        router.clock.advance(6.9)
        assert (await router.complete()).provider == "extractive"
        router.clock.advance(0.2)
        assert (await router.complete()).provider == FIRST
        assert (sick.calls, router.events(BreakerOpened)) == (2, [])


async def test_one_provider_alone_is_tried_a_second_time() -> None:
    async with FaultServer(Sickness.SERVER_ERROR) as sick, routing(behind(sick.url)) as router:
        pending = asyncio.create_task(router.complete())
        await sick.called(1)
        sick.sickness = Sickness.HEALTHY
        completion = await pending
        assert (completion.text, sick.calls, len(completion.attempts)) == (TEXT, 2, 2)


async def test_when_everything_fails_for_everyone_later_rounds_have_a_budget() -> None:
    options = RouterOptions(
        cascade=msgspec.structs.replace(QUICK, retry_ratio=0.1, retry_burst=2), breaker=BreakerOptions(mode="disabled")
    )
    async with FaultServer(Sickness.SERVER_ERROR) as sick, routing(behind(sick.url), options=options) as router:
        reasons: list[str] = []
        for _ in range(20):
            with pytest.raises(AllProvidersFailed) as refused:
                await router.complete()
            reasons.append(refused.value.attempts[-1])
        assert 20 < sick.calls <= 20 + 2 + 20 * 0.1
        assert "too many completions had to be tried again of late" in reasons


async def test_when_nobody_answers_the_refusal_says_why_each_did_not() -> None:
    async with FaultServer(Sickness.SERVER_ERROR) as sick, FaultServer(Sickness.GARBAGE) as garbled:
        async with routing(behind(sick.url), behind(garbled.url, "secondary")) as router:
            with pytest.raises(AllProvidersFailed) as refusal:
                await router.complete()
        assert [attempt.split(":")[:2] for attempt in refusal.value.attempts[:4]] == [
            [FIRST, " server"],
            ["secondary", " garbage"],
            [FIRST, " server"],
            ["secondary", " garbage"],
        ]


async def test_a_cascade_in_which_nobody_may_be_called_refuses_at_once_and_records_nothing() -> None:
    async with FaultServer() as well, routing(behind(well.url)) as router:
        await router.system.ask(ROUTER, DisableProvider(FIRST, "maintenance"))
        with pytest.raises(AllProvidersFailed, match="primary: disabled"):
            await router.complete()
        assert (router.events(CompletionRequested), well.calls) == ([], 0)


async def test_a_bad_key_disables_the_provider_until_the_next_start_or_an_operator() -> None:
    journal = MemoryJournal()
    async with FaultServer(Sickness.UNAUTHORISED) as sick:
        async with routing(behind(sick.url), EXTRACTIVE, journal=journal) as router:
            await router.complete()
            await router.complete()
            view = await router.provider()
            assert (view.is_enabled, sick.calls) == (False, 1)
            assert "the key was not accepted" in view.disabled_reason
            await router.system.ask(ROUTER, EnableProvider(FIRST))
            await router.complete()
            assert sick.calls == 2
        async with routing(behind(sick.url), EXTRACTIVE, journal=journal) as router:
            assert (await router.provider()).is_enabled
            assert len(router.events(ProviderEnabled)) == 2


async def test_what_an_operator_disabled_stays_disabled_after_a_restart() -> None:
    journal = MemoryJournal()
    async with FaultServer() as well:
        async with routing(behind(well.url), EXTRACTIVE, journal=journal) as router:
            await router.system.ask(ROUTER, DisableProvider(FIRST))
            await router.system.ask(ROUTER, DisableProvider(FIRST))
            assert len(router.events(ProviderDisabled)) == 1
        async with routing(behind(well.url), EXTRACTIVE, journal=journal) as router:
            assert (await router.complete()).provider == "extractive"


async def test_providers_are_asked_in_the_order_that_an_operator_gives_across_a_restart() -> None:
    journal = MemoryJournal()
    async with FaultServer() as well:
        for _ in range(2):
            async with routing(behind(well.url), EXTRACTIVE, journal=journal) as router:
                await router.system.ask(ROUTER, ReorderProviders(("extractive",)))
                assert (await router.complete()).provider == "extractive"
                assert [provider.name for provider in (await router.view()).providers] == ["extractive", FIRST]
                with pytest.raises(NotFound):
                    await router.system.ask(ROUTER, ReorderProviders(("nobody",)))
                with pytest.raises(InvalidField, match="once"):
                    await router.system.ask(ROUTER, ReorderProviders((FIRST, FIRST)))
        assert len(router.events(CascadeReordered)) == 1


async def test_an_agent_that_asks_for_many_answers_at_once_slows_down_only_itself() -> None:
    async with FaultServer(Sickness.HELD) as held, routing(behind(held.url, price="1", concurrency_max=1)) as router:
        ended: list[str] = []

        async def ask(agent: str) -> None:
            await router.complete(agent=agent)
            ended.append(agent)

        async with asyncio.TaskGroup() as callers:
            for agent in ("greedy",) * 6:
                callers.create_task(ask(agent))
            await held.called(1)
            callers.create_task(ask("modest"))
            await _until(lambda: len(router.events(CompletionRequested)) == 7)
            held.release()
        assert ended.index("modest") <= 2


async def test_enabling_a_provider_closes_its_breaker() -> None:
    with refusing_url() as url:
        async with routing(behind(url), EXTRACTIVE) as router:
            for _ in range(3):
                await router.complete()
            await router.system.ask(ROUTER, EnableProvider(FIRST))
            assert (await router.provider()).breaker is BreakerState.CLOSED
            assert len(router.events(BreakerClosed)) == 1


async def test_an_unknown_provider_is_refused() -> None:
    async with routing(EXTRACTIVE) as router:
        for command in (EnableProvider("nobody"), DisableProvider("nobody")):
            with pytest.raises(NotFound, match="nobody"):
                await router.system.ask(ROUTER, command)


async def test_a_key_is_sent_and_stands_in_no_event_no_error_and_no_view() -> None:
    async with FaultServer(Sickness.BAD_REQUEST) as sick:
        sick.words = "{authorization} may not do this"
        environment = {"PRIMARY_KEY": KEY}
        async with routing(behind(sick.url, key_env="PRIMARY_KEY"), EXTRACTIVE, environment=environment) as router:
            with pytest.raises(RequestRejected, match=r"Bearer \[key\] may not do this") as refusal:
                await router.complete()
            seen = [str(refusal.value), str(await router.view()), *(str(one.data) for one in router.journal.stored)]
        assert not [text for text in seen if KEY in text]


async def test_a_provider_whose_key_is_not_set_is_disabled_without_being_called() -> None:
    async with FaultServer() as well, routing(behind(well.url, key_env="PRIMARY_KEY"), EXTRACTIVE) as router:
        assert (await router.complete()).provider == "extractive"
        assert (await router.provider()).disabled_reason == "the environment variable PRIMARY_KEY is not set"
        assert well.calls == 0


async def test_a_request_gets_the_model_that_it_names_where_the_provider_has_it() -> None:
    async with FaultServer() as well, routing(behind(well.url, models=("large",))) as router:
        await router.complete(model="large")
        await router.complete(model="unheard-of")
        models = [msgspec.json.decode(body)["model"] for body in well.bodies]
        assert models == ["large", "tiny"]


async def test_a_busy_provider_is_waited_for_in_the_order_of_asking() -> None:
    async with FaultServer(Sickness.HELD) as held, routing(behind(held.url, concurrency_max=2), EXTRACTIVE) as router:
        async with asyncio.TaskGroup() as callers:
            answers = [callers.create_task(router.complete()) for _ in range(5)]
            await held.called(2)
            view = await router.view()
            assert (view.queued, view.providers[0].queued) == (3, 3)
            held.release()
        assert [answer.result().provider for answer in answers] == [FIRST] * 5
        assert [answer.result().completion for answer in answers] == [f"m-{n}" for n in range(1, 6)]
        assert (await router.view()).queued == 0


async def test_who_waits_for_a_busy_provider_until_the_deadline_is_refused() -> None:
    async with FaultServer(Sickness.HELD) as held, routing(behind(held.url, price="1", concurrency_max=1)) as router:
        first = asyncio.create_task(router.complete())
        await held.called(1)
        second = asyncio.create_task(router.complete(deadline_s=0.1))
        await _until(lambda: len(router.events(CompletionRequested)) == 2)
        router.clock.advance(0.1)
        with pytest.raises(NoTimeLeft, match="the deadline leaves no time"):
            await second
        held.release()
        assert (await first).provider == FIRST


async def test_more_completions_than_the_bound_are_refused_as_overload() -> None:
    options = RouterOptions(completions_max=2)
    async with FaultServer(Sickness.HELD) as held, routing(behind(held.url), options=options) as router:
        async with asyncio.TaskGroup() as callers:
            answers = [callers.create_task(router.complete()) for _ in range(2)]
            await held.called(2)
            with pytest.raises(Overloaded):
                await router.complete()
            held.release()
        assert all(answer.result().text == TEXT for answer in answers)


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        (Complete((), tokens_max=1, deadline_s=1.0), "messages"),
        (Complete((ChatMessage("system", "x"),), tokens_max=1, deadline_s=1.0), "messages"),
        (request(tokens_max=0), "tokens_max"),
        (request(deadline_s=0.0), "deadline_s"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(wrong: Complete, path: str) -> None:
    async with routing(EXTRACTIVE) as router:
        with pytest.raises(InvalidField, match=path):
            await router.system.ask(ROUTER, wrong)


async def test_a_deadline_in_the_past_tries_nobody() -> None:
    async with FaultServer() as well, routing(behind(well.url)) as router:
        with pytest.raises(NoTimeLeft, match="the deadline leaves no time"):
            await router.complete(deadline_s=0.01)
        assert well.calls == 0


async def test_the_cost_is_reserved_before_and_settled_after_the_call() -> None:
    async with FaultServer(Sickness.HELD) as held, routing(behind(held.url, price="2")) as router:
        pending = asyncio.create_task(router.complete())
        await held.called(1)
        view = await router.view()
        tokens_in = router.events(CompletionRequested)[0].tokens_in_estimate
        assert (view.reserved_usd_micros, view.spent_run_usd_micros) == (2 * (tokens_in + 100), 0)
        held.release()
        completion = await pending
        view = await router.view()
        assert (view.reserved_usd_micros, view.spent_run_usd_micros, view.spent_today_usd_micros) == (0, 30, 30)
        assert completion.cost_usd_micros == 30
        assert (await router.provider()).spent_usd_micros == 30


async def test_a_failed_attempt_that_may_have_been_charged_counts_as_spent() -> None:
    async with FaultServer(Sickness.HALF_A_BODY) as sick, routing(behind(sick.url, price="2"), EXTRACTIVE) as router:
        completion = await router.complete()
        failed = router.events(CompletionAttemptFailed)[0]
        assert failed.cost_usd_micros == router.events(CompletionRequested)[0].reserved_usd_micros
        assert completion.cost_usd_micros == failed.cost_usd_micros == (await router.view()).spent_run_usd_micros


async def test_a_spent_budget_refuses_before_anything_is_sent_and_keeps_one_checkpoint() -> None:
    options = RouterOptions(budget_run_usd_micros=300)
    async with FaultServer() as well, routing(behind(well.url, price="2"), options=options) as router:
        assert (await router.complete()).cost_usd_micros == 30
        for _ in range(2):
            with pytest.raises(BudgetExhausted, match="budget run has 270 USD micros left"):
                await router.complete()
        assert (well.calls, (await router.view()).is_budget_exhausted) == (1, True)
        assert [spent.spent_usd_micros for spent in router.events(BudgetSpent)] == [30]
        assert router.checkpoints == [SaveCheckpoint(reason="budget_exhausted")]


async def test_a_spent_budget_refuses_nobody_who_could_never_reach_a_provider_that_costs() -> None:
    options = RouterOptions(cascade=QUICK, budget_run_usd_micros=1)
    async with FaultServer() as dear, FaultServer() as free:
        far = msgspec.structs.replace(behind(dear.url, "far", price="2"), location="remote")
        shut = msgspec.structs.replace(behind(dear.url, "shut", price="2"), breaker_mode="forced_open")
        async with routing(far, shut, behind(free.url, "near"), options=options) as router:
            with pytest.raises(BudgetExhausted):
                await router.complete()
            local = msgspec.structs.replace(request(), privacy="local")
            assert (await router.system.ask(ROUTER, local)).provider == "near"
            assert (dear.calls, free.calls, router.events(CompletionRequested)) == (0, 1, [])


async def test_a_raised_budget_lets_the_same_run_go_on_with_its_cost_so_far_across_a_restart() -> None:
    options = RouterOptions(budget_run_usd_micros=300, allowance_usd_micros=0)
    journal = MemoryJournal()
    async with FaultServer() as well:
        provider = behind(well.url, price="2")
        async with routing(provider, options=options, journal=journal) as router:
            await router.complete()
            with pytest.raises(BudgetExhausted):
                await router.complete()
        async with routing(provider, options=options, journal=journal) as router:
            with pytest.raises(BudgetExhausted):
                await router.complete()
            await router.system.ask(ROUTER, SetBudget(10_000))
            assert [raised.limit_usd_micros for raised in router.events(BudgetRaised)] == [10_000]
            await router.complete()
        async with routing(provider, options=options, journal=journal) as router:
            view = await router.view()
            assert (view.spent_run_usd_micros, view.budget_run_usd_micros) == (60, 10_000)
            assert not view.is_budget_exhausted


async def test_a_negative_budget_is_refused() -> None:
    async with routing(EXTRACTIVE) as router:
        with pytest.raises(InvalidField, match="run_usd_micros"):
            await router.system.ask(ROUTER, SetBudget(-1))


async def test_a_budget_that_is_nearly_spent_is_warned_of_once() -> None:
    options = RouterOptions(budget_run_usd_micros=400)
    async with FaultServer() as well, routing(behind(well.url, price="2"), options=options) as router:
        for _ in range(4):
            await router.complete()
        assert [warned.budget for warned in router.events(BudgetWarned)] == ["run"]


async def test_money_that_is_only_reserved_makes_a_caller_come_back_and_stops_nobody() -> None:
    options = RouterOptions(budget_run_usd_micros=400)
    async with FaultServer(Sickness.HELD) as held, routing(behind(held.url, price="2"), options=options) as router:
        first = asyncio.create_task(router.complete())
        await held.called(1)
        with pytest.raises(Overloaded, match="budget run"):
            await router.complete()
        held.release()
        await first
        assert (await router.complete()).text == TEXT
        assert router.events(BudgetSpent) == []


async def test_one_agents_spent_budget_stops_that_agent_alone() -> None:
    options = RouterOptions(budget_agent_usd_micros=300)
    async with FaultServer() as well, routing(behind(well.url, price="2"), options=options) as router:
        await router.complete(agent="scout")
        with pytest.raises(BudgetExhausted, match="agent/scout"):
            await router.complete(agent="scout")
        assert (await router.complete(agent="editor")).text == TEXT
        assert (router.checkpoints, (await router.view()).is_budget_exhausted) == ([], False)


async def test_a_days_budget_is_there_again_the_next_day() -> None:
    options = RouterOptions(budget_day_usd_micros=300)
    async with FaultServer() as well, routing(behind(well.url, price="2"), options=options) as router:
        await router.complete()
        with pytest.raises(BudgetExhausted, match="day/"):
            await router.complete()
        router.clock.advance(86_400.0)
        assert (await router.complete()).text == TEXT
        view = await router.view()
        assert (view.spent_run_usd_micros, view.spent_today_usd_micros, view.is_budget_exhausted) == (60, 30, False)
        ((spent,), (reopened,)) = router.events(BudgetSpent), router.events(BudgetReopened)
        assert spent.budget == reopened.budget


async def test_failed_attempts_that_used_up_the_budget_end_the_completion() -> None:
    options = RouterOptions(budget_run_usd_micros=400)
    async with FaultServer(Sickness.NOTHING) as sick, FaultServer() as well:
        providers = behind(sick.url, price="2"), behind(well.url, "secondary", price="2")
        async with routing(*providers, options=options) as router:
            with pytest.raises(BudgetExhausted):
                await router.complete()
            assert (well.calls, router.events(CompletionFailed)[0].error) == (0, "budget")
            assert (await router.view()).reserved_usd_micros == 0


async def test_an_intent_without_an_outcome_is_unknown_after_a_restart_and_counts_as_spent() -> None:
    journal = MemoryJournal()
    options = RouterOptions(allowance_usd_micros=0)
    async with FaultServer(Sickness.HELD) as held:
        provider = behind(held.url, price="2")
        async with routing(provider, journal=journal, options=options) as router:
            pending = asyncio.create_task(router.complete())
            await held.called(1)
        with pytest.raises(AgoraError):
            await pending
        async with routing(provider, journal=journal, options=options) as router:
            view = await router.view()
            reserved = router.events(CompletionRequested)[0].reserved_usd_micros
            assert [lost.cost_usd_micros for lost in router.events(CompletionUnknown)] == [reserved]
            assert (view.spent_run_usd_micros, view.reserved_usd_micros) == (reserved, 0)
            held.release()
            assert (await router.complete()).completion == f"m-{NUMBERS + 1}"
        assert held.calls == 2


async def test_the_state_after_a_restart_is_the_state_before_it() -> None:
    journal = MemoryJournal()
    options = RouterOptions(budget_run_usd_micros=100_000, cascade=QUICK, allowance_usd_micros=0)
    async with FaultServer(Sickness.NO_FINISH) as sick, FaultServer() as well:
        providers = behind(sick.url, price="3"), behind(well.url, "secondary", price="1")
        async with routing(*providers, journal=journal, options=options) as router:
            for number in range(12):
                await router.complete(agent=f"agent-{number % 3}")
            await router.system.ask(ROUTER, DisableProvider("secondary"))
            await router.system.ask(ROUTER, SetBudget(5_000))
            before = router.state()
        async with routing(*providers, journal=journal, options=options) as router:
            assert router.state() == before


async def test_paid_calls_run_on_an_allowance_that_is_drawn_once_for_many() -> None:
    options = RouterOptions(budget_run_usd_micros=100_000, allowance_usd_micros=2_000)
    async with FaultServer() as well, routing(behind(well.url, price="2"), options=options) as router:
        for _ in range(6):
            await router.complete()
        assert [drawn.amount_usd_micros for drawn in router.events(AllowanceDrawn)] == [2_000]
        view = await router.view()
        assert (view.spent_run_usd_micros, view.reserved_usd_micros) == (180, 0)


async def test_a_paid_call_is_made_although_the_disk_stands_still_once_its_allowance_is_committed() -> None:
    journal = MemoryJournal()
    async with FaultServer(Sickness.HELD) as held, routing(behind(held.url, price="2"), journal=journal) as router:
        first = asyncio.create_task(router.complete())
        await held.called(1)
        journal.fail_next_writes = 1
        second = asyncio.create_task(router.complete())
        await held.called(2)
        assert len(router.events(CompletionRequested)) == 1
        held.release()
        assert {(await first).text, (await second).text} == {TEXT}


async def test_what_a_restart_finds_open_of_an_allowance_counts_as_spent() -> None:
    journal = MemoryJournal()
    options = RouterOptions(budget_run_usd_micros=10_000)
    async with FaultServer() as well:
        async with routing(behind(well.url, price="2"), journal=journal, options=options) as router:
            await router.complete()
            drawn = router.events(AllowanceDrawn)[0].amount_usd_micros
        async with routing(behind(well.url, price="2"), journal=journal, options=options) as router:
            assert (await router.view()).spent_run_usd_micros == drawn == 10_000 // ROOM_SHARE
            assert [lost.amount_usd_micros for lost in router.events(AllowanceLost)] == [drawn - 30]


async def test_what_a_crash_left_of_a_slice_counts_in_every_agents_budget_until_it_is_reconciled() -> None:
    options = RouterOptions(budget_agent_usd_micros=3_000)
    journal = MemoryJournal()
    async with FaultServer() as well:
        async with routing(behind(well.url, price="2"), options=options, journal=journal) as router:
            await router.complete(agent="scout")
            (drawn,) = router.events(AllowanceDrawn)
            assert drawn.amount_usd_micros == 3_000 // ROOM_SHARE
        tight = msgspec.structs.replace(options, budget_agent_usd_micros=500)
        async with routing(behind(well.url, price="2"), options=tight, journal=journal) as router:
            with pytest.raises(BudgetExhausted, match="agent/editor"):
                await router.complete(agent="editor")
            (lost,) = router.events(AllowanceLost)
            await router.system.ask(ROUTER, ReconcileSpending("", 0, lost.amount_usd_micros))
            assert (await router.complete(agent="editor")).text == TEXT


async def test_every_completion_has_its_intent_recorded_before_its_outcome() -> None:
    async with FaultServer() as well, routing(behind(well.url, price="2")) as router:
        for _ in range(3):
            await router.complete()
        names = [record.event.wire_name for record in router.journal.events if record.event.about == "completion"]
        assert names == ["completion.requested", "completion.completed"] * 3
        assert [done.completion for done in router.events(CompletionCompleted)] == ["m-1", "m-2", "m-3"]


async def test_a_completion_that_costs_nothing_leaves_its_outcome_alone_and_no_number_twice() -> None:
    journal = MemoryJournal()
    async with FaultServer() as well:
        async with routing(behind(well.url), journal=journal) as router:
            for _ in range(2):
                await router.complete()
        names = [record.event.wire_name for record in router.journal.events]
        assert names == ["completions.numbered", "completion.completed", "completion.completed"]
        async with routing(behind(well.url), journal=journal.truncated(Position(2))) as router:
            assert (await router.complete()).completion == f"m-{NUMBERS + 1}"


def test_two_providers_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="extractive"):
        RouterOptions(providers=(EXTRACTIVE, EXTRACTIVE))


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="a budget must be at least 0"):
        RouterOptions(budget_run_usd_micros=-1)
    with pytest.raises(ValueError, match="`completions_max` must be at least 1"):
        RouterOptions(completions_max=0)


async def _until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something that needs no time is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # it needs turns of the loop and tells nobody
            await asyncio.sleep(0)
