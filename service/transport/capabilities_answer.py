"""The capabilities of providers as messages; made once, since they never change while it runs."""

from collections.abc import Mapping
from typing import Final

from engagement.v1 import provider_capabilities_pb2 as capabilities_pb2
from service.domain.capabilities import ProviderCapabilities
from service.domain.field_table import Rule, StepField, Support
from service.domain.step import StepType
from service.transport import struct_json
from service.transport.step_request import (
    ADDRESS_CHARACTERS_MAX,
    BODY_HTML_BYTES_MAX,
    ID_CHARACTERS_MAX,
    INTERVAL_SECONDS_MAX,
    NAME_CHARACTERS_MAX,
    ORDER_MAX,
    ORDER_MIN,
    RECIPIENTS_MAX,
    STEP_TYPES,
    SUBJECT_CHARACTERS_MAX,
    TASK_NOTE_CHARACTERS_MAX,
    TEMPLATE_NAME_CHARACTERS_MAX,
)

_SUPPORT: Final[Mapping[Support, capabilities_pb2.FieldSupport]] = {
    Support.NATIVE: capabilities_pb2.FIELD_SUPPORT_NATIVE,
    Support.EMULATED: capabilities_pb2.FIELD_SUPPORT_EMULATED,
    Support.DROPPED: capabilities_pb2.FIELD_SUPPORT_DROPPED,
    Support.REFUSED: capabilities_pb2.FIELD_SUPPORT_REFUSED,
}

_RECIPIENTS: Final = (
    f"At most {RECIPIENTS_MAX} addresses of at most {ADDRESS_CHARACTERS_MAX} characters."
)
_CUSTOM_FIELDS: Final = (
    f"At most {struct_json.JSON_BYTES_MAX} bytes as JSON, {struct_json.KEYS_MAX} keys and "
    f"{struct_json.DEPTH_MAX} levels."
)
_LIMITS: Final[Mapping[StepField, str]] = {
    StepField.NAME: f"At most {NAME_CHARACTERS_MAX} characters.",
    StepField.INTERVAL_SECONDS: f"From 0 to {INTERVAL_SECONDS_MAX} seconds.",
    StepField.TEMPLATE_ID: f"At most {ID_CHARACTERS_MAX} characters.",
    StepField.TEMPLATE_CONTENT: (
        f"Subject of at most {SUBJECT_CHARACTERS_MAX} characters, body of at most "
        f"{BODY_HTML_BYTES_MAX} bytes."
    ),
    StepField.TEMPLATE_NAME: f"At most {TEMPLATE_NAME_CHARACTERS_MAX} characters.",
    StepField.TEMPLATE_TO: _RECIPIENTS,
    StepField.TEMPLATE_CC: _RECIPIENTS,
    StepField.TEMPLATE_BCC: _RECIPIENTS,
    StepField.TEMPLATE_CUSTOM_FIELDS: _CUSTOM_FIELDS,
    StepField.ORDER: f"From {ORDER_MIN} to {ORDER_MAX}.",
    StepField.TASK_NOTE: f"At most {TASK_NOTE_CHARACTERS_MAX} characters.",
    StepField.CUSTOM_FIELDS: _CUSTOM_FIELDS,
}

_TYPES: Final = {step_type: number for number, step_type in STEP_TYPES.items()}


def to_message(provider: ProviderCapabilities) -> capabilities_pb2.ProviderCapabilities:
    """Return what one provider can do."""
    return capabilities_pb2.ProviderCapabilities(
        provider=provider.name,
        connection_kinds=[kind.value for kind in provider.kinds],
        connection_needs=[
            capabilities_pb2.ConnectionNeed(need=each.need, field=each.field)
            for each in provider.needs
        ],
        limits=provider.limits,
        step_types=[
            capabilities_pb2.StepTypeCapabilities(
                type=_TYPES[step_type],
                fields=[_field(field, provider.fields[step_type][field]) for field in StepField],
            )
            for step_type in StepType
        ],
    )


def _field(field: StepField, rule: Rule) -> capabilities_pb2.FieldCapability:
    return capabilities_pb2.FieldCapability(
        field=field.value,
        support=_SUPPORT[rule.support],
        note=rule.note,
        problem_type=rule.problem_type.name if rule.problem_type else "",
        granularity_seconds=rule.granularity_seconds,
        limit=_LIMITS.get(field, ""),
    )
