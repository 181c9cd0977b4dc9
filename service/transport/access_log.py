"""What is told of each RPC: a line in the log, metrics and a span.

The line says who called for whom, how it ended, and what it cost. It has the fields named here and
no others: never the request's content, never its metadata as a whole. Health checks that end well
are logged at level `debug`, since probes come all the time.
"""

import contextlib
import time
from contextvars import ContextVar
from dataclasses import dataclass, field

import grpc
import structlog
from opentelemetry.trace import Span

from service.application.call_record import CallRecord
from service.domain.caller_policy import Caller
from service.domain.errors import Reason, ServiceError
from service.domain.step import ConnectionKey
from service.telemetry.metrics import ERRORS, REPLAYS, rpc_seconds
from service.telemetry.tracing import end_rpc
from service.transport.status import code_of

_PROBES = "grpc.health.v1.Health/"

_LEVELS = {
    Reason.OUTCOME_UNKNOWN: "warning",
    Reason.STEP_INCOMPLETE: "warning",
    Reason.INTERNAL: "error",
}

_log = structlog.get_logger()


@dataclass(slots=True)
class CallEntry:
    """What is known of one RPC; filled while it runs, written when it ends."""

    method: str
    deadline_seconds: float | None
    span: Span
    caller: Caller | None = None
    key: ConnectionKey | None = None
    request_id: str = ""
    """The caller's, or the one that was made for the call; empty while it is not known."""

    is_replay: bool = False
    """Whether the answer is one that an earlier call was given."""

    record: CallRecord = field(default_factory=CallRecord)
    _started_seconds: float = field(default_factory=time.perf_counter)

    @property
    def provider(self) -> str:
        """The provider's name; empty while it is not known."""
        return self.key.provider if self.key else ""

    def write_success(self) -> None:
        """Log a call that was answered."""
        is_probe = self.method.startswith(_PROBES)
        self._write("debug" if is_probe else "info", grpc.StatusCode.OK)

    def write_failure(self, error: ServiceError) -> None:
        """Log a call that ends with an error, with the cause's traceback if it is our bug."""
        level = _LEVELS.get(error.reason, "info")
        cause = error.__cause__ if error.reason is Reason.INTERNAL else None
        self._write(level, code_of(error), error, cause)

    def write_ended(self, code: grpc.StatusCode) -> None:
        """Log a call that ended without an answer of ours, such as one whose caller left."""
        self._write("info", code)

    def _write(
        self,
        level: str,
        code: grpc.StatusCode,
        error: ServiceError | None = None,
        cause: BaseException | None = None,
    ) -> None:
        seconds = time.perf_counter() - self._started_seconds
        # A log that cannot be written (a closed pipe, a full disk) must not change an answer.
        with contextlib.suppress(OSError, ValueError):
            getattr(_log, level)("rpc", **self._fields(code, error, seconds), exc_info=cause)
        rpc_seconds(self.method, code.name).observe(seconds)
        if error is not None:
            ERRORS.labels(self.provider, error.reason.value).inc()
        if self.is_replay:
            REPLAYS.labels(self.provider).inc()
        reason = "" if error is None else error.reason.value
        end_rpc(self.span, code.name, self.provider, self.request_id, reason)

    def _fields(
        self, code: grpc.StatusCode, error: ServiceError | None, seconds: float
    ) -> dict[str, object]:
        return {
            "method": self.method,
            "caller": self.caller.name if self.caller else "",
            "customer": self.key.customer_id if self.key else "",
            "provider": self.provider,
            "request_id": self.request_id,
            "code": code.name,
            "reason": error.reason.value if error else "",
            "error_id": error.metadata.get("errorId", "") if error else "",
            "replayed": self.is_replay,
            "provider_reads": self.record.provider_reads,
            "provider_writes": self.record.provider_writes,
            "provider_requests": self.record.provider_requests,
            "warnings": self.record.warnings,
            "duration_ms": round(seconds * 1000, 1),
            "deadline_seconds": self.deadline_seconds and round(self.deadline_seconds, 3),
        }


current_call: ContextVar[CallEntry] = ContextVar("current_call")
"""The entry of the RPC that this task serves; set by the status boundary."""
