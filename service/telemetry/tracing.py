"""Traces by OpenTelemetry's API: a span per RPC, and below it one per HTTP request to a provider.

Span and attribute names are those of OpenTelemetry's semantic conventions. The caller's context is
taken from `traceparent` (W3C); providers are never told it. Without an SDK nothing is recorded, and
the caller's trace id is known all the same, for the log.
"""

from collections.abc import Collection
from typing import Final, TypeAlias

from opentelemetry import context, trace
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.domain.distribution import DISTRIBUTION

NO_TRACES: Final[TracerProvider] = trace.NoOpTracerProvider()

_Metadata: TypeAlias = Collection[tuple[str, str | bytes]]

_FAULTS_OF_SERVER: Final = frozenset(
    ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
)
"""Statuses that make a server's span an error, by the conventions."""


class _MetadataGetter(Getter[_Metadata]):
    """Reads headers from gRPC's metadata."""

    def get(self, carrier: _Metadata, key: str) -> list[str] | None:
        return [value for name, value in carrier if name == key and isinstance(value, str)] or None

    def keys(self, carrier: _Metadata) -> list[str]:
        return [name for name, _ in carrier]


_propagator: Final = TraceContextTextMapPropagator()
_metadata_getter: Final = _MetadataGetter()


def tracer_of(provider: TracerProvider) -> Tracer:
    """Return what this service makes its spans with."""
    return provider.get_tracer(DISTRIBUTION)


def begin_rpc(tracer: Tracer, method: str, metadata: _Metadata) -> Span:
    """Start the span of an RPC, and make it the current one for the rest of this task."""
    parent = _propagator.extract(metadata, getter=_metadata_getter)
    attributes = {"rpc.system.name": "grpc", "rpc.method": method}
    span = tracer.start_span(method, parent, SpanKind.SERVER, attributes)
    context.attach(trace.set_span_in_context(span, parent))
    return span


def end_rpc(span: Span, status: str, provider: str, request_id: str, reason: str) -> None:
    """End the span of an RPC; what is not known is empty."""
    if span.is_recording():
        known = {
            "rpc.response.status_code": status,
            "engagement.provider": provider,
            "engagement.request_id": request_id,
            "error.type": reason or ("" if status == "OK" else status),
        }
        span.set_attributes({name: value for name, value in known.items() if value})
        if status in _FAULTS_OF_SERVER:
            span.set_status(Status(StatusCode.ERROR))
    span.end()


def current_ids() -> tuple[str, str] | None:
    """Return the ids of the current trace and span, in hexadecimal digits; None outside of any."""
    current = trace.get_current_span().get_span_context()
    if not current.is_valid:
        return None
    return trace.format_trace_id(current.trace_id), trace.format_span_id(current.span_id)
