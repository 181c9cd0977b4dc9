"""The service of the contract: message to domain, one call to the application, and back."""

from collections.abc import Iterable
from typing import Any

import grpc

from engagement.v1 import sequence_step_service_pb2 as service_pb2
from engagement.v1.sequence_step_service_pb2_grpc import SequenceStepServiceServicer
from service.application.arrival import Arrival
from service.application.create_sequence_step import CreateSequenceStep
from service.domain.capabilities import ProviderCapabilities
from service.domain.errors import FieldViolation, Reason, ServiceError
from service.domain.operation import OperationKey
from service.telemetry.metrics import WARNINGS
from service.transport.access_log import current_call
from service.transport.call_metadata import (
    deadline_seconds,
    known_provider,
    provider_rule,
    read_connection_key,
)
from service.transport.caller_identity import require_customer
from service.transport.capabilities_answer import to_message
from service.transport.request_id import RequestIdHeader, request_id_for
from service.transport.step_answer import to_response
from service.transport.step_request import read_step_request

REPLAY_TRAILER = ("x-idempotent-replay", "true")


class SequenceStepServicer(SequenceStepServiceServicer):
    """Serves `engagement.v1.SequenceStepService`."""

    def __init__(
        self,
        create_sequence_step: CreateSequenceStep,
        providers: Iterable[ProviderCapabilities],
        *,
        requires_request_id: bool,
    ) -> None:
        self._create_sequence_step = create_sequence_step
        self._providers = {each.name: to_message(each) for each in providers}
        self._requires_request_id = requires_request_id

    async def CreateSequenceStep(  # noqa: N802 - the contract's name
        self,
        request: service_pb2.CreateSequenceStepRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> service_pb2.CreateSequenceStepResponse:
        """Add one step to an existing sequence."""
        call = current_call.get()
        call.request_id = request_id_for(request.request_id)
        call.key = read_connection_key(context.invocation_metadata() or (), self._providers)
        assert call.caller is not None
        require_customer(call.caller, call.key.customer_id)
        step_request = read_step_request(request, requires_request_id=self._requires_request_id)
        header = RequestIdHeader(context, call.request_id)
        try:
            answer = await self._create_sequence_step.run(
                Arrival(
                    OperationKey(call.caller.name, call.key, call.request_id),
                    step_request,
                    deadline_seconds(context),
                    call.record,
                    header.send,
                )
            )
            header.send()
        finally:
            await header.sent()
        for warning in answer.warnings:
            WARNINGS.labels(call.key.provider, warning.problem_type.name).inc()
        if answer.is_replay:
            call.is_replay = True
            context.set_trailing_metadata((REPLAY_TRAILER,))
        return to_response(answer)

    async def ListProviderCapabilities(  # noqa: N802 - the contract's name
        self,
        request: service_pb2.ListProviderCapabilitiesRequest,
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002 - gRPC's signature
    ) -> service_pb2.ListProviderCapabilitiesResponse:
        """Say what each provider makes of each field."""
        if not request.provider:
            return service_pb2.ListProviderCapabilitiesResponse(providers=self._providers.values())
        provider = known_provider(request.provider, self._providers)
        if provider is None:
            violation = FieldViolation("provider", provider_rule(self._providers))
            raise ServiceError(
                Reason.PROVIDER_UNKNOWN, f"provider: {violation.description}", (violation,)
            )
        return service_pb2.ListProviderCapabilitiesResponse(providers=[self._providers[provider]])
