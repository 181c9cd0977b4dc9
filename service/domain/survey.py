"""What was read at the provider before the first write: the preflight and the snapshot in one."""

import enum
from collections.abc import Mapping

from service.domain.errors import FieldViolation, Reason, ServiceError
from service.domain.step import SequenceStep, TemplateContent
from service.domain.value_class import value_class
from service.domain.warnings import StepWarning


class SequenceKind(enum.Enum):
    """How a sequence times its steps."""

    INTERVAL = "waits after the step before"
    DATE = "fixed dates"


@value_class
class Survey:
    """The sequence as it was before the first write."""

    kind: SequenceKind | None
    """None where the provider does not say."""

    positions: Mapping[str, int | None]
    """The sequence's steps by id, with their positions where the provider gives them. The ids are
    the snapshot that a lost answer is reconciled with."""

    template: TemplateContent | None = None
    """The content behind the caller's template id, where the plan needs it."""

    warnings: tuple[StepWarning, ...] = ()
    """What only the reads could show."""

    @property
    def last_position(self) -> int:
        """The highest position in use; 0 in an empty sequence."""
        return max((position or 0 for position in self.positions.values()), default=0)


def refuse_kind_mismatch(step: SequenceStep, kind: SequenceKind | None) -> None:
    """Refuse a wait in a sequence of dates, and a date in a sequence of waits.

    Raises:
        ServiceError: SEQUENCE_KIND_MISMATCH. A kind that is not known refuses nothing.
    """
    if kind is SequenceKind.DATE and step.date is None:
        message = "This sequence has fixed dates: give step.date, and no step.interval_seconds."
        field = "step.date" if step.interval_seconds is None else "step.interval_seconds"
    elif kind is SequenceKind.INTERVAL and step.date is not None:
        message = (
            "This sequence waits between its steps: give step.interval_seconds, not step.date."
        )
        field = "step.date"
    else:
        return
    raise ServiceError(Reason.SEQUENCE_KIND_MISMATCH, message, (FieldViolation(field, message),))
