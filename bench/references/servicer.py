"""What the references in Python have in common: the gRPC service round the provider's calls."""

import json
import sys
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import grpc

from bench.references import calls
from engagement.v1 import sequence_step_service_pb2 as service_pb2
from engagement.v1.sequence_step_service_pb2_grpc import (
    SequenceStepServiceServicer,
    add_SequenceStepServiceServicer_to_server,
)


class ReferenceServicer(SequenceStepServiceServicer, ABC):
    """Makes steps; what tells the references apart is what carries a call, and what commits."""

    def __init__(self, vendor_url: str) -> None:
        self._vendor_url = vendor_url

    @abstractmethod
    async def send(self, method: str, url: str, headers: Mapping[str, str], body: object) -> Any:
        """Send one request to the provider, without a body where it is None; return the JSON."""

    @abstractmethod
    async def insert(self, request_id: str) -> None:
        """Insert one small row for the request; durable when this returns."""

    @abstractmethod
    async def update(self, request_id: str) -> None:
        """Change it, likewise."""

    async def CreateSequenceStep(  # noqa: N802 - the contract's name
        self,
        request: service_pb2.CreateSequenceStepRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> service_pb2.CreateSequenceStepResponse:
        """Commit, make the provider's calls with a commit before each write, and commit."""
        provider = str(dict(context.invocation_metadata() or ())["x-provider-name"])
        base_url, headers = f"{self._vendor_url}/{provider}", calls.HEADERS[provider]
        request_id = request.request_id or str(uuid.uuid4())

        async def call(method: str, path: str, body: object = None) -> Any:
            return await self.send(method, base_url + path, headers, body)

        async def commit() -> None:
            await self.update(request_id)

        await self.insert(request_id)
        step_id = await calls.MAKE[provider](request, call, commit)
        await commit()
        return service_pb2.CreateSequenceStepResponse(id=step_id)


async def serve(servicer: ReferenceServicer) -> None:
    """Serve until the process ends, and say at which port."""
    server = grpc.aio.server()
    # The function that protoc makes has no types.
    add_SequenceStepServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{json.dumps({'port': port})}\n")
    sys.stdout.flush()
    await server.wait_for_termination()
