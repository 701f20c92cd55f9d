"""The tracer: tells tracing tools what happened, as OpenTelemetry spans, from committed events alone.

Rules: it stands beside the run and never in its way. Spans wait in a bounded queue of the exporter's own thread; what a
collector does not take in time is dropped, and the exporter's log says so. It begins at the head when it starts.
"""

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import anyio.to_thread
import msgspec

from actors.rules.spans import Span, Spans
from actors.runtime import Actor
from bus.address import Address
from bus.codec import Catalogue
from bus.envelope import Recorded
from bus.errors import ConfigError
from bus.messages.catalogue import EVENTS
from bus.messages.system import EventsCommitted

TRACER: Final = Address("tracer")
ENDPOINT_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
LIBRARY: Final = "opentelemetry.exporter.otlp.proto.http"
EXPORTING: Final = "actors.exporting"
"""The module that needs the library; it is loaded only where an exporter is configured."""


class TracingOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section `[otel]`: traces for OpenTelemetry's tools. Needs the extra `agora[otel]`."""

    endpoint: str = ""
    """Where traces go by OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`. Empty means where
    `OTEL_EXPORTER_OTLP_ENDPOINT` says, or nowhere."""
    service: str = "agora"
    """The name of this service in the traces."""
    timeout_s: float = 5.0
    """How long a collector may take for a batch."""
    queue_max: int = 4_096
    """Spans that wait for the collector; what comes beyond is dropped."""


class Exporter(Protocol):
    """Where ended spans go."""

    def export(self, span: Span) -> None:
        """Queue a span, or drop it when the queue is full."""
        ...

    def close(self) -> None:
        """Send what waits, within a deadline of its own. Blocking."""
        ...


OpenExporter = Callable[[], Exporter]
"""Opens one. Blocking."""


def exporter_of(options: TracingOptions, environment: Mapping[str, str]) -> OpenExporter | None:
    """The exporter that is configured, if one is. Raises ConfigError when its library is missing."""
    variable = next((name for name in ENDPOINT_VARIABLES if environment.get(name)), "")
    if not options.endpoint and not variable:
        return None
    try:
        found = importlib.util.find_spec(LIBRARY)
    except ModuleNotFoundError:
        found = None
    if found is None:
        where = "otel.endpoint" if options.endpoint else variable
        raise ConfigError("settings", where, "needs OpenTelemetry; install it with `pip install 'agora[otel]'`")
    make: Callable[[TracingOptions], Exporter] = importlib.import_module(EXPORTING).Exporting
    return lambda: make(options)


class Tracer(Actor):
    """Listens to what is committed, and exports what has ended."""

    def __init__(self, open_exporter: OpenExporter, epoch: int) -> None:
        self._open_exporter = open_exporter
        self._spans = Spans(epoch)
        self._catalogue = Catalogue(EVENTS)

    async def on_start(self) -> None:
        self._exporter = await anyio.to_thread.run_sync(self._open_exporter)

    async def on_stop(self) -> None:
        await anyio.to_thread.run_sync(self._exporter.close)

    def on_events_committed(self, news: EventsCommitted) -> None:
        for stored in news.events:
            event = self._catalogue.decode(stored.type, stored.version, stored.data, stored.sealed)
            source = Address(stored.source)
            record = Recorded(
                event, stored.position, stored.time_us, source, stored.cause, stored.correlation, stored.cursor
            )
            for span in self._spans.take(record):
                self._exporter.export(span)
