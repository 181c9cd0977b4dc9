"""Apollo's sequences, steps, touches and templates as they are kept and as they are shown.

[code] the members, from a live answer; ids of 24 hex digits. [inferred] an id starts with its
creation time in seconds; the rest is fixed here and counts up. [unknown], chosen: which types have
a touch beyond emails and LinkedIn messages: connection requests, and no others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox.clock import utc_milliseconds

if TYPE_CHECKING:
    from sandbox.messages import Hidden

EMAIL_TYPES = ("auto_email", "manual_email")
MESSAGE_TYPES = ("linkedin_step_message", "linkedin_step_connect")

_ID_MIDDLE = "bd9e6900a3"
FIRST_COUNTER = 0x05473F
_COUNTS = ("active", "paused", "finished", "bounced", "spam_blocked", "hard_bounced", "not_sent")


@dataclass(slots=True, eq=False)
class Campaign:
    """A sequence, which is called emailer campaign here."""

    id: str
    name: str
    by_exact_daytime: bool | None
    created_at: str
    steps: list[Step] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Step:
    """A step with the touch and the template that were made with it, all in the API's form."""

    campaign: Campaign
    fields: dict[str, Any]
    touch: dict[str, Any] | None = None
    template: dict[str, Any] | None = None
    hidden: Hidden | None = None


def make_id(now: float, counter: int) -> str:
    """An id made at this time."""
    return f"{int(now):08x}{_ID_MIDDLE}{counter:06x}"


def new_step(step_id: str, given: dict[str, Any]) -> dict[str, Any]:
    """A step as the API shows it, from the members given on create."""
    return {
        "id": step_id,
        "emailer_campaign_id": None,
        "position": None,
        "wait_time": 0,
        "wait_mode": "day",
        "type": None,
        "note": None,
        "max_emails_per_day": None,
        "exact_datetime": None,
        "priority": None,
        "auto_skip_in_x_days": None,
        **given,
        "counts": dict.fromkeys(_COUNTS, 0),
    }


def new_touch(touch_id: str, step: dict[str, Any], template_id: str) -> dict[str, Any]:
    """The touch that comes with a step: to be reviewed, but for LinkedIn."""
    return {
        "id": touch_id,
        "emailer_step_id": step["id"],
        "emailer_template_id": template_id,
        "status": "to_be_reviewed" if step["type"] in EMAIL_TYPES else "approved",
        "type": "new_thread",
        "include_signature": True,
        "has_personalized_opener": None,
    }


def new_template(template_id: str, now: float) -> dict[str, Any]:
    """An empty template."""
    return {
        "id": template_id,
        "name": None,
        "subject": None,
        "body_text": "",
        "body_html": "",
        "archived": False,
        "global": False,
        "creation_type": "manual",
        "label_ids": [],
        "created_at": utc_milliseconds(now),
    }


def show_campaign(campaign: Campaign, step_count: int) -> dict[str, Any]:
    """A sequence without its steps."""
    return {
        "id": campaign.id,
        "name": campaign.name,
        "created_at": campaign.created_at,
        "archived": False,
        "active": False,
        "num_steps": step_count,
        "sequence_by_exact_daytime": campaign.by_exact_daytime,
    }
