"""The one line that each call leaves, and what must never be in it."""

import asyncio

import pytest
from structlog.typing import EventDict

from service.application.arrival import Arrival
from service.domain.errors import FieldViolation, Reason, ServiceError
from service.domain.outcome import StepAnswer
from tests.transport.health_probe import check
from tests.transport.stand_in import (
    METADATA,
    REQUEST_ID,
    Api,
    email_request,
    fail_with,
    step_request,
)

METHOD = "engagement.v1.SequenceStepService/CreateSequenceStep"


def only_line(api: Api) -> EventDict:
    (line,) = api.log
    return line


async def test_a_call_that_went_well(api: Api) -> None:
    async def behaviour(call: Arrival) -> StepAnswer:
        call.record.provider_reads = 2
        call.record.provider_writes = 1
        call.record.provider_requests = 4
        call.record.warnings = 3
        return StepAnswer("42", ())

    api.application.behaviour = behaviour
    await api.create(step_request(request_id=REQUEST_ID), timeout_seconds=7)

    line = only_line(api)
    assert 0 <= line.pop("duration_ms") < 7000
    assert 6 < line.pop("deadline_seconds") < 8
    assert line == {
        "event": "rpc",
        "log_level": "info",
        "method": METHOD,
        "caller": "local",
        "customer": "acme",
        "provider": "outreach",
        "request_id": REQUEST_ID,
        "code": "OK",
        "reason": "",
        "error_id": "",
        "replayed": False,
        "provider_reads": 2,
        "provider_writes": 1,
        "provider_requests": 4,
        "warnings": 3,
        "exc_info": None,
    }


async def test_an_id_that_was_made_for_a_call_is_logged_too(api: Api) -> None:
    await api.create(step_request())

    (call,) = api.application.calls
    assert only_line(api)["request_id"] == call.key.request_id


async def test_a_replay_is_seen_in_the_log(api: Api) -> None:
    async def behaviour(call: Arrival) -> StepAnswer:
        del call
        return StepAnswer("42", (), is_replay=True)

    api.application.behaviour = behaviour
    await api.create(step_request())

    assert only_line(api)["replayed"] is True


async def test_an_id_that_is_none_is_content_and_not_logged(api: Api) -> None:
    await api.refused(step_request(request_id="canary"))

    assert only_line(api)["request_id"] == ""
    assert "canary" not in repr(api.log)


async def test_a_call_without_a_deadline(api: Api) -> None:
    await api.create(step_request(), timeout_seconds=None)

    assert only_line(api)["deadline_seconds"] is None


async def test_a_call_whose_metadata_is_wrong_names_nobody(api: Api) -> None:
    await api.refused(step_request(), (("x-customer-id", "acme"),))

    line = only_line(api)
    assert (line["customer"], line["provider"]) == ("", "")
    assert (line["code"], line["reason"]) == ("INVALID_ARGUMENT", "METADATA_INVALID")


LEVELS = {
    Reason.OUTCOME_UNKNOWN: "warning",
    Reason.STEP_INCOMPLETE: "warning",
    Reason.INTERNAL: "error",
}


@pytest.mark.parametrize("reason", list(Reason))
async def test_the_level_says_who_has_to_act(api: Api, reason: Reason) -> None:
    api.application.behaviour = fail_with(ServiceError(reason, "No."))
    await api.failed()

    line = only_line(api)
    assert line["reason"] == reason.name
    assert line["log_level"] == LEVELS.get(reason, "info")
    assert (line["exc_info"] is not None) == (reason is Reason.INTERNAL)


@pytest.mark.parametrize("reason", [None, Reason.PROVIDER_REJECTED, Reason.INVALID_FIELD])
async def test_nothing_of_the_content_and_no_other_metadata_is_logged(
    api: Api, reason: Reason | None
) -> None:
    secret = "canary"
    if reason is not None:
        violations = (FieldViolation(f"step.custom_fields.{secret}", secret),)
        api.application.behaviour = fail_with(ServiceError(reason, secret, violations))
    request = email_request(subject=secret, body_html=secret, name=secret, to=[f"{secret}@b.io"])
    request.sequence_id = secret
    request.step.name = secret
    request.step.task_note = secret
    request.step.custom_fields[secret] = secret
    metadata = (*METADATA, ("authorization", f"Bearer {secret}"), ("x-other", secret))

    if reason is None:
        await api.create(request, metadata)
    else:
        await api.failed(request.SerializeToString(), metadata)

    assert secret not in repr(api.log)


async def test_a_request_that_does_not_parse_leaves_a_line_too(api: Api) -> None:
    await api.failed(b"\xff")

    assert only_line(api)["reason"] == "INVALID_FIELD"


async def test_probes_that_go_well_are_for_debugging_only(api: Api) -> None:
    await check(api.channel)

    line = only_line(api)
    assert (line["method"], line["log_level"]) == ("grpc.health.v1.Health/Check", "debug")


async def test_calls_at_once_have_lines_of_their_own(api: Api) -> None:
    both_run = asyncio.Barrier(2)

    async def behaviour(call: Arrival) -> StepAnswer:
        await both_run.wait()
        call.record.provider_reads = len(call.key.connection.customer_id)
        return StepAnswer("42", ())

    api.application.behaviour = behaviour
    await asyncio.gather(
        api.create(step_request()),
        api.create(step_request(), (("x-customer-id", "other"), ("x-provider-name", "apollo"))),
    )

    lines = {(line["customer"], line["provider"], line["provider_reads"]) for line in api.log}
    assert lines == {("acme", "outreach", 4), ("other", "apollo", 5)}
