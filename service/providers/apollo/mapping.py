"""A neutral step as Apollo's plan of writes: pure functions and the table that drives them."""

import datetime as dt
from collections.abc import Iterator, Mapping
from types import MappingProxyType

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
    missing_message,
    owned_keys,
)
from service.domain.json_value import JsonValue
from service.domain.plan import Plan, Write
from service.domain.step import SequenceStep, StepDate, StepRequest, StepType, TemplateContent
from service.domain.survey import Survey, refuse_kind_mismatch
from service.domain.warnings import ProblemType, StepWarning
from service.providers.apollo import requests

TYPES: Mapping[StepType, str] = {
    StepType.AUTO_EMAIL: "auto_email",
    StepType.MANUAL_EMAIL: "manual_email",
    StepType.CALL: "call",
    StepType.TASK: "action_item",
    StepType.LINKEDIN_SEND_MESSAGE: "linkedin_step_message",
}
"""Apollo's types of step [code]."""

OWNED_STEP_KEYS = frozenset(
    {requests.SEQUENCE_ID_KEY, "type", "position", "wait_time", "wait_mode", "exact_datetime"}
    | {"note", "id", "data", "relationships", "api_key"}
    | {"emailer_campaign", "emailer_step", "emailer_steps", "emailer_touch", "emailer_touches"}
    | {"emailer_template", "emailer_templates", "emailer_touch_id", "emailer_template_id"}
)
"""Beside the mapped fields: envelopes and links that could change more than the new step."""

SECONDS_OF_UNIT: Mapping[str, int] = {"day": 86_400, "hour": 3_600, "minute": 60, "second": 1}
"""`wait_mode`, largest first. Seconds are only read: above 0 their effect is not known."""

_SUBJECT_PATH = "step.template.content.subject"
_NO_PLACE = "Apollo's messages have no place for it: it was left out."
_NO_MESSAGE = dropped("An Apollo call or task has no message: the template was left out.")
_NO_REPLY = dropped("Only an Apollo e-mail can be a reply: is_reply was left out.")
_EVERY_TYPE: Mapping[StepField, Rule] = {
    StepField.TYPE: NATIVE,
    StepField.NAME: dropped("An Apollo step has no name: the name was left out."),
    StepField.INTERVAL_SECONDS: emulated_wait(
        SECONDS_OF_UNIT["minute"], "Whole days, hours or minutes; seconds are rounded up."
    ),
    StepField.DATE: emulated("A date alone becomes 00:00 UTC."),
    StepField.TEMPLATE_ID: emulated(
        "Apollo cannot link a template: its present content was copied into the step, without "
        "the subject where the step is a reply or a LinkedIn message.",
        ProblemType.TEMPLATE_COPIED,
    ),
    StepField.TEMPLATE_CONTENT: NATIVE,
    StepField.TEMPLATE_NAME: dropped(_NO_PLACE),
    StepField.TEMPLATE_TO: dropped(_NO_PLACE),
    StepField.TEMPLATE_CC: dropped(_NO_PLACE),
    StepField.TEMPLATE_BCC: dropped(_NO_PLACE),
    StepField.TEMPLATE_CUSTOM_FIELDS: dropped(_NO_PLACE),
    StepField.IS_REPLY: NATIVE,
    StepField.ORDER: emulated("A position beyond the end becomes the end; a taken one is refused."),
    StepField.TASK_NOTE: NATIVE,
    StepField.CUSTOM_FIELDS: NATIVE,
}
_EMAIL: Mapping[StepField, Rule] = {
    **_EVERY_TYPE,
    StepField.TASK_NOTE: emulated(
        "Apollo stores a note on an e-mail step, but whether it shows it is not known.",
        ProblemType.UNDOCUMENTED_FIELD,
    ),
}
_WITHOUT_MESSAGE: Mapping[StepField, Rule] = {
    **_EVERY_TYPE,
    **dict.fromkeys(TEMPLATE_FIELDS, _NO_MESSAGE),
    StepField.IS_REPLY: _NO_REPLY,
}
FIELDS: FieldTable = MappingProxyType(
    {
        StepType.AUTO_EMAIL: _EMAIL,
        StepType.MANUAL_EMAIL: _EMAIL,
        StepType.CALL: _WITHOUT_MESSAGE,
        StepType.TASK: _WITHOUT_MESSAGE,
        StepType.LINKEDIN_SEND_MESSAGE: {**_EVERY_TYPE, StepField.IS_REPLY: _NO_REPLY},
    }
)


def check(request: StepRequest) -> tuple[StepWarning, ...]:
    """See `Provider.check`. Ids are 24 lower-case hexadecimal digits [code]."""
    step = request.step
    owned = owned_keys(step.custom_fields, OWNED_STEP_KEYS, StepField.CUSTOM_FIELDS)
    refuse_invalid([*_bad_ids(request), *owned])
    return (*check_fields(FIELDS, step), *_message_warnings(step))


def plan(request: StepRequest, survey: Survey) -> Plan:
    """See `Provider.plan`: the step, then the message in the template that Apollo makes for it."""
    step = request.step
    refuse_kind_mismatch(step, survey.kind)
    position, position_warnings = _position(step, survey)
    body: dict[str, JsonValue] = {
        **step.custom_fields,
        requests.SEQUENCE_ID_KEY: request.sequence_id,
        "type": TYPES[step.type],
        "position": position,
        **_timing(step),
    }
    if step.task_note:
        body["note"] = step.task_note
    message = _message(step, survey)
    step_write = requests.create_step(body, with_message=message is not None)
    writes = (step_write,) if message is None else (step_write, message)
    return Plan(writes, (*position_warnings, *_timing_warnings(step)))


def wait(interval_seconds: int) -> tuple[int, str]:
    """Return `wait_time` and `wait_mode`: the largest unit that holds the whole minutes.

    Both are always sent: 0 without a unit was refused [code, another endpoint].
    """
    minutes = -(-interval_seconds // 60)
    if minutes:
        for unit in ("day", "hour"):
            amount, rest_seconds = divmod(minutes * 60, SECONDS_OF_UNIT[unit])
            if not rest_seconds:
                return amount, unit
    return minutes, "minute"


def exact_datetime(date: StepDate) -> str:
    """Return the moment in the form in which Apollo stores it: UTC, with milliseconds [code]."""
    moment = date.moment or dt.datetime.combine(date.day, dt.time(), dt.UTC)
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds")


def _timing(step: SequenceStep) -> dict[str, JsonValue]:
    """Return the wait, which Apollo wants beside a date too [spec of a sister endpoint]."""
    wait_time, wait_mode = wait(step.interval_seconds or 0)
    timing: dict[str, JsonValue] = {"wait_time": wait_time, "wait_mode": wait_mode}
    if step.date is not None:
        timing["exact_datetime"] = exact_datetime(step.date)
    return timing


def _timing_warnings(step: SequenceStep) -> tuple[StepWarning, ...]:
    if step.date is not None and step.date.moment is None:
        detail = f"Apollo needs a time of day: the step is planned for {step.date.day} 00:00 UTC."
        return (StepWarning(ProblemType.TIME_CHOSEN, detail, StepField.DATE),)
    asked_seconds = step.interval_seconds or 0
    if asked_seconds % 60:
        wait_time, wait_mode = wait(asked_seconds)
        detail = f"Apollo waits whole minutes: {asked_seconds} seconds became "
        detail += f"{wait_time} {wait_mode}{'' if wait_time == 1 else 's'}."
        return (StepWarning(ProblemType.INTERVAL_ROUNDED, detail, StepField.INTERVAL_SECONDS),)
    return ()


def _position(step: SequenceStep, survey: Survey) -> tuple[int, tuple[StepWarning, ...]]:
    """Return the position, counted from 1; what Apollo does with a taken one is not known."""
    end = survey.last_position + 1
    if step.order is None:
        return end, ()
    if step.order in survey.positions.values():
        message = f"Position {step.order} is taken in this sequence; the next free one is {end}."
        raise ServiceError(
            Reason.POSITION_TAKEN,
            message,
            (FieldViolation(StepField.ORDER, message),),
            {"freePosition": str(end)},
        )
    if step.order <= end:
        return step.order, ()
    detail = f"The sequence ends at position {end - 1}: the step was put at {end}."
    return end, (StepWarning(ProblemType.POSITION_CHOSEN, detail, StepField.ORDER),)


def _message(step: SequenceStep, survey: Survey) -> Write | None:
    if not step.uses_template:
        return None
    content = step.template_content or survey.template
    assert content is not None, "a template id is always read in the survey"
    return requests.write_message(
        "" if _has_no_subject(step) else content.subject,
        content.body_html,
        is_reply=step.is_reply and step.type.is_email,
    )


def _has_no_subject(step: SequenceStep) -> bool:
    """Whether it is a reply or a LinkedIn message, which carry no subject [code, one source]."""
    return step.is_reply or not step.type.is_email


def _message_warnings(step: SequenceStep) -> tuple[StepWarning, ...]:
    if not step.type.has_message:
        return ()
    if step.has_template:
        return _subject_warnings(step, step.template_content)
    return missing_message(
        step,
        "The step is made without a message: Apollo cannot send it before it has one.",
        "Apollo takes is_reply only together with a message: without one it was left out.",
    )


def _subject_warnings(
    step: SequenceStep, content: TemplateContent | None
) -> tuple[StepWarning, ...]:
    if content is None or not content.subject or not _has_no_subject(step):
        return ()
    detail = "At Apollo a reply or a LinkedIn message has no subject: it was left out."
    return (StepWarning(ProblemType.FIELD_NOT_SUPPORTED, detail, _SUBJECT_PATH),)


def _bad_ids(request: StepRequest) -> Iterator[FieldViolation]:
    ids = {"sequence_id": request.sequence_id}
    if request.step.template_id and request.step.uses_template:
        ids[StepField.TEMPLATE_ID] = request.step.template_id
    for field, value in ids.items():
        if not requests.is_id(value):
            yield FieldViolation(
                field, "An Apollo id is 24 hexadecimal digits, with letters in lower case."
            )
