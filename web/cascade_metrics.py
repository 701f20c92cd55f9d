"""The cascade for Prometheus: each provider's latency, load, money and how its last calls ended; the queue.

Pure: a view in, families out.
"""

from collections import Counter

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from bus.messages.completions import RouterView

BY_PROVIDER = ["provider"]


def families(view: RouterView) -> list[Metric]:
    """What the cascade says of itself."""
    latency = GaugeMetricFamily(
        "agora_completion_seconds", "Time to answer of the last 200 answers.", labels=["provider", "quantile"]
    )
    in_flight = GaugeMetricFamily("agora_completions_in_flight", "Calls under way.", labels=BY_PROVIDER)
    is_enabled = GaugeMetricFamily("agora_provider_enabled", "1 while it is part of the cascade.", labels=BY_PROVIDER)
    reopens = GaugeMetricFamily("agora_breaker_reopens_seconds", "What is left of its wait.", labels=BY_PROVIDER)
    spent = CounterMetricFamily("agora_provider_spent_usd", "What it has cost.", labels=BY_PROVIDER)
    window = GaugeMetricFamily(
        "agora_breaker_window", "How the last calls ended, by outcome.", labels=["provider", "outcome"]
    )
    for one in view.providers:
        quantiles = (("0.5", one.latency_p50_s), ("0.9", one.latency_p90_s), ("0.99", one.latency_p99_s))
        for quantile, seconds in quantiles:
            latency.add_metric([one.name, quantile], seconds)
        in_flight.add_metric([one.name], one.in_flight)
        is_enabled.add_metric([one.name], float(one.is_enabled))
        reopens.add_metric([one.name], one.reopens_in_s)
        spent.add_metric([one.name], one.spent_usd_micros / 1e6)
        for outcome, count in sorted(Counter(one.outcomes).items()):
            window.add_metric([one.name, outcome], count)
    return [
        latency,
        in_flight,
        is_enabled,
        reopens,
        spent,
        window,
        GaugeMetricFamily("agora_completions_queued", "Completions that wait for a place.", view.queued),
        GaugeMetricFamily("agora_reserved_usd", "Reserved for calls under way.", view.reserved_usd_micros / 1e6),
        GaugeMetricFamily("agora_budget_usd", "The run's budget; 0 without a limit.", view.budget_run_usd_micros / 1e6),
    ]
