"""A failed request as the caller gets it: one `google.rpc.Status`, small enough to arrive.

Clients limit the size of what they accept as headers: above 8 KiB a status is lost at random and
the caller reads `RESOURCE_EXHAUSTED` instead of the real error. The message counts twice there,
percent-encoded and inside the details, so both it and the whole are cut.
"""

from collections.abc import Mapping, Sequence

import grpc

# The package has type stubs, but does not say so in the way that mypy asks for.
from google.rpc import error_details_pb2, status_pb2

from service.domain.errors import FieldViolation, Reason, ServiceError
from service.domain.value_class import value_class
from service.transport.text import cut

ERROR_DOMAIN = "engagement.v1"

STATUS_BYTES_MAX = 4096
MESSAGE_BYTES_MAX = 600
VIOLATIONS_MAX = 20
FIELD_BYTES_MAX = 200
DESCRIPTION_BYTES_MAX = 300
METADATA_ENTRIES_MAX = 8
METADATA_VALUE_BYTES_MAX = 200

RETRY_BY_ITSELF_SECONDS_MAX = 30.0
"""Above it a client library is told not to wait and repeat on its own."""

NO_RETRY = "-1"
"""The pushback that forbids a client library to repeat the call by itself."""

_CODES = {
    Reason.INVALID_FIELD: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.REQUEST_TOO_LARGE: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.METADATA_INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.PROVIDER_UNKNOWN: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.CALLER_UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Reason.CUSTOMER_FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    Reason.CONNECTION_MISSING: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.CONNECTION_EXPIRED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.UNSUPPORTED_BY_PROVIDER: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.SEQUENCE_KIND_MISMATCH: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.SEQUENCE_NOT_EMPTY: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.SEQUENCE_ARCHIVED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.POSITION_TAKEN: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.TEMPLATE_REQUIRED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.WARNINGS_AS_ERRORS: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.SEQUENCE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.TEMPLATE_NOT_FOUND: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.PROVIDER_FORBIDDEN: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.PROVIDER_REJECTED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.PROVIDER_RATE_LIMITED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.SERVICE_OVERLOADED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.SEQUENCE_BUSY: grpc.StatusCode.ABORTED,
    Reason.REQUEST_IN_PROGRESS: grpc.StatusCode.ABORTED,
    Reason.REQUEST_ID_REUSED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.PROVIDER_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.STORE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.DEADLINE_TOO_SHORT: grpc.StatusCode.DEADLINE_EXCEEDED,
    Reason.STEP_INCOMPLETE: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.STEP_REMOVED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.OUTCOME_UNKNOWN: grpc.StatusCode.UNKNOWN,
    Reason.INTERNAL: grpc.StatusCode.INTERNAL,
}

_STATE_SUBJECTS = {
    Reason.CONNECTION_MISSING: "connection",
    Reason.CONNECTION_EXPIRED: "connection",
    Reason.SEQUENCE_KIND_MISMATCH: "sequence_id",
    Reason.SEQUENCE_NOT_EMPTY: "sequence_id",
    Reason.SEQUENCE_ARCHIVED: "sequence_id",
    Reason.POSITION_TAKEN: "step.order",
    Reason.TEMPLATE_REQUIRED: "step.template",
    Reason.TEMPLATE_NOT_FOUND: "step.template.id",
    Reason.REQUEST_ID_REUSED: "request_id",
    Reason.STEP_INCOMPLETE: "step",
    Reason.STEP_REMOVED: "step",
}
"""What must change before the same request can succeed, for errors about the state of things."""

_RESOURCES = {
    Reason.SEQUENCE_NOT_FOUND: ("sequence", "sequenceId"),
    Reason.TEMPLATE_NOT_FOUND: ("template", "templateId"),
}
"""The type of what is missing, and the metadata entry with its id."""

_PERHAPS_WRITTEN = frozenset({Reason.STEP_INCOMPLETE, Reason.OUTCOME_UNKNOWN, Reason.INTERNAL})
"""After these a client library must not repeat the call by itself, whatever its retry policy."""


@value_class
class WireStatus:
    """A status in the form in which gRPC sends it."""

    code: grpc.StatusCode
    message: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def code_of(error: ServiceError) -> grpc.StatusCode:
    """Return the gRPC code of an error."""
    if error.reason is Reason.PROVIDER_REJECTED and error.violations:
        return grpc.StatusCode.INVALID_ARGUMENT
    return _CODES[error.reason]


def to_wire_status(error: ServiceError, provider: str, request_id: str) -> WireStatus:
    """Return the status of an error; `provider` and `request_id` are empty while not known."""
    code = code_of(error)
    message = cut(f"{error.message} {error.advice}".rstrip(), MESSAGE_BYTES_MAX)
    facts = _facts(error, provider, request_id)
    details = _fitting_status(error, code, message, facts).SerializeToString()
    trailing: tuple[tuple[str, str | bytes], ...] = (("grpc-status-details-bin", details),)
    if error.retry_after_seconds is not None:
        trailing += (("grpc-retry-pushback-ms", _pushback_ms(error.retry_after_seconds)),)
    elif error.reason in _PERHAPS_WRITTEN:
        trailing += (("grpc-retry-pushback-ms", NO_RETRY),)
    return WireStatus(code, message, trailing)


def _facts(error: ServiceError, provider: str, request_id: str) -> Mapping[str, str]:
    """Return the facts for programs; those about the call come last, where none is cut off."""
    facts = dict(error.metadata)
    if provider and error.reason is not Reason.INTERNAL:
        facts["provider"] = provider
    if request_id:
        facts["requestId"] = request_id
    return facts


def _fitting_status(
    error: ServiceError, code: grpc.StatusCode, message: str, facts: Mapping[str, str]
) -> status_pb2.Status:
    """Build the status with as many of the violations as fit, from the first on."""
    for shown_count in range(min(len(error.violations), VIOLATIONS_MAX), 0, -1):
        status = _status(error, code, message, facts, shown_count)
        if status.ByteSize() <= STATUS_BYTES_MAX:
            return status
    return _status(error, code, message, facts, 0)


def _status(
    error: ServiceError,
    code: grpc.StatusCode,
    message: str,
    facts: Mapping[str, str],
    shown_count: int,
) -> status_pb2.Status:
    shown = error.violations[:shown_count]
    status = status_pb2.Status(code=code.value[0], message=message)
    omitted_count = len(error.violations) - shown_count
    status.details.add().Pack(_error_info(error.reason, facts, omitted_count))
    if code is grpc.StatusCode.INVALID_ARGUMENT and shown:
        status.details.add().Pack(_bad_request(shown))
    if code is grpc.StatusCode.FAILED_PRECONDITION and (shown or error.reason in _STATE_SUBJECTS):
        status.details.add().Pack(_precondition_failure(error.reason, message, shown))
    if error.reason in _RESOURCES:
        status.details.add().Pack(_resource_info(error))
    if error.retry_after_seconds is not None:
        status.details.add().Pack(_retry_info(error.retry_after_seconds))
    return status


def _error_info(
    reason: Reason, facts: Mapping[str, str], omitted_count: int
) -> error_details_pb2.ErrorInfo:
    told = dict(facts)
    if omitted_count:
        told["violationsOmitted"] = str(omitted_count)
    kept = list(told.items())[-METADATA_ENTRIES_MAX:]
    return error_details_pb2.ErrorInfo(
        reason=reason.value,
        domain=ERROR_DOMAIN,
        metadata={name: cut(value, METADATA_VALUE_BYTES_MAX) for name, value in kept},
    )


def _bad_request(violations: Sequence[FieldViolation]) -> error_details_pb2.BadRequest:
    return error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(
                field=cut(violation.field, FIELD_BYTES_MAX),
                description=cut(violation.description, DESCRIPTION_BYTES_MAX),
            )
            for violation in violations
        ]
    )


def _precondition_failure(
    reason: Reason, message: str, violations: Sequence[FieldViolation]
) -> error_details_pb2.PreconditionFailure:
    shown = violations or (FieldViolation(_STATE_SUBJECTS[reason], message),)
    return error_details_pb2.PreconditionFailure(
        violations=[
            error_details_pb2.PreconditionFailure.Violation(
                type=reason.value,
                subject=cut(violation.field, FIELD_BYTES_MAX),
                description=cut(violation.description, DESCRIPTION_BYTES_MAX),
            )
            for violation in shown
        ]
    )


def _resource_info(error: ServiceError) -> error_details_pb2.ResourceInfo:
    resource_type, id_name = _RESOURCES[error.reason]
    return error_details_pb2.ResourceInfo(
        resource_type=resource_type,
        resource_name=cut(error.metadata.get(id_name, ""), METADATA_VALUE_BYTES_MAX),
    )


def _retry_info(seconds: float) -> error_details_pb2.RetryInfo:
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromMilliseconds(_milliseconds(seconds))
    return info


def _pushback_ms(seconds: float) -> str:
    return NO_RETRY if seconds > RETRY_BY_ITSELF_SECONDS_MAX else str(_milliseconds(seconds))


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))
