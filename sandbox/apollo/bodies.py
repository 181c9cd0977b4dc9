"""Checks Apollo's request bodies; the first problem found is the answer, as one string.

[code] members of a step and of a touch; nested templates and touches in a new step are ignored;
a touch update without content answers 422 `undefined method '[]' for nil`. [unknown], chosen: an
unknown member is 422; an ill-formed id is 422; `second` with a wait above 0 is 422; wait_time and
wait_mode are always required (the documented sibling endpoint does require them); a date without
a time is no `exact_datetime`; `emailer_template_id` and `status` of a touch update have no effect.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sandbox import checks
from sandbox.apollo.errors import refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.messages import Request

STEP_TYPES = (
    "auto_email",
    "manual_email",
    "call",
    "action_item",
    "linkedin_step_message",
    "linkedin_step_connect",
    "linkedin_step_view_profile",
    "linkedin_step_interact_post",
)
NO_CONTENT = "undefined method '[]' for nil"

_ID = checks.pattern(r"[0-9a-f]{24}", "a valid ID")
_SCRIPT = re.compile(r"<script\b.*?</script\s*>", re.IGNORECASE | re.DOTALL)


def parse_moment(text: str) -> datetime:
    """Reads an ISO 8601 date with time and zone.

    Raises:
        ValueError: it is something else.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment


def _moment(value: Any) -> str | None:
    try:
        parse_moment(value)
    except (TypeError, ValueError):
        return "must be an ISO 8601 date and time with its zone"
    return None


_STEP: Mapping[str, checks.Check] = {
    "emailer_campaign_id": _ID,
    "type": checks.one_of(*STEP_TYPES),
    "position": checks.integer(least=1),
    "wait_time": checks.integer(least=0),
    "wait_mode": checks.one_of("second", "minute", "hour", "day"),
    "exact_datetime": checks.nullable(_moment),
    "note": checks.nullable(checks.text()),
    "priority": checks.nullable(checks.one_of("high", "medium", "normal", "low", "A", "B")),
    "auto_skip_in_x_days": checks.nullable(checks.integer(least=0)),
    "max_emails_per_day": checks.nullable(checks.integer(least=0)),
    "emailer_touch": checks.anything,
    "emailer_template": checks.anything,
    "emailer_touches": checks.anything,
    "emailer_templates": checks.anything,
}
_IGNORED = ("emailer_touch", "emailer_template", "emailer_touches", "emailer_templates")
_TOUCH: Mapping[str, checks.Check] = {
    "id": _ID,
    "emailer_step_id": _ID,
    "type": checks.one_of("new_thread", "reply_to_thread"),
    "emailer_template": checks.json_object,
    "emailer_template_id": _ID,
    "status": checks.anything,
    "include_signature": checks.boolean,
}
_TOUCH_TEMPLATE: Mapping[str, checks.Check] = {
    "id": _ID,
    "subject": checks.text(),
    "body_html": checks.text(),
    "creation_type": checks.one_of("manual"),
}
_TEMPLATE: Mapping[str, checks.Check] = {
    "id": _ID,
    "name": checks.nullable(checks.text()),
    "subject": checks.text(),
    "body_html": checks.text(),
}
_SEARCH: Mapping[str, checks.Check] = {
    "q_name": checks.text(),
    "page": checks.integer(least=1),
    "per_page": checks.integer(least=1, most=100),
}


def read_step(request: Request) -> dict[str, Any]:
    """Reads a new step, without what the vendor ignores.

    Raises:
        RefusedError: 400 or 422.
    """
    required = ("emailer_campaign_id", "type", "wait_time", "wait_mode")
    body = _read(request, _STEP, required)
    if body["wait_mode"] == "second" and body["wait_time"] > 0:
        raise refused(422, "wait_mode second is not supported")
    return {key: value for key, value in body.items() if key not in _IGNORED}


def read_touch(request: Request, touch: Mapping[str, Any]) -> dict[str, Any]:
    """Reads the full update of a touch; its content comes back cleaned, as `emailer_template`.

    Raises:
        RefusedError: 400 or 422; ids that are not the touch's own are 422.
    """
    body = _read(request, _TOUCH, ())
    content = body.get("emailer_template") or {}
    if "subject" not in content or "body_html" not in content:
        raise refused(422, NO_CONTENT)
    _hold(content, _TOUCH_TEMPLATE, ())
    for given, own in (
        (body.get("id"), touch["id"]),
        (body.get("emailer_step_id"), touch["emailer_step_id"]),
        (content.get("id"), touch["emailer_template_id"]),
    ):
        if given not in (None, own):
            raise refused(422, f"{given} does not belong to this touch")
    return body | {"emailer_template": content | {"body_html": clean_html(content["body_html"])}}


def read_template(request: Request, template_id: str) -> dict[str, Any]:
    """Reads the update of a template.

    Raises:
        RefusedError: 400 or 422.
    """
    body = _read(request, _TEMPLATE, ())
    if body.pop("id", template_id) != template_id:
        raise refused(422, "id does not match the URL")
    if "body_html" in body:
        body["body_html"] = clean_html(body["body_html"])
    return body


def read_search(request: Request) -> dict[str, Any]:
    """Reads a search; an empty body finds everything.

    Raises:
        RefusedError: 400 or 422.
    """
    return _read(request, _SEARCH, ()) if request.body else {}


def clean_html(html: str) -> str:
    """The vendor sanitises bodies [spec of a sibling endpoint]; here scripts are taken out."""
    return _SCRIPT.sub("", html)


def _read(
    request: Request, known: Mapping[str, checks.Check], required: tuple[str, ...]
) -> dict[str, Any]:
    if request.content_type != "application/json":
        raise refused(400, "Content-Type must be application/json", "INVALID_CONTENT_TYPE")
    try:
        body = request.json()
    except (ValueError, RecursionError) as problem:
        raise refused(400, "The request body is not valid JSON", "INVALID_JSON") from problem
    if not isinstance(body, dict):
        raise refused(400, "The request body must be an object", "INVALID_JSON")
    _hold(body, known, required)
    return body


def _hold(
    given: dict[str, Any], known: Mapping[str, checks.Check], required: tuple[str, ...]
) -> None:
    for key, problem in checks.violations(given, known, required, "is not permitted"):
        raise refused(422, f"{key} {problem}")
