"""Salesloft API v2: the paths, bodies and answers that adding a step needs.

There is no call that creates a step: `/steps` can only be read [spec]. The one way in is the import
of a cadence's content, and it takes steps only into a cadence that has none [spec, code].

Confidence of each fact is tagged as in docs/providers.md; what is not known is said there too.
"""

from collections.abc import Mapping
from typing import Final

from service.domain.json_value import JsonObject, JsonValue, items, member, text
from service.domain.plan import Target, Write
from service.domain.step import TemplateContent

MEDIA_TYPE: Final = "application/json"

IMPORTS_PATH: Final = "/cadence_imports"
STEPS_PATH: Final = "/steps"

PAGE_SIZE: Final = 100
"""The largest page that there is [spec]."""

PERMISSIONS: Final[Mapping[str, str]] = {
    "cadence_imports": "scope cadences:write",
    "cadences": "scope cadences:read",
    "steps": "scope cadences:read",
    "email_templates": "a scope such as email_templates:read",
    "team_templates": "a scope such as team_templates:read",
}
"""What each resource needs; the exact scopes of templates are not known [unknown]."""

_CLOSED_STATES: Final = frozenset({"archived", "expired", "deleted"})


def cadence_path(cadence_id: str) -> str:
    """`GET`: see `closed_state` for what is read of it [spec]."""
    return f"/cadences/{cadence_id}"


def template_paths(template_id: str) -> tuple[str, str]:
    """`GET`: a personal template and a team template [spec]; their ids are not told apart."""
    return f"/email_templates/{template_id}", f"/team_templates/{template_id}"


def steps_query(cadence_id: str, page: int) -> Mapping[str, str]:
    """One page of a cadence's steps, counted from 1; pages up to 100 cost one point each [doc].

    A filter name that Salesloft does not know would be ignored and list every cadence's [doc].
    """
    return {"cadence_id": cadence_id, "per_page": str(PAGE_SIZE), "page": str(page)}


def has_next_page(answer: JsonObject) -> bool:
    """Whether there is a page after this one: its number is there, or null [spec].

    A page that does not say so is the last one only when it is not full.
    """
    paging = member(answer, "metadata", "paging")
    if isinstance(paging, Mapping) and "next_page" in paging:
        return bool(paging["next_page"])
    return len(items(answer, "data")) >= PAGE_SIZE


def closed_state(cadence: JsonObject) -> str:
    """Return why a cadence takes no steps, such as `archived`; empty for one that does.

    `archived_at` is set when it is archived [spec]; `current_state` may be absent [code].
    """
    state = text(cadence, "data", "current_state").lower()
    if state in _CLOSED_STATES:
        return state
    return "archived" if member(cadence, "data", "archived_at") is not None else ""


def template_content(answer: JsonObject) -> TemplateContent:
    """Return the content of a template, of either kind [spec]; what is missing is empty."""
    data = member(answer, "data")
    return TemplateContent(text(data, "subject"), text(data, "body"), text(data, "title"))


def import_step(cadence_id: str, step_group: JsonObject, cadence_content: JsonObject) -> Write:
    """Return `POST /cadence_imports` → 200 with the cadence's id, and none of a step [spec, code].

    The cadence's id goes out as a number [code].
    """
    content = {**cadence_content, "cadence_id": int(cadence_id), "step_groups": [step_group]}
    body = {"cadence_content": content}
    return Write(Target.STEP, "POST", IMPORTS_PATH, body, yields=("step_id",))


def imported_cadence_id(body: JsonObject | None) -> JsonValue:
    """Return the cadence that the body of an import is for."""
    return member(body, "cadence_content", "cadence_id")


def imported_step_group(body: JsonObject | None) -> JsonValue:
    """Return the one group in the body of an import."""
    return member(body, "cadence_content", "step_groups", 0)
