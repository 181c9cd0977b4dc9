"""Measures and traces every HTTP request to a provider, where all of them pass."""

import re
import time
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider

from service.application.ports import Http
from service.domain.provider_call import NotSent, ProviderAnswer, ProviderRequest
from service.telemetry.metrics import provider_call_seconds
from service.telemetry.tracing import tracer_of

TOO_MANY_REQUESTS: Final = 429
CLIENT_ERROR: Final = 400

_CLASSES: Final = {2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}
_ID_IN_PATH: Final = re.compile(r"(?<=/)(?:\d+|[0-9a-f]{24})(?=/|$)")


class ObservedHttp:
    """Sends as the `Http` within it does, and says how that went."""

    def __init__(self, http: Http, tracer_provider: TracerProvider) -> None:
        self._http = http
        self._tracer = tracer_of(tracer_provider)

    async def send(
        self,
        request: ProviderRequest,
        *,
        timeout_seconds: float,
        start_by_seconds: float | None = None,
    ) -> ProviderAnswer:
        """See `Http.send`."""
        span = self._tracer.start_span(request.method, kind=SpanKind.CLIENT)
        started_seconds = time.perf_counter()
        outcome = "lost"  # Whatever else ends it, the provider may have acted.
        status = None
        try:
            answer = await self._http.send(
                request, timeout_seconds=timeout_seconds, start_by_seconds=start_by_seconds
            )
        except NotSent:
            outcome = "not_sent"
            raise
        else:
            status = answer.status
            outcome = _outcome(status)
            return answer
        finally:
            seconds = time.perf_counter() - started_seconds
            provider_call_seconds(request.provider, request.kind, outcome).observe(seconds)
            if span.is_recording():
                _describe(span, request, status, outcome)
            span.end()


def _outcome(status: int) -> str:
    return "429" if status == TOO_MANY_REQUESTS else _CLASSES.get(status // 100, "other")


def _describe(span: Span, request: ProviderRequest, status: int | None, outcome: str) -> None:
    """Say what a span is of; neither headers nor bodies belong there."""
    url = urlsplit(request.url)
    template = _ID_IN_PATH.sub("{id}", url.path)
    span.update_name(f"{request.method} {template}")
    span.set_attributes(
        {
            "http.request.method": request.method,
            "url.full": request.url,
            "url.template": template,
            "server.address": url.hostname or "",
            "engagement.provider": request.provider,
            "engagement.call": request.kind,
        }
    )
    if url.port is not None:
        span.set_attribute("server.port", url.port)
    if status is not None:
        span.set_attribute("http.response.status_code", status)
    if status is None or status >= CLIENT_ERROR:
        span.set_attribute("error.type", outcome if status is None else str(status))
        span.set_status(Status(StatusCode.ERROR))
