"""A failed call, with its typed details unpacked."""

from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2


@dataclass(frozen=True)
class Failure:
    """What a caller can read of an error."""

    code: str
    message: str
    reason: str
    domain: str
    metadata: dict[str, str]
    fields: tuple[str, ...]
    """Of BadRequest and PreconditionFailure."""

    retry_seconds: float | None
    pushback_ms: str | None
    status_bytes: int

    @property
    def outcome(self) -> tuple[str, str, tuple[str, ...]]:
        """What a program decides by."""
        return self.code, self.reason, self.fields


def failure_of(error: grpc.aio.AioRpcError) -> Failure:
    """Unpack an error; one without details has an empty reason."""
    trailing: dict[str, Any] = dict(error.trailing_metadata() or ())
    raw = trailing.get("grpc-status-details-bin", b"")
    status = status_pb2.Status.FromString(raw)
    info = error_details_pb2.ErrorInfo()
    fields: list[str] = []
    retry_seconds = None
    for detail in status.details:
        bad, precondition = error_details_pb2.BadRequest(), error_details_pb2.PreconditionFailure()
        retry = error_details_pb2.RetryInfo()
        detail.Unpack(info)
        if detail.Unpack(bad):
            fields += [violation.field for violation in bad.field_violations]
        if detail.Unpack(precondition):
            fields += [violation.subject for violation in precondition.violations]
        if detail.Unpack(retry):
            retry_seconds = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    return Failure(
        code=error.code().name,
        message=error.details() or "",
        reason=info.reason,
        domain=info.domain,
        metadata=dict(info.metadata),
        fields=tuple(fields),
        retry_seconds=retry_seconds,
        pushback_ms=trailing.get("grpc-retry-pushback-ms"),
        status_bytes=len(raw),
    )
