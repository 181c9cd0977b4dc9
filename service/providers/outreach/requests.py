"""Outreach API v2 (JSON:API 1.0): the paths, bodies and answers that adding a step needs.

Confidence of each fact is tagged as in docs/providers.md; what is not known is said there too.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs

from service.domain.json_value import JsonObject, JsonValue, member
from service.domain.plan import Reference, Target, Write
from service.providers.numeric_id import read_id

MEDIA_TYPE = "application/vnd.api+json"
"""Required with a body; another one is answered with 415 [doc]."""

STEPS_PATH = "/sequenceSteps"
LINKS_PATH = "/sequenceTemplates"
TEMPLATES_PATH = "/templates"

NEXT_CHARACTERS_MAX: Final = 4096
"""Of the URL of a next page; a longer one is none."""

_CURSOR: Final = re.compile(r"[!-~]{1,1024}")
"""It goes back in a URL, encoded; its form is Outreach's own business [doc]."""


def sequence_path(sequence_id: str) -> str:
    """`GET`: `attributes.sequenceType` is `interval` or `date` [spec]."""
    return f"/sequences/{sequence_id}"


def template_path(template_id: str) -> str:
    """`GET` and `DELETE` (204) [spec]."""
    return f"{TEMPLATES_PATH}/{template_id}"


def steps_query(sequence_id: str) -> Mapping[str, str]:
    """All steps of a sequence [code]; `count=false` speeds lists up [doc]."""
    return {"filter[sequence][id]": sequence_id, "count": "false"}


def links_query(step_id: str) -> Mapping[str, str]:
    """All links of a step [code]; filtering links by sequence is refused with 400 [code]."""
    return {"filter[sequenceStep][id]": step_id, "count": "false"}


def next_page(answer: JsonObject) -> str | None:
    """Return the cursor of the next page, an empty string on the last one [doc].

    None where there is a next page whose cursor cannot be read. Only the cursor is taken from
    `links.next`: a URL from an answer is never called.
    """
    following = member(answer, "links", "next")
    if following in (None, ""):
        return ""
    if not isinstance(following, str) or len(following) > NEXT_CHARACTERS_MAX:
        return None
    cursor = parse_qs(following.partition("?")[2]).get("page[after]", [""])[0]
    return cursor if _CURSOR.fullmatch(cursor) else None


def create_template(attributes: JsonObject) -> Write:
    """Return `POST /templates` → 201 [spec, code]."""
    body = {"data": {"type": "template", "attributes": attributes}}
    return Write(Target.TEMPLATE, "POST", TEMPLATES_PATH, body, yields=("template_id",))


def create_step(sequence_id: str, attributes: JsonObject) -> Write:
    """Return `POST /sequenceSteps` → 201 with the id in `data.id` [spec, code].

    The relationship's id goes out as a number [spec, code].
    """
    body = {
        "data": {
            "type": "sequenceStep",
            "attributes": attributes,
            "relationships": {"sequence": {"data": {"type": "sequence", "id": int(sequence_id)}}},
        }
    }
    return Write(Target.STEP, "POST", STEPS_PATH, body, yields=("step_id",))


def create_link(template_id: int | Reference, *, is_reply: bool) -> Write:
    """Return `POST /sequenceTemplates` → 201, which links a template to the new step [spec, code].

    Two links would be two variants of the step, so this creates: it is not repeatable.
    """
    body = {
        "data": {
            "type": "sequenceTemplate",
            "attributes": {"isReply": is_reply},
            "relationships": {
                "sequenceStep": {"data": {"type": "sequenceStep", "id": Reference("step_id")}},
                "template": {"data": {"type": "template", "id": template_id}},
            },
        }
    }
    return Write(Target.CONTENT, "POST", LINKS_PATH, body, yields=("link_id",))


def delete_template(template_id: int | str) -> Write:
    """Return `DELETE /templates/{id}` → 204 [spec]."""
    path = template_path(str(template_id))
    return Write(Target.TEMPLATE, "DELETE", path, None, yields=(), repeatable=True)


def resource_id(resource: JsonValue) -> int | None:
    """Return the id of a resource object: a positive JSON number [spec], or its digits."""
    return read_id(member(resource, "id"))


def is_elsewhere(step: JsonValue, sequence_id: int | None) -> bool:
    """Whether a step says that it is of another sequence."""
    return related_id(step, "sequence") not in (None, sequence_id)


def attribute(resource: JsonValue, name: str) -> JsonValue:
    """Return an attribute of a resource object."""
    return member(resource, "attributes", name)


def related_id(resource: JsonValue, name: str) -> int | None:
    """Return the id at the other end of a to-one relationship."""
    return resource_id(member(resource, "relationships", name, "data"))
