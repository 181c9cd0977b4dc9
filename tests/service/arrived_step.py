"""What arrived at a vendor: the one new step with all that belongs to it, as flat names and values.

The names are the vendor's own. What the vendor makes up by itself (ids, times, counts) is left out.
"""

import datetime as dt
from typing import Any

from tests.service.vendor_account import VendorAccount

STEP_ATTRIBUTES = ("stepType", "interval", "date", "order", "taskNote", "taskAutoskipDelay")
TEMPLATE_ATTRIBUTES = (
    *("name", "subject", "bodyHtml"),
    *("toRecipients", "ccRecipients", "bccRecipients", "trackLinks"),
)
APOLLO_STEP_FIELDS = ("type", "position", "wait_time", "wait_mode", "note", "priority")


async def arrived(account: VendorAccount, step_id: str) -> dict[str, Any]:
    """Return what an account has of a step that the service made."""
    readers = {"outreach": _at_outreach, "salesloft": _at_salesloft, "apollo": _at_apollo}
    return readers[account.vendor](await account.state(), step_id)


def _at_outreach(state: dict[str, Any], step_id: str) -> dict[str, Any]:
    attributes = _with_id(state["steps"], step_id)["attributes"]
    result = {name: attributes[name] for name in STEP_ATTRIBUTES}
    links = [
        link
        for link in state["links"]
        if str(link["relationships"]["sequenceStep"]["data"]["id"]) == step_id
    ]
    assert len(links) <= 1
    for link in links:
        template_id = link["relationships"]["template"]["data"]["id"]
        content = _with_id(state["templates"], str(template_id))["attributes"]
        result |= {"isReply": link["attributes"]["isReply"], "template": template_id}
        result |= {name: content[name] for name in TEMPLATE_ATTRIBUTES}
    return result


def _at_salesloft(state: dict[str, Any], step_id: str) -> dict[str, Any]:
    cadence_id = _with_id(state["steps"], step_id)["cadence"]["id"]
    [group] = _with_id(state["sequences"], str(cadence_id))["step_groups"]
    [step] = group["steps"]
    settings: dict[str, Any] = step["type_settings"]
    result: dict[str, Any] = {name: value for name, value in group.items() if name != "steps"}
    result |= {name: value for name, value in step.items() if name != "type_settings"}
    content: dict[str, Any] = settings.get("email_template", settings)
    return result | content


def _at_apollo(state: dict[str, Any], step_id: str) -> dict[str, Any]:
    step = _with_id(state["steps"], step_id)
    result = {name: step[name] for name in APOLLO_STEP_FIELDS}
    result["exact_datetime"] = _in_utc(step["exact_datetime"])
    touches = [touch for touch in state["touches"] if touch["emailer_step_id"] == step_id]
    assert len(touches) <= 1
    for touch in touches:
        content = _with_id(state["templates"], touch["emailer_template_id"])
        result |= {"touch_type": touch["type"]}
        result |= {name: content[name] for name in ("name", "subject", "body_html")}
    return result


def _with_id(records: list[dict[str, Any]], record_id: str) -> dict[str, Any]:
    [found] = [record for record in records if str(record["id"]) == record_id]
    return found


def _in_utc(moment: str | None) -> str | None:
    """Write a moment in one way, since ISO 8601 has many."""
    if moment is None:
        return None
    return dt.datetime.fromisoformat(moment).astimezone(dt.UTC).isoformat()
