"""A neutral step as Salesloft's one import: pure functions and the table that drives them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from service.domain.errors import FieldViolation, Reason, ServiceError, refuse_invalid
from service.domain.field_table import (
    NATIVE,
    TEMPLATE_FIELDS,
    FieldTable,
    Rule,
    StepField,
    check_fields,
    dropped,
    emulated,
    emulated_wait,
    refused,
)
from service.domain.json_value import JsonObject, JsonValue
from service.domain.plan import Plan
from service.domain.step import SequenceStep, StepRequest, StepType, TemplateContent
from service.domain.survey import Survey
from service.domain.warnings import ProblemType, StepWarning
from service.providers.numeric_id import bad_ids
from service.providers.salesloft import custom_fields, requests
from service.providers.salesloft.wait import DAY_SECONDS, DELAY_MINUTES_MAX, Wait, nearest_wait

_WHOLE_DAYS = emulated_wait(
    DAY_SECONDS,
    "Salesloft counts whole days from the start of the cadence: a rest of a day is rounded up.",
)
_NO_MESSAGE = dropped("A Salesloft call or task has no message: the template was left out.")
_NO_LINKEDIN_MESSAGE = dropped(
    "A Salesloft LinkedIn step has instructions but no message: the template was left out. "
    "Put the text into step.task_note."
)
_NO_RECIPIENTS = dropped(
    "A Salesloft e-mail goes to the person in the cadence alone: other recipients were left out."
)
_NO_REPLY = dropped("Only an e-mail can be a reply: is_reply was left out.")
_EVERY_TYPE: Mapping[StepField, Rule] = {
    StepField.TYPE: NATIVE,
    StepField.NAME: NATIVE,
    StepField.INTERVAL_SECONDS: _WHOLE_DAYS,
    StepField.DATE: refused(
        "Salesloft has no dates, only days counted from the start of the cadence: "
        "use step.interval_seconds."
    ),
    StepField.ORDER: dropped("Salesloft orders steps by their day: the order was left out."),
    StepField.CUSTOM_FIELDS: NATIVE,
}
_EMAIL: Mapping[StepField, Rule] = {
    **_EVERY_TYPE,
    StepField.TEMPLATE_ID: emulated(
        "Salesloft takes content, not a template: its title, subject and body were copied, "
        "without tracking settings and attachments.",
        ProblemType.TEMPLATE_COPIED,
    ),
    StepField.TEMPLATE_CONTENT: NATIVE,
    StepField.TEMPLATE_NAME: NATIVE,
    StepField.TEMPLATE_TO: _NO_RECIPIENTS,
    StepField.TEMPLATE_CC: _NO_RECIPIENTS,
    StepField.TEMPLATE_BCC: _NO_RECIPIENTS,
    StepField.TEMPLATE_CUSTOM_FIELDS: NATIVE,
    StepField.IS_REPLY: dropped(
        "Salesloft knows replies only within one import of several steps: is_reply was left out, "
        "and the e-mail starts a new thread."
    ),
    StepField.TASK_NOTE: dropped("A Salesloft e-mail has no note: the note was left out."),
}
_CALL_OR_TASK: Mapping[StepField, Rule] = {
    **_EVERY_TYPE,
    **dict.fromkeys(TEMPLATE_FIELDS, _NO_MESSAGE),
    StepField.IS_REPLY: _NO_REPLY,
    StepField.TASK_NOTE: NATIVE,
}
FIELDS: FieldTable = MappingProxyType(
    {
        StepType.AUTO_EMAIL: {
            **_EMAIL,
            StepField.INTERVAL_SECONDS: emulated_wait(
                DAY_SECONDS,
                "Salesloft counts whole days from the start of the cadence, and up to "
                f"{DELAY_MINUTES_MAX} minutes more for an automatic e-mail: "
                "what lies between is rounded up.",
            ),
        },
        StepType.MANUAL_EMAIL: _EMAIL,
        StepType.CALL: _CALL_OR_TASK,
        StepType.TASK: _CALL_OR_TASK,
        StepType.LINKEDIN_SEND_MESSAGE: {
            **_CALL_OR_TASK,
            **dict.fromkeys(TEMPLATE_FIELDS, _NO_LINKEDIN_MESSAGE),
            StepField.TYPE: emulated(
                "Salesloft has LinkedIn steps only as steps of an integration: "
                "step.custom_fields must bring the customer's own integration_id "
                "(a whole number) and integration_step_type_guid (a text)."
            ),
        },
    }
)

FIELD_OF_KEY: Mapping[str, str] = {
    "cadence_id": "sequence_id",
    "name": "step.name",
    "day": "step.interval_seconds",
    "delay_time": "step.interval_seconds",
    "type": "step.type",
    "instructions": "step.task_note",
    "email_template": "step.template",
    "title": "step.template",
    "subject": "step.template",
    "body": "step.template",
}
"""The field of ours that a key of a validation error is about [inferred]."""

NAME_CHARACTERS_MAX: Final = 255
"""A name that is taken from a subject is cut to what the contract allows for a name."""

_TYPES: Mapping[StepType, str] = {
    StepType.AUTO_EMAIL: "Email",
    StepType.MANUAL_EMAIL: "Email",
    StepType.CALL: "Phone",
    StepType.TASK: "Other",
    StepType.LINKEDIN_SEND_MESSAGE: "Integration",
}
"""Capitalised here, in lower case when they are read back [spec, code]."""

_NAMES: Mapping[StepType, str] = {
    StepType.AUTO_EMAIL: "Email",
    StepType.MANUAL_EMAIL: "Email",
    StepType.CALL: "Call",
    StepType.TASK: "Task",
    StepType.LINKEDIN_SEND_MESSAGE: "LinkedIn message",
}

_REFERENCE_ID = 1
"""E-mails need one [code]; any number is right, since no other group is in the import."""


def check(request: StepRequest) -> tuple[StepWarning, ...]:
    """See `Provider.check`. Ids are positive decimal numbers [spec]."""
    step = request.step
    ids = {"sequence_id": request.sequence_id}
    if copies_template(step):
        ids[StepField.TEMPLATE_ID] = step.template_id
    refuse_invalid([*bad_ids("Salesloft", ids), *custom_fields.bad_custom_fields(step)])
    warnings = check_fields(FIELDS, step)
    if step.type is StepType.LINKEDIN_SEND_MESSAGE:
        _refuse_without_integration(step)
    if step.type.is_email:
        _refuse_without_content(step)
    return warnings


def plan(request: StepRequest, survey: Survey) -> Plan:
    """See `Provider.plan`: the step is the one group of one import."""
    step = request.step
    wait = _wait(step)
    write = requests.import_step(
        request.sequence_id,
        step_group(step, _content(step, survey), wait),
        custom_fields.of_cadence_content(step),
    )
    return Plan((write,), (*_rounding_warnings(step, wait), *survey.warnings))


def copies_template(step: SequenceStep) -> bool:
    """Whether the content of the provider's own template goes into the step."""
    return step.type.is_email and bool(step.template_id)


def step_group(step: SequenceStep, content: TemplateContent | None, wait: Wait) -> JsonObject:
    """Return the group that holds the step alone [doc, code].

    `automated` says that no person is needed, and only e-mails may have it [doc].
    `automated_settings` go with it, and are absent otherwise [code].
    """
    is_automated = step.type is StepType.AUTO_EMAIL
    by_type: dict[str, JsonValue] = {}
    if step.type.is_email:
        by_type["reference_id"] = _REFERENCE_ID
    if is_automated:
        by_type["automated_settings"] = _automated_settings(step, wait)
    return {
        "due_immediately": False,
        **by_type,
        **custom_fields.of_group(step),
        "day": wait.day,
        "automated": is_automated,
        "steps": [_step(step, content)],
    }


def _step(step: SequenceStep, content: TemplateContent | None) -> JsonObject:
    """Return the step object; a name, and instructions but for e-mails, are required [code]."""
    name = step.name or _name_of_content(content) or _NAMES[step.type]
    settings = dict(custom_fields.of_type_settings(step))
    if content is None:
        settings["instructions"] = step.task_note
    else:
        settings["email_template"] = _email_template(content, content.name or name)
    return {
        "enabled": True,
        **custom_fields.of_step(step),
        "name": name,
        "type": _TYPES[step.type],
        "type_settings": settings,
    }


def _email_template(content: TemplateContent, title: str) -> JsonObject:
    return {
        **content.custom_fields,
        "title": title,
        "subject": content.subject,
        "body": content.body_html,
    }


def _name_of_content(content: TemplateContent | None) -> str:
    if content is None:
        return ""
    return (content.name or content.subject)[:NAME_CHARACTERS_MAX]


def _automated_settings(step: SequenceStep, wait: Wait) -> JsonObject:
    """Return the caller's settings; with a delay, unless they choose a time of day."""
    settings = custom_fields.nested(step, custom_fields.AUTOMATED_SETTINGS)
    if settings.get("send_type") == custom_fields.SEND_AT_TIME:
        return settings
    return {
        **settings,
        "send_type": custom_fields.SEND_AFTER_DELAY,
        "delay_time": wait.delay_minutes,
    }


def _content(step: SequenceStep, survey: Survey) -> TemplateContent | None:
    """Return what the e-mail says; None for every other step, which has no place for it."""
    if not step.type.is_email:
        return None
    content = step.template_content or survey.template
    assert content is not None
    return content


def _wait(step: SequenceStep) -> Wait:
    delay_minutes_max = DELAY_MINUTES_MAX if step.type is StepType.AUTO_EMAIL else 0
    return nearest_wait(step.interval_seconds or 0, delay_minutes_max)


def _rounding_warnings(step: SequenceStep, wait: Wait) -> tuple[StepWarning, ...]:
    asked_seconds = step.interval_seconds or 0
    if wait.seconds == asked_seconds:
        return ()
    detail = (
        f"The step waits {wait.seconds} seconds instead of {asked_seconds}: "
        f"day {wait.day} of the cadence, {wait.delay_minutes} minutes into it."
    )
    return (StepWarning(ProblemType.INTERVAL_ROUNDED, detail, StepField.INTERVAL_SECONDS),)


def template_kind_guessed(step: SequenceStep) -> StepWarning:
    """Return the warning for an id that names a personal template and a team template as well."""
    detail = (
        f"Salesloft has a personal and a team template {step.template_id}: the personal one was "
        "copied. To choose, give the content itself."
    )
    return StepWarning(ProblemType.TEMPLATE_KIND_GUESSED, detail, StepField.TEMPLATE_ID)


def _refuse_without_integration(step: SequenceStep) -> None:
    """Refuse a LinkedIn step that does not say which of the customer's integrations it is of.

    Whether the integration is LinkedIn's is the caller's knowledge [inferred].
    """
    integration_id = step.custom_fields.get("integration_id")
    guid = step.custom_fields.get("integration_step_type_guid")
    is_given = {
        "integration_id": isinstance(integration_id, int) and not isinstance(integration_id, bool),
        "integration_step_type_guid": isinstance(guid, str) and bool(guid),
    }
    note = FIELDS[step.type][StepField.TYPE].note
    violations = tuple(
        FieldViolation(f"{StepField.CUSTOM_FIELDS}.{key}", note)
        for key, given in is_given.items()
        if not given
    )
    if violations:
        raise ServiceError(Reason.UNSUPPORTED_BY_PROVIDER, note, violations)


def _refuse_without_content(step: SequenceStep) -> None:
    if not step.has_template:
        message = "Salesloft takes an e-mail only with its content: give step.template."
        raise ServiceError(
            Reason.TEMPLATE_REQUIRED, message, (FieldViolation("step.template", message),)
        )
    if step.template_content is not None and not step.template_content.subject:
        # Only a reply may go without one, and Salesloft would start a new thread with it.
        message = "Salesloft cannot make this e-mail a reply: give it a subject."
        field = f"{StepField.TEMPLATE_CONTENT}.subject"
        raise ServiceError(
            Reason.UNSUPPORTED_BY_PROVIDER, message, (FieldViolation(field, message),)
        )
