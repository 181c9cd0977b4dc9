"""Errors that a caller gets: data that a program can act on, with a sentence for a person.

One class, since callers tell errors apart by `reason`; the transport gives each reason its gRPC
code. A sentence never holds a credential, a stack trace or an unchecked text of a provider.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from service.domain.value_class import value_class

UNREADABLE_RETRY_SECONDS = 2.0


class Reason(enum.StrEnum):
    """Why a request failed, and what its caller can do; docs/errors.md is made of it."""

    happened: str
    """What happened, as docs/errors.md says it: Markdown, with links from there."""

    remedy: str
    """What the caller can do about it, likewise."""

    def __new__(cls, name: str, happened: str, remedy: str) -> Self:
        """Make a member that is its name, and knows what docs/errors.md says of it."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.happened = happened
        member.remedy = remedy
        return member

    INVALID_FIELD = (
        "INVALID_FIELD",
        "fields of the request are wrong; all of them are listed",
        "correct them",
    )
    REQUEST_TOO_LARGE = (
        "REQUEST_TOO_LARGE",
        "the request is larger than 768 KiB",
        "shorten `body_html`, `task_note` or `custom_fields`",
    )
    METADATA_INVALID = (
        "METADATA_INVALID",
        "`x-customer-id` or `x-provider-name` is missing, repeated or malformed",
        "send each exactly once",
    )
    PROVIDER_UNKNOWN = (
        "PROVIDER_UNKNOWN",
        "`x-provider-name`, or the request's `provider`, names no known provider",
        "use `outreach`, `salesloft` or `apollo`",
    )
    CALLER_UNAUTHENTICATED = (
        "CALLER_UNAUTHENTICATED",
        (
            "what the caller presents (client certificate, bearer token) does not prove one "
            "caller of the service's policy; the answer is the same whatever is wrong"
        ),
        "present what the policy has of you: [security](security.md#what-a-caller-sends)",
    )
    CUSTOMER_FORBIDDEN = (
        "CUSTOMER_FORBIDDEN",
        (
            "the policy does not let this caller act for this customer; whether there is such a "
            "customer is not said"
        ),
        "use a customer of yours, or have the policy changed",
    )
    CONNECTION_MISSING = (
        "CONNECTION_MISSING",
        "the customer has no connection at this provider",
        "put one: [connections](connections.md)",
    )
    CONNECTION_EXPIRED = (
        "CONNECTION_EXPIRED",
        "the provider refuses the credential, and it cannot be refreshed",
        "connect the customer again",
    )
    UNSUPPORTED_BY_PROVIDER = (
        "UNSUPPORTED_BY_PROVIDER",
        "the provider cannot do this type or field, and leaving it out would make a wrong step",
        "change the step; the README has the table",
    )
    SEQUENCE_KIND_MISMATCH = (
        "SEQUENCE_KIND_MISMATCH",
        "a wait in a sequence of fixed dates, or a date in a sequence of waits",
        "give the other field",
    )
    SEQUENCE_NOT_EMPTY = (
        "SEQUENCE_NOT_EMPTY",
        "Salesloft takes a step only into a cadence without steps",
        "use a new cadence",
    )
    SEQUENCE_ARCHIVED = (
        "SEQUENCE_ARCHIVED",
        "the cadence is archived, expired or deleted",
        "use another, or restore it at the provider",
    )
    POSITION_TAKEN = (
        "POSITION_TAKEN",
        "Apollo has a step at `order` already",
        "give a free position, or none",
    )
    TEMPLATE_REQUIRED = (
        "TEMPLATE_REQUIRED",
        "Salesloft takes no e-mail step without a message",
        "give a template",
    )
    WARNINGS_AS_ERRORS = (
        "WARNINGS_AS_ERRORS",
        "`fail_on_warning` is set and there would be warnings",
        "change the step, or accept them",
    )
    SEQUENCE_NOT_FOUND = (
        "SEQUENCE_NOT_FOUND",
        "no such sequence, or the connection's user cannot see it",
        "check the id and the user's rights",
    )
    TEMPLATE_NOT_FOUND = (
        "TEMPLATE_NOT_FOUND",
        "no such template, or the connection's user cannot see it",
        "check the id and the user's rights",
    )
    PROVIDER_FORBIDDEN = (
        "PROVIDER_FORBIDDEN",
        "the provider answered 403; the message names the scope or key that the call needs",
        "connect again with it",
    )
    PROVIDER_REJECTED = (
        "PROVIDER_REJECTED",
        "the provider refused a call; its own sentence is in the message",
        "change what it says",
    )
    PROVIDER_RATE_LIMITED = (
        "PROVIDER_RATE_LIMITED",
        "the provider limits this connection's requests",
        "call again after the `RetryInfo`",
    )
    SERVICE_OVERLOADED = (
        "SERVICE_OVERLOADED",
        (
            "the service has as many requests in flight as it takes, in all, for the provider, or "
            "for this customer there (the message says which); or one of these was waited for, "
            "for longer than your deadline"
        ),
        "call again after the `RetryInfo`",
    )
    SEQUENCE_BUSY = (
        "SEQUENCE_BUSY",
        (
            "another request is adding a step to this sequence, for longer than your deadline; or "
            "an earlier write to it was lost and may still be applied (see `…_SETTLE_SECONDS` in "
            "[settings](settings.md))"
        ),
        "call again after the `RetryInfo`",
    )
    REQUEST_IN_PROGRESS = (
        "REQUEST_IN_PROGRESS",
        "another process works on this `request_id`, for longer than your deadline",
        "call again with it after the `RetryInfo`",
    )
    REQUEST_ID_REUSED = (
        "REQUEST_ID_REUSED",
        (
            "the `request_id` belongs to a request with another `sequence_id` or `step`; every "
            "field that differs is listed"
        ),
        "repeat that request as it was, or give this one an id of its own",
    )
    PROVIDER_UNAVAILABLE = (
        "PROVIDER_UNAVAILABLE",
        "the provider cannot be reached, is under maintenance, or does not answer reads",
        "call again after the `RetryInfo`",
    )
    STORE_UNAVAILABLE = (
        "STORE_UNAVAILABLE",
        "the service's database does not answer",
        "call again after the `RetryInfo`",
    )
    DEADLINE_TOO_SHORT = (
        "DEADLINE_TOO_SHORT",
        "less than 2 seconds were left before the first write",
        "call again with a longer deadline",
    )
    STEP_INCOMPLETE = (
        "STEP_INCOMPLETE",
        (
            "the step of `stepId` was made, but its message could not be written, and the "
            "provider has no way to undo"
        ),
        (
            "call again with the same `request_id`, which finishes it; or finish or remove the "
            "step at the provider"
        ),
    )
    STEP_REMOVED = (
        "STEP_REMOVED",
        (
            "the step of `stepId` had been made, and was then removed at the provider; this call "
            "wrote nothing"
        ),
        "call again with the same `request_id` to make it anew",
    )
    OUTCOME_UNKNOWN = (
        "OUTCOME_UNKNOWN",
        (
            "an answer of the provider was lost, and what the write made could not be found, or "
            "not with certainty"
        ),
        (
            "call again with the same `request_id` after the `RetryInfo`; without one, look at "
            "the sequence, and let an operator settle it "
            "([how](operations.md#when-and-how-to-settle))"
        ),
    )
    INTERNAL = (
        "INTERNAL",
        "a fault of the service; the log has it under `errorId`",
        "report the `errorId`; call again with the same `request_id`",
    )


@value_class
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
