"""Outreach's resources as they are kept and as they are shown.

[spec] names of attributes and relationships; [inferred] the exact `displayName` and `links`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox.clock import utc_milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.messages import Hidden

COLLECTIONS = {
    "sequence": "sequences",
    "sequenceStep": "sequenceSteps",
    "sequenceTemplate": "sequenceTemplates",
    "template": "templates",
}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "sequence": {
        "name": None,
        "sequenceType": "interval",
        "scheduleIntervalType": "calendar",
        "locked": False,
        "enabled": True,
        "sequenceStepCount": 0,
    },
    "sequenceStep": {
        "stepType": None,
        "interval": None,
        "order": None,
        "date": None,
        "taskNote": None,
        "taskAutoskipDelay": None,
    },
    "sequenceTemplate": {"isReply": False, "enabled": True, "enabledAt": None, "deliverCount": 0},
    "template": {
        "name": None,
        "subject": None,
        "bodyHtml": None,
        "toRecipients": [],
        "ccRecipients": [],
        "bccRecipients": [],
        "shareType": "private",
        "tags": [],
        "trackLinks": True,
        "trackOpens": True,
        "archived": False,
    },
}
_STEP_TYPE_NAMES = {
    "auto_email": "Auto Email",
    "manual_email": "Manual Email",
    "call": "Call",
    "task": "Task",
    "linkedin_send_message": "LinkedIn Send Message",
}


@dataclass(slots=True, eq=False)
class Record:
    """One resource. `relationships` are to-one: another record, an identifier, or null.

    `children` are the steps of a sequence and the links of a step.
    """

    kind: str
    id: int
    attributes: dict[str, Any]
    relationships: dict[str, Record | dict[str, Any] | None] = field(default_factory=dict)
    children: list[Record] = field(default_factory=list)
    hidden: Hidden | None = None

    @property
    def identifier(self) -> dict[str, Any]:
        """What other resources name it by."""
        return {"type": self.kind, "id": self.id}

    @property
    def parent(self) -> Record | None:
        """The record that it is a child of."""
        parent_name = {"sequenceStep": "sequence", "sequenceTemplate": "sequenceStep"}
        target = self.relationships.get(parent_name.get(self.kind, ""))
        return target if isinstance(target, Record) else None


def new_record(kind: str, record_id: int, given: dict[str, Any], now: float) -> Record:
    """A record made now; attributes that are not given have their defaults."""
    made_at = utc_milliseconds(now)
    times = {"createdAt": made_at, "updatedAt": made_at}
    return Record(kind, record_id, _DEFAULTS[kind] | given | times)


def render(record: Record, base_url: str, sees: Callable[[Record], bool]) -> dict[str, Any]:
    """Shows a record as a JSON:API resource, without the children that the reader does not see."""
    relationships: dict[str, Any] = {}
    for name, target in record.relationships.items():
        data = target.identifier if isinstance(target, Record) else target
        relationships[name] = {"data": data}
    if record.kind == "sequenceStep":
        links = [link.identifier for link in record.children if sees(link)]
        relationships["sequenceTemplates"] = {"data": links}
    return {
        "type": record.kind,
        "id": record.id,
        "attributes": record.attributes,
        "relationships": relationships,
        "links": {"self": f"{base_url}/api/v2/{COLLECTIONS[record.kind]}/{record.id}"},
    }


def display_name(step: dict[str, Any]) -> str:
    """What the vendor calls a step: `Step #3 (Auto Email)`."""
    return f"Step #{step['order']} ({_STEP_TYPE_NAMES[step['stepType']]})"
