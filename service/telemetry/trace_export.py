"""Sends traces to a collector by OTLP over HTTP, where `ENGAGEMENT_TRACES` asks for it.

Where the collector is, how often a trace is kept, and how the service is called there say
OpenTelemetry's own variables, such as `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER` and
`OTEL_SERVICE_NAME`.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Thread
from typing import Final

import structlog
from opentelemetry.trace import TracerProvider

from service.domain.distribution import DISTRIBUTION, installed_version

LAST_SECONDS_MAX: Final = 3.0
"""For what is left at the end. The library gives a collector that does not answer 30 seconds, which
is more than who stops the process may still wait."""

_log = structlog.get_logger()


class TracesUnusable(Exception):  # noqa: N818 - what is wrong is outside of the code
    """Traces cannot be sent; the text is for a person."""


@asynccontextmanager
async def exported_traces() -> AsyncIterator[TracerProvider]:
    """Record traces and send them, in a thread of their own; at the end try to send what is left.

    Raises:
        TracesUnusable: what sends them is not installed, or OpenTelemetry's variables are wrong.
    """
    try:
        # Not imported where no traces are sent: they are an extra.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider as Recording  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise TracesUnusable(
            f"ENGAGEMENT_TRACES needs an extra: install {DISTRIBUTION}[otel] ({error})"
        ) from error
    named = {"service.version": installed_version()}
    if not os.environ.get("OTEL_SERVICE_NAME"):
        named["service.name"] = DISTRIBUTION
    try:
        provider = Recording(resource=Resource.create(named), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    except ValueError as error:
        raise TracesUnusable(f"OpenTelemetry does not take its variables: {error}") from error
    try:
        yield provider
    finally:
        sending = Thread(target=provider.shutdown, daemon=True)
        sending.start()
        await asyncio.to_thread(sending.join, LAST_SECONDS_MAX)
        if sending.is_alive():
            _log.warning("traces_dropped")
