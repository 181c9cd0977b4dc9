"""Errors that a caller gets: data that a program can act on, with a sentence for a person.

One class, since callers tell errors apart by `reason`; the transport gives each reason its gRPC
code. A sentence never holds a credential, a stack trace or an unchecked text of a provider.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

UNREADABLE_RETRY_SECONDS = 2.0


class Reason(enum.StrEnum):
    """Why a request failed; docs/errors.md says for each what the caller can do."""

    INVALID_FIELD = "INVALID_FIELD"
    REQUEST_TOO_LARGE = "REQUEST_TOO_LARGE"
    METADATA_INVALID = "METADATA_INVALID"
    PROVIDER_UNKNOWN = "PROVIDER_UNKNOWN"
    CALLER_UNAUTHENTICATED = "CALLER_UNAUTHENTICATED"
    CUSTOMER_FORBIDDEN = "CUSTOMER_FORBIDDEN"
    CONNECTION_MISSING = "CONNECTION_MISSING"
    CONNECTION_EXPIRED = "CONNECTION_EXPIRED"
    UNSUPPORTED_BY_PROVIDER = "UNSUPPORTED_BY_PROVIDER"
    SEQUENCE_KIND_MISMATCH = "SEQUENCE_KIND_MISMATCH"
    SEQUENCE_NOT_EMPTY = "SEQUENCE_NOT_EMPTY"
    SEQUENCE_ARCHIVED = "SEQUENCE_ARCHIVED"
    POSITION_TAKEN = "POSITION_TAKEN"
    TEMPLATE_REQUIRED = "TEMPLATE_REQUIRED"
    WARNINGS_AS_ERRORS = "WARNINGS_AS_ERRORS"
    SEQUENCE_NOT_FOUND = "SEQUENCE_NOT_FOUND"
    TEMPLATE_NOT_FOUND = "TEMPLATE_NOT_FOUND"
    PROVIDER_FORBIDDEN = "PROVIDER_FORBIDDEN"
    PROVIDER_REJECTED = "PROVIDER_REJECTED"
    PROVIDER_RATE_LIMITED = "PROVIDER_RATE_LIMITED"
    SERVICE_OVERLOADED = "SERVICE_OVERLOADED"
    SEQUENCE_BUSY = "SEQUENCE_BUSY"
    REQUEST_IN_PROGRESS = "REQUEST_IN_PROGRESS"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    PROVIDER_UNAVAILABLE = "PROVIDER_UNAVAILABLE"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    DEADLINE_TOO_SHORT = "DEADLINE_TOO_SHORT"
    STEP_INCOMPLETE = "STEP_INCOMPLETE"
    STEP_REMOVED = "STEP_REMOVED"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that is wrong: its path in the request and what to do about it."""

    field: str
    description: str


@dataclass(eq=False)
class ServiceError(Exception):
    """A request that ends without its step, or without certainty about it."""

    reason: Reason
    message: str
    """A sentence that tells a person what happened."""

    violations: tuple[FieldViolation, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Facts for programs, in lowerCamelCase, such as `stepId`."""

    retry_after_seconds: float | None = None
    """When the same request may succeed; None where time alone does not help."""

    advice: str = ""
    """What to do about it, where the message does not say so itself. An error that is part of
    another one (a write that failed after the step was made) is told without its own advice."""

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


def refuse_invalid(violations: Iterable[FieldViolation]) -> None:
    """Refuse a request with fields that are wrong, naming all of them.

    Raises:
        ServiceError: INVALID_FIELD, unless there are no violations.
    """
    found = tuple(violations)
    if not found:
        return
    others = f" ({len(found) - 1} more: see the details)" if len(found) > 1 else ""
    message = f"{found[0].field}: {found[0].description}{others}"
    raise ServiceError(Reason.INVALID_FIELD, message, found)


def sequence_not_found(vendor: str, sequence_id: str) -> ServiceError:
    """Return the error for a sequence that is not there, or hidden from the connection's user."""
    return ServiceError(
        Reason.SEQUENCE_NOT_FOUND,
        f"{vendor} has no sequence {sequence_id} that this connection can see.",
        metadata={"sequenceId": sequence_id},
    )


def unreadable(vendor: str, what: str) -> ServiceError:
    """Return the error for a read whose answer has another form than the vendor's documentation.

    It is never taken for "there is nothing": that would prove something absent.
    """
    return ServiceError(
        Reason.PROVIDER_UNAVAILABLE,
        f"{vendor}'s answer about {what} cannot be read.",
        retry_after_seconds=UNREADABLE_RETRY_SECONDS,
        advice="Nothing was written: call again later.",
    )


def template_not_found(vendor: str, template_id: str) -> ServiceError:
    """Return the error for a template that is not there, or hidden from the connection's user."""
    return ServiceError(
        Reason.TEMPLATE_NOT_FOUND,
        f"{vendor} has no template {template_id} that this connection can see.",
        metadata={"templateId": template_id},
    )
