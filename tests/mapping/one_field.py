"""Pairs of steps that differ in one field: what becomes of it shows in what is sent."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date

from service.domain.field_table import StepField
from service.domain.plan import Plan
from service.domain.step import SequenceStep, StepDate, StepType, TemplateContent

CONTENT = TemplateContent("Hello", "<p>Hi</p>")

Pair = tuple[SequenceStep, SequenceStep]


def pair(step_type: StepType, field: StepField, template_id: str) -> Pair:
    """Return a step of the type without the field, and the same step with it.

    The type itself has no step without it. Fields of a message are given to a step that has one.
    """
    bare = SequenceStep(step_type)
    message = replace(bare, template_content=CONTENT)
    if field is StepField.TEMPLATE_ID:
        return bare, replace(bare, template_id=template_id)
    if field in _CONTENT_CHANGES:
        return message, replace(message, template_content=_CONTENT_CHANGES[field](CONTENT))
    return (message if field is StepField.IS_REPLY else bare), _STEP_CHANGES[field](
        message if field is StepField.IS_REPLY else bare
    )


_STEP_CHANGES: Mapping[StepField, Callable[[SequenceStep], SequenceStep]] = {
    StepField.NAME: lambda step: replace(step, name="Intro"),
    StepField.INTERVAL_SECONDS: lambda step: replace(step, interval_seconds=3600),
    StepField.DATE: lambda step: replace(step, date=StepDate(date(2027, 1, 15))),
    StepField.TEMPLATE_CONTENT: lambda step: replace(step, template_content=CONTENT),
    StepField.IS_REPLY: lambda step: replace(step, is_reply=True),
    StepField.ORDER: lambda step: replace(step, order=7),
    StepField.TASK_NOTE: lambda step: replace(step, task_note="Ask"),
    StepField.CUSTOM_FIELDS: lambda step: replace(step, custom_fields={"colour": "red"}),
}
_CONTENT_CHANGES: Mapping[StepField, Callable[[TemplateContent], TemplateContent]] = {
    StepField.TEMPLATE_NAME: lambda content: replace(content, name="Intro"),
    StepField.TEMPLATE_TO: lambda content: replace(content, to=("a@example.com",)),
    StepField.TEMPLATE_CC: lambda content: replace(content, cc=("a@example.com",)),
    StepField.TEMPLATE_BCC: lambda content: replace(content, bcc=("a@example.com",)),
    StepField.TEMPLATE_CUSTOM_FIELDS: lambda content: replace(
        content, custom_fields={"colour": "red"}
    ),
}


def fate(without: Plan, with_it: Plan, field: StepField) -> str:
    """Say whether the field changes what is sent, and what it is warned of."""
    warned = [each.problem_type.name for each in with_it.warnings if each.field == field]
    return " ".join(["left out" if with_it.writes == without.writes else "sent", *warned])
