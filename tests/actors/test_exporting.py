"""Spans over OTLP."""

import asyncio

from actors.exporting import Exporting
from actors.rules.spans import Span, SpanEvent
from actors.tracer import TracingOptions
from tests.support.collector import Collector

TRACE, PARENT, CHILD = "0" * 30 + "a1", "0" * 14 + "b2", "0" * 14 + "c3"


def span(span_id: str, parent: str, error: str = "") -> Span:
    event = SpanEvent("attempt failed", 1_500, {"error.type": "connect"})
    return Span(TRACE, span_id, parent, f"span {span_id[-2:]}", "client", 1_000, 2_000, {"a": 1}, (event,), error)


async def test_a_span_arrives_with_its_ids_its_times_and_what_was_said_of_it() -> None:
    async with Collector() as collector:
        exporting = await asyncio.to_thread(Exporting, TracingOptions(endpoint=collector.url, service="here"))
        exporting.export(span(CHILD, PARENT, "it broke"))
        exporting.export(span(PARENT, ""))
        await asyncio.to_thread(exporting.close)
        child, parent = await collector.has("span c3"), await collector.has("span b2")
    assert (child.trace_id.hex(), child.span_id.hex(), child.parent_span_id.hex()) == (TRACE, CHILD, PARENT)
    assert (parent.trace_id.hex(), parent.span_id.hex(), parent.parent_span_id.hex()) == (TRACE, PARENT, "")
    assert (child.start_time_unix_nano, child.end_time_unix_nano) == (1_000_000, 2_000_000)
    assert (child.status.code, child.status.message) == (2, "it broke")
    assert [(event.name, event.time_unix_nano) for event in child.events] == [("attempt failed", 1_500_000)]
    assert collector.services == {"here"}


async def test_a_collector_that_is_away_costs_no_more_than_its_timeout() -> None:
    options = TracingOptions(endpoint="http://127.0.0.1:9/v1/traces", timeout_s=0.2)
    exporting = await asyncio.to_thread(Exporting, options)
    exporting.export(span(PARENT, ""))
    async with asyncio.timeout(10):
        await asyncio.to_thread(exporting.close)
