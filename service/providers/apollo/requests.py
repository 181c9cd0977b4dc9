"""Apollo API v1: the paths, bodies and answers that adding a step needs.

Steps and touches are written through endpoints that Apollo's own app uses and does not document;
several public clients use them too [code]. Words: a *campaign* is a sequence, a *touch* is the
message of a step, and each touch has a template of its own.
"""

import re
from typing import TypeGuard

from service.domain.json_value import JsonObject, JsonValue, items, member, text
from service.domain.plan import Reference, Target, Write

MEDIA_TYPE = "application/json"

STEPS_PATH = "/emailer_steps"
SEQUENCE_ID_KEY = "emailer_campaign_id"

_ID = re.compile(r"[0-9a-f]{24}")


def is_id(value: JsonValue) -> TypeGuard[str]:
    """Whether it is an id as Apollo writes it: 24 lower-case hexadecimal digits [code].

    Upper case would be a second name for one sequence, and so a second lock on it.
    """
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def campaign_path(sequence_id: str) -> str:
    """`GET`: the campaign with all its steps, touches and templates in one answer [code]."""
    return f"/emailer_campaigns/{sequence_id}"


def template_path(template_id: str) -> str:
    """`GET`: `emailer_template` with `subject` and `body_html` [code, one source]."""
    return f"/emailer_templates/{template_id}"


def create_step(body: JsonObject, *, with_message: bool) -> Write:
    """Return `POST /emailer_steps` → 200 with the new step and, for messages, its touch [code].

    With a message to write, the touch must be known; and the sequence, which is where the step is
    looked for after an undo, since no read of a single step is known.
    """
    yields = ("step_id", "sequence_id", "touch_id", "touch_template_id")
    return Write(Target.STEP, "POST", STEPS_PATH, body, yields if with_message else ("step_id",))


def write_message(subject: str, body_html: str, *, is_reply: bool) -> Write:
    """Return `PUT /emailer_touches/{id}` → 200: the message, in the step's own template [code].

    The template must come with its content, else 422 [code, one source]. Its id means "use *and
    change* this template" [spec of a sister endpoint], so it is only ever the step's own.
    """
    body = {
        "id": Reference("touch_id"),
        "emailer_step_id": Reference("step_id"),
        "type": "reply_to_thread" if is_reply else "new_thread",
        "emailer_template": {
            "id": Reference("touch_template_id"),
            "subject": subject,
            "body_html": body_html,
        },
    }
    path = "/emailer_touches/{touch_id}"
    return Write(Target.CONTENT, "PUT", path, body, yields=(), repeatable=True)


def delete_step(step_id: int | str) -> Write:
    """Return `DELETE /emailer_steps/{id}` → 200 [code]."""
    path = f"{STEPS_PATH}/{step_id}"
    return Write(Target.STEP, "DELETE", path, None, yields=(), repeatable=True)


def is_elsewhere(step: JsonValue, sequence_id: str) -> bool:
    """Whether a step says that it is of another sequence."""
    return member(step, SEQUENCE_ID_KEY) not in (None, sequence_id)


def created_ids(
    sequence_id: str, step: JsonValue, touch: JsonValue, template: JsonValue = None
) -> dict[str, str]:
    """Return the ids of a step and its touch, as far as they are there; none without the step's.

    A touch of another step is left out: what is written to it would change that one's message.
    """
    if is_elsewhere(step, sequence_id):
        return {}
    if text(touch, "emailer_step_id") not in ("", member(step, "id")):
        touch = template = None
    found = {
        "step_id": member(step, "id"),
        "sequence_id": sequence_id,
        "touch_id": member(touch, "id"),
        "touch_template_id": member(touch, "emailer_template_id") or member(template, "id"),
    }
    if not is_id(found["step_id"]):
        return {}
    return {name: value for name, value in found.items() if is_id(value)}


def steps_by_id(campaign: JsonObject | None) -> dict[str, JsonValue] | None:
    """Return the steps of a campaign that was read; None when they are not all readable.

    A list that is missing is an empty one only in a campaign that counts no steps [code: nullable].
    """
    listed = member(campaign, "emailer_steps")
    num_steps = member(campaign, "emailer_campaign", "num_steps")
    if listed is None and num_steps == 0 and not isinstance(num_steps, bool):
        return {}
    if not isinstance(listed, list):
        return None
    steps = {step_id: step for step in listed if is_id(step_id := member(step, "id"))}
    return steps if len(steps) == len(listed) else None


def touches_of(campaign: JsonObject | None, step_id: str) -> list[JsonValue]:
    """Return the touches of one step."""
    touches = items(campaign, "emailer_touches")
    return [touch for touch in touches if text(touch, "emailer_step_id") == step_id]


def template_of(campaign: JsonObject | None, touch: JsonValue) -> JsonValue:
    """Return a touch's template, or None when the campaign does not list it."""
    template_id = member(touch, "emailer_template_id")
    templates = items(campaign, "emailer_templates")
    return next((each for each in templates if member(each, "id") == template_id), None)
