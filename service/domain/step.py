"""The provider-neutral step: what a caller asks for, after validation."""

import datetime as dt
import enum
import re
from collections.abc import Mapping
from dataclasses import field
from typing import NewType

from service.domain.json_value import JsonObject
from service.domain.value_class import value_class

ProviderName = NewType("ProviderName", str)
"""A provider's name, as in `x-provider-name`; which there are is the registry's to say."""


class StepType(enum.StrEnum):
    """What is done in a step."""

    AUTO_EMAIL = "auto_email"
    MANUAL_EMAIL = "manual_email"
    CALL = "call"
    TASK = "task"
    LINKEDIN_SEND_MESSAGE = "linkedin_send_message"

    @property
    def is_email(self) -> bool:
        """Whether the step sends an e-mail."""
        return self in {StepType.AUTO_EMAIL, StepType.MANUAL_EMAIL}

    @property
    def has_message(self) -> bool:
        """Whether a template belongs to the step: e-mails and LinkedIn messages."""
        return self.is_email or self is StepType.LINKEDIN_SEND_MESSAGE


@value_class
class StepDate:
    """A fixed day, and the moment in it where the caller gave a time."""

    day: dt.date
    """The date part as it was written, in the time zone that it was written in."""

    moment: dt.datetime | None = None
    """With a time zone; None when the caller gave a date alone."""


@value_class
class TemplateContent:
    """The content of a message, given inline or read from the provider's template."""

    subject: str
    body_html: str = field(repr=False)
    name: str = ""
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    custom_fields: JsonObject = field(default_factory=dict)


@value_class
class SequenceStep:
    """One step as the caller asked for it.

    At most one of the interval and the date is set, and at most one of the template's id and its
    content.
    """

    type: StepType
    name: str = ""
    interval_seconds: int | None = None
    date: StepDate | None = None
    template_id: str = ""
    template_content: TemplateContent | None = None
    is_reply: bool = False
    order: int | None = None
    task_note: str = ""
    custom_fields: JsonObject = field(default_factory=dict)

    @property
    def has_template(self) -> bool:
        """Whether the caller gave a template, in either form."""
        return bool(self.template_id) or self.template_content is not None

    @property
    def uses_template(self) -> bool:
        """Whether the caller gave a template, and the step is of a type that has a message."""
        return self.type.has_message and self.has_template


@value_class
class StepRequest:
    """One CreateSequenceStep request, after validation."""

    sequence_id: str
    step: SequenceStep
    validate_only: bool = False
    fail_on_warning: bool = False


CUSTOMER_ID_CHARACTERS_MAX = 256
CUSTOMER_ID = re.compile(rf"[!-~]{{1,{CUSTOMER_ID_CHARACTERS_MAX}}}")
CUSTOMER_ID_RULE = (
    f"Must be 1 to {CUSTOMER_ID_CHARACTERS_MAX} printable ASCII characters without spaces."
)


@value_class
class ConnectionKey:
    """Whose connection, at which provider: what a request's metadata says."""

    customer_id: str
    provider: ProviderName


Ids = Mapping[str, int | str]
"""Ids that a provider's answers gave, by the name a plan has for them, such as `step_id`; numbers
stay numbers, since they go back to the provider in the form they came."""
