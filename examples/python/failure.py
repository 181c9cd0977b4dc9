"""What a failed call says: its code, and the typed details that the service sends with it."""

from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "engagement.v1"


@dataclass(frozen=True)
class Failure:
    """A failed call."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    """Empty when not the service, but a library or the network ended the call."""

    metadata: dict[str, str] = field(default_factory=dict)
    """Of the ErrorInfo: `requestId`, `stepId`, `errorId` and others."""

    fields: dict[str, str] = field(default_factory=dict)
    """What is wrong with the request, by the path of the field."""

    retry_seconds: float | None = None
    """After so long the same request may succeed."""


def failure_of(error: grpc.RpcError) -> Failure:
    """Read a failed call."""
    call: Any = error  # It is a grpc.Call too.
    trailing = dict(call.trailing_metadata() or ())
    status = _details(trailing)
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry_info = error_details_pb2.RetryInfo()
    for detail in status.details:
        for message in (info, bad_request, retry_info):
            detail.Unpack(message)  # Only where the type is the same.
    is_of_service = info.domain == DOMAIN
    return Failure(
        code=call.code(),
        message=call.details() or "",
        reason=info.reason if is_of_service else "",
        metadata=dict(info.metadata) if is_of_service else {},
        fields={each.field: each.description for each in bad_request.field_violations},
        retry_seconds=_retry_seconds(retry_info, trailing),
    )


def _details(trailing: dict[str, Any]) -> status_pb2.Status:
    """Return the typed details; none where something on the way has broken them."""
    try:
        return status_pb2.Status.FromString(trailing.get("grpc-status-details-bin", b""))
    except DecodeError:
        return status_pb2.Status()


def _retry_seconds(
    retry_info: error_details_pb2.RetryInfo, trailing: dict[str, Any]
) -> float | None:
    """Return the wait that is asked for.

    `grpc-retry-pushback-ms` says the same to libraries. Here it counts when the details were lost
    on the way; -1 forbids a repeat to the library alone.
    """
    if retry_info.HasField("retry_delay"):
        return retry_info.retry_delay.ToTimedelta().total_seconds()
    pushback = str(trailing.get("grpc-retry-pushback-ms", ""))
    return int(pushback) / 1000 if pushback.isdecimal() else None
