"""The caller's custom fields of a Salesloft step: where each belongs, and which are refused.

An import nests a step in a group in the cadence's content. Keys of the group and of the step go
there, all others to `cadence_content`. A key that the mapping writes itself is refused.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from service.domain.errors import FieldViolation
from service.domain.field_table import StepField, owned_keys
from service.domain.json_value import JsonObject, JsonValue
from service.domain.step import SequenceStep, StepType
from service.providers.salesloft.wait import DAY_SECONDS

TYPE_SETTINGS: Final = "type_settings"
AUTOMATED_SETTINGS: Final = "automated_settings"

SEND_AT_TIME: Final = "at_time"
SEND_AFTER_DELAY: Final = "after_time_delay"

_GROUP_KEYS: Final = ("due_immediately", "reference_id")
_STEP_KEYS: Final = ("enabled",)
_INTEGRATION_KEYS: Final = ("integration_id", "integration_step_type_guid")
_NESTED_KEYS: Final = (TYPE_SETTINGS, AUTOMATED_SETTINGS)

_OWNED_ANYWHERE: Final = frozenset({"id", "type", "data", "relationships", "api_key"})
_OWNED: Final = _OWNED_ANYWHERE | {
    "cadence_id",
    "step_groups",
    "day",
    "automated",
    "steps",
    "name",
    "email_template",
    "instructions",
    f"{TYPE_SETTINGS}.email_template",
    f"{TYPE_SETTINGS}.instructions",
    *(f"{TYPE_SETTINGS}.{key}" for key in _INTEGRATION_KEYS),
    f"{AUTOMATED_SETTINGS}.delay_time",
}
_OWNED_TEMPLATE_KEYS: Final = _OWNED_ANYWHERE | {"title", "subject", "body"}

_NEW_CADENCE_KEYS: Final = ("settings", "sharing_settings")
_AT_TIME_KEYS: Final = frozenset({"time_of_day", "timezone_mode"})


def of_cadence_content(step: SequenceStep) -> JsonObject:
    """Return the custom fields that belong beside the group, in `cadence_content` [code]."""
    elsewhere = {*_GROUP_KEYS, *_STEP_KEYS, *_INTEGRATION_KEYS, *_NESTED_KEYS}
    return {key: value for key, value in step.custom_fields.items() if key not in elsewhere}


def of_group(step: SequenceStep) -> JsonObject:
    """Return the custom fields of the step's group, without `automated_settings`."""
    return _chosen(step.custom_fields, _GROUP_KEYS)


def of_step(step: SequenceStep) -> JsonObject:
    """Return the custom fields of the step itself, without `type_settings`."""
    return _chosen(step.custom_fields, _STEP_KEYS)


def of_type_settings(step: SequenceStep) -> JsonObject:
    """Return the custom fields of `type_settings`, where an integration's ids are too [code]."""
    integration = _chosen(step.custom_fields, _INTEGRATION_KEYS)
    return {**nested(step, TYPE_SETTINGS), **integration}


def nested(step: SequenceStep, key: str) -> JsonObject:
    """Return the object at a custom field; an empty one where there is none."""
    value = step.custom_fields.get(key)
    return value if isinstance(value, Mapping) else {}


def bad_custom_fields(step: SequenceStep) -> Iterator[FieldViolation]:
    """Yield a violation for each that the mapping writes, or that cannot go with the others."""
    yield from owned_keys(_key_paths(step.custom_fields), _OWNED, StepField.CUSTOM_FIELDS)
    for key, why in _flaws(step):
        yield FieldViolation(f"{StepField.CUSTOM_FIELDS}.{key}", why)
    if step.template_content is not None:
        yield from owned_keys(
            step.template_content.custom_fields,
            _OWNED_TEMPLATE_KEYS,
            StepField.TEMPLATE_CUSTOM_FIELDS,
        )


def _chosen(fields: JsonObject, keys: tuple[str, ...]) -> JsonObject:
    return {key: fields[key] for key in keys if key in fields}


def _key_paths(fields: JsonObject) -> Iterator[str]:
    """Yield every key, and those inside the nested objects with their path."""
    yield from fields
    for outer in _NESTED_KEYS:
        inner = fields.get(outer)
        if isinstance(inner, Mapping):
            yield from (f"{outer}.{key}" for key in inner)


def _flaws(step: SequenceStep) -> Iterator[tuple[str, str]]:
    """Yield the key and the reason of each custom field that cannot be taken."""
    fields = step.custom_fields
    for key in _NEW_CADENCE_KEYS:
        if key in fields:
            yield key, f"'{key}' is for a new cadence: Salesloft refuses it with an existing one."
    if TYPE_SETTINGS in fields and not isinstance(fields[TYPE_SETTINGS], Mapping):
        yield TYPE_SETTINGS, f"'{TYPE_SETTINGS}' is an object."
    if AUTOMATED_SETTINGS in fields:
        yield from _automation_flaws(step, fields[AUTOMATED_SETTINGS])


def _automation_flaws(step: SequenceStep, settings: JsonValue) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with `automated_settings`.

    They are valid only where the group is automated [code], and a time of day replaces the delay
    that would express the rest of a day, so only one of the two can be asked for.
    """
    if step.type is not StepType.AUTO_EMAIL:
        yield AUTOMATED_SETTINGS, f"Only an automatic e-mail has '{AUTOMATED_SETTINGS}'."
        return
    if not isinstance(settings, Mapping):
        yield AUTOMATED_SETTINGS, f"'{AUTOMATED_SETTINGS}' is an object."
        return
    send_type = settings.get("send_type", SEND_AFTER_DELAY)
    key = f"{AUTOMATED_SETTINGS}.send_type"
    if send_type == SEND_AT_TIME:
        if (step.interval_seconds or 0) % DAY_SECONDS:
            yield (
                key,
                f"With '{SEND_AT_TIME}' step.interval_seconds must be whole days of {DAY_SECONDS}.",
            )
    elif send_type != SEND_AFTER_DELAY:
        yield key, f"'send_type' is '{SEND_AT_TIME}' or '{SEND_AFTER_DELAY}'."
    elif _AT_TIME_KEYS & settings.keys():
        yield key, f"A time of day needs 'send_type' '{SEND_AT_TIME}'."
