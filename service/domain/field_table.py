"""How a provider treats each field of each type of step, as one table per provider.

The table is the only place that says it: the check before any call, the warnings and the
documentation all read it, so that none of them can say something else.
"""

import enum
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from service.domain.errors import FieldViolation, Reason, ServiceError
from service.domain.step import SequenceStep, StepType
from service.domain.value_class import value_class
from service.domain.warnings import ProblemType, StepWarning


class Support(enum.Enum):
    """What becomes of a field."""

    NATIVE = "native"
    """The provider has it."""

    EMULATED = "emulated"
    """It is expressed in another way, or with less precision."""

    DROPPED = "dropped"
    """It is left out, with a warning."""

    REFUSED = "refused"
    """The request is refused before any call, since the step would be a wrong one."""


class StepField(enum.StrEnum):
    """The fields of a step that providers differ in; the values are paths in the request."""

    TYPE = "step.type"
    NAME = "step.name"
    INTERVAL_SECONDS = "step.interval_seconds"
    DATE = "step.date"
    TEMPLATE_ID = "step.template.id"
    TEMPLATE_CONTENT = "step.template.content"
    TEMPLATE_NAME = "step.template.content.name"
    TEMPLATE_TO = "step.template.content.to"
    TEMPLATE_CC = "step.template.content.cc"
    TEMPLATE_BCC = "step.template.content.bcc"
    TEMPLATE_CUSTOM_FIELDS = "step.template.content.custom_fields"
    IS_REPLY = "step.is_reply"
    ORDER = "step.order"
    TASK_NOTE = "step.task_note"
    CUSTOM_FIELDS = "step.custom_fields"


TEMPLATE_FIELDS: Final = tuple(field for field in StepField if field.startswith("step.template."))
"""The template in either form, and what is in it."""


@value_class
class Rule:
    """What becomes of one field, and the sentence that says so."""

    support: Support
    note: str = ""
    """For a person: shown in the warning or the error, and in the documentation."""

    problem_type: ProblemType | None = None
    """The warning that the field always brings when it is given; where a template is left out as a
    whole, its content brings the one for all that is in it."""

    granularity_seconds: int = 0
    """Of a wait: what is a multiple of it is kept exactly. 0 for other fields."""


NATIVE = Rule(Support.NATIVE)


def native_wait(granularity_seconds: int) -> Rule:
    """Return the rule of a wait that the provider has."""
    return Rule(Support.NATIVE, granularity_seconds=granularity_seconds)


def emulated_wait(granularity_seconds: int, note: str) -> Rule:
    """Return the rule of a wait that is rounded."""
    return Rule(Support.EMULATED, note, granularity_seconds=granularity_seconds)


def emulated(note: str, problem_type: ProblemType | None = None) -> Rule:
    """Return the rule of a field that is expressed in another way."""
    return Rule(Support.EMULATED, note, problem_type)


def dropped(note: str) -> Rule:
    """Return the rule of a field that is left out."""
    return Rule(Support.DROPPED, note, ProblemType.FIELD_NOT_SUPPORTED)


def refused(note: str) -> Rule:
    """Return the rule of a field that makes the request impossible."""
    return Rule(Support.REFUSED, note)


FieldTable = Mapping[StepType, Mapping[StepField, Rule]]


def given_fields(step: SequenceStep) -> tuple[StepField, ...]:
    """Return the fields that the caller gave, in the order of the contract."""
    content = step.template_content
    given = {
        StepField.TYPE: True,
        StepField.NAME: bool(step.name),
        StepField.INTERVAL_SECONDS: step.interval_seconds is not None,
        StepField.DATE: step.date is not None,
        StepField.TEMPLATE_ID: bool(step.template_id),
        StepField.TEMPLATE_CONTENT: content is not None,
        StepField.TEMPLATE_NAME: content is not None and bool(content.name),
        StepField.TEMPLATE_TO: content is not None and bool(content.to),
        StepField.TEMPLATE_CC: content is not None and bool(content.cc),
        StepField.TEMPLATE_BCC: content is not None and bool(content.bcc),
        StepField.TEMPLATE_CUSTOM_FIELDS: content is not None and bool(content.custom_fields),
        StepField.IS_REPLY: step.is_reply,
        StepField.ORDER: step.order is not None,
        StepField.TASK_NOTE: bool(step.task_note),
        StepField.CUSTOM_FIELDS: bool(step.custom_fields),
    }
    return tuple(field for field, is_given in given.items() if is_given)


def check_fields(table: FieldTable, step: SequenceStep) -> tuple[StepWarning, ...]:
    """Return the warnings that the given fields bring by themselves.

    What is inside a template that is left out as a whole brings no warning of its own.

    Raises:
        ServiceError: UNSUPPORTED_BY_PROVIDER, naming every refused field.
    """
    rules = {field: table[step.type][field] for field in given_fields(step)}
    _refuse(rules)
    template = rules.get(StepField.TEMPLATE_CONTENT)
    template_is_dropped = template is not None and template.support is Support.DROPPED
    return tuple(
        StepWarning(rule.problem_type, rule.note, field)
        for field, rule in rules.items()
        if rule.problem_type is not None
        and not (template_is_dropped and field.startswith(f"{StepField.TEMPLATE_CONTENT}."))
    )


def missing_message(
    step: SequenceStep, missing_note: str, reply_note: str
) -> tuple[StepWarning, ...]:
    """Return the warnings of a step that should have a message and has none.

    For providers that keep the reply beside the message: without one there is no place for it.
    """
    missing = StepWarning(ProblemType.TEMPLATE_MISSING, missing_note, "step.template")
    if not (step.is_reply and step.type.is_email):
        return (missing,)
    no_reply = StepWarning(ProblemType.FIELD_NOT_SUPPORTED, reply_note, StepField.IS_REPLY)
    return (missing, no_reply)


def _refuse(rules: Mapping[StepField, Rule]) -> None:
    violations = tuple(
        FieldViolation(field, rule.note)
        for field, rule in rules.items()
        if rule.support is Support.REFUSED
    )
    if violations:
        sentences = " ".join(violation.description for violation in violations)
        raise ServiceError(Reason.UNSUPPORTED_BY_PROVIDER, sentences, violations)


def owned_keys(keys: Iterable[str], owned: frozenset[str], path: str) -> Iterator[FieldViolation]:
    """Yield a violation for each custom field that would overwrite what the mapping writes."""
    for key in keys:
        if key in owned:
            yield FieldViolation(
                f"{path}.{key}",
                f"'{key}' is written by this service itself. Use the step's own field instead.",
            )
