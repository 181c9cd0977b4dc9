"""Checks the body of a cadence import: all failures at once, by the path of the member.

[doc, code] groups, their automation, reference ids, steps and type settings; [spec] only a cadence
without steps takes an import. [unknown], chosen here: an unknown member is refused; `cadence_id` is
an integer (one client sends a string); only an existing cadence can be imported into, since a new
one needs settings that are not described anywhere public; an Email group's reference id is not null
and is used once; an import into a cadence that has steps answers 422.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox import checks
from sandbox.salesloft.errors import invalid, refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sandbox.messages import Request

STEP_TYPES = ("Email", "Phone", "Other", "Integration")
DELAY_MINUTES_MOST = 720

_GROUP: Mapping[str, checks.Check] = {
    "day": checks.integer(least=1),
    "automated": checks.boolean,
    "automated_settings": checks.json_object,
    "due_immediately": checks.boolean,
    "reference_id": checks.nullable(checks.integer()),
    "steps": checks.filled_list,
}
_STEP: Mapping[str, checks.Check] = {
    "enabled": checks.boolean,
    "name": checks.filled_text,
    "type": checks.one_of(*STEP_TYPES),
    "type_settings": checks.json_object,
}
_AFTER_DELAY: Mapping[str, checks.Check] = {
    "send_type": checks.one_of("after_time_delay"),
    "delay_time": checks.integer(least=0, most=DELAY_MINUTES_MOST),
    "allow_send_on_weekends": checks.boolean,
}
_AT_TIME: Mapping[str, checks.Check] = {
    "send_type": checks.one_of("at_time"),
    "time_of_day": checks.pattern(r"([01]\d|2[0-3]):[0-5]\d", "of the form HH:MM"),
    "timezone_mode": checks.one_of("person", "user"),
    "allow_send_on_weekends": checks.boolean,
}
_TEMPLATE: Mapping[str, checks.Check] = {
    "title": checks.text(),
    "subject": checks.text(),
    "body": checks.text(),
    "open_tracking": checks.boolean,
    "click_tracking": checks.boolean,
    "attachments": checks.list_of(checks.anything),
}
_INSTRUCTIONS: Mapping[str, checks.Check] = {"instructions": checks.text()}
_INTEGRATION: Mapping[str, checks.Check] = {
    "instructions": checks.text(),
    "integration_id": checks.integer(),
    "integration_step_type_guid": checks.filled_text,
}
_EMAIL: Mapping[str, checks.Check] = {
    "email_template": checks.json_object,
    "previous_email_step_group_reference_id": checks.integer(),
}

Failure = tuple[str, str]


def read_import(request: Request) -> dict[str, Any]:
    """Reads the body of an import.

    Raises:
        RefusedError: 415, 400, or all that is wrong with the members in one 422.
    """
    if request.content_type != "application/json":
        raise refused(415, "Content-Type must be application/json")
    try:
        body = request.json()
    except (ValueError, RecursionError) as problem:
        raise refused(400, "The request body is not valid JSON") from problem
    errors: dict[str, list[str]] = {}
    for path, failure in _failures(body):
        errors.setdefault(path, []).append(failure)
    if errors:
        raise invalid(errors)
    assert isinstance(body, dict)
    return body


def _failures(body: Any) -> Iterator[Failure]:
    """Yields (path of the member, what is wrong with it)."""
    if not isinstance(body, dict):
        yield "cadence_content", "is required"
        return
    members = {"cadence_content": checks.json_object}
    yield from checks.violations(body, members, members, "is an invalid field")
    content = body.get("cadence_content")
    if not isinstance(content, dict):
        return
    known = {"cadence_id": checks.integer(least=1), "step_groups": checks.filled_list}
    yield from _under("cadence_content", checks.violations(content, known, known))
    groups = content.get("step_groups")
    if isinstance(groups, list):
        earlier: set[int] = set()
        for index, group in enumerate(groups):
            yield from _under(
                f"cadence_content.step_groups[{index}]", _group_failures(group, earlier)
            )


def _under(place: str, found: Iterator[Failure]) -> Iterator[Failure]:
    for key, problem in found:
        yield f"{place}.{key}", problem


def _group_failures(group: Any, earlier: set[int]) -> Iterator[Failure]:
    """`earlier` holds the reference ids of the groups before; this one's is added."""
    if not isinstance(group, dict):
        yield "day", "is required"
        return
    yield from checks.violations(group, _GROUP, ("day", "automated", "due_immediately", "steps"))
    steps = group.get("steps")
    steps = steps if isinstance(steps, list) else []
    types = {str(step.get("type")) for step in steps if isinstance(step, dict)}
    yield from _automation_failures(group, types)
    for index, step in enumerate(steps):
        yield from _under(f"steps[{index}]", _step_failures(step, earlier))
    reference_id = group.get("reference_id")
    if "Email" in types and reference_id is None:
        yield "reference_id", "is required"
    if isinstance(reference_id, int):
        if reference_id in earlier:
            yield "reference_id", "has already been taken"
        earlier.add(reference_id)


def _automation_failures(group: dict[str, Any], types: set[str]) -> Iterator[Failure]:
    settings = group.get("automated_settings")
    if group.get("automated") is not True:
        if "automated_settings" in group:
            yield "automated_settings", "is only allowed when automated is true"
        return
    if types - {"Email"}:
        yield "automated", "can only be true when all steps are of type Email"
    if settings is None:
        yield "automated_settings", "is required"
    elif isinstance(settings, dict):
        yield from _under("automated_settings", _settings_failures(settings))


def _settings_failures(settings: dict[str, Any]) -> Iterator[Failure]:
    match settings.get("send_type"):
        case "after_time_delay":
            yield from checks.violations(settings, _AFTER_DELAY, ("delay_time",))
        case "at_time":
            yield from checks.violations(settings, _AT_TIME, ("time_of_day", "timezone_mode"))
        case _:
            yield "send_type", "must be one of after_time_delay, at_time"


def _step_failures(step: Any, earlier: set[int]) -> Iterator[Failure]:
    if not isinstance(step, dict):
        yield "type", "is required"
        return
    yield from checks.violations(step, _STEP, _STEP)
    settings = step.get("type_settings")
    if not isinstance(settings, dict):
        return
    match step.get("type"):
        case "Email":
            found = _email_failures(settings, earlier)
        case "Integration":
            found = checks.violations(settings, _INTEGRATION, _INTEGRATION)
        case "Phone" | "Other":
            found = checks.violations(settings, _INSTRUCTIONS, _INSTRUCTIONS)
        case _:
            return
    yield from _under("type_settings", found)


def _email_failures(settings: dict[str, Any], earlier: set[int]) -> Iterator[Failure]:
    yield from checks.violations(settings, _EMAIL, ("email_template",))
    template = settings.get("email_template")
    if isinstance(template, dict):
        found = checks.violations(template, _TEMPLATE, ("title", "subject", "body"))
        yield from _under("email_template", found)
    previous = settings.get("previous_email_step_group_reference_id")
    if isinstance(previous, int) and previous not in earlier:
        yield "previous_email_step_group_reference_id", "is not an earlier email step group"
