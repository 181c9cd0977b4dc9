"""The HTTP calls that a step takes at each provider, as the service makes them, and nothing else.

The references in Python share them: what tells those apart is what carries a call, and what commits
between the calls. Nothing is checked, and an answer is read for what the next call needs alone: one
that has it not makes the request fail.
`python -m bench.references.same_calls` shows that the service sends the same.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeAlias

from engagement.v1 import sequence_step_pb2 as step_pb2
from engagement.v1 import sequence_step_service_pb2 as service_pb2

TOKEN = "token"  # noqa: S105 - the stand-in of the vendors takes any

_JSON_API = "application/vnd.api+json"
_JSON = "application/json"

HEADERS: Mapping[str, Mapping[str, str]] = {
    "outreach": {
        "authorization": f"Bearer {TOKEN}",
        "accept": _JSON_API,
        "content-type": _JSON_API,
    },
    "salesloft": {"authorization": f"Bearer {TOKEN}", "accept": _JSON, "content-type": _JSON},
    "apollo": {
        "authorization": f"Bearer {TOKEN}",
        "accept": _JSON,
        "content-type": _JSON,
        "cache-control": "no-cache",
    },
}

DAY_SECONDS = 86_400

_OUTREACH_TYPES = {step_pb2.STEP_TYPE_CALL: "call", step_pb2.STEP_TYPE_AUTO_EMAIL: "auto_email"}
_SALESLOFT_TYPES = {step_pb2.STEP_TYPE_CALL: "Phone", step_pb2.STEP_TYPE_AUTO_EMAIL: "Email"}
_APOLLO_TYPES = _OUTREACH_TYPES

Request: TypeAlias = service_pb2.CreateSequenceStepRequest
Commit: TypeAlias = Callable[[], Awaitable[None]]


class Call(Protocol):
    """Sends one request to the provider, and returns its answer's JSON."""

    async def __call__(self, method: str, path: str, body: object = None) -> Any:
        """Send it."""


async def outreach(request: Request, call: Call, commit: Commit) -> str:
    """Make a step, and link its template; commit before each write."""
    step, template_id = request.step, request.step.template.id
    paths = [
        f"/sequences/{request.sequence_id}",
        f"/sequenceSteps?filter%5Bsequence%5D%5Bid%5D={request.sequence_id}&count=false",
    ]
    if template_id:
        paths.append(f"/templates/{template_id}")
    _, steps, *_ = await asyncio.gather(*(call("GET", path) for path in paths))
    attributes: dict[str, object] = {
        "stepType": _OUTREACH_TYPES[step.type],
        "order": len(steps["data"]) + 1,
        "interval": step.interval_seconds,
    }
    if step.task_note:
        attributes["taskNote"] = step.task_note
    sequence = {"type": "sequence", "id": int(request.sequence_id)}
    relationships: dict[str, object] = {"sequence": {"data": sequence}}
    await commit()
    made = await call(
        "POST", "/sequenceSteps", _resource("sequenceStep", attributes, relationships)
    )
    step_id = made["data"]["id"]
    if template_id:
        relationships = {
            "sequenceStep": {"data": {"type": "sequenceStep", "id": step_id}},
            "template": {"data": {"type": "template", "id": int(template_id)}},
        }
        await commit()
        await call(
            "POST",
            "/sequenceTemplates",
            _resource("sequenceTemplate", {"isReply": False}, relationships),
        )
    return str(step_id)


async def salesloft(request: Request, call: Call, commit: Commit) -> str:
    """Import a cadence of one step, with a copy of the template, and read the step's id."""
    step, template_id = request.step, request.step.template.id
    steps_path = f"/steps?cadence_id={request.sequence_id}&per_page=100&page=1"
    paths = [f"/cadences/{request.sequence_id}", steps_path]
    if template_id:
        paths += [f"/email_templates/{template_id}", f"/team_templates/{template_id}"]
    _, _, *answers = await asyncio.gather(*(call("GET", path) for path in paths))
    templates = [
        answer for answer in answers if "data" in answer
    ]  # It is of one kind or the other.
    group: dict[str, object] = {"due_immediately": False}
    name: str = "Call"
    settings: dict[str, object] = {"instructions": step.task_note}
    if templates:
        content = templates[0]["data"]
        name = content["title"]
        settings = {"email_template": {key: content[key] for key in ("title", "subject", "body")}}
        group |= {
            "reference_id": 1,
            "automated_settings": {"send_type": "after_time_delay", "delay_time": 0},
        }
    group |= {
        "day": 1 + step.interval_seconds // DAY_SECONDS,
        "automated": bool(templates),
        "steps": [
            {
                "enabled": True,
                "name": name,
                "type": _SALESLOFT_TYPES[step.type],
                "type_settings": settings,
            }
        ],
    }
    content = {"cadence_id": int(request.sequence_id), "step_groups": [group]}
    await commit()
    await call("POST", "/cadence_imports", {"cadence_content": content})
    steps = await call("GET", steps_path)
    return str(steps["data"][-1]["id"])


async def apollo(request: Request, call: Call, commit: Commit) -> str:
    """Make a step, and write a copy of the template as its message; commit before each write."""
    step, template_id = request.step, request.step.template.id
    paths = [f"/emailer_campaigns/{request.sequence_id}"]
    if template_id:
        paths.append(f"/emailer_templates/{template_id}")
    campaign, *templates = await asyncio.gather(*(call("GET", path) for path in paths))
    body = {
        "emailer_campaign_id": request.sequence_id,
        "type": _APOLLO_TYPES[step.type],
        "position": len(campaign["emailer_steps"]) + 1,
        "wait_time": step.interval_seconds // DAY_SECONDS,
        "wait_mode": "day",
    }
    if step.task_note:
        body["note"] = step.task_note
    await commit()
    made = await call("POST", "/emailer_steps", body)
    step_id = made["emailer_step"]["id"]
    if templates:
        content, touch = templates[0]["emailer_template"], made["emailer_touch"]
        message = {
            "id": touch["id"],
            "emailer_step_id": step_id,
            "type": "new_thread",
            "emailer_template": {
                "id": touch["emailer_template_id"],
                "subject": content["subject"],
                "body_html": content["body_html"],
            },
        }
        await commit()
        await call("PUT", f"/emailer_touches/{touch['id']}", message)
    return str(step_id)


MAKE: Mapping[str, Callable[[Request, Call, Commit], Awaitable[str]]] = {
    "outreach": outreach,
    "salesloft": salesloft,
    "apollo": apollo,
}
"""What makes a step, by the provider's name."""


def _resource(type_: str, attributes: object, relationships: object) -> dict[str, object]:
    """Return a resource as JSON:API wraps it."""
    return {"data": {"type": type_, "attributes": attributes, "relationships": relationships}}
