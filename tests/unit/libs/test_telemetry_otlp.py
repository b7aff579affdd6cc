"""Spans reach a collector by OTLP where an endpoint is set: a real gRPC collector on loopback takes them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from lienthong.settings import TelemetrySettings
from lienthong.telemetry import make_provider
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as pb_grpc


class Collector(pb_grpc.TraceServiceServicer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.requests: list[pb.ExportTraceServiceRequest] = []
        self.heard = threading.Event()

    def Export(self, request: pb.ExportTraceServiceRequest, context: Any) -> pb.ExportTraceServiceResponse:
        self.requests.append(request)
        self.heard.set()
        return pb.ExportTraceServiceResponse()


@pytest.fixture
def collector() -> Iterator[tuple[Collector, str]]:
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(1))
    pb_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield collector, f"http://127.0.0.1:{port}"
    server.stop(None).wait()


def test_spans_go_to_the_collector_that_is_set(collector: tuple[Collector, str]) -> None:
    taken, endpoint = collector
    settings = TelemetrySettings(otlp_endpoint=endpoint, otlp_insecure=True)
    provider = make_provider(settings, service="routing", node="H01")
    with provider.get_tracer("test").start_as_current_span("take custody from G22") as span:
        trace_id = span.get_span_context().trace_id
    provider.force_flush()
    provider.shutdown()
    assert taken.heard.wait(5)
    [resource] = taken.requests[0].resource_spans
    attributes = {item.key: item.value.string_value for item in resource.resource.attributes}
    assert attributes["service.name"] == "routing"
    assert attributes["lienthong.node"] == "H01"
    [sent] = resource.scope_spans[0].spans
    assert (sent.name, sent.trace_id) == ("take custody from G22", trace_id.to_bytes(16, "big"))


def test_nothing_is_exported_without_an_endpoint(collector: tuple[Collector, str]) -> None:
    taken, _ = collector
    provider = make_provider(TelemetrySettings(), service="routing", node="H01")
    provider.get_tracer("test").start_span("quiet").end()
    provider.shutdown()
    assert not taken.heard.is_set()
