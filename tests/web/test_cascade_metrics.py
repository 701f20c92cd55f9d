"""The cascade for Prometheus."""

from bus.messages.completions import BreakerState, ProviderView, ReadRouter, RouterView
from tests.web.support import World, call
from web.cascade_metrics import families

PROVIDER = ProviderView(
    name="a",
    dialect="openai",
    model="m",
    is_enabled=True,
    disabled_reason="",
    breaker=BreakerState.OPEN,
    reopens_in_s=1.5,
    outcomes=("ok", "timeout", "ok"),
    in_flight=2,
    completed=7,
    failed=1,
    latency_p50_s=0.5,
    latency_p99_s=2.0,
    spent_usd_micros=1_500_000,
    last_error="timeout",
    latency_p90_s=1.0,
)
VIEW = RouterView((PROVIDER,), 0, 0, 250_000, 5_000_000, 0, False, 3)


def test_every_figure_of_a_provider_has_its_family() -> None:
    found = {
        (sample.name, *sample.labels.values()): sample.value for family in families(VIEW) for sample in family.samples
    }
    assert found == {
        ("agora_completion_seconds", "a", "0.5"): 0.5,
        ("agora_completion_seconds", "a", "0.9"): 1.0,
        ("agora_completion_seconds", "a", "0.99"): 2.0,
        ("agora_completions_in_flight", "a"): 2,
        ("agora_provider_enabled", "a"): 1,
        ("agora_breaker_reopens_seconds", "a"): 1.5,
        ("agora_provider_spent_usd_total", "a"): 1.5,
        ("agora_breaker_window", "a", "ok"): 2,
        ("agora_breaker_window", "a", "timeout"): 1,
        ("agora_completions_queued",): 3,
        ("agora_reserved_usd",): 0.25,
        ("agora_budget_usd",): 5,
    }


async def test_they_stand_among_the_others_and_a_router_that_does_not_answer_costs_only_its_own() -> None:
    world = World()
    assert b"agora_completions_queued" not in (await call(world.app, "GET", "/metrics")).body
    world.gateway.replies[ReadRouter] = VIEW
    text = (await call(world.app, "GET", "/metrics")).body.decode()
    assert 'agora_completion_seconds{provider="a",quantile="0.99"} 2.0' in text
    assert "agora_watermark" in text
