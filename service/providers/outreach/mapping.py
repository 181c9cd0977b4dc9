"""A neutral step as Outreach's plan of writes: pure functions and the table that drives them."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from service.domain.errors import FieldViolation, refuse_invalid
from service.domain.field_table import (
    NATIVE,
    TEMPLATE_FIELDS,
    FieldTable,
    Rule,
    StepField,
    check_fields,
    dropped,
    emulated,
    missing_message,
    native_wait,
    owned_keys,
)
from service.domain.json_value import JsonValue
from service.domain.plan import Plan, Reference, Write
from service.domain.step import SequenceStep, StepRequest, StepType, TemplateContent
from service.domain.survey import Survey, refuse_kind_mismatch
from service.domain.warnings import ProblemType, StepWarning
from service.providers.numeric_id import bad_ids
from service.providers.outreach import requests

OWNED_STEP_KEYS = frozenset(
    {"stepType", "interval", "date", "order", "taskNote"}
    | {"id", "type", "data", "relationships", "api_key"}
)
OWNED_TEMPLATE_KEYS = frozenset(
    {"name", "subject", "bodyHtml", "toRecipients", "ccRecipients", "bccRecipients"}
    | {"id", "type", "data", "relationships", "api_key"}
)

_NO_MESSAGE = dropped("An Outreach call or task has no message: the template was left out.")
_NO_REPLY = dropped("Only an Outreach e-mail can be a reply: is_reply was left out.")
_EVERY_TYPE: Mapping[StepField, Rule] = {
    StepField.TYPE: NATIVE,
    StepField.NAME: dropped("An Outreach step has no name of its own: the name was left out."),
    StepField.INTERVAL_SECONDS: native_wait(1),
    StepField.DATE: NATIVE,
    StepField.TEMPLATE_ID: NATIVE,
    StepField.TEMPLATE_CONTENT: emulated("A template is made of the content and linked."),
    StepField.TEMPLATE_NAME: NATIVE,
    StepField.TEMPLATE_TO: NATIVE,
    StepField.TEMPLATE_CC: NATIVE,
    StepField.TEMPLATE_BCC: NATIVE,
    StepField.TEMPLATE_CUSTOM_FIELDS: NATIVE,
    StepField.IS_REPLY: NATIVE,
    StepField.ORDER: NATIVE,
    StepField.TASK_NOTE: NATIVE,
    StepField.CUSTOM_FIELDS: NATIVE,
}
_WITHOUT_MESSAGE: Mapping[StepField, Rule] = {
    **dict.fromkeys(TEMPLATE_FIELDS, _NO_MESSAGE),
    StepField.IS_REPLY: _NO_REPLY,
}
FIELDS: FieldTable = MappingProxyType(
    {
        StepType.AUTO_EMAIL: _EVERY_TYPE,
        StepType.MANUAL_EMAIL: _EVERY_TYPE,
        StepType.CALL: {**_EVERY_TYPE, **_WITHOUT_MESSAGE},
        StepType.TASK: {**_EVERY_TYPE, **_WITHOUT_MESSAGE},
        StepType.LINKEDIN_SEND_MESSAGE: {
            **_EVERY_TYPE,
            StepField.TYPE: emulated(
                "Outreach accepts linkedin_send_message without documenting it; it may change.",
                ProblemType.UNDOCUMENTED_TYPE,
            ),
            StepField.IS_REPLY: _NO_REPLY,
        },
    }
)

FIELD_OF_POINTER: Mapping[str, str] = {
    "/data/attributes/stepType": "step.type",
    "/data/attributes/interval": "step.interval_seconds",
    "/data/attributes/date": "step.date",
    "/data/attributes/order": "step.order",
    "/data/attributes/taskNote": "step.task_note",
    "/data/attributes/subject": "step.template.content.subject",
    "/data/attributes/bodyHtml": "step.template.content.body_html",
    "/data/attributes/name": "step.template.content.name",
    "/data/attributes/toRecipients": "step.template.content.to",
    "/data/attributes/ccRecipients": "step.template.content.cc",
    "/data/attributes/bccRecipients": "step.template.content.bcc",
    "/data/attributes/isReply": "step.is_reply",
    "/data/relationships/sequence": "sequence_id",
    "/data/relationships/template": "step.template.id",
}
"""The field of ours that the `source.pointer` of a validation error is about."""


def check(request: StepRequest) -> tuple[StepWarning, ...]:
    """See `Provider.check`. Ids are positive decimal numbers [spec]."""
    step = request.step
    refuse_invalid(_violations(request))
    return (*check_fields(FIELDS, step), *_message_warnings(step))


def plan(request: StepRequest, survey: Survey) -> Plan:
    """See `Provider.plan`: a template of the content, the step, and the link between them."""
    step = request.step
    refuse_kind_mismatch(step, survey.kind)
    warnings: tuple[StepWarning, ...] = ()
    if step.date is not None and step.date.moment is not None:
        detail = f"Outreach takes a date alone: the step is planned for {step.date.day}."
        warnings = (StepWarning(ProblemType.TIME_DROPPED, detail, StepField.DATE),)
    step_write = requests.create_step(request.sequence_id, step_attributes(step, survey))
    return Plan(_with_template(step, step_write), warnings)


def step_attributes(step: SequenceStep, survey: Survey) -> dict[str, JsonValue]:
    """Return the attributes of the step resource.

    `interval` is in seconds [spec, code] and always sent without a date, since the server picks a
    week when it is missing [code]. `order` counts from 1 [code].
    """
    attributes: dict[str, JsonValue] = dict(step.custom_fields)
    attributes["stepType"] = step.type.value
    attributes["order"] = survey.last_position + 1 if step.order is None else step.order
    if step.date is None:
        attributes["interval"] = step.interval_seconds or 0
    else:
        attributes["date"] = step.date.day.isoformat()
    if step.task_note:
        attributes["taskNote"] = step.task_note
    return attributes


def template_attributes(content: TemplateContent) -> dict[str, JsonValue]:
    """Return the attributes of a new template [spec, code]."""
    attributes: dict[str, JsonValue] = dict(content.custom_fields)
    attributes["subject"] = content.subject
    attributes["bodyHtml"] = content.body_html
    if content.name:
        attributes["name"] = content.name
    for key, addresses in (
        ("toRecipients", content.to),
        ("ccRecipients", content.cc),
        ("bccRecipients", content.bcc),
    ):
        if addresses:
            attributes[key] = list(addresses)
    return attributes


def _violations(request: StepRequest) -> Iterator[FieldViolation]:
    step = request.step
    ids = {"sequence_id": request.sequence_id}
    if step.template_id and step.uses_template:
        ids[StepField.TEMPLATE_ID] = step.template_id
    yield from bad_ids("Outreach", ids)
    yield from owned_keys(step.custom_fields, OWNED_STEP_KEYS, StepField.CUSTOM_FIELDS)
    if step.template_content is not None:
        yield from owned_keys(
            step.template_content.custom_fields,
            OWNED_TEMPLATE_KEYS,
            StepField.TEMPLATE_CUSTOM_FIELDS,
        )


def _with_template(step: SequenceStep, step_write: Write) -> tuple[Write, ...]:
    if not step.uses_template:
        return (step_write,)
    is_reply = step.is_reply and step.type.is_email
    if step.template_content is None:
        return (step_write, requests.create_link(int(step.template_id), is_reply=is_reply))
    return (
        requests.create_template(template_attributes(step.template_content)),
        step_write,
        requests.create_link(Reference("template_id"), is_reply=is_reply),
    )


def _message_warnings(step: SequenceStep) -> tuple[StepWarning, ...]:
    if not step.type.has_message or step.has_template:
        return ()
    return missing_message(
        step,
        "The step is made without a message: Outreach cannot send it before it has a template.",
        "Outreach keeps is_reply beside the template: without one it was left out.",
    )
