"""What each reason looks like to a program: code, details, and a size that always arrives."""

import grpc
import pytest

from service.domain.errors import FieldViolation, Reason, ServiceError
from tests.transport.stand_in import REQUEST_ID, Api, Failure, fail_with, step_request

CODES = {
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


async def failure_of(api: Api, error: ServiceError) -> Failure:
    api.application.behaviour = fail_with(error)
    return await api.failed()


@pytest.mark.parametrize("reason", list(Reason))
async def test_every_reason_has_its_code(api: Api, reason: Reason) -> None:
    failure = await failure_of(api, ServiceError(reason, "What happened."))

    assert failure.code == CODES[reason]
    assert failure.reason == reason.name


async def test_facts_for_programs_arrive_with_the_provider_and_the_requests_id(api: Api) -> None:
    error = ServiceError(
        Reason.STEP_INCOMPLETE, "Half done.", metadata={"stepId": "42", "failedCall": "POST /x"}
    )
    api.application.behaviour = fail_with(error)
    failure = await api.failed(step_request(request_id=REQUEST_ID).SerializeToString())

    assert failure.message == "Half done."
    assert failure.metadata == {
        "stepId": "42",
        "failedCall": "POST /x",
        "provider": "outreach",
        "requestId": REQUEST_ID,
    }


async def test_a_rejection_that_points_at_a_field_is_the_callers_to_correct(api: Api) -> None:
    violations = (FieldViolation("step.order", "Order has already been taken"),)
    failure = await failure_of(api, ServiceError(Reason.PROVIDER_REJECTED, "No.", violations))

    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.violations == {"step.order": "Order has already been taken"}
    assert set(failure.details) == {"ErrorInfo", "BadRequest"}


async def test_a_rejection_that_points_at_nothing_has_no_more_details(api: Api) -> None:
    failure = await failure_of(api, ServiceError(Reason.PROVIDER_REJECTED, "No."))

    assert failure.code == grpc.StatusCode.FAILED_PRECONDITION
    assert set(failure.details) == {"ErrorInfo"}


async def test_what_a_provider_cannot_do_is_named_field_by_field(api: Api) -> None:
    violations = (FieldViolation("step.date", "No dates."), FieldViolation("step.type", "No."))
    error = ServiceError(Reason.UNSUPPORTED_BY_PROVIDER, "No dates. No.", violations)
    failure = await failure_of(api, error)

    assert set(failure.details) == {"ErrorInfo", "PreconditionFailure"}
    assert [
        (each.type, each.subject, each.description)
        for each in failure.details["PreconditionFailure"].violations
    ] == [
        ("UNSUPPORTED_BY_PROVIDER", "step.date", "No dates."),
        ("UNSUPPORTED_BY_PROVIDER", "step.type", "No."),
    ]


@pytest.mark.parametrize(
    ("reason", "subject"),
    [
        (Reason.CONNECTION_MISSING, "connection"),
        (Reason.CONNECTION_EXPIRED, "connection"),
        (Reason.SEQUENCE_KIND_MISMATCH, "sequence_id"),
        (Reason.SEQUENCE_NOT_EMPTY, "sequence_id"),
        (Reason.SEQUENCE_ARCHIVED, "sequence_id"),
        (Reason.POSITION_TAKEN, "step.order"),
        (Reason.TEMPLATE_REQUIRED, "step.template"),
        (Reason.TEMPLATE_NOT_FOUND, "step.template.id"),
        (Reason.REQUEST_ID_REUSED, "request_id"),
        (Reason.STEP_INCOMPLETE, "step"),
        (Reason.STEP_REMOVED, "step"),
    ],
)
async def test_a_state_that_must_change_first_is_named(
    api: Api, reason: Reason, subject: str
) -> None:
    failure = await failure_of(api, ServiceError(reason, "Because."))

    (violation,) = failure.details["PreconditionFailure"].violations
    assert (violation.type, violation.subject) == (reason.name, subject)
    assert violation.description == "Because."


async def test_an_id_of_another_request_is_refused_naming_what_differs(api: Api) -> None:
    violations = tuple(
        FieldViolation(field, "Differs.") for field in ("sequence_id", "step.interval_seconds")
    )
    failure = await failure_of(api, ServiceError(Reason.REQUEST_ID_REUSED, "No.", violations))

    assert set(failure.details) == {"ErrorInfo", "PreconditionFailure"}
    assert [
        (each.type, each.subject, each.description)
        for each in failure.details["PreconditionFailure"].violations
    ] == [
        ("REQUEST_ID_REUSED", "sequence_id", "Differs."),
        ("REQUEST_ID_REUSED", "step.interval_seconds", "Differs."),
    ]


@pytest.mark.parametrize(
    ("reason", "facts", "resource"),
    [
        (Reason.SEQUENCE_NOT_FOUND, {"sequenceId": "7"}, ("sequence", "7")),
        (Reason.TEMPLATE_NOT_FOUND, {"templateId": "9"}, ("template", "9")),
        (Reason.SEQUENCE_NOT_FOUND, {}, ("sequence", "")),
    ],
)
async def test_what_is_missing_is_named(
    api: Api, reason: Reason, facts: dict[str, str], resource: tuple[str, str]
) -> None:
    failure = await failure_of(api, ServiceError(reason, "Not there.", metadata=facts))

    info = failure.details["ResourceInfo"]
    assert (info.resource_type, info.resource_name) == resource


@pytest.mark.parametrize(
    "reason",
    [
        Reason.PROVIDER_RATE_LIMITED,
        Reason.REQUEST_IN_PROGRESS,
        Reason.STEP_INCOMPLETE,
        Reason.OUTCOME_UNKNOWN,
    ],
)
@pytest.mark.parametrize(
    ("seconds", "delay_ms", "pushback"),
    [
        (0.0, 0, "0"),
        (0.0004, 0, "0"),
        (1.5, 1500, "1500"),
        (30.0, 30_000, "30000"),
        (30.001, 30_001, "-1"),
        (86_400.0, 86_400_000, "-1"),
        (-1.0, 0, "0"),
    ],
)
async def test_when_to_call_again_is_told_to_programs_and_to_client_libraries(
    api: Api, reason: Reason, seconds: float, delay_ms: int, pushback: str
) -> None:
    error = ServiceError(reason, "Later.", retry_after_seconds=seconds)
    failure = await failure_of(api, error)

    assert failure.details["RetryInfo"].retry_delay.ToMilliseconds() == delay_ms
    assert failure.pushback == pushback


@pytest.mark.parametrize(
    ("reason", "pushback"),
    [
        (Reason.OUTCOME_UNKNOWN, "-1"),
        (Reason.STEP_INCOMPLETE, "-1"),
        (Reason.INTERNAL, "-1"),
        (Reason.INVALID_FIELD, None),
        (Reason.SEQUENCE_NOT_FOUND, None),
    ],
)
async def test_without_a_delay_only_what_may_have_written_forbids_to_repeat(
    api: Api, reason: Reason, pushback: str | None
) -> None:
    failure = await failure_of(api, ServiceError(reason, "No."))

    assert "RetryInfo" not in failure.details
    assert failure.pushback == pushback


@pytest.mark.parametrize("reason", [Reason.INVALID_FIELD, Reason.WARNINGS_AS_ERRORS])
async def test_a_long_list_is_cut_to_the_first_with_the_number_of_the_others(
    api: Api, reason: Reason
) -> None:
    violations = tuple(
        FieldViolation(f"step.custom_fields.key_{index}", "x" * 250) for index in range(300)
    )
    failure = await failure_of(api, ServiceError(reason, "Much is wrong.", violations))

    detail = failure.details[
        "BadRequest" if reason is Reason.INVALID_FIELD else "PreconditionFailure"
    ]
    shown = (
        list(failure.violations)
        if reason is Reason.INVALID_FIELD
        else [each.subject for each in detail.violations]
    )
    assert 5 <= len(shown) < 20
    assert shown == [f"step.custom_fields.key_{index}" for index in range(len(shown))]
    assert failure.metadata["violationsOmitted"] == str(300 - len(shown))
    assert failure.status_bytes <= 4096


async def test_short_violations_are_cut_at_twenty(api: Api) -> None:
    violations = tuple(FieldViolation(f"to[{index}]", "No.") for index in range(21))
    failure = await failure_of(api, ServiceError(Reason.INVALID_FIELD, "No.", violations))

    assert len(failure.violations) == 20
    assert failure.metadata["violationsOmitted"] == "1"


@pytest.mark.parametrize("filler", ["x", "é", "語", "\U0001f600"])
async def test_the_largest_status_arrives_every_time(api: Api, filler: str) -> None:
    """Above 8 KiB of headers, clients lose a status at random: one call would prove nothing."""
    error = ServiceError(
        Reason.TEMPLATE_NOT_FOUND,
        filler * 10_000,
        tuple(FieldViolation(filler * 500, filler * 5_000) for _ in range(100)),
        {f"key{index}" * 10: filler * 1_000 for index in range(100)} | {"templateId": filler * 999},
        retry_after_seconds=1.0,
    )
    for _ in range(50):
        failure = await failure_of(api, error)

        assert failure.reason == "TEMPLATE_NOT_FOUND"
        assert failure.status_bytes <= 4096
        assert failure.message.startswith(filler * 100)
        assert failure.message.endswith("…")
        assert failure.metadata["provider"] == "outreach"
        assert len(failure.metadata["requestId"]) == 36
        assert failure.pushback == "1000"


async def test_text_that_utf_8_cannot_hold_is_replaced(api: Api) -> None:
    violations = (FieldViolation("step.name\ud800", "\udfff."),)
    error = ServiceError(
        Reason.PROVIDER_REJECTED, "Vendor said \ud83d.", violations, {"stepId": "\ud800"}
    )
    failure = await failure_of(api, error)

    assert failure.message == "Vendor said ?."
    assert failure.violations == {"step.name?": "?."}
    assert failure.metadata["stepId"] == "?"
