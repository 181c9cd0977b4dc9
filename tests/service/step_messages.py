"""Steps as callers write them, and the warnings that they get back."""

from typing import Any

from engagement.v1 import sequence_step_pb2 as step_pb2
from engagement.v1.sequence_step_service_pb2 import CreateSequenceStepResponse

AUTO_EMAIL = step_pb2.STEP_TYPE_AUTO_EMAIL
MANUAL_EMAIL = step_pb2.STEP_TYPE_MANUAL_EMAIL
CALL = step_pb2.STEP_TYPE_CALL
TASK = step_pb2.STEP_TYPE_TASK
LINKEDIN = step_pb2.STEP_TYPE_LINKEDIN_SEND_MESSAGE


def step(kind: step_pb2.StepType, *, template_id: str = "", **fields: Any) -> step_pb2.SequenceStep:
    """Return a step."""
    if template_id:
        fields["template"] = step_pb2.Template(id=template_id)
    return step_pb2.SequenceStep(type=kind, **fields)


def warnings_of(answer: CreateSequenceStepResponse) -> list[tuple[str, str]]:
    """Return type and field of each warning, sorted."""
    warnings: Any = answer.warnings  # The stubs take `Warning` for the built-in exception.
    return sorted((warning.problem_type, warning.field) for warning in warnings)
