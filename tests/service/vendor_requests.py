"""Requests as a vendor sees them: as a test expects them, and as the sandbox's log has them."""

import re
from dataclasses import dataclass
from typing import Any

from tests.service.vendor_account import VendorAccount

PAGING = {"page[size]", "page[after]", "count", "sort", "per_page", "page", "sort_by"}
"""Query parameters that say how a list is read, not what is asked for."""

APOLLO_NEW_IDS = {"05473f": "{step_id}", "054740": "{template_id}", "054741": "{touch_id}"}
"""How the ids end that Apollo's stand-in gives to the first step it makes, with what belongs to it;
they begin with the time."""

_APOLLO_NEW_ID = re.compile(rf"[0-9a-f]{{8}}bd9e6900a3({'|'.join(APOLLO_NEW_IDS)})")
_APOLLO_SEED_TEMPLATE = "65340d43bd9e6900a3054740"


@dataclass(frozen=True)
class Sent:
    """One request: its method, path and query in a line, and its JSON body."""

    line: str
    body: Any = None


@dataclass(frozen=True)
class Traffic:
    """All requests of one call of the service."""

    survey: list[str]
    """The reads before the first write, sorted: they may be made in parallel."""

    then: list[Sent]
    """Everything from the first write on, in order."""


async def traffic(account: VendorAccount) -> Traffic:
    """Return what an account has been asked since it was made."""
    log = await account.requests()
    first_write = next(
        (index for index, request in enumerate(log) if request["method"] != "GET"), len(log)
    )
    return Traffic(
        sorted(_line(request) for request in log[:first_write]),
        [_sent(request) for request in log[first_write:]],
    )


def with_names_for_new_ids(value: Any) -> Any:
    """Put names in the place of ids that Apollo's stand-in made."""
    if isinstance(value, str):
        return _APOLLO_NEW_ID.sub(_name, value)
    if isinstance(value, list):
        return [with_names_for_new_ids(item) for item in value]
    if isinstance(value, dict):
        return {key: with_names_for_new_ids(inner) for key, inner in value.items()}
    return value


def _name(match: re.Match[str]) -> str:
    return match[0] if match[0] == _APOLLO_SEED_TEMPLATE else APOLLO_NEW_IDS[match[1]]


def _sent(request: dict[str, Any]) -> Sent:
    has_secrets = request["path"].endswith("/oauth/token")
    body = None if has_secrets else with_names_for_new_ids(request["body"]) or None
    return Sent(_line(request), body)


def _line(request: dict[str, Any]) -> str:
    query = "&".join(f"{name}={value}" for name, value in request["query"] if name not in PAGING)
    path = with_names_for_new_ids(request["path"])
    return f"{request['method']} {path}{'?' if query else ''}{query}"


# Outreach: JSON:API documents.


def outreach_step(sequence: int = 4711, **attributes: Any) -> Sent:
    """Return the request that makes a step."""
    relationships = {"sequence": {"data": {"type": "sequence", "id": sequence}}}
    return _outreach("sequenceStep", "/sequenceSteps", attributes, relationships)


def outreach_link(*, template: int = 55, is_reply: bool = False, step: int = 90210) -> Sent:
    """Return the request that links a template with a step."""
    relationships = {
        "sequenceStep": {"data": {"type": "sequenceStep", "id": step}},
        "template": {"data": {"type": "template", "id": template}},
    }
    attributes = {"isReply": is_reply}
    return _outreach("sequenceTemplate", "/sequenceTemplates", attributes, relationships)


def _outreach(
    kind: str, path: str, attributes: dict[str, Any], relationships: dict[str, Any]
) -> Sent:
    data = {"type": kind, "attributes": attributes, "relationships": relationships}
    return Sent(f"POST /api/v2{path}", {"data": data})


# Salesloft: imports of one group with one step.


def salesloft_import(step: dict[str, Any], *, day: int = 1, **group: Any) -> Sent:
    """Return the import of one step into cadence 123; without `automated` it is a manual one."""
    groups = [
        {"day": day, "automated": False, "due_immediately": False, "steps": [step], **group},
    ]
    content = {"cadence_id": 123, "step_groups": groups}
    return Sent("POST /v2/cadence_imports", {"cadence_content": content})


def salesloft_email(name: str, content: dict[str, str]) -> dict[str, Any]:
    """Return an e-mail step in import form."""
    return _salesloft_step(name, "Email", {"email_template": content})


def salesloft_task(name: str, kind: str, instructions: str = "") -> dict[str, Any]:
    """Return a step in import form that a person does: `Phone` or `Other`."""
    return _salesloft_step(name, kind, {"instructions": instructions})


def _salesloft_step(name: str, kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {"enabled": True, "name": name, "type": kind, "type_settings": settings}


# Apollo: flat bodies.


def apollo_step(campaign: str = "65334c9c2722cd008bde87c3", **fields: Any) -> Sent:
    """Return the request that makes a step."""
    return Sent("POST /api/v1/emailer_steps", {"emailer_campaign_id": campaign, **fields})


def apollo_touch(kind: str, *, subject: str, body_html: str = "<p>Hi</p>") -> Sent:
    """Return the request that writes the content of the new step."""
    body = {
        "id": "{touch_id}",
        "emailer_step_id": "{step_id}",
        "type": kind,
        "emailer_template": {"id": "{template_id}", "subject": subject, "body_html": body_html},
    }
    return Sent("PUT /api/v1/emailer_touches/{touch_id}", body)
