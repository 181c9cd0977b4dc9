"""What each of Outreach's endpoints does to an account.

[spec, doc, code] paths, methods and status codes. There is no DELETE for a step, as at the vendor.
[unknown], chosen: neither interval nor date on a date sequence is 422; no interval on an interval
sequence is one week for every step (said of first steps only [code]); duplicates and gaps of
`order` are kept as they come; activate answers 200 with the link; a deleted template leaves its
links in place.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from sandbox.clock import utc_milliseconds
from sandbox.messages import Answer, Request, json_answer
from sandbox.outreach import bodies, lists
from sandbox.outreach.errors import MEDIA_TYPE, invalid, refused
from sandbox.outreach.records import Record, display_name, new_record, render
from sandbox.routes import Routes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sandbox.outreach.account import OutreachAccount

WEEK_SECONDS = 604_800


def get_one(account: OutreachAccount, request: Request, record_id: str, *, kind: str) -> Answer:
    """GET of one record."""
    return _show(account, request, _visible(account, request, kind, record_id))


def delete_one(account: OutreachAccount, request: Request, record_id: str, *, kind: str) -> Answer:
    """DELETE of one record: 204 without a body."""
    account.remove(_visible(account, request, kind, record_id))
    return Answer(204)


def create_step(account: OutreachAccount, request: Request) -> Answer:
    """POST /sequenceSteps."""
    unknown_status = account.options.unknown_sequence_status
    document = bodies.read_new(request, bodies.STEP, account.exists, unknown_status)
    sequence = account.records["sequence"][document.target("sequence")]
    attributes = _fit_to_sequence(account, sequence, document.attributes)
    relationships = {"creator": account.user_of(request), **document.others(bodies.STEP)}
    step = account.add_step(sequence, attributes, relationships)
    step.hidden = request.hidden
    return _show(account, request, step, 201)


def change_step(account: OutreachAccount, request: Request, step_id: str) -> Answer:
    """PATCH /sequenceSteps/{id}."""
    step = _visible(account, request, "sequenceStep", step_id)
    document = bodies.read_change(request, bodies.STEP, step.id)
    assert step.parent is not None
    merged = {name: step.attributes[name] for name in bodies.STEP.attributes}
    merged = _fit_to_sequence(account, step.parent, merged | document.attributes)
    step.attributes |= merged | {"displayName": display_name(merged)} | _updated_now(account)
    step.relationships |= document.others(bodies.STEP)
    return _show(account, request, step)


def list_steps(account: OutreachAccount, request: Request) -> Answer:
    """GET /sequenceSteps."""
    return _list(account, request, "sequenceStep", lists.STEPS)


def create_link(account: OutreachAccount, request: Request) -> Answer:
    """POST /sequenceTemplates."""
    document = bodies.read_new(request, bodies.LINK, account.exists, 422)
    now = account.clock()
    enabled = account.options.link_enabled
    state = {"enabled": enabled, "enabledAt": utc_milliseconds(now) if enabled else None}
    link_id = account.next_id("sequenceTemplate")
    link = new_record("sequenceTemplate", link_id, document.attributes | state, now)
    for parent in bodies.LINK.parents:
        link.relationships[parent] = account.records[parent][document.target(parent)]
    link.hidden = request.hidden
    return _show(account, request, account.add(link), 201)


def change_link(account: OutreachAccount, request: Request, link_id: str) -> Answer:
    """PATCH /sequenceTemplates/{id}."""
    link = _visible(account, request, "sequenceTemplate", link_id)
    document = bodies.read_change(request, bodies.LINK, link.id)
    link.attributes |= document.attributes | _updated_now(account)
    return _show(account, request, link)


def activate_link(account: OutreachAccount, request: Request, link_id: str) -> Answer:
    """POST /sequenceTemplates/{id}/actions/activate."""
    link = _visible(account, request, "sequenceTemplate", link_id)
    if not link.attributes["enabled"]:
        times = _updated_now(account)
        link.attributes |= {"enabled": True, "enabledAt": times["updatedAt"], **times}
    return _show(account, request, link)


def list_links(account: OutreachAccount, request: Request) -> Answer:
    """GET /sequenceTemplates."""
    return _list(account, request, "sequenceTemplate", lists.LINKS)


def create_template(account: OutreachAccount, request: Request) -> Answer:
    """POST /templates."""
    document = bodies.read_new(request, bodies.TEMPLATE, account.exists, 422)
    template_id = account.next_id("template")
    template = new_record("template", template_id, document.attributes, account.clock())
    template.hidden = request.hidden
    return _show(account, request, account.add(template), 201)


def list_templates(account: OutreachAccount, request: Request) -> Answer:
    """GET /templates."""
    return _list(account, request, "template", lists.TEMPLATES)


def _fit_to_sequence(
    account: OutreachAccount, sequence: Record, given: dict[str, Any]
) -> dict[str, Any]:
    """Holds interval and date of a step against its sequence's kind, and fills the gap.

    Raises:
        RefusedError: 422, the other kind's member is given, or the date is missing.
    """
    kind = sequence.attributes["sequenceType"]
    other = "date" if kind == "interval" else "interval"
    if given.get(other) is not None and account.options.kind_mismatch == "refuse":
        detail = f"{other.title()} cannot be set on a sequence of type {kind}."
        raise invalid([(f"/data/attributes/{other}", detail)])
    fitting = given | {other: None}
    if fitting.get(kind) is None:
        if kind == "date":
            raise invalid([("/data/attributes/date", "Date can't be blank.")])
        fitting["interval"] = WEEK_SECONDS
    return fitting


def _updated_now(account: OutreachAccount) -> dict[str, str]:
    return {"updatedAt": utc_milliseconds(account.clock())}


def _visible(account: OutreachAccount, request: Request, kind: str, record_id: str) -> Record:
    record = account.find(kind, record_id)
    if record is None or (request.method == "GET" and not account.sees(request, record)):
        raise refused(404, f"Could not find {kind} with id {record_id}.")
    return record


def _resource(account: OutreachAccount, request: Request, record: Record) -> dict[str, Any]:
    def sees(child: Record) -> bool:
        return request.method != "GET" or account.sees(request, child)

    return render(record, request.base_url, sees)


def _show(account: OutreachAccount, request: Request, record: Record, status: int = 200) -> Answer:
    return json_answer(status, {"data": _resource(account, request, record)}, MEDIA_TYPE)


def _list(account: OutreachAccount, request: Request, kind: str, rules: lists.ListRules) -> Answer:
    query = lists.read_query(request, rules)
    candidates: Iterable[Record] = account.records[kind].values()
    if query.parent is not None:
        parent_kind, parent_id = query.parent
        parent = account.records[parent_kind].get(parent_id)
        candidates = parent.children if parent is not None else ()
    seen = (record for record in candidates if account.sees(request, record))
    records, frame = lists.page(request, query, seen)
    body: dict[str, Any] = {"data": [_resource(account, request, record) for record in records]}
    if query.includes:
        included = _included(account, request, records, query.includes)
        body["included"] = [_resource(account, request, record) for record in included]
    return json_answer(200, body | frame, MEDIA_TYPE)


def _included(
    account: OutreachAccount, request: Request, steps: list[Record], includes: tuple[str, ...]
) -> list[Record]:
    """The links of the steps, and their templates if asked for, each once."""
    links = [link for step in steps for link in step.children if account.sees(request, link)]
    if "sequenceTemplates.template" not in includes:
        return links
    templates = [link.relationships["template"] for link in links]
    return list(dict.fromkeys([*links, *(item for item in templates if isinstance(item, Record))]))


class Endpoint(NamedTuple):
    """What answers a path, the scope that it takes, and whether it knows query parameters."""

    scope: str
    handle: Callable[..., Answer]
    is_list: bool = False


_GET_SEQUENCE = partial(get_one, kind="sequence")
_GET_STEP = partial(get_one, kind="sequenceStep")
_GET_LINK = partial(get_one, kind="sequenceTemplate")
_GET_TEMPLATE = partial(get_one, kind="template")
_DELETE_LINK = partial(delete_one, kind="sequenceTemplate")
_DELETE_TEMPLATE = partial(delete_one, kind="template")

ENDPOINTS = Routes(
    {
        "GET /api/v2/sequences/{id}": Endpoint("sequences.read", _GET_SEQUENCE),
        "GET /api/v2/sequenceSteps": Endpoint("sequenceSteps.read", list_steps, is_list=True),
        "POST /api/v2/sequenceSteps": Endpoint("sequenceSteps.write", create_step),
        "GET /api/v2/sequenceSteps/{id}": Endpoint("sequenceSteps.read", _GET_STEP),
        "PATCH /api/v2/sequenceSteps/{id}": Endpoint("sequenceSteps.write", change_step),
        "GET /api/v2/sequenceTemplates": Endpoint(
            "sequenceTemplates.read", list_links, is_list=True
        ),
        "POST /api/v2/sequenceTemplates": Endpoint("sequenceTemplates.write", create_link),
        "GET /api/v2/sequenceTemplates/{id}": Endpoint("sequenceTemplates.read", _GET_LINK),
        "PATCH /api/v2/sequenceTemplates/{id}": Endpoint("sequenceTemplates.write", change_link),
        "DELETE /api/v2/sequenceTemplates/{id}": Endpoint("sequenceTemplates.delete", _DELETE_LINK),
        "POST /api/v2/sequenceTemplates/{id}/actions/activate": Endpoint(
            "sequenceTemplates.write", activate_link
        ),
        "GET /api/v2/templates": Endpoint("templates.read", list_templates, is_list=True),
        "POST /api/v2/templates": Endpoint("templates.write", create_template),
        "GET /api/v2/templates/{id}": Endpoint("templates.read", _GET_TEMPLATE),
        "DELETE /api/v2/templates/{id}": Endpoint("templates.delete", _DELETE_TEMPLATE),
    }
)
