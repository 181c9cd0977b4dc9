"""Checks Outreach's request bodies and takes them apart.

[spec] attributes, their types and which are read-only; the type and id that a PATCH body needs.
[doc] 415 without JSON:API's media type. [code] ids in relationships as numbers or numeric strings.
[unknown] what an unknown or a read-only attribute answers, chosen: 422; a clash of type or id,
chosen as JSON:API has it: 409; an id on create, chosen: 422.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox import checks
from sandbox.messages import Request, numeric_id
from sandbox.outreach.errors import MEDIA_TYPE, invalid, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

STEP_TYPES = ("auto_email", "manual_email", "call", "task", "linkedin_send_message")
STEP_COUNTS = tuple(
    f"{what}Count"
    for what in (
        *("deliver", "open", "click", "reply", "bounce", "failure", "optOut", "schedule"),
        *("positiveReply", "neutralReply", "negativeReply"),
    )
)


@dataclass(frozen=True, slots=True)
class Schema:
    """What the body of one kind of resource may hold.

    `parents` are relationships to records that must exist, all required on create; `others` may
    name any record of that type, or null.
    """

    kind: str
    attributes: Mapping[str, checks.Check]
    read_only: frozenset[str]
    required: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A body that passed: attributes as given, relationships as ids (None for null)."""

    attributes: dict[str, Any]
    relationships: dict[str, int | None]

    def target(self, name: str) -> int:
        """The id that a parent's relationship names; 0, which no record has, if it names none."""
        return self.relationships[name] or 0

    def others(self, schema: Schema) -> dict[str, dict[str, Any] | None]:
        """The relationships that may name anything, as they are shown."""
        return {
            name: None if target is None else {"type": name, "id": target}
            for name, target in self.relationships.items()
            if name in schema.others
        }


STEP = Schema(
    kind="sequenceStep",
    attributes={
        "stepType": checks.one_of(*STEP_TYPES),
        "interval": checks.nullable(checks.integer(least=0)),
        "date": checks.nullable(checks.calendar_date),
        "order": checks.integer(least=0),
        "taskNote": checks.nullable(checks.text(longest=65_535)),
        "taskAutoskipDelay": checks.nullable(checks.integer(least=0)),
    },
    read_only=frozenset(("displayName", "createdAt", "updatedAt", *STEP_COUNTS)),
    required=("stepType",),
    parents=("sequence",),
    others=("callPurpose", "taskPriority"),
)
LINK = Schema(
    kind="sequenceTemplate",
    attributes={"isReply": checks.boolean},
    read_only=frozenset(("enabled", "enabledAt", "createdAt", "updatedAt", "deliverCount")),
    parents=("sequenceStep", "template"),
)
TEMPLATE = Schema(
    kind="template",
    attributes={
        "name": checks.nullable(checks.text(longest=225)),
        "subject": checks.nullable(checks.text()),
        "bodyHtml": checks.nullable(checks.text()),
        "toRecipients": checks.list_of(checks.text()),
        "ccRecipients": checks.list_of(checks.text()),
        "bccRecipients": checks.list_of(checks.text()),
        "shareType": checks.one_of("private", "read_only", "shared"),
        "tags": checks.list_of(checks.text()),
        "trackLinks": checks.boolean,
        "trackOpens": checks.boolean,
        "archived": checks.boolean,
    },
    read_only=frozenset(("createdAt", "updatedAt")),
)


def read_new(
    request: Request, schema: Schema, exists: Callable[[str, int], bool], unknown_status: int
) -> Document:
    """Reads the body of a create. `exists(kind, id)` knows the records.

    Raises:
        RefusedError: 415, 400, 409, or all that is wrong with the members in one 422;
            `unknown_status` if nothing is wrong but that the sequence does not exist.
    """
    data = _read_data(request, schema)
    if "id" in data:
        raise invalid([("/data/id", "Id must not be given.")])
    document = _read_members(data, schema, required=True)
    missing = [
        (f"/data/relationships/{kind}", f"{_label(kind)} must exist.")
        for kind in schema.parents
        if not exists(kind, document.target(kind))
    ]
    if missing:
        raise invalid(missing, unknown_status if "sequence" in schema.parents else 422)
    return document


def read_change(request: Request, schema: Schema, record_id: int) -> Document:
    """Reads the body of a PATCH to one record; its parents cannot be changed.

    Raises:
        RefusedError: 415, 400, 409, or all that is wrong with the members in one 422.
    """
    data = _read_data(request, schema)
    if _id_of(data.get("id")) != record_id:
        raise invalid([("/data/id", "Id must match the URL.")], 409)
    return _read_members(data, schema, required=False)


def _read_data(request: Request, schema: Schema) -> dict[str, Any]:
    if request.content_type != MEDIA_TYPE:
        raise refused(415, f"Content-Type must be {MEDIA_TYPE}.")
    try:
        document = request.json()
    except (ValueError, RecursionError) as problem:
        raise refused(400, "The request body is not valid JSON.") from problem
    if not isinstance(document, dict) or set(document) != {"data"}:
        raise refused(400, "The document must have data as its only member.")
    data = document["data"]
    if not isinstance(data, dict):
        raise invalid([("/data", "Data must be an object.")], 400)
    unknown = set(data) - {"type", "id", "attributes", "relationships"}
    if unknown:
        raise invalid([(f"/data/{name}", "Unknown member.") for name in sorted(unknown)], 400)
    if data.get("type") != schema.kind:
        raise invalid([("/data/type", f"Type must be {schema.kind}.")], 409)
    return data


def _read_members(data: dict[str, Any], schema: Schema, *, required: bool) -> Document:
    attributes = data.get("attributes", {})
    relationships = data.get("relationships", {})
    if not isinstance(attributes, dict) or not isinstance(relationships, dict):
        raise refused(400, "Attributes and relationships must be objects.")
    violations = [
        *_attribute_violations(attributes, schema, required=required),
        *_relationship_violations(relationships, schema, required=required),
    ]
    if violations:
        raise invalid(violations)
    ids = {name: _target_id(value["data"]) for name, value in relationships.items()}
    return Document(attributes, ids)


def _attribute_violations(
    given: dict[str, Any], schema: Schema, *, required: bool
) -> Iterator[tuple[str, str]]:
    needed = schema.required if required else ()
    for name, problem in checks.violations(given, schema.attributes, needed):
        text = "is read-only" if name in schema.read_only else problem
        yield f"/data/attributes/{name}", f"{_label(name)} {text}."


def _relationship_violations(
    given: dict[str, Any], schema: Schema, *, required: bool
) -> Iterator[tuple[str, str]]:
    allowed = {name: _reference_to(name, nullable=True) for name in schema.others}
    if required:
        allowed |= {name: _reference_to(name, nullable=False) for name in schema.parents}
    for name, problem in checks.violations(
        given, allowed, schema.parents if required else (), "cannot be set"
    ):
        yield f"/data/relationships/{name}", f"{_label(name)} {problem}."


def _reference_to(kind: str, *, nullable: bool) -> checks.Check:
    """A relationship object whose data names a record of this kind by number or numeric string."""

    def check(value: Any) -> str | None:
        if not isinstance(value, dict) or set(value) != {"data"}:
            return "must be an object with data as its only member"
        data = value["data"]
        if data is None:
            return None if nullable else "must exist"
        if not isinstance(data, dict) or set(data) != {"type", "id"}:
            return "must name a type and an id"
        if data["type"] != kind:
            return f"must be of type {kind}"
        return None if _id_of(data["id"]) is not None else "must have a numeric id"

    return check


def _target_id(data: dict[str, Any] | None) -> int | None:
    return None if data is None else _id_of(data["id"])


def _id_of(value: Any) -> int | None:
    """Reads an id as number or numeric string; None for anything else."""
    if isinstance(value, str):
        return numeric_id(value) or None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _label(name: str) -> str:
    """`taskNote` as it stands in a sentence: `Task note`."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)
    return words[0].upper() + words[1:]
