"""One call as it arrives: who asks for what, and how long they wait for it."""

from collections.abc import Callable

from service.application.call_record import CallRecord
from service.domain.operation import OperationKey
from service.domain.step import StepRequest
from service.domain.value_class import value_class


def _nothing() -> None:
    """Tell nobody."""


@value_class
class Arrival:
    """One CreateSequenceStep call."""

    key: OperationKey
    request: StepRequest
    deadline_seconds: float | None
    """How long the caller still waits; None when it did not say."""

    record: CallRecord
    """Counts what the call costs."""

    before_first_write: Callable[[], None] = _nothing
    """Called once, directly before the first write that may have an effect, or not at all."""
