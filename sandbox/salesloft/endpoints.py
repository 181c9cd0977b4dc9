"""What each of Salesloft's endpoints does to an account.

[spec, code] paths, methods, answers; steps are made by an import alone, into a cadence without
steps. [unknown], chosen: an import into an unknown cadence is 404, into an archived one or one with
steps 422; a body that is not JSON is 400, another content type 415; the content of an email step
can be read as a personal template, whose id email_details shows.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from sandbox.messages import Answer, Request, json_answer
from sandbox.routes import Routes
from sandbox.salesloft import imports, lists
from sandbox.salesloft.errors import invalid, refused
from sandbox.salesloft.records import reference, show_cadence, show_step, show_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sandbox.salesloft.account import SalesloftAccount
    from sandbox.salesloft.records import Cadence, Step

_CADENCE_ID = "cadence_content.cadence_id"


def import_cadence(account: SalesloftAccount, request: Request) -> Answer:
    """POST /cadence_imports."""
    content = imports.read_import(request)["cadence_content"]
    cadence = account.cadences.get(content["cadence_id"])
    if cadence is None:
        raise _unknown_cadence(account)
    if cadence.archived_at is not None:
        raise invalid({_CADENCE_ID: ["is archived"]})
    if cadence.steps:
        raise invalid({_CADENCE_ID: ["already has steps"]})
    for group in copy.deepcopy(content["step_groups"]):
        account.add_group(cadence, group, request.hidden)
    shown = reference(request.base_url, "cadences", cadence.id)
    return json_answer(200, {"data": {"cadence": shown}})


def _unknown_cadence(account: SalesloftAccount) -> Exception:
    match account.options.unknown_sequence_status:
        case 404:
            return _not_found()
        case 422:
            return invalid({_CADENCE_ID: ["does not exist"]})


def export_cadence(account: SalesloftAccount, request: Request, cadence_id: int) -> Answer:
    """GET /cadence_exports/{id}: what was imported, without ids."""
    cadence = _cadence(account, cadence_id)
    seen = {id(step.settings) for step in cadence.steps if account.sees(request, step)}
    groups = [
        group | {"steps": [item for item in group["steps"] if id(item) in seen]}
        for group in cadence.groups
    ]
    content = {"step_groups": [group for group in groups if group["steps"]]}
    return json_answer(200, {"data": {"cadence_content": content}})


def get_cadence(account: SalesloftAccount, request: Request, cadence_id: int) -> Answer:
    """GET /cadences/{id}."""
    cadence = _cadence(account, cadence_id)
    with_state = account.options.show_current_state
    return json_answer(
        200, {"data": show_cadence(cadence, request.base_url, with_state=with_state)}
    )


def list_steps(account: SalesloftAccount, request: Request) -> Answer:
    """GET /steps."""
    query = lists.read_query(request)
    if query.failures:
        raise invalid(query.failures)
    candidates: Iterable[Step] = account.steps.values()
    if query.cadence_id is not None:
        cadence = account.cadences.get(query.cadence_id)
        candidates = cadence.steps if cadence is not None else ()
    seen = [step for step in candidates if account.sees(request, step)]
    steps, metadata = lists.page(query, seen)
    data = [show_step(step, request.base_url) for step in steps]
    return json_answer(200, {"metadata": metadata, "data": data})


def get_step(account: SalesloftAccount, request: Request, step_id: int) -> Answer:
    """GET /steps/{id}."""
    step = _visible_step(account, request, step_id)
    return json_answer(200, {"data": show_step(step, request.base_url)})


def get_email_details(account: SalesloftAccount, request: Request, step_id: int) -> Answer:
    """GET /action_details/email_details/{step id}."""
    step = _visible_step(account, request, step_id)
    if step.template_id is None:
        raise _not_found()
    template = reference(request.base_url, "email_templates", step.template_id)
    return json_answer(200, {"data": {"id": step.details_id, "email_template": template}})


def get_call_instructions(account: SalesloftAccount, request: Request, step_id: int) -> Answer:
    """GET /action_details/call_instructions/{step id}."""
    step = _visible_step(account, request, step_id)
    if step.type != "phone":
        raise _not_found()
    instructions = step.settings["type_settings"]["instructions"]
    return json_answer(200, {"data": {"id": step.details_id, "instructions": instructions}})


def get_template(
    account: SalesloftAccount, _request: Request, template_id: int, *, of_team: bool
) -> Answer:
    """GET /email_templates/{id} and /team_templates/{id}."""
    templates = account.team_templates if of_team else account.email_templates
    template = templates.get(template_id)
    if template is None:
        raise _not_found()
    return json_answer(200, {"data": show_template(template)})


def _not_found() -> Exception:
    return refused(404, "Resource not found")


def _cadence(account: SalesloftAccount, cadence_id: int) -> Cadence:
    cadence = account.cadences.get(cadence_id)
    if cadence is None:
        raise _not_found()
    return cadence


def _visible_step(account: SalesloftAccount, request: Request, step_id: int) -> Step:
    step = account.steps.get(step_id)
    if step is None or not account.sees(request, step):
        raise _not_found()
    return step


class Endpoint(NamedTuple):
    """What answers a path, and the scope that it takes."""

    scope: str
    handle: Callable[..., Answer]


_GET_EMAIL_TEMPLATE = partial(get_template, of_team=False)
_GET_TEAM_TEMPLATE = partial(get_template, of_team=True)

ENDPOINTS = Routes(
    {
        "POST /v2/cadence_imports": Endpoint("cadences:write", import_cadence),
        "GET /v2/cadence_exports/{id}": Endpoint("cadences:read", export_cadence),
        "GET /v2/cadences/{id}": Endpoint("cadences:read", get_cadence),
        "GET /v2/steps": Endpoint("cadences:read", list_steps),
        "GET /v2/steps/{id}": Endpoint("cadences:read", get_step),
        "GET /v2/action_details/email_details/{id}": Endpoint("cadences:read", get_email_details),
        "GET /v2/action_details/call_instructions/{id}": Endpoint(
            "cadences:read", get_call_instructions
        ),
        "GET /v2/email_templates/{id}": Endpoint("email_templates:read", _GET_EMAIL_TEMPLATE),
        "GET /v2/team_templates/{id}": Endpoint("team_templates:read", _GET_TEAM_TEMPLATE),
    }
)
