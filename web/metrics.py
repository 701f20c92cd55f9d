"""The server for Prometheus: its journal, its live feed, and what the overview counts.

What is there is read when it is asked for; nothing is counted twice.
"""

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bus.messages.system import JournalView
from web.hub import Hub
from web.wire import decode

BREAKER_VALUES = {"closed": 0, "half_open": 1, "open": 2}


class _TasksGlance(msgspec.Struct, frozen=True):
    counts: dict[str, int]


class _ProviderGlance(msgspec.Struct, frozen=True):
    breaker: str
    completed: int
    failed: int


class _RouterGlance(msgspec.Struct, frozen=True):
    items: dict[str, _ProviderGlance]


class _SpendGlance(msgspec.Struct, frozen=True):
    run_usd_micros: int


class _Glance(msgspec.Struct, frozen=True):
    tasks: _TasksGlance
    router: _RouterGlance
    spend: _SpendGlance


def exposition(found: list[Metric]) -> bytes:
    """The families as Prometheus reads them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(found))
    return generate_latest(registry)


def families(hub: Hub, journal: JournalView, stalled: int) -> list[Metric]:
    """What there is to say of all but the cascade; `stalled` sockets were closed as too slow."""
    glance = decode(hub.state(), _Glance)
    events = CounterMetricFamily("agora_events", "Events committed since the start, by type.", labels=["type"])
    for type_, count in hub.types.items():
        events.add_metric([type_], count)
    tasks = GaugeMetricFamily("agora_tasks", "Tasks by state, all time.", labels=["state"])
    for state, count in glance.tasks.counts.items():
        tasks.add_metric([state], count)
    breakers = GaugeMetricFamily("agora_breaker", "0 closed, 1 half open, 2 open.", labels=["provider"])
    completions = CounterMetricFamily(
        "agora_completions", "Completions by provider and outcome.", labels=["provider", "outcome"]
    )
    for name, provider in glance.router.items.items():
        breakers.add_metric([name], BREAKER_VALUES.get(provider.breaker, 2))
        completions.add_metric([name, "completed"], provider.completed)
        completions.add_metric([name, "failed"], provider.failed)
    gauges = GaugeMetricFamily("agora_gauge", "What actors tell of themselves.", labels=["name"])
    for name, value in hub.gauges.items():
        gauges.add_metric([name], value)
    return [
        events,
        gauges,
        tasks,
        breakers,
        completions,
        GaugeMetricFamily("agora_watermark", "The last durable position.", journal.watermark),
        GaugeMetricFamily("agora_head", "The last position that was given.", journal.head),
        GaugeMetricFamily("agora_watermark_age_seconds", "Wait of the oldest event.", journal.watermark_age_ms / 1e3),
        GaugeMetricFamily("agora_commit_p99_seconds", "Commit time, 99 of 100.", journal.commit_p99_ms / 1e3),
        CounterMetricFamily("agora_commits", "Transactions of the journal.", journal.commits),
        GaugeMetricFamily("agora_journal_bytes", "Size of the journal on disk.", journal.size_bytes),
        GaugeMetricFamily("agora_sockets", "Live sockets.", hub.clients),
        CounterMetricFamily("agora_sockets_stalled", "Live sockets closed as too slow.", stalled),
        CounterMetricFamily("agora_frames_built", "Feed frames encoded.", hub.frames_built),
        CounterMetricFamily("agora_frames_shared", "Feed frames sent from the cache.", hub.frames_shared),
        GaugeMetricFamily("agora_spent_usd", "What the run has cost.", glance.spend.run_usd_micros / 1e6),
    ]


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families
