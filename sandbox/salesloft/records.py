"""Salesloft's cadences, steps and templates as they are kept and as they are shown.

[spec, code] the members; [inferred] `display_name`. [unknown], chosen: `details` of steps other
than email and phone is null.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox.clock import offset_microseconds

if TYPE_CHECKING:
    from sandbox.messages import Hidden

_DETAILS = {"email": "email_details", "phone": "call_instructions"}


@dataclass(slots=True, eq=False)
class Cadence:
    """A cadence; `groups` are in import form, as an export shows them."""

    id: int
    name: str
    archived_at: float | None
    created_at: float
    groups: list[dict[str, Any]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Step:
    """A step that an import made; `settings` are its part of the import."""

    id: int
    cadence: Cadence
    day: int
    number: int
    settings: dict[str, Any]
    details_id: int
    template_id: int | None
    created_at: float
    hidden: Hidden | None = None

    @property
    def type(self) -> str:
        """In lower case here, unlike in the import."""
        return str(self.settings["type"]).lower()

    @property
    def updated_at(self) -> float:
        """Steps do not change."""
        return self.created_at


@dataclass(slots=True, eq=False)
class Template:
    """An email template, personal or of the team."""

    id: int
    title: str
    subject: str
    body: str
    created_at: float
    open_tracking: bool = True
    click_tracking: bool = True


def reference(base_url: str, collection: str, record_id: int) -> dict[str, Any]:
    """How one record names another."""
    return {"id": record_id, "_href": f"{base_url}/v2/{collection}/{record_id}"}


def show_cadence(cadence: Cadence, base_url: str, *, with_state: bool) -> dict[str, Any]:
    """A cadence; `current_state` is seen in one client's copy of the schema only."""
    archived = cadence.archived_at is not None
    shown: dict[str, Any] = {
        "id": cadence.id,
        "name": cadence.name,
        "archived_at": offset_microseconds(cadence.archived_at) if cadence.archived_at else None,
        "draft": False,
        "team_cadence": False,
        "shared": False,
        "owner": reference(base_url, "users", 12),
        "created_at": offset_microseconds(cadence.created_at),
        "updated_at": offset_microseconds(cadence.created_at),
    }
    if with_state:
        shown["current_state"] = "archived" if archived else "active"
    return shown


def show_step(step: Step, base_url: str) -> dict[str, Any]:
    """A step."""
    details = _DETAILS.get(step.type)
    return {
        "id": step.id,
        "name": step.settings["name"],
        "display_name": f"Day {step.day}: Step {step.number} - {step.type.title()}",
        "type": step.type,
        "day": step.day,
        "step_number": step.number,
        "disabled": not step.settings["enabled"],
        "multitouch_enabled": False,
        "created_at": offset_microseconds(step.created_at),
        "updated_at": offset_microseconds(step.updated_at),
        "cadence": reference(base_url, "cadences", step.cadence.id),
        "details": details
        and {
            "id": step.details_id,
            "_href": f"{base_url}/v2/action_details/{details}/{step.id}",
        },
    }


def show_template(template: Template) -> dict[str, Any]:
    """A template."""
    return {
        "id": template.id,
        "title": template.title,
        "subject": template.subject,
        "body": template.body,
        "open_tracking_enabled": template.open_tracking,
        "click_tracking_enabled": template.click_tracking,
        "created_at": offset_microseconds(template.created_at),
        "updated_at": offset_microseconds(template.created_at),
    }
