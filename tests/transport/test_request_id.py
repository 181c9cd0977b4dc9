"""The id that makes a request safe to repeat: its form, where it is told, and what that allows."""

import asyncio
import gc
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from engagement.v1 import sequence_step_service_pb2 as service_pb2
from service.application.arrival import Arrival
from service.domain.errors import Reason, ServiceError
from service.domain.operation import OperationKey
from service.domain.outcome import StepAnswer
from service.domain.step import ConnectionKey, ProviderName
from service.transport.sequence_step_servicer import SequenceStepServicer
from tests.transport.stand_in import (
    CAPABILITIES,
    METADATA,
    METHOD,
    REQUEST_ID,
    Api,
    Failure,
    StandIn,
    fail_with,
    servicer_for,
    serving,
    step_request,
)

RULE = "Must be a UUID such as 3f0c7a52-9b1e-4d68-8a47-c25e90d1b6f4, and not all zeros."
REQUIRED = "Required: make a UUID, and store it before the first call."
WITH_ID = step_request(request_id=REQUEST_ID).SerializeToString()


@pytest.mark.parametrize(
    "given",
    [
        REQUEST_ID,
        REQUEST_ID.upper(),
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "00000000-0000-0000-0000-000000000001",
        "01890A5D-ac96-774b-bcce-B302099A8057",
    ],
)
async def test_every_uuid_is_taken_and_its_case_does_not_count(api: Api, given: str) -> None:
    await api.create(step_request(request_id=given))

    (call,) = api.application.calls
    outreach_of_acme = ConnectionKey("acme", ProviderName("outreach"))
    assert call.key == OperationKey("local", outreach_of_acme, given.lower())


@pytest.mark.parametrize(
    "given",
    [
        pytest.param("00000000-0000-0000-0000-000000000000", id="nil"),
        pytest.param("0f9d3c1e6a524b7f8e31d4c20a97b586", id="without_hyphens"),
        pytest.param("0f9d3c1e6-a52-4b7f-8e31-d4c20a97b586", id="hyphens_elsewhere"),
        pytest.param(f"{{{REQUEST_ID}}}", id="in_braces"),
        pytest.param(f"urn:uuid:{REQUEST_ID}", id="urn"),
        pytest.param(f" {REQUEST_ID}", id="space_before"),
        pytest.param(f"{REQUEST_ID}\n", id="line_break_after"),
        pytest.param(REQUEST_ID[:-1], id="too_short"),
        pytest.param(f"{REQUEST_ID}0", id="too_long"),
        pytest.param(REQUEST_ID.replace("f", "g"), id="not_hexadecimal"),
        pytest.param(REQUEST_ID.replace("9", "٩"), id="digits_of_another_script"),
        pytest.param(REQUEST_ID[:-2] + "_6", id="underscore"),
        pytest.param(" ", id="a_space"),
        pytest.param("order-4711", id="another_kind_of_id"),
        pytest.param("0" * 100_000, id="very_long"),
    ],
)
async def test_what_is_no_uuid_is_refused(api: Api, given: str) -> None:
    failure = await api.refused(step_request(request_id=given))

    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.reason == "INVALID_FIELD"
    assert failure.violations == {"request_id": RULE}
    assert "requestId" not in failure.metadata


async def test_without_one_each_call_is_a_request_of_its_own(api: Api) -> None:
    for _ in range(3):
        await api.create(step_request())

    made = [uuid.UUID(call.key.request_id) for call in api.application.calls]
    assert [each.version for each in made] == [4, 4, 4]
    assert len(set(made)) == 3


@asynccontextmanager
async def requiring() -> AsyncIterator[Api]:
    """A service that is set to require the id."""
    application = StandIn()
    servicer = SequenceStepServicer(application, CAPABILITIES, requires_request_id=True)
    async with serving(servicer, application) as api:
        yield api


async def test_where_it_is_required_a_request_without_it_is_refused_with_all_else() -> None:
    async with requiring() as api:
        failure = await api.refused(step_request(order=0))

    assert failure.reason == "INVALID_FIELD"
    assert failure.violations == {
        "step.order": "Must be 1 to 1000; is 0.",
        "request_id": REQUIRED,
    }


@pytest.mark.parametrize("request_id", ["", REQUEST_ID])
async def test_where_it_is_required_a_request_that_only_looks_needs_none(request_id: str) -> None:
    request = step_request(request_id=request_id)
    request.validate_only = True
    async with requiring() as api:
        assert (await api.create(request)).id == "42"


async def test_where_it_is_required_it_must_be_one() -> None:
    request = step_request(request_id="soon")
    request.validate_only = True
    async with requiring() as api:
        assert (await api.create(step_request(request_id=REQUEST_ID))).id == "42"
        failure = await api.failed(request.SerializeToString())

    assert failure.violations == {"request_id": RULE}


@pytest.mark.parametrize("given", ["", REQUEST_ID.upper()])
@pytest.mark.parametrize("is_replay", [False, True])
async def test_an_answer_tells_the_id_and_whether_it_is_a_replay(
    api: Api, given: str, *, is_replay: bool
) -> None:
    async def behaviour(call: Arrival) -> StepAnswer:
        del call
        return StepAnswer("42", (), is_replay=is_replay)

    api.application.behaviour = behaviour
    call = api.start(step_request(request_id=given).SerializeToString())
    await call

    (arrival,) = api.application.calls
    assert dict(await call.initial_metadata()) == {"engagement-request-id": arrival.key.request_id}
    assert dict(await call.trailing_metadata()) == (
        {"x-idempotent-replay": "true"} if is_replay else {}
    )


async def test_a_caller_has_the_id_before_the_answer(api: Api) -> None:
    """Read as a stream: the library gives an ordinary call its metadata only with the answer."""
    may_answer = asyncio.Event()

    async def behaviour(call: Arrival) -> StepAnswer:
        call.before_first_write()
        await may_answer.wait()
        return StepAnswer("42", ())

    api.application.behaviour = behaviour
    method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = api.channel.unary_stream(METHOD)
    call = method(WITH_ID, metadata=METADATA, timeout=5)

    assert dict(await call.initial_metadata()) == {"engagement-request-id": REQUEST_ID}
    assert not call.done()
    may_answer.set()
    assert await call.read() == service_pb2.CreateSequenceStepResponse(id="42").SerializeToString()


@pytest.mark.parametrize("reason", list(Reason))
async def test_an_error_before_the_first_write_has_the_id_in_its_details_alone(
    api: Api, reason: Reason
) -> None:
    api.application.behaviour = fail_with(ServiceError(reason, "No."))
    failure = await api.failed(WITH_ID)

    assert failure.initial == {}
    assert failure.metadata["requestId"] == REQUEST_ID


def fail_after_the_first_write(error: Exception) -> Any:
    """Make the stand-in write, and then raise."""

    async def behaviour(call: Arrival) -> StepAnswer:
        call.before_first_write()
        raise error

    return behaviour


@pytest.mark.parametrize(
    "error",
    [ServiceError(Reason.OUTCOME_UNKNOWN, "Lost."), RuntimeError("A bug.")],
    ids=["known", "bug"],
)
async def test_an_error_after_the_first_write_has_the_id_in_both(
    api: Api, error: Exception
) -> None:
    api.application.behaviour = fail_after_the_first_write(error)
    failure = await api.failed(WITH_ID)

    assert failure.initial == {"engagement-request-id": REQUEST_ID}
    assert failure.metadata["requestId"] == REQUEST_ID


async def test_an_id_that_was_made_is_told_with_an_error_too(api: Api) -> None:
    api.application.behaviour = fail_with(ServiceError(Reason.OUTCOME_UNKNOWN, "Lost."))
    failure = await api.failed()

    (call,) = api.application.calls
    assert failure.metadata["requestId"] == call.key.request_id


async def test_an_error_about_the_request_has_its_id_unless_it_was_not_read(api: Api) -> None:
    no_metadata = await api.refused(step_request(request_id=REQUEST_ID), ())
    wrong_field = await api.refused(step_request(request_id=REQUEST_ID, order=0))
    no_message = await api.failed(b"\xff")

    assert ids_of(no_metadata, wrong_field, no_message) == [REQUEST_ID, REQUEST_ID, None]


def ids_of(*failures: Failure) -> list[str | None]:
    return [failure.metadata.get("requestId") for failure in failures]


@pytest.fixture
async def loop_errors() -> AsyncIterator[list[dict[str, Any]]]:
    """What the loop would complain of: tasks that failed and that nobody looked at."""
    errors: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: errors.append(context))
    yield errors
    gc.collect()
    loop.set_exception_handler(before)
    assert errors == []


@pytest.mark.usefixtures("loop_errors")
@pytest.mark.parametrize("fails", [False, True])
async def test_a_write_after_the_call_has_ended_tells_nobody(api: Api, *, fails: bool) -> None:
    """An operation outlives its call when its caller leaves, and another one waits for it."""
    if fails:
        api.application.behaviour = fail_with(ServiceError(Reason.SEQUENCE_BUSY, "Busy."))
        await api.failed()
    else:
        await api.create(step_request())

    (call,) = api.application.calls
    call.before_first_write()
    await assert_still_serves(api)


@pytest.mark.usefixtures("loop_errors")
@pytest.mark.parametrize("is_over", [False, True])
async def test_a_caller_that_left_before_the_first_write_breaks_nothing(
    api: Api, *, is_over: bool
) -> None:
    """Whether the write comes while its call is being taken down, or afterwards."""
    started, left = asyncio.Event(), asyncio.Event()

    async def behaviour(call: Arrival) -> StepAnswer:
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if not is_over:
                call.before_first_write()
            left.set()
            raise
        raise AssertionError

    api.application.behaviour = behaviour
    call = api.start(WITH_ID)
    await started.wait()
    call.cancel()
    await asyncio.wait_for(left.wait(), 5)

    if is_over:
        await until_ended(api)
        api.application.calls[0].before_first_write()
    await assert_still_serves(api)
    assert [line["code"] for line in api.log] == ["CANCELLED", "OK"]


@pytest.mark.usefixtures("loop_errors")
async def test_a_caller_that_leaves_at_the_first_write_breaks_nothing(api: Api) -> None:
    """Its call is over at its end, and not yet at ours."""
    started, left = asyncio.Event(), asyncio.Event()

    async def behaviour(call: Arrival) -> StepAnswer:
        started.set()
        await left.wait()
        call.before_first_write()
        return StepAnswer("42", ())

    api.application.behaviour = behaviour
    call = api.start(WITH_ID)
    await started.wait()
    call.cancel()
    left.set()

    await until_ended(api)
    await assert_still_serves(api)


async def until_ended(api: Api) -> None:
    """Wait for the call's line in the log, which comes last."""
    async with asyncio.timeout(5):
        while not api.log:  # noqa: ASYNC110 - it is a list, which cannot be waited for
            await asyncio.sleep(0)


async def assert_still_serves(api: Api) -> None:
    api.application.behaviour = StandIn().behaviour
    assert (await api.create(step_request())).id == "42"


async def test_a_first_write_that_is_told_twice_is_told_once(api: Api) -> None:
    async def behaviour(call: Arrival) -> StepAnswer:
        call.before_first_write()
        await asyncio.sleep(0)
        call.before_first_write()
        return StepAnswer("42", ())

    api.application.behaviour = behaviour
    call = api.start(WITH_ID)
    await call

    assert list(await call.initial_metadata()) == [("engagement-request-id", REQUEST_ID)]


RETRIES = {
    "methodConfig": [
        {
            "name": [{"service": "engagement.v1.SequenceStepService"}],
            "retryPolicy": {
                "maxAttempts": 2,
                "initialBackoff": "0.01s",
                "maxBackoff": "0.01s",
                "backoffMultiplier": 1,
                "retryableStatusCodes": ["UNAVAILABLE", "UNKNOWN"],
            },
        }
    ]
}
"""What many clients are set to."""


@pytest.mark.parametrize(
    ("reason", "has_written", "calls"),
    [
        (Reason.PROVIDER_UNAVAILABLE, False, 2),
        (Reason.PROVIDER_UNAVAILABLE, True, 1),
        (Reason.OUTCOME_UNKNOWN, False, 2),
        (Reason.OUTCOME_UNKNOWN, True, 1),
    ],
)
async def test_a_client_library_repeats_by_itself_only_what_came_before_the_first_write(
    reason: Reason, calls: int, *, has_written: bool
) -> None:
    """It does not once it has the initial metadata: an error before is without, to the byte."""
    error = ServiceError(reason, "Later.", retry_after_seconds=0.01)
    application = StandIn()
    application.behaviour = fail_after_the_first_write(error) if has_written else fail_with(error)
    channel_options = (("grpc.service_config", json.dumps(RETRIES)),)
    async with serving(servicer_for(application), application, channel_options) as api:
        failure = await api.failed(WITH_ID)

    assert failure.reason == reason.name
    assert [call.key.request_id for call in application.calls] == [REQUEST_ID] * calls
