"""Every way in which a call can go wrong ends in one clean status that tells nothing of ours."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
import structlog

from engagement.v1 import sequence_step_pb2 as step_pb2
from engagement.v1 import sequence_step_service_pb2 as service_pb2
from service.application.arrival import Arrival
from service.domain.errors import Reason, ServiceError
from service.domain.outcome import StepAnswer
from service.transport.sequence_step_servicer import SequenceStepServicer
from tests.transport.health_probe import SERVING, next_status, watch
from tests.transport.stand_in import (
    CAPABILITIES,
    Api,
    Failure,
    StandIn,
    email_request,
    fail_with,
    serving,
    step_request,
)

SECRET = "sk-live-1234"
FIXED = (
    "The service failed in a way that it should not. Its operators find the cause by the error id."
)
Context = grpc.aio.ServicerContext[Any, Any]
Method = Callable[[object, Context], Awaitable[object]]


def assert_tells_nothing(failure: Failure) -> None:
    """The caller reads a fixed sentence, the error's id and the request's, and nothing else."""
    assert failure.code == grpc.StatusCode.INTERNAL
    assert failure.message == FIXED
    assert failure.reason == "INTERNAL"
    assert failure.metadata.keys() - {"requestId"} == {"errorId"}
    assert len(failure.metadata["errorId"]) == 32
    assert list(failure.details) == ["ErrorInfo"]
    assert set(failure.trailing) == {"grpc-status-details-bin", "grpc-retry-pushback-ms"}


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(RuntimeError(SECRET), id="crash"),
        pytest.param(KeyError(SECRET), id="missing_key"),
        pytest.param(AssertionError(SECRET), id="broken_invariant"),
        pytest.param(TimeoutError(SECRET), id="timeout"),
        pytest.param(StopAsyncIteration(SECRET), id="iteration_that_ends"),
        pytest.param(ExceptionGroup(SECRET, [ValueError(SECRET)]), id="group"),
        pytest.param(
            BaseExceptionGroup(SECRET, [asyncio.CancelledError(SECRET)]), id="group_of_cancellation"
        ),
        pytest.param(grpc.aio.UsageError(SECRET), id="misuse_of_the_library"),
        pytest.param(ServiceError(Reason.INTERNAL, SECRET), id="internal_error_of_the_application"),
        pytest.param(
            ExceptionGroup(SECRET, [ServiceError(Reason.SEQUENCE_BUSY, SECRET)]),
            id="known_error_in_a_group",
        ),
    ],
)
async def test_an_error_that_nobody_foresaw_tells_nothing(api: Api, error: BaseException) -> None:
    api.application.behaviour = fail_with(error)

    failure = await api.failed()

    assert_tells_nothing(failure)
    (line,) = api.log
    assert line["log_level"] == "error"
    assert line["error_id"] == failure.metadata["errorId"]
    assert line["exc_info"] is error


async def test_a_cancellation_that_the_caller_did_not_ask_for_is_answered(api: Api) -> None:
    """grpc.aio alone would let the caller hang until its deadline."""

    async def wait_for_a_cancelled_task(call: Arrival) -> StepAnswer:
        del call
        inner = asyncio.create_task(asyncio.sleep(60))
        inner.cancel()
        await inner
        return StepAnswer("42", ())

    api.application.behaviour = wait_for_a_cancelled_task

    assert_tells_nothing(await api.failed())


class Waiting:
    """A behaviour that waits, and notes whether it was cancelled."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, call: Arrival) -> StepAnswer:
        del call
        self.started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return StepAnswer("42", ())


async def test_a_caller_that_leaves_cancels_the_handler(api: Api) -> None:
    waiting = Waiting()
    api.application.behaviour = waiting
    call = asyncio.create_task(api.send(step_request().SerializeToString()))
    await waiting.started.wait()

    call.cancel()

    await asyncio.wait_for(waiting.cancelled.wait(), 5)
    assert [(line["log_level"], line["code"]) for line in api.log] == [("info", "CANCELLED")]


async def test_a_deadline_that_passes_cancels_the_handler(api: Api) -> None:
    waiting = Waiting()
    api.application.behaviour = waiting

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await api.create(step_request(), timeout_seconds=0.1)

    assert failed.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(waiting.cancelled.wait(), 5)
    assert [(line["log_level"], line["code"]) for line in api.log] == [
        ("info", "DEADLINE_EXCEEDED")
    ]


class Servicer(SequenceStepServicer):
    """Does with a call what a test wants."""

    def __init__(self, method: Method) -> None:
        super().__init__(StandIn(), CAPABILITIES, requires_request_id=False)
        self._method = method

    async def CreateSequenceStep(  # noqa: N802 - the contract's name
        self, request: service_pb2.CreateSequenceStepRequest, context: Context
    ) -> service_pb2.CreateSequenceStepResponse:
        return await self._method(request, context)  # type: ignore[return-value]


class SynchronousServicer(SequenceStepServicer):
    """Forgot the `async`."""

    def CreateSequenceStep(  # type: ignore[override]  # noqa: N802 - the contract's name
        self, request: service_pb2.CreateSequenceStepRequest, context: Context
    ) -> service_pb2.CreateSequenceStepResponse:
        del request, context
        return service_pb2.CreateSequenceStepResponse(id="42")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(None, id="none"),
        pytest.param("42", id="text"),
        pytest.param(b"\x0a\x0242", id="bytes_that_would_parse"),
        pytest.param(step_pb2.Template(id="42"), id="message_of_another_type"),
        pytest.param(service_pb2.CreateSequenceStepResponse, id="the_class_itself"),
    ],
)
async def test_an_answer_that_is_none_tells_nothing(answer: object) -> None:
    async def method(request: object, context: Context) -> object:
        del request, context
        return answer

    async with serving(Servicer(method), StandIn()) as api:
        assert_tells_nothing(await api.failed())


async def test_a_handler_that_is_not_asynchronous_tells_nothing() -> None:
    servicer = SynchronousServicer(StandIn(), CAPABILITIES, requires_request_id=False)
    async with serving(servicer, StandIn()) as api:
        assert_tells_nothing(await api.failed())


async def test_a_status_that_a_handler_sends_itself_is_left_alone() -> None:
    async def method(request: object, context: Context) -> object:
        del request
        await context.abort(grpc.StatusCode.ALREADY_EXISTS, "as is")

    async with serving(Servicer(method), StandIn()) as api:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await api.create(step_request())

        assert failed.value.code() == grpc.StatusCode.ALREADY_EXISTS
        assert failed.value.details() == "as is"
        assert [line["code"] for line in api.log] == ["ALREADY_EXISTS"]


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\xff\xff\xff", id="garbage"),
        pytest.param(step_request().SerializeToString()[:-1], id="cut_off"),
        pytest.param(b"\x0a\x01\xff", id="text_that_is_not_utf_8"),
        pytest.param(b'{"sequence_id": "7"}', id="json"),
    ],
)
async def test_bytes_that_are_no_message_are_the_callers_mistake(api: Api, raw: bytes) -> None:
    failure = await api.failed(raw)

    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.reason == "INVALID_FIELD"
    assert "is no valid message of engagement.v1.SequenceStepService/CreateSeq" in failure.message
    assert api.application.calls == []


async def test_no_bytes_are_an_empty_message(api: Api) -> None:
    failure = await api.failed(b"")

    assert failure.violations == {"sequence_id": "Required.", "step": "Required."}


async def test_a_message_over_the_limit_is_refused_before_it_is_parsed(api: Api) -> None:
    failure = await api.failed(b"\xff" * (768 * 1024 + 1))

    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.reason == "REQUEST_TOO_LARGE"
    assert failure.message == "The request has 786433 bytes; at most 786432 are taken."


async def test_a_message_at_the_limit_is_judged_field_by_field(api: Api) -> None:
    request = email_request()
    room = 768 * 1024 - len(request.SerializeToString())
    request.step.task_note = "n" * (room - 7)
    while request.ByteSize() < 768 * 1024:
        request.step.task_note += "n"
    assert request.ByteSize() == 768 * 1024

    failure = await api.refused(request)

    assert failure.reason == "INVALID_FIELD"
    assert list(failure.violations) == ["step.task_note"]


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_a_message_over_grpcs_own_limit_is_refused_by_the_library(
    api: Api, compression: grpc.Compression
) -> None:
    """Packed it is small, so that only the limit on the unpacked message can catch it."""
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = api.channel.unary_unary(
        "/engagement.v1.SequenceStepService/CreateSequenceStep"
    )
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await method(b"\0" * (2 * 1024 * 1024 + 1), compression=compression, timeout=5)

    assert failed.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert api.application.calls == []


async def test_an_unknown_method_is_the_librarys_to_answer(api: Api) -> None:
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = api.channel.unary_unary(
        "/engagement.v1.SequenceStepService/DeleteSequenceStep"
    )
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await method(b"", timeout=5)

    assert failed.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_streams_pass_through(api: Api) -> None:
    assert await next_status(watch(api.channel)) == SERVING


async def test_a_failure_leaves_the_server_able_to_serve(api: Api) -> None:
    api.application.behaviour = fail_with(RuntimeError())
    await api.failed()
    api.application.behaviour = StandIn().behaviour

    assert (await api.create(step_request())).id == "42"


async def test_a_log_that_cannot_be_written_changes_no_answer(api: Api) -> None:
    def broken(*_: object) -> str:
        raise BrokenPipeError

    structlog.get_config()["processors"].insert(0, broken)

    assert (await api.create(step_request())).id == "42"
    assert api.log == []
