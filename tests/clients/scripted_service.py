"""A real gRPC server that answers each request as a script says, and notes every call."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from engagement.v1 import sequence_step_service_pb2 as service_pb2
from engagement.v1.sequence_step_service_pb2_grpc import (
    SequenceStepServiceServicer,
    add_SequenceStepServiceServicer_to_server,
)

REQUEST_BYTES_MAX = 64 * 1024
STEP_ID = "90210"


@dataclass(frozen=True)
class Said:
    """An error, as the service says it; without a reason, as a library or the network does."""

    code: grpc.StatusCode
    reason: str = ""
    retry_seconds: float | None = None
    pushback_ms: str | None = None
    domain: str = "engagement.v1"
    message: str = "It cannot be done now."
    fields: tuple[str, ...] = ()
    after_headers: bool = False
    """As the service does from its first write on."""

    are_details_broken: bool = False
    """By something on the way."""

    def name(self) -> str:
        """Return what tells it from others in the name of a test."""
        parts = [self.code.name, self.reason or "no-error-info", self.pushback_ms or "no-pushback"]
        return "-".join([*parts, "after-headers"] if self.after_headers else parts)

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """Return what comes with the code."""
        found: tuple[tuple[str, str | bytes], ...] = ()
        details = list(self._details())
        if self.are_details_broken:
            found += (("grpc-status-details-bin", b"\xff\xff"),)
        elif details:
            status = status_pb2.Status(code=self.code.value[0], message=self.message)
            for detail in details:
                status.details.add().Pack(detail)
            found += (("grpc-status-details-bin", status.SerializeToString()),)
        if self.pushback_ms is not None:
            found += (("grpc-retry-pushback-ms", self.pushback_ms),)
        return found

    def _details(self) -> Sequence[Message]:
        details: list[Message] = []
        if self.reason:
            details.append(error_details_pb2.ErrorInfo(reason=self.reason, domain=self.domain))
        if self.fields:
            violation = error_details_pb2.BadRequest.FieldViolation
            violations = [violation(field=each, description="wrong") for each in self.fields]
            details.append(error_details_pb2.BadRequest(field_violations=violations))
        if self.retry_seconds is not None:
            info = error_details_pb2.RetryInfo()
            info.retry_delay.FromMilliseconds(round(self.retry_seconds * 1000))
            details.append(info)
        return details


SILENCE = Said(grpc.StatusCode.OK)
"""Stands for no answer at all."""


@dataclass(frozen=True)
class Call:
    """One that arrived."""

    request: service_pb2.CreateSequenceStepRequest
    metadata: dict[str, str | bytes]
    seconds_left: float


@dataclass
class ScriptedService(SequenceStepServiceServicer):
    """Says for each sequence what its script has, one after the other, and then OK."""

    port: int = 0
    scripts: dict[str, list[Said]] = field(default_factory=dict)
    calls: dict[str, list[Call]] = field(default_factory=lambda: defaultdict(list))

    async def CreateSequenceStep(  # noqa: N802 - as the contract names it
        self, request: service_pb2.CreateSequenceStepRequest, context: Any
    ) -> service_pb2.CreateSequenceStepResponse:
        """Answer by the script of the request's sequence."""
        calls = self.calls[request.sequence_id]
        calls.append(Call(request, dict(context.invocation_metadata()), context.time_remaining()))
        script = self.scripts.get(request.sequence_id, [])
        if len(calls) <= len(script):
            said = script[len(calls) - 1]
            if said is SILENCE:
                await asyncio.Event().wait()
            if said.after_headers:
                await context.send_initial_metadata((("engagement-request-id", "known"),))
            await context.abort(said.code, said.message, said.trailing_metadata())
        return service_pb2.CreateSequenceStepResponse(id=STEP_ID)


@asynccontextmanager
async def scripted_service() -> AsyncIterator[ScriptedService]:
    """Serve on a port of the kernel's choice."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", REQUEST_BYTES_MAX)])
    service = ScriptedService()
    add_SequenceStepServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    service.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield service
    finally:
        await server.stop(None)
