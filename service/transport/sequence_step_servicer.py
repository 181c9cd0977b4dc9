"""The service of the contract: message to domain, one call to the application, and back."""

from typing import Any

import grpc

from engagement.v1 import sequence_step_service_pb2 as service_pb2
from engagement.v1.sequence_step_service_pb2_grpc import SequenceStepServiceServicer
from service.application.create_sequence_step import CreateSequenceStep
from service.transport.access_log import current_call
from service.transport.call_metadata import deadline_seconds, read_connection_key
from service.transport.step_answer import to_response
from service.transport.step_request import read_step_request


class SequenceStepServicer(SequenceStepServiceServicer):
    """Serves `engagement.v1.SequenceStepService`."""

    def __init__(self, create_sequence_step: CreateSequenceStep) -> None:
        self._create_sequence_step = create_sequence_step

    async def CreateSequenceStep(  # noqa: N802 - the contract's name
        self,
        request: service_pb2.CreateSequenceStepRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> service_pb2.CreateSequenceStepResponse:
        """Add one step to an existing sequence."""
        call = current_call.get()
        call.key = read_connection_key(context.invocation_metadata() or ())
        answer = await self._create_sequence_step.run(
            call.key,
            read_step_request(request),
            deadline_seconds=deadline_seconds(context),
            record=call.record,
        )
        return to_response(answer)
