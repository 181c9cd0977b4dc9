"""Warnings: what a provider does not express as asked, and what to know about a step.

The list is closed: a caller's program may compare `problem_type`. Each member's docstring in
docs/warnings.md is its `title`.
"""

import enum

from service.domain.value_class import value_class


class ProblemType(enum.Enum):
    """The kinds of warning: the name is what the caller compares, the value its title."""

    FIELD_NOT_SUPPORTED = "The provider has no place for this field; it was left out"
    TEMPLATE_COPIED = "The template's content was copied; later edits do not reach the step"
    TEMPLATE_MISSING = "The step has no message and cannot send"
    INTERVAL_ROUNDED = "The wait was rounded up to what the provider can express"
    TIME_DROPPED = "The provider takes a date alone; the time of day was left out"
    TIME_CHOSEN = "The provider needs a time of day; one was chosen"
    POSITION_CHOSEN = "The position was beyond the end; the step was put at the end"
    UNDOCUMENTED_TYPE = "The provider accepts this type of step without documenting it"
    UNDOCUMENTED_FIELD = "The provider accepts this field, but what it does there is not known"
    TEMPLATE_KIND_GUESSED = "The id names a template in more than one place; one was chosen"
    NEEDS_APPROVAL = "The message waits for approval at the provider and does not send before it"
    TEMPLATE_NOT_ENABLED = "The template is linked to the step but not switched on"
    TEMPLATE_LEFT_BEHIND = "A template may have been made that no step uses"


AFTER_WRITE = frozenset(
    {
        ProblemType.NEEDS_APPROVAL,
        ProblemType.TEMPLATE_NOT_ENABLED,
        ProblemType.TEMPLATE_LEFT_BEHIND,
    }
)
"""Those that only the answer of a write can show: `validate_only` cannot tell of them, and
`fail_on_warning` does not cover them."""


@value_class
class StepWarning:
    """One warning of an answer."""

    problem_type: ProblemType
    detail: str
    field: str = ""
    """Path in the request, such as `step.name`; empty when about no field."""
