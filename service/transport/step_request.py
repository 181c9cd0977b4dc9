"""The request message as a domain request, checked in full: every violation is named at once.

What is checked here needs no provider: presence, limits and form. What a provider can express is
its adapter's business.
"""

import re
from collections.abc import Mapping, Sequence

from google.protobuf.struct_pb2 import Struct

from engagement.v1 import sequence_step_pb2 as step_pb2
from engagement.v1.sequence_step_service_pb2 import CreateSequenceStepRequest
from service.domain.errors import FieldViolation, refuse_invalid
from service.domain.json_value import JsonObject
from service.domain.step import SequenceStep, StepDate, StepRequest, StepType, TemplateContent
from service.transport.request_id import REQUEST_ID_RULE, is_request_id
from service.transport.step_date import read_step_date
from service.transport.struct_json import read_custom_fields
from service.transport.text import UNPRINTABLE, excerpt

ID_CHARACTERS_MAX = 256
NAME_CHARACTERS_MAX = 255
INTERVAL_SECONDS_MAX = 157_680_000
"""Five years of 365 days."""

ORDER_MIN = 1
ORDER_MAX = 1000
TASK_NOTE_CHARACTERS_MAX = 65_535
SUBJECT_CHARACTERS_MAX = 998
BODY_HTML_BYTES_MAX = 200 * 1024
TEMPLATE_NAME_CHARACTERS_MAX = 225
RECIPIENTS_MAX = 50
ADDRESS_CHARACTERS_MAX = 254

STEP_TYPES: Mapping[step_pb2.StepType, StepType] = {
    step_pb2.STEP_TYPE_AUTO_EMAIL: StepType.AUTO_EMAIL,
    step_pb2.STEP_TYPE_MANUAL_EMAIL: StepType.MANUAL_EMAIL,
    step_pb2.STEP_TYPE_CALL: StepType.CALL,
    step_pb2.STEP_TYPE_TASK: StepType.TASK,
    step_pb2.STEP_TYPE_LINKEDIN_SEND_MESSAGE: StepType.LINKEDIN_SEND_MESSAGE,
}

_ID = re.compile(rf"[!-~]{{1,{ID_CHARACTERS_MAX}}}")
_ADDRESS = re.compile(r"[^@]+@[^@]+")


def read_step_request(
    message: CreateSequenceStepRequest, *, requires_request_id: bool
) -> StepRequest:
    """Return the request that a message makes.

    With `requires_request_id` it must have an id, unless it only looks.

    Raises:
        ServiceError: INVALID_FIELD, with one violation for each thing that is wrong.
    """
    check = _Check()
    check.identifier("sequence_id", message.sequence_id)
    step = None
    if message.HasField("step"):
        step = _read_step(check, message.step)
    else:
        check.refuse("step", "Required.")
    is_required = requires_request_id and not message.validate_only
    check.request_id("request_id", message.request_id, is_required=is_required)
    check.finish()
    assert step is not None
    return StepRequest(message.sequence_id, step, message.validate_only, message.fail_on_warning)


class _Check:
    """Checks values and notes what is wrong with them, so that all of it is told at once."""

    def __init__(self) -> None:
        self._violations: list[FieldViolation] = []

    def refuse(self, field: str, description: str) -> None:
        """Note that a field is wrong."""
        self._violations.append(FieldViolation(field, description))

    def finish(self) -> None:
        """Raise if anything was wrong."""
        refuse_invalid(self._violations)

    def required(self, field: str, text: str) -> None:
        """A text with something to read in it."""
        if not text or text.isspace():
            self.refuse(field, "Required.")

    def length(self, field: str, text: str, characters_max: int) -> None:
        """A text of at most so many characters."""
        if len(text) > characters_max:
            self.refuse(field, f"Must have at most {characters_max} characters; has {len(text)}.")

    def bytes(self, field: str, text: str, bytes_max: int) -> None:
        """A text of at most so many bytes of UTF-8."""
        bytes_count = len(text.encode())
        if bytes_count > bytes_max:
            self.refuse(field, f"Must have at most {bytes_max} bytes; has {bytes_count}.")

    def line(self, field: str, text: str, characters_max: int) -> None:
        """A text on one line, without control characters."""
        self.length(field, text, characters_max)
        if UNPRINTABLE.search(text):
            self.refuse(field, "Must have no line breaks and no control characters.")

    def identifier(self, field: str, text: str) -> None:
        """A provider's id, as far as all of them agree on its form."""
        if not text:
            self.refuse(field, "Required.")
        elif not _ID.fullmatch(text):
            self.refuse(
                field,
                f"Must be 1 to {ID_CHARACTERS_MAX} printable ASCII characters without spaces.",
            )

    def request_id(self, field: str, text: str, *, is_required: bool) -> None:
        """The id that makes a request safe to repeat."""
        if not text and is_required:
            self.refuse(field, "Required: make a UUID, and store it before the first call.")
        elif text and not is_request_id(text):
            self.refuse(field, REQUEST_ID_RULE)

    def addresses(self, field: str, addresses: Sequence[str]) -> tuple[str, ...]:
        """Read a list of e-mail addresses; whether they can receive anything is not checked."""
        if len(addresses) > RECIPIENTS_MAX:
            self.refuse(field, f"Must have at most {RECIPIENTS_MAX} entries; has {len(addresses)}.")
            return ()
        for index, address in enumerate(addresses):
            self.line(f"{field}[{index}]", address, ADDRESS_CHARACTERS_MAX)
            if not _ADDRESS.fullmatch(address):
                self.refuse(f"{field}[{index}]", "Must be an e-mail address, with one @ in it.")
        return tuple(addresses)

    def between(self, field: str, number: int, least: int, most: int) -> None:
        """A number within bounds."""
        if not least <= number <= most:
            self.refuse(field, f"Must be {least} to {most}; is {number}.")

    def custom_fields(self, field: str, struct: Struct) -> JsonObject:
        """Read an object for the provider."""
        fields, violations = read_custom_fields(struct, field)
        self._violations += violations
        return fields


def _read_step(check: _Check, message: step_pb2.SequenceStep) -> SequenceStep | None:
    """Return the step; None when its type is not known, which is noted."""
    step_type = _read_type(check, message.type)
    check.line("step.name", message.name, NAME_CHARACTERS_MAX)
    interval_seconds, date = _read_timing(check, message)
    template_id, template_content = _read_template(check, message, step_type)
    order = _read_order(check, message)
    check.length("step.task_note", message.task_note, TASK_NOTE_CHARACTERS_MAX)
    custom_fields = check.custom_fields("step.custom_fields", message.custom_fields)
    if step_type is None:
        return None
    return SequenceStep(
        type=step_type,
        name=message.name,
        interval_seconds=interval_seconds,
        date=date,
        template_id=template_id,
        template_content=template_content,
        is_reply=message.is_reply,
        order=order,
        task_note=message.task_note,
        custom_fields=custom_fields,
    )


def _read_type(check: _Check, number: step_pb2.StepType) -> StepType | None:
    step_type = STEP_TYPES.get(number)
    if number == step_pb2.STEP_TYPE_UNSPECIFIED:
        check.refuse("step.type", "Required.")
    elif step_type is None:
        check.refuse("step.type", f"{number} is no known type of step.")
    return step_type


def _read_timing(
    check: _Check, message: step_pb2.SequenceStep
) -> tuple[int | None, StepDate | None]:
    interval_seconds = message.interval_seconds if message.HasField("interval_seconds") else None
    if interval_seconds is not None:
        check.between("step.interval_seconds", interval_seconds, 0, INTERVAL_SECONDS_MAX)
    date = None
    if message.date:
        if interval_seconds is not None:
            check.refuse("step.interval_seconds", "Give either this or step.date, not both.")
            check.refuse("step.date", "Give either this or step.interval_seconds, not both.")
        try:
            date = read_step_date(message.date)
        except ValueError as error:
            check.refuse("step.date", f"{error} It is '{excerpt(message.date)}'.")
    return interval_seconds, date


def _read_order(check: _Check, message: step_pb2.SequenceStep) -> int | None:
    if not message.HasField("order"):
        return None
    check.between("step.order", message.order, ORDER_MIN, ORDER_MAX)
    return message.order


def _read_template(
    check: _Check, message: step_pb2.SequenceStep, step_type: StepType | None
) -> tuple[str, TemplateContent | None]:
    if not message.HasField("template"):
        return "", None
    template = message.template
    has_content = template.HasField("content")
    if template.id:
        check.identifier("step.template.id", template.id)
    elif not has_content:
        check.refuse("step.template", "Give its id or its content.")
    if not has_content:
        return template.id, None
    if template.id:
        check.refuse("step.template.id", "Give either this or content, not both.")
        check.refuse("step.template.content", "Give either this or id, not both.")
    may_lack_subject = message.is_reply or step_type in {None, StepType.LINKEDIN_SEND_MESSAGE}
    if not may_lack_subject:
        check.required("step.template.content.subject", template.content.subject)
    return template.id, _read_content(check, template.content)


def _read_content(check: _Check, message: step_pb2.TemplateContent) -> TemplateContent:
    path = "step.template.content"
    check.line(f"{path}.subject", message.subject, SUBJECT_CHARACTERS_MAX)
    check.required(f"{path}.body_html", message.body_html)
    check.bytes(f"{path}.body_html", message.body_html, BODY_HTML_BYTES_MAX)
    check.line(f"{path}.name", message.name, TEMPLATE_NAME_CHARACTERS_MAX)
    return TemplateContent(
        subject=message.subject,
        body_html=message.body_html,
        name=message.name,
        to=check.addresses(f"{path}.to", message.to),
        cc=check.addresses(f"{path}.cc", message.cc),
        bcc=check.addresses(f"{path}.bcc", message.bcc),
        custom_fields=check.custom_fields(f"{path}.custom_fields", message.custom_fields),
    )
