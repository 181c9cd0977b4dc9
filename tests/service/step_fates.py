"""What becomes of each field of a step, per provider and type.

Written by hand from the contract and from what is known of the vendors, not from the service's own
tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engagement.v1 import sequence_step_pb2 as step_pb2
from tests.service.step_messages import AUTO_EMAIL, CALL, LINKEDIN, MANUAL_EMAIL, TASK

DAY = 86_400
EMAILS = (AUTO_EMAIL, MANUAL_EMAIL)
MESSAGES = (*EMAILS, LINKEDIN)
CHORES = (CALL, TASK)
ALL = (*MESSAGES, *CHORES)

INTEGRATION: dict[str, int | str] = {
    "integration_id": 31,
    "integration_step_type_guid": "9f0c-guid",
}
"""What Salesloft needs for a LinkedIn step: both are the customer's own."""

GIVEN: dict[str, dict[str, Any]] = {
    "step.name": {"name": "Intro"},
    "step.interval_seconds": {"interval_seconds": 2 * DAY},
    "step.date": {"date": "2099-01-15"},
    "step.template.id": {},
    "step.template.content": {},
    "step.template.content.subject": {"template": {"content": {"subject": "Other"}}},
    "step.template.content.name": {"template": {"content": {"name": "Offer"}}},
    "step.template.content.to": {"template": {"content": {"to": ["a@example.com"]}}},
    "step.template.content.cc": {"template": {"content": {"cc": ["b@example.com"]}}},
    "step.template.content.bcc": {"template": {"content": {"bcc": ["c@example.com"]}}},
    "step.template.content.custom_fields": {
        "template": {"content": {"custom_fields": {"trackLinks": False}}}
    },
    "step.is_reply": {"is_reply": True},
    "step.order": {"order": 7},
    "step.task_note": {"task_note": "Read first"},
    "step.custom_fields": {"custom_fields": {"taskAutoskipDelay": DAY}},
}
"""Each field with a value; a template's id is the account's own, its content is complete anyway."""

GIVEN_ELSEWHERE: dict[tuple[str, str], dict[str, Any]] = {
    ("apollo", "step.date"): {"date": "2099-01-15T09:30:00Z"},
    ("apollo", "step.order"): {"order": 1},
    ("apollo", "step.custom_fields"): {"custom_fields": {"priority": "high"}},
    ("salesloft", "step.custom_fields"): {"custom_fields": {"due_immediately": True}},
    ("salesloft", "step.template.content.custom_fields"): {
        "template": {"content": {"custom_fields": {"open_tracking": False}}}
    },
}
"""Where a vendor wants another value."""


@dataclass(frozen=True)
class Fate:
    """What one field changes for steps of some types, compared with the same step without it."""

    path: str
    types: tuple[step_pb2.StepType, ...]
    support: str
    arrives: Mapping[str, Any] = field(default_factory=dict)
    """What is different at the vendor, in the vendor's words."""

    warnings: tuple[tuple[str, str], ...] = ()
    """What the caller is told in addition."""


def native(path: str, types: tuple[step_pb2.StepType, ...], **arrives: Any) -> Fate:
    """Return the fate of a field that the provider has."""
    return Fate(path, types, "native", arrives)


def emulated(
    path: str, types: tuple[step_pb2.StepType, ...], problem_type: str, **arrives: Any
) -> Fate:
    """Return the fate of a field that is expressed in another way, with a warning."""
    return Fate(path, types, "emulated", arrives, ((problem_type, path),))


def dropped(path: str, *types: step_pb2.StepType) -> Fate:
    """Return the fate of a field that the provider has no place for."""
    return Fate(path, types, "dropped", {}, (("FIELD_NOT_SUPPORTED", path),))


def dropped_with_template(*types: step_pb2.StepType) -> tuple[Fate, ...]:
    """Return the fates of a template and all that is in it, on steps that have no message."""
    content = "step.template.content"
    parts = ("subject", "name", "to", "cc", "bcc", "custom_fields")
    as_a_whole = (("FIELD_NOT_SUPPORTED", content),)
    return (
        dropped("step.template.id", *types),
        dropped(content, *types),
        *(Fate(f"{content}.{part}", types, "dropped", {}, as_a_whole) for part in parts),
    )


def refused(path: str, *types: step_pb2.StepType) -> Fate:
    """Return the fate of a field without which the step would be a wrong one."""
    return Fate(path, types, "refused")


# Outreach.

_OUTREACH_STEP: dict[str, Any] = {
    "interval": 0,
    "date": None,
    "order": 1,
    "taskNote": None,
    "taskAutoskipDelay": None,
}
_OUTREACH_MESSAGE: dict[str, Any] = {
    "isReply": False,
    "template": 7001,
    "name": None,
    "subject": "Inline",
    "bodyHtml": "<p>Inline</p>",
    "toRecipients": [],
    "ccRecipients": [],
    "bccRecipients": [],
    "trackLinks": True,
}
_OUTREACH_BASES: dict[step_pb2.StepType, dict[str, Any]] = {
    AUTO_EMAIL: {"stepType": "auto_email", **_OUTREACH_STEP, **_OUTREACH_MESSAGE},
    MANUAL_EMAIL: {"stepType": "manual_email", **_OUTREACH_STEP, **_OUTREACH_MESSAGE},
    LINKEDIN: {"stepType": "linkedin_send_message", **_OUTREACH_STEP, **_OUTREACH_MESSAGE},
    CALL: {"stepType": "call", **_OUTREACH_STEP},
    TASK: {"stepType": "task", **_OUTREACH_STEP},
}
_OUTREACH_FATES = (
    dropped("step.name", *ALL),
    native("step.interval_seconds", ALL, interval=2 * DAY),
    native("step.date", ALL, interval=None, date="2099-01-15"),
    native(
        "step.template.id",
        MESSAGES,
        template=55,
        name="Intro",
        subject="Hello",
        bodyHtml="<p>Hi</p>",
    ),
    native("step.template.content", MESSAGES),
    native("step.template.content.subject", MESSAGES, subject="Other"),
    native("step.template.content.name", MESSAGES, name="Offer"),
    native("step.template.content.to", MESSAGES, toRecipients=["a@example.com"]),
    native("step.template.content.cc", MESSAGES, ccRecipients=["b@example.com"]),
    native("step.template.content.bcc", MESSAGES, bccRecipients=["c@example.com"]),
    native("step.template.content.custom_fields", MESSAGES, trackLinks=False),
    *dropped_with_template(*CHORES),
    native("step.is_reply", EMAILS, isReply=True),
    dropped("step.is_reply", LINKEDIN, *CHORES),
    native("step.order", ALL, order=7),
    native("step.task_note", ALL, taskNote="Read first"),
    native("step.custom_fields", ALL, taskAutoskipDelay=DAY),
)

# Salesloft.

_SALESLOFT_GROUP: dict[str, Any] = {"day": 1, "due_immediately": False, "enabled": True}
_SALESLOFT_EMAIL: dict[str, Any] = {
    **_SALESLOFT_GROUP,
    "type": "Email",
    "reference_id": 1,
    "name": "Inline",
    "title": "Inline",
    "subject": "Inline",
    "body": "<p>Inline</p>",
}
_SALESLOFT_BASES: dict[step_pb2.StepType, dict[str, Any]] = {
    AUTO_EMAIL: {
        **_SALESLOFT_EMAIL,
        "automated": True,
        "automated_settings": {"send_type": "after_time_delay", "delay_time": 0},
    },
    MANUAL_EMAIL: {**_SALESLOFT_EMAIL, "automated": False},
    LINKEDIN: {
        **_SALESLOFT_GROUP,
        **INTEGRATION,
        "type": "Integration",
        "automated": False,
        "name": "LinkedIn message",
        "instructions": "",
    },
    CALL: {
        **_SALESLOFT_GROUP,
        "type": "Phone",
        "automated": False,
        "name": "Call",
        "instructions": "",
    },
    TASK: {
        **_SALESLOFT_GROUP,
        "type": "Other",
        "automated": False,
        "name": "Task",
        "instructions": "",
    },
}
_SALESLOFT_FATES = (
    native("step.name", EMAILS, name="Intro", title="Intro"),
    native("step.name", (LINKEDIN, *CHORES), name="Intro"),
    native("step.interval_seconds", ALL, day=3),
    refused("step.date", *ALL),
    emulated(
        "step.template.id",
        EMAILS,
        "TEMPLATE_COPIED",
        name="Intro",
        title="Intro",
        subject="Hello",
        body="<p>Hi</p>",
    ),
    native("step.template.content", EMAILS),
    native("step.template.content.subject", EMAILS, name="Other", title="Other", subject="Other"),
    native("step.template.content.name", EMAILS, name="Offer", title="Offer"),
    dropped("step.template.content.to", *EMAILS),
    dropped("step.template.content.cc", *EMAILS),
    dropped("step.template.content.bcc", *EMAILS),
    native("step.template.content.custom_fields", EMAILS, open_tracking=False),
    *dropped_with_template(LINKEDIN, *CHORES),
    dropped("step.is_reply", *ALL),
    dropped("step.order", *ALL),
    dropped("step.task_note", *EMAILS),
    native("step.task_note", (LINKEDIN, *CHORES), instructions="Read first"),
    native("step.custom_fields", ALL, due_immediately=True),
)

# Apollo.

_APOLLO_STEP: dict[str, Any] = {
    "position": 1,
    "wait_time": 0,
    "wait_mode": "minute",
    "exact_datetime": None,
    "note": None,
    "priority": None,
}
_APOLLO_MESSAGE: dict[str, Any] = {
    "touch_type": "new_thread",
    "name": None,
    "subject": "Inline",
    "body_html": "<p>Inline</p>",
}
_APOLLO_BASES: dict[step_pb2.StepType, dict[str, Any]] = {
    AUTO_EMAIL: {"type": "auto_email", **_APOLLO_STEP, **_APOLLO_MESSAGE},
    MANUAL_EMAIL: {"type": "manual_email", **_APOLLO_STEP, **_APOLLO_MESSAGE},
    LINKEDIN: {
        "type": "linkedin_step_message",
        **_APOLLO_STEP,
        **_APOLLO_MESSAGE,
        "subject": "",
    },
    CALL: {"type": "call", **_APOLLO_STEP},
    TASK: {"type": "action_item", **_APOLLO_STEP},
}
_APOLLO_FATES = (
    dropped("step.name", *ALL),
    native("step.interval_seconds", ALL, wait_time=2, wait_mode="day"),
    native("step.date", ALL, exact_datetime="2099-01-15T09:30:00+00:00"),
    emulated("step.template.id", EMAILS, "TEMPLATE_COPIED", subject="Hello", body_html="<p>Hi</p>"),
    emulated("step.template.id", (LINKEDIN,), "TEMPLATE_COPIED", body_html="<p>Hi</p>"),
    native("step.template.content", MESSAGES),
    native("step.template.content.subject", EMAILS, subject="Other"),
    dropped("step.template.content.subject", LINKEDIN),
    dropped("step.template.content.name", *MESSAGES),
    dropped("step.template.content.to", *MESSAGES),
    dropped("step.template.content.cc", *MESSAGES),
    dropped("step.template.content.bcc", *MESSAGES),
    dropped("step.template.content.custom_fields", *MESSAGES),
    *dropped_with_template(*CHORES),
    Fate(
        "step.is_reply",
        EMAILS,
        "native",
        {"touch_type": "reply_to_thread", "subject": ""},
        (("FIELD_NOT_SUPPORTED", "step.template.content.subject"),),
    ),
    dropped("step.is_reply", LINKEDIN, *CHORES),
    native("step.order", ALL, position=1),
    emulated("step.task_note", EMAILS, "UNDOCUMENTED_FIELD", note="Read first"),
    native("step.task_note", (LINKEDIN, *CHORES), note="Read first"),
    native("step.custom_fields", ALL, priority="high"),
)

BASES = {
    "outreach": _OUTREACH_BASES,
    "salesloft": _SALESLOFT_BASES,
    "apollo": _APOLLO_BASES,
}
"""The step with its type alone, and a message where it has one: all that arrives at the vendor."""

BASE_WARNINGS = {
    ("outreach", LINKEDIN): (("UNDOCUMENTED_TYPE", "step.type"),),
    ("apollo", AUTO_EMAIL): (("NEEDS_APPROVAL", "step.template"),),
    ("apollo", MANUAL_EMAIL): (("NEEDS_APPROVAL", "step.template"),),
}
"""The warnings that such a step brings; without an entry none."""

FATES = {"outreach": _OUTREACH_FATES, "salesloft": _SALESLOFT_FATES, "apollo": _APOLLO_FATES}
