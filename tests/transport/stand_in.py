"""The application's stand-in, and how the tests read what a caller gets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

# The package has type stubs, but does not say so in the way that mypy asks for.
from google.rpc import error_details_pb2, status_pb2
from structlog.testing import capture_logs
from structlog.typing import EventDict

from engagement.v1 import sequence_step_pb2 as step_pb2
from engagement.v1 import sequence_step_service_pb2 as service_pb2
from service.application.arrival import Arrival
from service.application.create_sequence_step import CreateSequenceStep
from service.domain.outcome import StepAnswer
from service.providers.registration import capabilities_of
from service.providers.registry import PROVIDERS
from service.transport.caller_identity import local_caller
from service.transport.sequence_step_servicer import SequenceStepServicer
from service.transport.server import GrpcServer, StopTimes

METHOD = "/engagement.v1.SequenceStepService/CreateSequenceStep"
REQUEST_ID = "0f9d3c1e-6a52-4b7f-8e31-d4c20a97b586"
CAPABILITIES = capabilities_of(PROVIDERS)
METADATA = (("x-customer-id", "acme"), ("x-provider-name", "outreach"))

Metadata = tuple[tuple[str, str], ...]


async def answer_with_step_42(call: Arrival) -> StepAnswer:
    """What the stand-in does unless told otherwise."""
    del call
    return StepAnswer("42", ())


class StandIn(CreateSequenceStep):
    """Keeps every call, and does what a test tells it to."""

    behaviour: Callable[[Arrival], Awaitable[StepAnswer]]

    def __init__(self) -> None:
        self.calls: list[Arrival] = []
        self.behaviour = answer_with_step_42

    async def run(self, arrival: Arrival) -> StepAnswer:
        self.calls.append(arrival)
        return await self.behaviour(arrival)


def servicer_for(application: StandIn) -> SequenceStepServicer:
    """The servicer as it is unless settings say otherwise."""
    return SequenceStepServicer(application, CAPABILITIES, requires_request_id=False)


async def nothing_to_finish(seconds: float) -> None:
    """What the application does last when nothing is under way."""
    del seconds


def step_request(request_id: str = "", **step: object) -> service_pb2.CreateSequenceStepRequest:
    """A request for a call with these fields in its step, else a valid one."""
    fields: dict[str, object] = {"type": step_pb2.STEP_TYPE_CALL, **step}
    return service_pb2.CreateSequenceStepRequest(
        sequence_id="7",
        step=step_pb2.SequenceStep(**fields),  # type: ignore[arg-type]
        request_id=request_id,
    )


def email_request(**content: object) -> service_pb2.CreateSequenceStepRequest:
    """An e-mail with these fields in its template's content, else a valid one."""
    fields: dict[str, object] = {"subject": "Hello", "body_html": "<p>Hello</p>", **content}
    return step_request(
        type=step_pb2.STEP_TYPE_AUTO_EMAIL,
        template=step_pb2.Template(
            content=step_pb2.TemplateContent(**fields)  # type: ignore[arg-type]
        ),
    )


@dataclass(frozen=True)
class Failure:
    """One failed call, as a program sees it."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str]
    details: dict[str, Any]
    """By the name of their type; each type comes at most once."""

    initial: dict[str, str | bytes]
    trailing: dict[str, str | bytes]
    status_bytes: int

    @property
    def violations(self) -> dict[str, str]:
        """What is said of each field."""
        bad_request = self.details.get("BadRequest", error_details_pb2.BadRequest())
        said: dict[str, list[str]] = {}
        for each in bad_request.field_violations:
            said.setdefault(each.field, []).append(each.description)
        return {field: " ".join(sentences) for field, sentences in said.items()}

    @property
    def pushback(self) -> str | bytes | None:
        return self.trailing.get("grpc-retry-pushback-ms")


_DETAIL_TYPES = {
    "type.googleapis.com/google.rpc.ErrorInfo": error_details_pb2.ErrorInfo,
    "type.googleapis.com/google.rpc.BadRequest": error_details_pb2.BadRequest,
    "type.googleapis.com/google.rpc.RetryInfo": error_details_pb2.RetryInfo,
    "type.googleapis.com/google.rpc.PreconditionFailure": error_details_pb2.PreconditionFailure,
    "type.googleapis.com/google.rpc.ResourceInfo": error_details_pb2.ResourceInfo,
}


def read_failure(error: grpc.aio.AioRpcError) -> Failure:
    """Read a status, checking what is true of every status of ours."""
    trailing = dict(error.trailing_metadata() or ())
    raw = trailing["grpc-status-details-bin"]
    assert isinstance(raw, bytes)
    status = status_pb2.Status.FromString(raw)
    assert status.code == error.code().value[0]
    assert status.message == error.details()
    details: dict[str, Any] = {}
    for packed in status.details:
        detail = _DETAIL_TYPES[packed.type_url]()
        packed.Unpack(detail)
        name = packed.type_url.rpartition(".")[2]
        assert name not in details
        details[name] = detail
    info = details["ErrorInfo"]
    assert info.domain == "engagement.v1"
    return Failure(
        code=error.code(),
        message=status.message,
        reason=info.reason,
        metadata=dict(info.metadata),
        details=details,
        initial=dict(error.initial_metadata() or ()),
        trailing=trailing,
        status_bytes=len(raw),
    )


def fail_with(error: BaseException) -> Callable[[Arrival], Awaitable[StepAnswer]]:
    """Make the stand-in raise."""

    async def behaviour(call: Arrival) -> StepAnswer:
        del call
        raise error

    return behaviour


@dataclass(frozen=True)
class Api:
    """A running server, with a channel to it and the stand-in behind it."""

    channel: grpc.aio.Channel
    application: StandIn
    _captured: list[EventDict]
    port: int = 0
    """Where the server listens, if `serving` started it."""

    @property
    def log(self) -> list[EventDict]:
        """The lines on calls; a service that other tests share may log beside them."""
        return [event for event in self._captured if event["event"] == "rpc"]

    async def create(
        self,
        request: service_pb2.CreateSequenceStepRequest,
        metadata: Metadata = METADATA,
        timeout_seconds: float | None = 5,
    ) -> service_pb2.CreateSequenceStepResponse:
        """Make a call that must succeed."""
        raw = await self.send(request.SerializeToString(), metadata, timeout_seconds)
        return service_pb2.CreateSequenceStepResponse.FromString(raw)

    async def send(
        self, raw: bytes, metadata: Metadata = METADATA, timeout_seconds: float | None = 5
    ) -> bytes:
        """Make a call with these bytes as its message."""
        return await self.start(raw, metadata, timeout_seconds)

    def start(
        self, raw: bytes, metadata: Metadata = METADATA, timeout_seconds: float | None = 5
    ) -> grpc.aio.UnaryUnaryCall[bytes, bytes]:
        """Begin a call, whose metadata can be read."""
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(METHOD)
        return method(raw, metadata=metadata, timeout=timeout_seconds)

    async def refused(
        self, request: service_pb2.CreateSequenceStepRequest, metadata: Metadata = METADATA
    ) -> Failure:
        """Make a call that must fail before the application hears of it."""
        failure = await self.failed(request.SerializeToString(), metadata)
        assert self.application.calls == []
        return failure

    async def failed(self, raw: bytes | None = None, metadata: Metadata = METADATA) -> Failure:
        """Make a call that must fail; a valid one unless bytes are given."""
        if raw is None:
            raw = step_request().SerializeToString()
        try:
            await self.send(raw, metadata)
        except grpc.aio.AioRpcError as error:
            return read_failure(error)
        raise AssertionError("the call succeeded")


@asynccontextmanager
async def serving(
    servicer: SequenceStepServicer,
    application: StandIn,
    channel_options: tuple[tuple[str, str], ...] = (),
) -> AsyncIterator[Api]:
    """Run a server, with a channel to it; `application` is what stands behind `servicer`."""
    with capture_logs() as log:
        server = GrpcServer(servicer, local_caller, requests_in_flight_max=100, reflects=True)
        port = await server.start("127.0.0.1:0")
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", channel_options) as channel:
                yield Api(channel, application, log, port)
        finally:
            await server.stop(StopTimes(0, 0, 0), nothing_to_finish, asyncio.Event())
