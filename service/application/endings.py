"""What a caller is told when an operation ends without its step, or without certainty; pure."""

from service.domain.errors import Reason, ServiceError
from service.domain.operation import Operation
from service.domain.plan import Write, path_of

LOOK_AGAIN_SECONDS = 30.0
"""For what should have appeared and has not: it is looked for now and then."""

LOOKS_FIRST = "Call again with the same request_id: it looks before it writes."


def incomplete(operation: Operation, write: Write, failure: ServiceError) -> ServiceError:
    """Return the error for a step that is there without all that belongs to it."""
    assert operation.step_id is not None
    passes_by_itself = failure.retry_after_seconds is not None
    return ServiceError(
        Reason.STEP_INCOMPLETE,
        f"Step {operation.step_id} was made, but its message could not be written: "
        f"{failure.message}",
        advice="Do not make it again: "
        + (
            "call again with the same request_id, which finishes it."
            if passes_by_itself
            else "finish or remove the step at the provider, or call again with the same "
            "request_id once the cause is gone."
        ),
        metadata={
            **failure.metadata,
            **_failed_call(operation, write),
            "stepId": operation.step_id,
        },
        retry_after_seconds=failure.retry_after_seconds,
    )


def not_known(operation: Operation, write: Write | None, settles_in_seconds: float) -> ServiceError:
    """Return the error for a write that may have been applied.

    `write`: whose answer is missing; None when the journal failed. `settles_in_seconds`: until a
    repeat of the request can be sure; 0 when it could be already.
    """
    step_id = operation.step_id
    subject = f"What became of step {step_id}" if step_id else "Whether the step was made"
    why = (
        "the service could not keep what came of it"
        if write is None
        else f"the provider's answer to {write.method} {path_of(write, operation.ids)} was lost or "
        "did not say, and the provider did not show it"
    )
    is_closed = operation.candidates is not None
    metadata = {} if write is None else _failed_call(operation, write)
    if step_id:
        metadata["stepId"] = step_id
    if operation.candidates:
        metadata["candidateStepIds"] = ", ".join(sorted(operation.candidates))
    return ServiceError(
        Reason.OUTCOME_UNKNOWN,
        f"{subject} is not known: {why}.",
        advice="Look at the sequence; an operator settles it with `operations settle`."
        if is_closed
        else LOOKS_FIRST,
        metadata=metadata,
        retry_after_seconds=None if is_closed else settles_in_seconds or LOOK_AGAIN_SECONDS,
    )


def removed(operation: Operation) -> ServiceError:
    """Return the error for a step that was made, and that somebody removed at the provider."""
    shown = operation.step_id or ", ".join(sorted(operation.candidates or ()))
    return ServiceError(
        Reason.STEP_REMOVED,
        f"The step was made, and is no longer in the sequence: {shown} was removed at the "
        "provider.",
        advice="Call again with the same request_id to make it anew.",
        metadata={"stepId": shown},
    )


def _failed_call(operation: Operation, write: Write) -> dict[str, str]:
    return {"failedCall": f"{write.method} {path_of(write, operation.ids)}"}
