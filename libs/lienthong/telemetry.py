"""Logs and traces of a process: JSON lines on standard error, spans as JSON lines in a file and over OTLP.

telemetry = setup(settings.telemetry, service="routing", node="H01")
...
telemetry.shutdown()
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from lienthong.settings import TelemetrySettings
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from pythonjsonlogger.json import JsonFormatter

# A SIGKILL loses at most the spans of so many milliseconds.
_FLUSH_MS: Final = 200
_QUEUE: Final = 16_384
_propagator: Final = TraceContextTextMapPropagator()
_tracer: Final = trace.get_tracer("lienthong")


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What `setup` set up."""

    provider: TracerProvider

    def flush(self) -> None:
        """Export what ended until now."""
        self.provider.force_flush(5_000)

    def shutdown(self) -> None:
        """Export the rest and stop."""
        self.provider.shutdown()


def setup(settings: TelemetrySettings, *, service: str, node: str) -> Telemetry:
    """Set up logging and tracing of this process, once, at its start."""
    setup_logging(settings.log_level, service=service, node=node)
    provider = make_provider(settings, service=service, node=node)
    trace.set_tracer_provider(provider)
    return Telemetry(provider)


def setup_logging(level: str, *, service: str, node: str, stream: IO[str] | None = None) -> None:
    """Write one JSON object a log line, with the ids of the span that it was written in."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.addFilter(_trace_ids)
    handler.setFormatter(
        JsonFormatter(
            "%(message)s %(levelname)s %(name)s %(trace_id)s %(span_id)s",
            rename_fields={"message": "event", "levelname": "level", "name": "logger"},
            static_fields={"service": service, "node": node},
            timestamp="time",
            json_ensure_ascii=False,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def _trace_ids(record: logging.LogRecord) -> bool:
    context = trace.get_current_span().get_span_context()
    record.trace_id = trace.format_trace_id(context.trace_id) if context.is_valid else ""
    record.span_id = trace.format_span_id(context.span_id) if context.is_valid else ""
    return True


def make_provider(settings: TelemetrySettings, *, service: str, node: str) -> TracerProvider:
    """A tracer provider that exports as the settings say; the caller's decision to sample is kept."""
    provider = TracerProvider(
        resource=Resource.create({"service.name": service, "lienthong.node": node}),
        sampler=ParentBasedTraceIdRatio(settings.sample_ratio),
    )
    if settings.spans_file is not None:
        _export(provider, JsonLinesExporter(settings.spans_file))
    if settings.otlp_endpoint:
        # Imported only here: it costs 60 ms at start, and most small sites have no collector.
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter(endpoint=settings.otlp_endpoint, insecure=settings.otlp_insecure)
        _export(provider, exporter)
    return provider


def _export(provider: TracerProvider, exporter: SpanExporter) -> None:
    processor = BatchSpanProcessor(exporter, max_queue_size=_QUEUE, schedule_delay_millis=_FLUSH_MS)
    provider.add_span_processor(processor)


class JsonLinesExporter(SpanExporter):
    """Appends one JSON object a span; several processes may share a file, lines are written whole."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Readable by the owner alone: attributes name organizations. O_APPEND keeps writers apart.
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lock = threading.Lock()
        self._open = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        lines = "".join(json.dumps(as_record(span), ensure_ascii=False) + "\n" for span in spans).encode()
        with self._lock:
            if not self._open:
                return SpanExportResult.FAILURE
            while lines:
                lines = lines[os.write(self._file, lines) :]
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        with self._lock:
            if self._open:
                self._open = False
                os.close(self._file)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - nothing is held back
        return True


def as_record(span: ReadableSpan) -> dict[str, Any]:
    """One span as the CLI and the console read it."""
    context = span.get_span_context()
    if context is None:
        raise ValueError("a span without a context cannot be exported")
    resource = span.resource.attributes
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
        "parent_id": trace.format_span_id(span.parent.span_id) if span.parent else "",
        "name": span.name,
        "service": resource.get("service.name", ""),
        "node": resource.get("lienthong.node", ""),
        "start_ns": span.start_time,
        "end_ns": span.end_time,
        "status": span.status.status_code.name,
        "status_text": span.status.description or "",
        "attributes": _plain(span.attributes),
        "links": [_traceparent(link.context) for link in span.links],
    }


def _plain(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in (attributes or {}).items()
    }


def _traceparent(context: trace.SpanContext) -> str:
    trace_id, span_id = trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)
    return f"00-{trace_id}-{span_id}-{int(context.trace_flags):02x}"


def current_traceparent() -> str:
    """The W3C trace context of the current span, to be stored with work; empty outside of one."""
    context = trace.get_current_span().get_span_context()
    return _traceparent(context) if context.is_valid else ""


@contextmanager
def span_from(
    traceparent: str,
    name: str,
    *,
    links: Sequence[str] = (),
    attributes: Mapping[str, str | int | float | bool] | None = None,
    kind: trace.SpanKind = trace.SpanKind.INTERNAL,
) -> Iterator[trace.Span]:
    """Run a block in a span that continues a stored trace context; links name others it belongs to.

    A malformed or empty context (it may come from another node) starts a new trace.
    """
    linked = [trace.Link(context) for text in links if (context := _span_context(text)).is_valid]
    with _tracer.start_as_current_span(
        name,
        context=_propagator.extract({"traceparent": traceparent}),
        kind=kind,
        links=linked,
        attributes=dict(attributes or {}),
    ) as span:
        yield span


def _span_context(traceparent: str) -> trace.SpanContext:
    return trace.get_current_span(_propagator.extract({"traceparent": traceparent})).get_span_context()
