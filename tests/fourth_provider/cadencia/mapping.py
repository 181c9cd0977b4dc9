"""A neutral step as Cadencia's writes: its sequences are flows, its steps are touches."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from service.domain.errors import FieldViolation, refuse_invalid
from service.domain.field_table import (
    NATIVE,
    FieldTable,
    Rule,
    StepField,
    check_fields,
    dropped,
    emulated,
    missing_message,
    owned_keys,
    refused,
)
from service.domain.json_value import JsonValue
from service.domain.plan import Plan, Target, Write
from service.domain.step import SequenceStep, StepRequest, StepType
from service.domain.warnings import ProblemType, StepWarning

HOUR_SECONDS: Final = 3_600
TYPES: Final[Mapping[StepType, str]] = {
    StepType.AUTO_EMAIL: "mail",
    StepType.MANUAL_EMAIL: "mail-draft",
    StepType.CALL: "ring",
    StepType.TASK: "todo",
}
OWNED_KEYS: Final = frozenset({"kind", "label", "waitHours", "note", "id"})

_FLOW_ID: Final = re.compile(r"f[0-9]{1,9}")
_NO_PLACE: Final = dropped("A Cadencia message has a subject and a text alone: it was left out.")
_NO_MESSAGE: Final = dropped("A Cadencia call or task has no message: it was left out.")
_EMAIL: Final[Mapping[StepField, Rule]] = {
    StepField.TYPE: NATIVE,
    StepField.NAME: NATIVE,
    StepField.INTERVAL_SECONDS: emulated("Whole hours; less is rounded up."),
    StepField.DATE: refused("Cadencia's flows have no fixed dates."),
    StepField.TEMPLATE_ID: refused("Cadencia has no templates: give the content."),
    StepField.TEMPLATE_CONTENT: NATIVE,
    StepField.TEMPLATE_NAME: _NO_PLACE,
    StepField.TEMPLATE_TO: _NO_PLACE,
    StepField.TEMPLATE_CC: _NO_PLACE,
    StepField.TEMPLATE_BCC: _NO_PLACE,
    StepField.TEMPLATE_CUSTOM_FIELDS: _NO_PLACE,
    StepField.IS_REPLY: dropped("Cadencia has no replies: is_reply was left out."),
    StepField.ORDER: dropped("Cadencia adds a touch at the end of its flow: order was left out."),
    StepField.TASK_NOTE: NATIVE,
    StepField.CUSTOM_FIELDS: NATIVE,
}
_OTHER: Final[Mapping[StepField, Rule]] = {
    **_EMAIL,
    StepField.TEMPLATE_ID: _NO_MESSAGE,
    StepField.TEMPLATE_CONTENT: _NO_MESSAGE,
}
FIELDS: Final[FieldTable] = MappingProxyType(
    {
        StepType.AUTO_EMAIL: _EMAIL,
        StepType.MANUAL_EMAIL: _EMAIL,
        StepType.CALL: _OTHER,
        StepType.TASK: _OTHER,
        StepType.LINKEDIN_SEND_MESSAGE: {
            **_OTHER,
            StepField.TYPE: refused("Cadencia has no steps on LinkedIn."),
        },
    }
)


def check(request: StepRequest) -> tuple[StepWarning, ...]:
    """See `Provider.check`."""
    step = request.step
    violations = [*owned_keys(step.custom_fields, OWNED_KEYS, StepField.CUSTOM_FIELDS)]
    if not _FLOW_ID.fullmatch(request.sequence_id):
        violations.append(FieldViolation("sequence_id", "A Cadencia id is f and a number."))
    refuse_invalid(violations)
    warnings = check_fields(FIELDS, step)
    if step.type.is_email and not step.has_template:
        warnings += missing_message(step, "The touch has no text.", "Cadencia has no replies.")
    if step.interval_seconds and step.interval_seconds % HOUR_SECONDS:
        detail = f"Cadencia waits whole hours: it became {_hours(step.interval_seconds)}."
        warnings += (StepWarning(ProblemType.INTERVAL_ROUNDED, detail, StepField.INTERVAL_SECONDS),)
    return warnings


def plan(request: StepRequest) -> Plan:
    """See `Provider.plan`: the touch, then its text."""
    step, content = request.step, request.step.template_content
    path = f"/flows/{request.sequence_id}/touches"
    touch = Write(Target.STEP, "POST", path, _touch(step), yields=("step_id",))
    if content is None or not step.type.is_email:
        return Plan((touch,))
    text = {"subject": content.subject, "html": content.body_html}
    path = "/touches/{step_id}/text"
    return Plan((touch, Write(Target.CONTENT, "PUT", path, text, yields=(), repeatable=True)))


def _touch(step: SequenceStep) -> dict[str, JsonValue]:
    return {
        **step.custom_fields,
        "kind": TYPES[step.type],
        "label": step.name,
        "waitHours": _hours(step.interval_seconds or 0),
        "note": step.task_note,
    }


def _hours(seconds: int) -> int:
    return -(-seconds // HOUR_SECONDS)
