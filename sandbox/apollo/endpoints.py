"""What each of Apollo's endpoints does to an account.

[code] the private endpoints for steps and touches, the read of a sequence, delete; [doc] approval
of a touch needs a body; [spec] the search of sequences. [unknown], chosen: a position that leaves a
gap is kept, a deleted step leaves a gap, no position is the last + 1; on an exact-time sequence a
step needs an `exact_datetime`, in the future and after the earlier steps (the documented sibling
endpoint demands it); on a waiting-time one it is kept and means nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sandbox.apollo import bodies
from sandbox.apollo.errors import refused
from sandbox.apollo.records import EMAIL_TYPES, show_campaign
from sandbox.messages import Answer, Request, json_answer
from sandbox.routes import Routes

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.apollo.account import ApolloAccount
    from sandbox.apollo.records import Campaign, Step

PER_PAGE_DEFAULT = 25


def create_step(account: ApolloAccount, request: Request) -> Answer:
    """POST /emailer_steps."""
    body = bodies.read_step(request)
    campaign = account.campaigns.get(body["emailer_campaign_id"])
    if campaign is None:
        raise refused(account.options.unknown_sequence_status, "Sequence not found")
    taken = {step.fields["position"] for step in campaign.steps}
    body.setdefault("position", max(taken, default=0) + 1)
    is_taken = body["position"] in taken
    if is_taken and account.options.taken_position == "refuse":
        raise refused(422, f"Position {body['position']} has already been taken.")
    if campaign.by_exact_daytime:
        _hold_moment(campaign, body, account.clock())
    if is_taken:
        _make_room(campaign, body["position"])
    step = account.add_step(campaign, body)
    step.hidden = request.hidden
    answer: dict[str, Any] = {"emailer_step": step.fields}
    if account.options.create_answer == "full":
        answer |= {"emailer_touch": step.touch, "emailer_template": step.template}
    return json_answer(200, answer)


def _make_room(campaign: Campaign, position: int) -> None:
    for step in campaign.steps:
        if step.fields["position"] >= position:
            step.fields["position"] += 1


def _hold_moment(campaign: Campaign, body: dict[str, Any], now: float) -> None:
    """Refuses a step of an exact-time sequence that has no moment, or a wrong one."""
    if body.get("exact_datetime") is None:
        raise refused(422, "exact_datetime is required for this sequence")
    moment = bodies.parse_moment(body["exact_datetime"])
    if moment <= datetime.fromtimestamp(now, UTC):
        raise refused(422, "exact_datetime must be in the future")
    for step in campaign.steps:
        is_earlier = step.fields["position"] < body["position"]
        if is_earlier and moment <= bodies.parse_moment(step.fields["exact_datetime"]):
            raise refused(422, "exact_datetime must be after all earlier steps")


def delete_step(account: ApolloAccount, _request: Request, step_id: str) -> Answer:
    """DELETE /emailer_steps/{id}."""
    if not account.delete_step(step_id):
        raise refused(404, "Step not found")
    return json_answer(200, {"emailer_step": {"id": step_id, "deleted": True}})


def get_campaign(account: ApolloAccount, request: Request, campaign_id: str) -> Answer:
    """GET /emailer_campaigns/{id}: the one read that has everything."""
    campaign = account.campaigns.get(campaign_id)
    if campaign is None:
        raise refused(404, "Sequence not found")
    steps = [step for step in campaign.steps if account.sees(request, step)]
    steps.sort(key=lambda step: int(step.fields["position"]))
    answer = {
        "emailer_campaign": show_campaign(campaign, len(steps)),
        "emailer_steps": [step.fields for step in steps],
        "emailer_touches": [step.touch for step in steps if step.touch is not None],
        "emailer_templates": [step.template for step in steps if step.template is not None],
    }
    return json_answer(200, answer)


def search_campaigns(account: ApolloAccount, request: Request) -> Answer:
    """POST /emailer_campaigns/search."""
    campaigns = [show_campaign(item, len(item.steps)) for item in account.campaigns.values()]
    return _search(request, "emailer_campaigns", campaigns)


def update_touch(account: ApolloAccount, request: Request, touch_id: str) -> Answer:
    """PUT /emailer_touches/{id}."""
    step, touch, template = _touch(account, touch_id)
    body = bodies.read_touch(request, touch)
    kind = body.get("type", touch["type"])
    is_reply = kind == "reply_to_thread"
    if is_reply and account.options.reply_needs_thread and not _has_thread_before(step):
        raise refused(422, "A reply needs an earlier step that starts a thread.")
    touch["type"] = kind
    touch["include_signature"] = body.get("include_signature", touch["include_signature"])
    if account.options.put_approves:
        touch["status"] = "approved"
    content = {key: body["emailer_template"][key] for key in ("subject", "body_html")}
    template.update(content)
    shown = touch | {"emailer_template": {"id": template["id"], **content}}
    return json_answer(200, {"emailer_touch": shown})


def _has_thread_before(step: Step) -> bool:
    return any(
        other.fields["position"] < step.fields["position"]
        and other.fields["type"] in EMAIL_TYPES
        and other.touch is not None
        and other.touch["type"] == "new_thread"
        for other in step.campaign.steps
    )


def approve_touch(account: ApolloAccount, _request: Request, touch_id: str) -> Answer:
    """POST /emailer_touches/{id}/approve."""
    _, touch, template = _touch(account, touch_id)
    if not template["body_html"]:
        raise refused(422, "A template with an empty body cannot be approved.")
    touch["status"] = "approved"
    return json_answer(200, {"emailer_touch": touch})


def get_template(account: ApolloAccount, _request: Request, template_id: str) -> Answer:
    """GET /emailer_templates/{id}."""
    return json_answer(200, {"emailer_template": _template(account, template_id)})


def update_template(account: ApolloAccount, request: Request, template_id: str) -> Answer:
    """PUT or PATCH /emailer_templates/{id}."""
    template = _template(account, template_id)
    template.update(bodies.read_template(request, template_id))
    return json_answer(200, {"emailer_template": template})


def search_templates(account: ApolloAccount, request: Request) -> Answer:
    """POST /emailer_templates/search."""
    return _search(request, "emailer_templates", list(account.templates.values()))


def _touch(account: ApolloAccount, touch_id: str) -> tuple[Step, dict[str, Any], dict[str, Any]]:
    """Returns the step of a touch, the touch, and its template."""
    step = account.steps_by_touch.get(touch_id)
    if step is None or step.touch is None or step.template is None:
        raise refused(404, "Touch not found")
    return step, step.touch, step.template


def _template(account: ApolloAccount, template_id: str) -> dict[str, Any]:
    template = account.templates.get(template_id)
    if template is None:
        raise refused(404, "Template not found")
    return template


def _search(request: Request, key: str, records: list[dict[str, Any]]) -> Answer:
    """Finds records whose name contains `q_name`, in any case."""
    body = bodies.read_search(request)
    wanted = body.get("q_name", "").lower()
    page, per_page = body.get("page", 1), body.get("per_page", PER_PAGE_DEFAULT)
    found = [record for record in records if wanted in (record["name"] or "").lower()]
    pagination = {
        "page": page,
        "per_page": per_page,
        "total_entries": len(found),
        "total_pages": -(-len(found) // per_page),
    }
    start = (page - 1) * per_page
    return json_answer(200, {"pagination": pagination, key: found[start : start + per_page]})


class Endpoint(NamedTuple):
    """What answers a path, its name in a 403 and for the rate limit, and the key that it takes."""

    name: str
    handle: Callable[..., Answer]
    needs_master_key: bool = True


_UPDATE_TEMPLATE = Endpoint("emailer_templates/update", update_template)

ENDPOINTS = Routes(
    {
        "POST /v1/emailer_steps": Endpoint("emailer_steps/create", create_step),
        "DELETE /v1/emailer_steps/{id}": Endpoint("emailer_steps/destroy", delete_step),
        "GET /v1/emailer_campaigns/{id}": Endpoint("emailer_campaigns/show", get_campaign),
        "POST /v1/emailer_campaigns/search": Endpoint(
            "emailer_campaigns/search", search_campaigns, needs_master_key=False
        ),
        "PUT /v1/emailer_touches/{id}": Endpoint("emailer_touches/update", update_touch),
        "POST /v1/emailer_touches/{id}/approve": Endpoint("emailer_touches/approve", approve_touch),
        "GET /v1/emailer_templates/{id}": Endpoint(
            "emailer_templates/show", get_template, needs_master_key=False
        ),
        "PUT /v1/emailer_templates/{id}": _UPDATE_TEMPLATE,
        "PATCH /v1/emailer_templates/{id}": _UPDATE_TEMPLATE,
        "POST /v1/emailer_templates/search": Endpoint(
            "emailer_templates/search", search_templates, needs_master_key=False
        ),
    }
)
