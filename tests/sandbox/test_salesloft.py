"""The stand-in of Salesloft: the public examples, its refusals, its lists, its tokens."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.sandbox.conftest import HandClock, MakeTenant
    from tests.sandbox.tenant import Tenant

IMPORTS = "/v2/cadence_imports"
STEPS = "/v2/steps"

GROUP = "cadence_content.step_groups[0]"
NEW_STEP: dict[str, Any] = {
    "cadence_content": {
        "cadence_id": 123,
        "step_groups": [
            {
                "day": 4,
                "due_immediately": False,
                "automated": True,
                "automated_settings": {"send_type": "after_time_delay", "delay_time": 30},
                "reference_id": 1,
                "steps": [
                    {
                        "enabled": True,
                        "name": "Intro",
                        "type": "Email",
                        "type_settings": {
                            "email_template": {
                                "title": "Intro",
                                "subject": "Hello",
                                "body": "<p>Hi</p>",
                            }
                        },
                    }
                ],
            }
        ],
    }
}
PHONE_STEP: dict[str, Any] = {
    "enabled": True,
    "name": "Call",
    "type": "Phone",
    "type_settings": {"instructions": "Ask for budget"},
}
MISSING = object()


def changed(path: str, value: Any) -> dict[str, Any]:
    """Build the example's import with one member changed, or MISSING, by its dotted path."""
    body = copy.deepcopy(NEW_STEP)
    keys: list[str | int] = [int(key) if key.isdigit() else key for key in path.split(".")]
    place: Any = body
    for key in keys[:-1]:
        place = place[key]
    if value is MISSING:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    return body


def group(**members: Any) -> dict[str, Any]:
    """Build an import of one manual group with one call, with these members changed."""
    body = copy.deepcopy(NEW_STEP)
    body["cadence_content"]["step_groups"] = [
        {
            "day": 1,
            "due_immediately": False,
            "automated": False,
            "steps": [copy.deepcopy(PHONE_STEP)],
            **members,
        }
    ]
    return body


async def test_public_example(tenant: MakeTenant) -> None:
    salesloft = await tenant("salesloft")
    made = await salesloft.send("POST", IMPORTS, NEW_STEP)
    cadence = {"id": 123, "_href": f"{salesloft.base_url}/v2/cadences/123"}
    assert (made.status_code, made.json()) == (200, {"data": {"cadence": cadence}})
    listed = await salesloft.send("GET", STEPS, params={"cadence_id": "123"})
    assert listed.json() == {
        "metadata": {
            "filtering": {"cadence_id": 123},
            "paging": {"per_page": 25, "current_page": 1, "next_page": None, "prev_page": None},
            "sorting": {"sort_by": "updated_at", "sort_direction": "DESC NULLS LAST"},
        },
        "data": [
            {
                "id": 987,
                "name": "Intro",
                "display_name": "Day 4: Step 1 - Email",
                "type": "email",
                "day": 4,
                "step_number": 1,
                "disabled": False,
                "multitouch_enabled": False,
                "created_at": "2026-11-24T05:00:00.000000-05:00",
                "updated_at": "2026-11-24T05:00:00.000000-05:00",
                "cadence": cadence,
                "details": {
                    "id": 55,
                    "_href": f"{salesloft.base_url}/v2/action_details/email_details/987",
                },
            }
        ],
    }


async def test_reads_show_what_was_made(tenant: MakeTenant) -> None:
    salesloft = await tenant("salesloft")
    await salesloft.send("POST", IMPORTS, NEW_STEP)
    step = (await salesloft.send("GET", f"{STEPS}/987.json")).json()["data"]
    assert step["id"] == 987
    details = await salesloft.send("GET", "/v2/action_details/email_details/987")
    template_id = details.json()["data"]["email_template"]["id"]
    copied = (await salesloft.send("GET", f"/v2/email_templates/{template_id}")).json()["data"]
    assert (copied["subject"], copied["body"]) == ("Hello", "<p>Hi</p>")
    export = (await salesloft.send("GET", "/v2/cadence_exports/123")).json()["data"]
    groups = NEW_STEP["cadence_content"]["step_groups"]
    assert export == {"cadence_content": {"step_groups": groups}}


async def test_calls_and_tasks(tenant: MakeTenant) -> None:
    salesloft = await tenant("salesloft")
    task = PHONE_STEP | {"type": "Other", "name": "Task"}
    assert (await salesloft.send("POST", IMPORTS, group(steps=[PHONE_STEP, task]))).is_success
    _seeded, call, other = await salesloft.state("steps")
    assert (call["type"], call["step_number"]) == ("phone", 1)
    assert (other["type"], other["step_number"], other["details"]) == ("other", 2, None)
    shown = await salesloft.send("GET", f"/v2/action_details/call_instructions/{call['id']}")
    assert shown.json()["data"]["instructions"] == "Ask for budget"
    for path in (f"email_details/{call['id']}", f"call_instructions/{other['id']}"):
        assert (await salesloft.send("GET", f"/v2/action_details/{path}")).status_code == 404


@pytest.mark.parametrize(
    "members",
    [
        {
            "automated": True,
            "reference_id": 1,
            "automated_settings": {
                "send_type": "at_time",
                "time_of_day": "09:30",
                "timezone_mode": "person",
                "allow_send_on_weekends": True,
            },
            "steps": NEW_STEP["cadence_content"]["step_groups"][0]["steps"],
        },
        {"reference_id": 7, "steps": NEW_STEP["cadence_content"]["step_groups"][0]["steps"]},
        {"reference_id": None},
        {
            "steps": [
                PHONE_STEP
                | {
                    "type": "Integration",
                    "type_settings": {
                        "instructions": "",
                        "integration_id": 3,
                        "integration_step_type_guid": "guid",
                    },
                }
            ]
        },
    ],
)
async def test_other_groups_that_fit(tenant: MakeTenant, members: dict[str, Any]) -> None:
    salesloft = await tenant("salesloft")
    made = await salesloft.send("POST", IMPORTS, group(**members))
    assert made.status_code == 200, made.text


_STEP = "cadence_content.step_groups.0.steps.0"
_SETTINGS = "cadence_content.step_groups.0.automated_settings"


@pytest.mark.parametrize(
    ("path", "value", "failed"),
    [
        ("cadence_content", MISSING, "cadence_content"),
        ("settings", {"name": "x"}, "settings"),
        ("sharing_settings", {}, "sharing_settings"),
        ("cadence_content.cadence_id", MISSING, "cadence_content.cadence_id"),
        ("cadence_content.cadence_id", "123", "cadence_content.cadence_id"),
        ("cadence_content.name", "x", "cadence_content.name"),
        ("cadence_content.step_groups", [], "cadence_content.step_groups"),
        ("cadence_content.step_groups", MISSING, "cadence_content.step_groups"),
        ("cadence_content.step_groups.0.day", 0, f"{GROUP}.day"),
        ("cadence_content.step_groups.0.day", "4", f"{GROUP}.day"),
        ("cadence_content.step_groups.0.day", MISSING, f"{GROUP}.day"),
        ("cadence_content.step_groups.0.due_immediately", MISSING, f"{GROUP}.due_immediately"),
        ("cadence_content.step_groups.0.due_immediately", 0, f"{GROUP}.due_immediately"),
        ("cadence_content.step_groups.0.days", 4, f"{GROUP}.days"),
        ("cadence_content.step_groups.0.reference_id", MISSING, f"{GROUP}.reference_id"),
        ("cadence_content.step_groups.0.reference_id", None, f"{GROUP}.reference_id"),
        ("cadence_content.step_groups.0.reference_id", "1", f"{GROUP}.reference_id"),
        ("cadence_content.step_groups.0.steps", [], f"{GROUP}.steps"),
        (_SETTINGS, MISSING, f"{GROUP}.automated_settings"),
        (f"{_SETTINGS}.send_type", "later", f"{GROUP}.automated_settings.send_type"),
        (f"{_SETTINGS}.send_type", "at_time", f"{GROUP}.automated_settings.time_of_day"),
        (f"{_SETTINGS}.delay_time", 721, f"{GROUP}.automated_settings.delay_time"),
        (f"{_SETTINGS}.delay_time", -1, f"{GROUP}.automated_settings.delay_time"),
        (f"{_SETTINGS}.delay_time", 1.5, f"{GROUP}.automated_settings.delay_time"),
        (f"{_SETTINGS}.delay_time", MISSING, f"{GROUP}.automated_settings.delay_time"),
        (f"{_SETTINGS}.time_of_day", "09:30", f"{GROUP}.automated_settings.time_of_day"),
        (f"{_STEP}.type", "email", f"{GROUP}.steps[0].type"),
        (f"{_STEP}.type", "Task", f"{GROUP}.steps[0].type"),
        (f"{_STEP}.name", "", f"{GROUP}.steps[0].name"),
        (f"{_STEP}.name", MISSING, f"{GROUP}.steps[0].name"),
        (f"{_STEP}.enabled", MISSING, f"{GROUP}.steps[0].enabled"),
        (f"{_STEP}.day", 4, f"{GROUP}.steps[0].day"),
        (f"{_STEP}.type_settings", MISSING, f"{GROUP}.steps[0].type_settings"),
        (
            f"{_STEP}.type_settings.instructions",
            "x",
            f"{GROUP}.steps[0].type_settings.instructions",
        ),
        (
            f"{_STEP}.type_settings.email_template.subject",
            MISSING,
            f"{GROUP}.steps[0].type_settings.email_template.subject",
        ),
        (
            f"{_STEP}.type_settings.email_template.body_html",
            "x",
            f"{GROUP}.steps[0].type_settings.email_template.body_html",
        ),
        (
            f"{_STEP}.type_settings.previous_email_step_group_reference_id",
            9,
            f"{GROUP}.steps[0].type_settings.previous_email_step_group_reference_id",
        ),
    ],
)
async def test_refuses_imports(tenant: MakeTenant, path: str, value: Any, failed: str) -> None:
    salesloft = await tenant("salesloft")
    refused = await salesloft.send("POST", IMPORTS, changed(path, value))
    assert refused.status_code == 422
    assert failed in refused.json()["errors"]
    assert len(await salesloft.state("steps")) == 1  # The seeded one of cadence 141.


@pytest.mark.parametrize(
    ("members", "failed"),
    [
        ({"automated": True}, "automated"),
        ({"automated": MISSING}, "automated"),
        ({"automated_settings": {}}, "automated_settings"),
        ({"automated_settings": None}, "automated_settings"),
        ({"steps": [PHONE_STEP | {"type_settings": {}}]}, "steps[0].type_settings.instructions"),
        (
            {"steps": [PHONE_STEP | {"type": "Integration"}]},
            "steps[0].type_settings.integration_id",
        ),
    ],
)
async def test_refuses_groups_of_calls(
    tenant: MakeTenant, members: dict[str, Any], failed: str
) -> None:
    salesloft = await tenant("salesloft")
    body = group(**members)
    sent = body["cadence_content"]["step_groups"][0]
    body["cadence_content"]["step_groups"] = [
        {name: value for name, value in sent.items() if value is not MISSING}
    ]
    refused = await salesloft.send("POST", IMPORTS, body)
    assert refused.status_code == 422
    assert f"{GROUP}.{failed}" in refused.json()["errors"]


async def test_all_failures_come_at_once(tenant: MakeTenant) -> None:
    salesloft = await tenant("salesloft")
    body = changed("cadence_content.step_groups.0.day", 0)
    body["cadence_content"]["step_groups"].append({"color": "red"})
    second = "cadence_content.step_groups[1]"
    errors = (await salesloft.send("POST", IMPORTS, body)).json()["errors"]
    assert errors == {
        f"{GROUP}.day": ["must be greater than or equal to 1"],
        f"{second}.day": ["is required"],
        f"{second}.automated": ["is required"],
        f"{second}.due_immediately": ["is required"],
        f"{second}.steps": ["is required"],
        f"{second}.color": ["is not a known attribute"],
    }


@pytest.mark.parametrize("body", [[], {}, {"cadence_content": 5}])
async def test_refuses_bodies_of_another_form(tenant: MakeTenant, body: Any) -> None:
    salesloft = await tenant("salesloft")
    refused = await salesloft.send("POST", IMPORTS, body)
    assert refused.status_code == 422
    assert "cadence_content" in refused.json()["errors"]


async def test_refuses_what_is_no_json(tenant: MakeTenant) -> None:
    salesloft = await tenant("salesloft")
    url = f"/salesloft{IMPORTS}"
    refused = await salesloft.http.post(url, content=b"{", headers=salesloft.headers)
    assert (refused.status_code, list(refused.json())) == (400, ["error"])
    form = await salesloft.send("POST", IMPORTS, headers={"content-type": "text/plain"})
    assert form.status_code == 415


@pytest.mark.parametrize(
    ("cadence_id", "status"),
    [(9, 404), (140, 422), (141, 422)],
    ids=["unknown", "archived", "not empty"],
)
async def test_cadences_that_take_no_import(
    tenant: MakeTenant, cadence_id: int, status: int
) -> None:
    salesloft = await tenant("salesloft")
    body = changed("cadence_content.cadence_id", cadence_id)
    refused = await salesloft.send("POST", IMPORTS, body)
    assert (refused.status_code, len(await salesloft.state("steps"))) == (status, 1)


async def test_a_cadence_takes_one_import(tenant: MakeTenant) -> None:
    salesloft = await tenant("salesloft")
    assert (await salesloft.send("POST", IMPORTS, NEW_STEP)).status_code == 200
    again = await salesloft.send("POST", IMPORTS, NEW_STEP)
    assert again.status_code == 422
    assert again.json() == {"errors": {"cadence_content.cadence_id": ["already has steps"]}}


async def test_an_unknown_cadence_can_be_422(tenant: MakeTenant) -> None:
    salesloft = await tenant("salesloft", unknown_sequence_status=422)
    body = changed("cadence_content.cadence_id", 9)
    assert (await salesloft.send("POST", IMPORTS, body)).status_code == 422


async def test_cadences(tenant: MakeTenant) -> None:
    salesloft = await tenant("salesloft")
    fresh = (await salesloft.send("GET", "/v2/cadences/123")).json()["data"]
    assert (fresh["archived_at"], fresh["current_state"], fresh["draft"]) == (None, "active", False)
    old = (await salesloft.send("GET", "/v2/cadences/140.json")).json()["data"]
    assert old["archived_at"] == "2026-11-24T05:00:00.000000-05:00"
    assert old["current_state"] == "archived"
    silent = await tenant("salesloft", show_current_state=False)
    shown = (await silent.send("GET", "/v2/cadences/123")).json()["data"]
    assert "current_state" not in shown


async def test_templates(tenant: MakeTenant) -> None:
    salesloft = await tenant("salesloft")
    personal = (await salesloft.send("GET", "/v2/email_templates/5")).json()["data"]
    assert (personal["title"], personal["open_tracking_enabled"]) == ("Intro", True)
    of_team = (await salesloft.send("GET", "/v2/team_templates/6")).json()["data"]
    assert of_team["title"] == "Team intro"
    for path in ("email_templates/6", "team_templates/5", "email_templates/x"):
        missing = await salesloft.send("GET", f"/v2/{path}")
        assert (missing.status_code, list(missing.json())) == (404, ["error"])


async def _page(salesloft: Tenant, **query: str) -> dict[str, Any]:
    response = await salesloft.send("GET", STEPS, params=query)
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


async def test_lists_of_steps(tenant: MakeTenant) -> None:
    seed = {"sequences": [{"id": 1, "steps": 3}, {"id": 2, "steps": 30}]}
    salesloft = await tenant("salesloft", seed=seed)
    page = await _page(salesloft, cadence_id="2", include_paging_counts="true")
    assert len(page["data"]) == 25
    assert page["metadata"]["paging"] == {
        "per_page": 25,
        "current_page": 1,
        "next_page": 2,
        "prev_page": None,
        "total_pages": 2,
        "total_count": 30,
    }
    page = await _page(salesloft, cadence_id="2", page="2", per_page="20", sort_direction="asc")
    assert [step["step_number"] for step in page["data"]] == list(range(21, 31))
    assert page["metadata"]["paging"]["prev_page"] == 1
    ids = [step["id"] for step in (await _page(salesloft, cadence_id="1"))["data"]]
    assert len((await _page(salesloft, **{"ids[]": str(ids[0])}))["data"]) == 1
    assert len((await _page(salesloft, type="email"))["data"]) == 0
    assert len((await _page(salesloft, type="phone", has_due_actions="true"))["data"]) == 0
    assert len((await _page(salesloft, cadence_id="9"))["data"]) == 0


async def test_a_misspelt_filter_lists_everything(tenant: MakeTenant) -> None:
    salesloft = await tenant("salesloft", seed={"sequences": [{"steps": 1, "count": 3}]})
    assert len((await _page(salesloft, cadence="1"))["data"]) == 3


@pytest.mark.parametrize(
    "query",
    [
        {"cadence_id": "x"},
        {"ids": ""},
        {"per_page": "0"},
        {"per_page": "101"},
        {"page": "0"},
        {"sort_by": "name"},
        {"sort_direction": "up"},
        {"has_due_actions": "1"},
        {"include_paging_counts": "yes"},
    ],
)
async def test_refuses_bad_values(tenant: MakeTenant, query: dict[str, str]) -> None:
    salesloft = await tenant("salesloft")
    refused = await salesloft.send("GET", STEPS, params=query)
    assert (refused.status_code, list(refused.json()["errors"])) == (422, list(query))


async def test_unknown_paths_give_a_page(tenant: MakeTenant) -> None:
    salesloft = await tenant("salesloft")
    for method, path in (
        ("POST", STEPS),
        ("DELETE", f"{STEPS}/987"),
        ("GET", "/v2/nothing"),
        ("GET", "/v2/cadences"),
    ):
        missing = await salesloft.send(method, path)
        assert missing.status_code == 404
        assert missing.headers["content-type"].startswith("text/html")


async def test_refuses_strangers(tenant: MakeTenant) -> None:
    salesloft = await tenant("salesloft")
    nobody = await salesloft.send("GET", STEPS, headers={"authorization": None})
    assert nobody.status_code == 401
    assert nobody.json()["error"].startswith("No Bearer Token attached to request")
    wrong = await salesloft.send("GET", STEPS, headers={"authorization": "Bearer x"})
    assert (wrong.status_code, list(wrong.json())) == (401, ["error"])


async def test_an_api_key_is_a_bearer_token(tenant: MakeTenant) -> None:
    salesloft = await tenant("salesloft")
    key = salesloft.credentials["api_key"]
    assert (key[:2], len(key)) == ("ak", 66)
    headers: dict[str, str | None] = {"authorization": f"Bearer {key}"}
    assert (await salesloft.send("GET", STEPS, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("missing", "method", "path"),
    [
        ("cadences:write", "POST", IMPORTS),
        ("cadences:read", "GET", STEPS),
        ("email_templates:read", "GET", "/v2/email_templates/5"),
        ("team_templates:read", "GET", "/v2/team_templates/6"),
    ],
)
async def test_scopes(tenant: MakeTenant, missing: str, method: str, path: str) -> None:
    every = ["cadences:read", "cadences:write", "email_templates:read", "team_templates:read"]
    salesloft = await tenant("salesloft", scopes=[name for name in every if name != missing])
    refused = await salesloft.send(method, path, NEW_STEP if method == "POST" else None)
    assert (refused.status_code, list(refused.json())) == (403, ["error"])
    assert len(await salesloft.state("steps")) == 1


async def test_a_refresh_kills_the_older_token(tenant: MakeTenant) -> None:
    salesloft = await tenant("salesloft")
    first = (await salesloft.refresh()).json()
    second = (await salesloft.refresh(refresh_token=first["refresh_token"])).json()
    for token in (salesloft.credentials["refresh_token"], first["refresh_token"]):
        dead = await salesloft.refresh(refresh_token=token)
        assert (dead.status_code, dead.json()["error"]) == (400, "invalid_grant")
    headers: dict[str, str | None] = {"authorization": f"Bearer {second['access_token']}"}
    assert (await salesloft.send("GET", STEPS, headers=headers)).status_code == 200


async def test_cost_points(timed: MakeTenant, clock: HandClock) -> None:
    salesloft = await timed("salesloft", rate_limit={"limit": 12})
    costs = []
    for page in ("100", "101", "200"):
        headers = (await salesloft.send("GET", STEPS, params={"page": page})).headers
        cost = headers["x-ratelimit-endpoint-cost"]
        costs.append((cost, headers["x-ratelimit-remaining-minute"]))
    assert costs == [("1", "11"), ("3", "8"), ("8", "0")]
    refused = await salesloft.send("POST", IMPORTS, NEW_STEP)
    assert (refused.status_code, "retry-after" in refused.headers) == (429, False)
    clock.now += 60
    assert (await salesloft.send("POST", IMPORTS, NEW_STEP)).status_code == 200
