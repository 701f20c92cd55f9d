"""Spans over OTLP, by OpenTelemetry's own queue, thread and protocol. Needs the extra `agora[otel]`."""

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from actors.rules.spans import Span
from actors.tracer import TracingOptions

NS_PER_US = 1_000
BATCH_MAX = 512
DELAY_MS = 1_000
"""How long a span waits for others; people look at traces while the run goes on."""


class _GivenIds(IdGenerator):
    """Ids that are made from what a span is about, not drawn."""

    def __init__(self) -> None:
        self.trace = 0
        self.span = 0

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return self.span


class Exporting:
    """An exporter to one collector."""

    def __init__(self, options: TracingOptions) -> None:
        self._ids = _GivenIds()
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": options.service}), id_generator=self._ids, shutdown_on_exit=False
        )
        exporter = OTLPSpanExporter(endpoint=options.endpoint or None, timeout=options.timeout_s)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                schedule_delay_millis=DELAY_MS,
                max_queue_size=options.queue_max,
                max_export_batch_size=min(BATCH_MAX, options.queue_max),
            )
        )
        self._tracer = self._provider.get_tracer("agora")

    def export(self, span: Span) -> None:
        """Queue a span; the queue drops what it cannot hold, and says so in the log."""
        self._ids.trace, self._ids.span = int(span.trace, 16), int(span.span, 16)
        context = None
        if span.parent:
            parent = SpanContext(self._ids.trace, int(span.parent, 16), is_remote=False, trace_flags=TraceFlags(1))
            context = set_span_in_context(NonRecordingSpan(parent))
        kind = SpanKind.CLIENT if span.kind == "client" else SpanKind.INTERNAL
        copy = self._tracer.start_span(
            span.name, context, kind, dict(span.attributes), start_time=span.start_us * NS_PER_US
        )
        for event in span.events:
            copy.add_event(event.name, dict(event.attributes), event.time_us * NS_PER_US)
        if span.error:
            copy.set_status(Status(StatusCode.ERROR, span.error))
        copy.end(span.end_us * NS_PER_US)

    def close(self) -> None:
        """Send what waits. Blocking; the exporter's own timeout bounds it."""
        self._provider.shutdown()
