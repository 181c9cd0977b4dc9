"""What became of a write: what its answer says, and what a look at the provider shows."""

import enum

from service.domain.plan import Write
from service.domain.step import Ids
from service.domain.value_class import value_class
from service.domain.warnings import StepWarning


@value_class
class Result:
    """What a 2xx answer says.

    Ids that the write should yield may be missing: then the write was accepted, and what it made
    is looked for.
    """

    ids: Ids
    warnings: tuple[StepWarning, ...] = ()


@value_class
class Refusal:
    """A provider's own explanation of a 4xx answer."""

    sentence: str
    """Cleaned of control characters and markup, at most 300 characters; may be empty."""

    field: str = ""
    """Path of the request field that it points at, such as `step.order`; empty when at none."""


class Fit(enum.Enum):
    """How something found at the provider compares with what a write should have made."""

    FITS = "made by the write, or by an equal one"
    PERHAPS = "could be it, with other values"


@value_class
class Candidate:
    """Something found at the provider, absent before the write, that may be what it made."""

    fit: Fit
    ids: Ids
    """The ids that the write yields, as far as they can be read."""


@value_class
class StepAnswer:
    """The answer to a caller: the new step, or with `validate_only` what would be done."""

    step_id: str
    warnings: tuple[StepWarning, ...]
    planned: tuple[Write, ...] = ()
    is_replay: bool = False
    """Whether an earlier call made the step, and this one only read what had become of it."""
