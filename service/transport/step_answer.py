"""The application's answer as the response message."""

from engagement.v1 import sequence_step_service_pb2 as service_pb2
from service.domain.outcome import StepAnswer
from service.domain.plan import Write, shown
from service.domain.warnings import StepWarning
from service.transport.struct_json import to_struct
from service.transport.text import well_formed


def to_response(answer: StepAnswer) -> service_pb2.CreateSequenceStepResponse:
    """Return the message that a caller reads."""
    return service_pb2.CreateSequenceStepResponse(
        id=answer.step_id,
        warnings=[_warning(warning) for warning in answer.warnings],
        planned_calls=[_planned_call(write) for write in answer.planned],
    )


def _warning(warning: StepWarning) -> service_pb2.Warning:
    return service_pb2.Warning(
        title=warning.problem_type.value,
        detail=well_formed(warning.detail),
        problem_type=warning.problem_type.name,
        field=well_formed(warning.field),
    )


def _planned_call(write: Write) -> service_pb2.PlannedCall:
    body = shown(write)
    return service_pb2.PlannedCall(
        method=write.method,
        path=write.path,
        body=None if body is None else to_struct(body),
    )
