"""Settings that are read again while all runs."""

import asyncio
from contextlib import suppress
from decimal import Decimal

import msgspec
import pytest

from actors.providers import ProviderOptions
from actors.providers.discovery import EXTRACTIVE
from actors.providers.settings import RouterOptions
from actors.reloader import Fresh, Reloader
from actors.router import Reconfigure
from actors.rules.breaker import BreakerOptions, Mode
from actors.rules.cascade import CascadeOptions
from actors.runtime import ChildSpec
from bus.errors import ConfigError
from bus.messages.completions import (
    ROUTER,
    BreakerClosed,
    BreakerOpened,
    BreakerState,
    DisableProvider,
    ProviderDisabled,
    ProviderEnabled,
)
from bus.messages.routing import (
    SETTINGS,
    CascadeReconfigured,
    Reloaded,
    ReloadSettings,
    ResetProvider,
    SettingsRefused,
)
from bus.refusals import AllProvidersFailed, BudgetExhausted, SettingsUnusable
from tests.support.fault_server import FaultServer, Sickness
from tests.support.routing import FIRST, QUICK, Routing, behind, routing


async def reconfigured(router: Routing, *providers: ProviderOptions, **settings: object) -> tuple[str, ...]:
    options = msgspec.structs.replace(RouterOptions(cascade=QUICK, providers=providers), **settings)
    return (await router.system.ask(ROUTER, Reconfigure(options))).changes


async def test_providers_join_leave_and_change_places_while_all_runs() -> None:
    async with FaultServer() as one, FaultServer() as other, routing(behind(one.url)) as router:
        assert await reconfigured(router, behind(other.url, "second"), behind(one.url)) == ("second: joined",)
        assert (await router.complete()).provider == "second"
        assert await reconfigured(router, behind(one.url), behind(other.url, "second")) == (f"order: {FIRST}, second",)
        assert (await router.complete()).provider == FIRST
        assert await reconfigured(router, behind(other.url, "second")) == (f"{FIRST}: left",)
        assert (await router.complete()).provider == "second"
        assert len(router.events(CascadeReconfigured)) == 3


async def test_what_stays_keeps_its_breaker_and_its_calls_under_way() -> None:
    async with FaultServer(Sickness.HELD) as server, routing(behind(server.url)) as router:
        pending = asyncio.create_task(router.complete())
        await server.called(1)
        dearer = msgspec.structs.replace(behind(server.url), price_in=Decimal(2), concurrency_max=1)
        changes = await reconfigured(router, dearer)
        assert changes == (f"{FIRST}.price_in: 0 -> 2", f"{FIRST}.concurrency_max: 100 -> 1")
        assert (await router.provider()).in_flight == 1
        server.release()
        assert (await pending).cost_usd_micros == 0  # it ends at the price that it began with
        assert (await router.provider()).in_flight == 0


async def test_a_call_that_waits_for_a_provider_that_leaves_goes_to_another() -> None:
    async with FaultServer(Sickness.HELD) as busy, FaultServer() as free:
        narrow = behind(busy.url, concurrency_max=1)
        async with routing(narrow) as router:
            first = asyncio.create_task(router.complete())
            await busy.called(1)
            second = asyncio.create_task(router.complete())
            async with asyncio.timeout(30.0):
                while not (await router.view()).queued:
                    pass
            await reconfigured(router, behind(free.url, "free"))
            assert (await second).provider == "free"
            busy.release()
            assert (await first).provider == FIRST


async def test_limits_count_at_once_and_what_was_spent_stays() -> None:
    async with FaultServer() as server, routing(behind(server.url, price="1")) as router:
        await router.complete()
        await reconfigured(router, behind(server.url, price="1"), budget_run_usd_micros=10)
        with pytest.raises(BudgetExhausted):
            await router.complete()
        await reconfigured(router, behind(server.url, price="1"), budget_run_usd_micros=10_000)
        await router.complete()


async def test_a_provider_that_the_settings_take_out_comes_back_with_them_and_one_that_a_person_took_out_does_not() -> (
    None
):
    async with FaultServer() as server, routing(behind(server.url)) as router:
        await reconfigured(router, msgspec.structs.replace(behind(server.url), enabled=False))
        with pytest.raises(AllProvidersFailed):
            await router.complete()
        await reconfigured(router, behind(server.url))
        assert (await router.complete()).provider == FIRST
        assert [event.reason for event in router.events(ProviderDisabled)] == ["by the settings"]
        assert len(router.events(ProviderEnabled)) == 1
        await router.system.ask(ROUTER, DisableProvider(FIRST, "looks odd"))
        await reconfigured(router, behind(server.url), completions_max=99)
        with pytest.raises(AllProvidersFailed):
            await router.complete()


async def test_the_breakers_settings_change_and_the_breaker_stays_as_it_is() -> None:
    async with FaultServer(Sickness.SERVER_ERROR) as server, routing(behind(server.url)) as router:
        for _ in range(2):
            with pytest.raises(AllProvidersFailed):
                await router.complete()
        breaker = BreakerOptions(calls_min=1, window=1)
        await reconfigured(router, behind(server.url), breaker=breaker, cascade=CascadeOptions(rounds_max=1))
        with pytest.raises(AllProvidersFailed):
            await router.complete()
        assert (await router.provider()).breaker is BreakerState.OPEN
        await router.system.ask(ROUTER, ResetProvider(FIRST))
        assert (await router.provider()).breaker is BreakerState.CLOSED
        assert len(router.events(BreakerClosed)) == 1


@pytest.mark.parametrize("mode", ["metrics_only", "disabled", "forced_open"])
@pytest.mark.parametrize("ends", [Sickness.SERVER_ERROR, Sickness.HEALTHY])
async def test_a_probe_that_ends_under_another_mode_opens_and_closes_nothing(mode: Mode, ends: Sickness) -> None:
    sick = BreakerOptions(calls_min=1, window=1)
    options = RouterOptions(cascade=QUICK, breaker=sick)
    async with FaultServer(Sickness.SERVER_ERROR) as server:
        provider = behind(server.url)
        async with routing(provider, EXTRACTIVE, options=options) as router:
            await router.complete()
            router.clock.advance(sick.wait_min_s)
            server.sickness = Sickness.HELD
            probe = asyncio.create_task(router.complete())
            await server.called(2)
            assert (await router.provider()).breaker is BreakerState.HALF_OPEN
            other = msgspec.structs.replace(sick, mode=mode)
            await reconfigured(router, provider, EXTRACTIVE, breaker=other)
            view = await router.provider()
            assert (view.mode, view.breaker is BreakerState.OPEN) == (mode, mode == "forced_open")
            if ends is Sickness.SERVER_ERROR:
                server.drop()
            else:
                server.release()
            with suppress(AllProvidersFailed):  # where nobody is let through, nobody is next
                await probe
            assert (len(router.events(BreakerOpened)), router.events(BreakerClosed)) == (1, [])
            server.sickness = Sickness.HEALTHY
            await reconfigured(router, provider, EXTRACTIVE, breaker=sick)
            assert (await router.complete()).provider == FIRST
            assert len(router.events(BreakerClosed)) == 1


async def test_a_breaker_that_is_forced_open_by_name_shuts_out_that_provider_alone() -> None:
    async with FaultServer() as one, FaultServer() as other:
        shut = msgspec.structs.replace(behind(one.url), breaker_mode="forced_open")
        async with routing(behind(one.url), behind(other.url, "second"), EXTRACTIVE) as router:
            changes = await reconfigured(router, shut, behind(other.url, "second"), EXTRACTIVE)
            assert changes == (f"{FIRST}.breaker_mode:  -> forced_open",)
            assert [(await router.complete()).provider for _ in range(3)] == ["second"] * 3
            views = {view.name: view for view in (await router.view()).providers}
            assert (views[FIRST].mode, views[FIRST].breaker) == ("forced_open", BreakerState.OPEN)
            assert (views["second"].mode, views["second"].breaker) == ("enforced", BreakerState.CLOSED)
            await reconfigured(router, behind(one.url), behind(other.url, "second"), EXTRACTIVE)
            assert (await router.complete()).provider == FIRST
        assert (one.calls, other.calls) == (1, 3)


async def test_breakers_that_are_all_forced_open_leave_who_only_quotes_unless_it_is_named() -> None:
    async with FaultServer() as server, routing(behind(server.url), EXTRACTIVE) as router:
        forced = BreakerOptions(mode="forced_open")
        await reconfigured(router, behind(server.url), EXTRACTIVE, breaker=forced)
        assert (await router.complete()).provider == "extractive"
        named = msgspec.structs.replace(EXTRACTIVE, breaker_mode="forced_open")
        await reconfigured(router, behind(server.url), named, breaker=forced)
        with pytest.raises(AllProvidersFailed) as refused:
            await router.complete()
        assert [f"{name}: its breaker is forced open" in str(refused.value) for name in (FIRST, "extractive")] == [
            True,
            True,
        ]
        spared = msgspec.structs.replace(behind(server.url), breaker_mode="enforced")
        await reconfigured(router, spared, named, breaker=forced)
        assert (await router.complete()).provider == FIRST
    assert server.calls == 1


async def test_a_providers_name_hides_none_of_its_settings() -> None:
    async with FaultServer() as one, FaultServer() as other, routing(behind(one.url, "log and replay")) as router:
        (change,) = await reconfigured(router, behind(other.url, "log and replay"))
        assert change.startswith("log and replay.base_url: ")
        await router.complete()
        assert (one.calls, other.calls) == (0, 1)


async def test_the_same_settings_change_nothing_and_leave_no_event() -> None:
    async with FaultServer() as server, routing(behind(server.url)) as router:
        assert await reconfigured(router, behind(server.url), log="off", replay="log") == ()
        assert router.events(CascadeReconfigured) == []


async def test_settings_that_cannot_be_used_change_nothing_and_say_why() -> None:
    found: list[RouterOptions | ConfigError] = []

    def reread() -> Fresh:
        one = found.pop(0)
        if isinstance(one, ConfigError):
            raise one
        return Fresh(one, ("web.port",))

    reloader = ChildSpec(SETTINGS, lambda: Reloader(reread, ROUTER, Reconfigure))
    async with FaultServer() as server, routing(behind(server.url), others=[reloader]) as router:
        found.append(ConfigError("agora.toml:7", "router.breaker.window", "0 is less than 1"))
        with pytest.raises(SettingsUnusable, match=r"agora.toml:7: router.breaker.window"):
            await router.system.ask(SETTINGS, ReloadSettings(asked_by="ada"))
        assert [(event.asked_by, "window" in event.reason) for event in router.events(SettingsRefused)] == [
            ("ada", True)
        ]
        assert (await router.complete()).provider == FIRST
        found.append(RouterOptions(cascade=QUICK, providers=(behind(server.url, "renamed"),)))
        reloaded = await router.system.ask(SETTINGS, ReloadSettings())
        assert reloaded == Reloaded((f"{FIRST}: left", "renamed: joined"), ("web.port",))
        assert (await router.complete()).provider == "renamed"
