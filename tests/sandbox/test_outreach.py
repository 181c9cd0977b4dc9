"""The stand-in of Outreach: the public examples, its refusals, its lists, its tokens."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.conftest import NOON, HandClock, MakeTenant

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tests.sandbox.tenant import Tenant

STEPS = "/api/v2/sequenceSteps"
LINKS = "/api/v2/sequenceTemplates"
TEMPLATES = "/api/v2/templates"

NEW_STEP: dict[str, Any] = {
    "data": {
        "type": "sequenceStep",
        "attributes": {"stepType": "auto_email", "interval": 259200, "order": 3},
        "relationships": {"sequence": {"data": {"type": "sequence", "id": 4711}}},
    }
}
NEW_LINK: dict[str, Any] = {
    "data": {
        "type": "sequenceTemplate",
        "attributes": {"isReply": True},
        "relationships": {
            "sequenceStep": {"data": {"type": "sequenceStep", "id": 90210}},
            "template": {"data": {"type": "template", "id": 55}},
        },
    }
}


def step(sequence_id: int = 4711, **attributes: Any) -> dict[str, Any]:
    """Build the body of a new step with these attributes alone."""
    body = copy.deepcopy(NEW_STEP)
    body["data"]["attributes"] = {"stepType": "call", **attributes}
    body["data"]["relationships"]["sequence"]["data"]["id"] = sequence_id
    return body


def pointers(response: httpx.Response) -> list[str]:
    """Return what the errors of an answer point at."""
    return [error["source"]["pointer"] for error in response.json()["errors"]]


def error_id(response: httpx.Response) -> str:
    """Return the id of an answer's only error."""
    (error,) = response.json()["errors"]
    return str(error["id"])


async def test_public_example(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    made = await outreach.send("POST", STEPS, NEW_STEP)
    assert made.status_code == 201
    assert made.headers["content-type"] == "application/vnd.api+json"
    times = {"createdAt": "2026-11-24T10:00:00.000Z", "updatedAt": "2026-11-24T10:00:00.000Z"}
    counts = (
        "deliver open click reply bounce failure optOut schedule "
        "positiveReply neutralReply negativeReply"
    )
    assert made.json() == {
        "data": {
            "type": "sequenceStep",
            "id": 90210,
            "attributes": {
                "stepType": "auto_email",
                "interval": 259200,
                "order": 3,
                "date": None,
                "taskNote": None,
                "taskAutoskipDelay": None,
                "displayName": "Step #3 (Auto Email)",
                **times,
                **{f"{name}Count": 0 for name in counts.split()},
            },
            "relationships": {
                "sequence": {"data": {"type": "sequence", "id": 4711}},
                "sequenceTemplates": {"data": []},
                "creator": {"data": {"type": "user", "id": 12}},
                "callPurpose": {"data": None},
                "taskPriority": {"data": None},
            },
            "links": {"self": f"{outreach.base_url}{STEPS}/90210"},
        }
    }
    linked = await outreach.send("POST", LINKS, NEW_LINK)
    assert linked.status_code == 201
    link = linked.json()["data"]
    del link["links"]
    assert link == {
        "type": "sequenceTemplate",
        "id": 31337,
        "attributes": {
            "isReply": True,
            "enabled": True,
            "enabledAt": "2026-11-24T10:00:00.000Z",
            "deliverCount": 0,
            **times,
        },
        "relationships": {
            "sequenceStep": {"data": {"type": "sequenceStep", "id": 90210}},
            "template": {"data": {"type": "template", "id": 55}},
        },
    }


async def test_reads_show_what_was_made(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    await outreach.send("POST", STEPS, NEW_STEP)
    await outreach.send("POST", LINKS, NEW_LINK)
    sequence = (await outreach.send("GET", "/api/v2/sequences/4711")).json()["data"]["attributes"]
    assert (sequence["sequenceType"], sequence["sequenceStepCount"]) == ("interval", 1)
    one = (await outreach.send("GET", f"{STEPS}/90210")).json()["data"]
    assert one["relationships"]["sequenceTemplates"]["data"] == [
        {"type": "sequenceTemplate", "id": 31337}
    ]
    query = {
        "filter[sequence][id]": "4711",
        "include": "sequenceTemplates,sequenceTemplates.template",
        "count": "false",
    }
    listed = (await outreach.send("GET", STEPS, params=query)).json()
    assert [record["id"] for record in listed["data"]] == [90210]
    assert [(record["type"], record["id"]) for record in listed["included"]] == [
        ("sequenceTemplate", 31337),
        ("template", 55),
    ]
    assert "meta" not in listed
    links = await outreach.send("GET", LINKS, params={"filter[sequenceStep][id]": "90210"})
    assert [record["id"] for record in links.json()["data"]] == [31337]
    assert (await outreach.send("GET", f"{LINKS}/31337")).json()["data"]["id"] == 31337


async def test_ids_in_relationships_may_be_numeric_strings(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    body = copy.deepcopy(NEW_STEP)
    body["data"]["relationships"]["sequence"]["data"]["id"] = "4711"
    made = await outreach.send("POST", STEPS, body)
    assert made.status_code == 201
    assert made.json()["data"]["relationships"]["sequence"]["data"]["id"] == 4711


@pytest.mark.parametrize(
    ("attributes", "pointer"),
    [
        ({"stepType": "email"}, "stepType"),
        ({"stepType": None}, "stepType"),
        ({"interval": -1}, "interval"),
        ({"interval": 1.5}, "interval"),
        ({"interval": 60.0}, "interval"),
        ({"interval": "60"}, "interval"),
        ({"interval": True}, "interval"),
        ({"order": "3"}, "order"),
        ({"order": -1}, "order"),
        ({"date": "2027-1-15"}, "date"),
        ({"date": "2027-02-30"}, "date"),
        ({"date": "2027-01-15T00:00:00Z"}, "date"),
        ({"taskNote": 5}, "taskNote"),
        ({"taskNote": "x" * 65_536}, "taskNote"),
        ({"taskAutoskipDelay": "1"}, "taskAutoskipDelay"),
        ({"task_note": "Ask"}, "task_note"),
        ({"name": "Intro"}, "name"),
        ({"isReply": True}, "isReply"),
        ({"displayName": "Step"}, "displayName"),
        ({"createdAt": "2026-11-24T10:00:00Z"}, "createdAt"),
        ({"openCount": 1}, "openCount"),
    ],
)
async def test_refuses_attributes(
    tenant: MakeTenant, attributes: dict[str, Any], pointer: str
) -> None:
    outreach = await tenant("outreach")
    refused = await outreach.send("POST", STEPS, step(**attributes))
    assert refused.status_code == 422
    assert pointers(refused) == [f"/data/attributes/{pointer}"]
    assert error_id(refused) == "validationError"
    assert await outreach.state("steps") == []


def _without(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(body: dict[str, Any]) -> None:
        for key in path[:-1]:
            body = body[key]
        del body[path[-1]]

    return change


def _with(value: Any, *path: str) -> Callable[[dict[str, Any]], None]:
    def change(body: dict[str, Any]) -> None:
        for key in path[:-1]:
            body = body[key]
        body[path[-1]] = value

    return change


_SEQUENCE = ("data", "relationships", "sequence")


@pytest.mark.parametrize(
    ("change", "status", "pointer"),
    [
        (_without("data", "attributes", "stepType"), 422, "/data/attributes/stepType"),
        (_without(*_SEQUENCE), 422, "/data/relationships/sequence"),
        (_with(None, *_SEQUENCE, "data"), 422, "/data/relationships/sequence"),
        (_with("4711a", *_SEQUENCE, "data", "id"), 422, "/data/relationships/sequence"),
        (_with(4711.0, *_SEQUENCE, "data", "id"), 422, "/data/relationships/sequence"),
        (_with("sequences", *_SEQUENCE, "data", "type"), 422, "/data/relationships/sequence"),
        (_with(1, *_SEQUENCE, "id"), 422, "/data/relationships/sequence"),
        (
            _with({"data": None}, "data", "relationships", "creator"),
            422,
            "/data/relationships/creator",
        ),
        (_with(9, *_SEQUENCE, "data", "id"), 422, "/data/relationships/sequence"),
        (_with(1, "data", "id"), 422, "/data/id"),
        (_with("sequenceSteps", "data", "type"), 409, "/data/type"),
        (_with({}, "data", "meta"), 400, "/data/meta"),
        (_with([], "data"), 400, "/data"),
    ],
)
async def test_refuses_documents(
    tenant: MakeTenant, change: Callable[[dict[str, Any]], None], status: int, pointer: str
) -> None:
    outreach = await tenant("outreach")
    body = copy.deepcopy(NEW_STEP)
    change(body)
    refused = await outreach.send("POST", STEPS, body)
    assert (refused.status_code, pointers(refused)) == (status, [pointer])
    assert await outreach.state("steps") == []


async def test_all_violations_come_at_once(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    body = step(interval=-1, color="red")
    del body["data"]["relationships"]
    refused = await outreach.send("POST", STEPS, body)
    assert pointers(refused) == [
        "/data/attributes/interval",
        "/data/attributes/color",
        "/data/relationships/sequence",
    ]


async def test_unknown_sequence_can_be_404(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach", unknown_sequence_status=404)
    assert (await outreach.send("POST", STEPS, step(9))).status_code == 404


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", None])
async def test_refuses_other_content_types(tenant: MakeTenant, content_type: str | None) -> None:
    outreach = await tenant("outreach")
    headers = {**outreach.headers}
    del headers["content-type"]
    if content_type is not None:
        headers["content-type"] = content_type
    response = await outreach.http.post(f"/outreach{STEPS}", content=b"{}", headers=headers)
    assert (response.status_code, error_id(response)) == (415, "unsupportedMediaType")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"data":NaN}', b"[" * 100_000])
async def test_refuses_what_is_no_json_document(tenant: MakeTenant, content: bytes) -> None:
    outreach = await tenant("outreach")
    response = await outreach.http.post(
        f"/outreach{STEPS}", content=content, headers=outreach.headers
    )
    assert response.status_code == 400


async def test_steps_without_interval_get_a_week(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    made = (await outreach.send("POST", STEPS, step())).json()["data"]["attributes"]
    assert (made["interval"], made["order"]) == (604_800, 1)
    made = (await outreach.send("POST", STEPS, step(order=7, interval=0))).json()["data"]
    assert made["attributes"]["interval"] == 0
    made = (await outreach.send("POST", STEPS, step(interval=0))).json()["data"]
    assert made["attributes"]["order"] == 8


async def test_date_sequences_take_dates_alone(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    made = (await outreach.send("POST", STEPS, step(4712, date="2027-01-15"))).json()["data"]
    assert (made["attributes"]["date"], made["attributes"]["interval"]) == ("2027-01-15", None)
    for attributes, sequence_id, pointer in (
        ({"date": "2027-01-15", "interval": 0}, 4712, "interval"),
        ({}, 4712, "date"),
        ({"date": "2027-01-15"}, 4711, "date"),
    ):
        refused = await outreach.send("POST", STEPS, step(sequence_id, **attributes))
        assert (refused.status_code, pointers(refused)) == (422, [f"/data/attributes/{pointer}"])


async def test_the_other_kind_can_be_dropped(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach", kind_mismatch="drop")
    both = {"date": "2027-01-15", "interval": 60}
    on_date = (await outreach.send("POST", STEPS, step(4712, **both))).json()["data"]["attributes"]
    assert (on_date["date"], on_date["interval"]) == ("2027-01-15", None)
    other = (await outreach.send("POST", STEPS, step(4711, **both))).json()["data"]["attributes"]
    assert (other["date"], other["interval"]) == (None, 60)


async def test_a_step_can_be_changed_but_not_deleted(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    await outreach.send("POST", STEPS, NEW_STEP)
    change = {
        "data": {
            "type": "sequenceStep",
            "id": 90210,
            "attributes": {"interval": 60, "taskNote": "Ask"},
            "relationships": {"taskPriority": {"data": {"type": "taskPriority", "id": 3}}},
        }
    }
    changed = (await outreach.send("PATCH", f"{STEPS}/90210", change)).json()["data"]
    assert (changed["attributes"]["interval"], changed["attributes"]["order"]) == (60, 3)
    assert changed["relationships"]["taskPriority"]["data"]["id"] == 3
    change["data"]["id"] = 5
    assert (await outreach.send("PATCH", f"{STEPS}/90210", change)).status_code == 409
    assert (await outreach.send("DELETE", f"{STEPS}/90210")).status_code == 404
    assert len(await outreach.state("steps")) == 1


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        (_with("yes", "data", "attributes", "isReply"), "/data/attributes/isReply"),
        (_with("yes", "data", "attributes", "enabled"), "/data/attributes/enabled"),
        (_without("data", "relationships", "template"), "/data/relationships/template"),
        (
            _with(9, "data", "relationships", "sequenceStep", "data", "id"),
            "/data/relationships/sequenceStep",
        ),
        (
            _with(9, "data", "relationships", "template", "data", "id"),
            "/data/relationships/template",
        ),
    ],
)
async def test_refuses_links(
    tenant: MakeTenant, change: Callable[[dict[str, Any]], None], pointer: str
) -> None:
    outreach = await tenant("outreach")
    await outreach.send("POST", STEPS, NEW_STEP)
    body = copy.deepcopy(NEW_LINK)
    change(body)
    refused = await outreach.send("POST", LINKS, body)
    assert (refused.status_code, pointers(refused)) == (422, [pointer])
    assert await outreach.state("links") == []


async def test_links_can_start_off_and_be_activated_changed_and_deleted(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach", link_enabled=False)
    await outreach.send("POST", STEPS, NEW_STEP)
    made = (await outreach.send("POST", LINKS, NEW_LINK)).json()["data"]["attributes"]
    assert (made["enabled"], made["enabledAt"]) == (False, None)
    activated = await outreach.send("POST", f"{LINKS}/31337/actions/activate")
    assert activated.status_code == 200
    assert activated.json()["data"]["attributes"]["enabled"] is True
    change = {"data": {"type": "sequenceTemplate", "id": "31337", "attributes": {"isReply": False}}}
    changed = await outreach.send("PATCH", f"{LINKS}/31337", change)
    assert changed.json()["data"]["attributes"]["isReply"] is False
    deleted = await outreach.send("DELETE", f"{LINKS}/31337")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await outreach.send("GET", f"{LINKS}/31337")).status_code == 404
    assert await outreach.state("links") == []


async def test_templates_are_made_found_by_name_and_deleted(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    attributes = {
        "name": "Mine",
        "subject": "Hi",
        "bodyHtml": "<p>Hi</p>",
        "toRecipients": ["a@b.c"],
    }
    body = {"data": {"type": "template", "attributes": attributes}}
    made = (await outreach.send("POST", TEMPLATES, body)).json()["data"]
    assert made["id"] == 7001
    assert {name: made["attributes"][name] for name in attributes} == attributes
    found = await outreach.send("GET", TEMPLATES, params={"filter[name]": "Mine"})
    assert [record["id"] for record in found.json()["data"]] == [7001]
    for wrong in ({"name": "x" * 226}, {"shareType": "public"}, {"body": "x"}, {"tags": "x"}):
        body = {"data": {"type": "template", "attributes": wrong}}
        assert (await outreach.send("POST", TEMPLATES, body)).status_code == 422
    assert (await outreach.send("DELETE", f"{TEMPLATES}/7001")).status_code == 204
    assert (await outreach.send("GET", f"{TEMPLATES}/7001")).status_code == 404
    assert (await outreach.send("GET", f"{TEMPLATES}/55")).status_code == 200


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (STEPS, {"filter[interval]": "60"}),
        (STEPS, {"filter[taskNote]": "x"}),
        (STEPS, {"filter[template][id]": "55"}),
        (STEPS, {"filter[sequence][id]": "x"}),
        (STEPS, {"filter[sequence]": "4711"}),
        (STEPS, {"filter[createdAt]": "yesterday..inf"}),
        (STEPS, {"filter[createdAt]": "2026-11-24T10:00:00..inf"}),
        (STEPS, {"sort": "interval"}),
        (STEPS, {"include": "sequence"}),
        (STEPS, {"page[size]": "0"}),
        (STEPS, {"page[after]": "x"}),
        (STEPS, {"page[after]": "aWQ6OQ=="}),
        (STEPS, {"count": "no"}),
        (STEPS, {"per_page": "5"}),
        (LINKS, {"filter[sequence][id]": "4711"}),
        (LINKS, {"sort": "createdAt"}),
        ("/api/v2/sequences/4711", {"include": "steps"}),
    ],
)
async def test_refuses_unsupported_parameters(
    tenant: MakeTenant, path: str, query: dict[str, str]
) -> None:
    outreach = await tenant("outreach")
    assert (await outreach.send("GET", path, params=query)).status_code == 400


async def test_a_create_takes_no_include(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    refused = await outreach.send("POST", STEPS, NEW_STEP, params={"include": "sequenceTemplates"})
    assert refused.status_code == 400
    assert await outreach.state("steps") == []


async def _ids(outreach: Tenant, **query: str) -> list[int]:
    response = await outreach.send("GET", STEPS, params=query)
    assert response.status_code == 200, response.text
    return [record["id"] for record in response.json()["data"]]


async def test_filters_and_sorting(timed: MakeTenant, clock: HandClock) -> None:
    outreach = await timed("outreach")
    for order, kind in ((3, "call"), (1, "task"), (2, "call")):
        await outreach.send("POST", STEPS, step(order=order, stepType=kind, interval=0))
        clock.now += 10
    await outreach.send("POST", STEPS, step(4712, date="2027-01-15"))
    first, second, third, fourth = 90210, 90211, 90212, 90213
    assert await _ids(outreach, sort="order") == [second, fourth, third, first]
    assert await _ids(outreach, sort="-createdAt") == [fourth, third, second, first]
    assert await _ids(outreach, **{"filter[stepType]": "task"}) == [second]
    assert await _ids(outreach, **{"filter[order]": "2..inf"}) == [first, third]
    assert await _ids(outreach, **{"filter[date]": "2027-01-15"}) == [fourth]
    since = {"filter[createdAt]": "2026-11-24T10:00:10Z..inf"}
    assert await _ids(outreach, **since) == [second, third, fourth]
    until = {"filter[createdAt]": "neginf..2026-11-24T10:00:10Z", "filter[sequence][id]": "4711"}
    assert await _ids(outreach, **until) == [first, second]
    assert await _ids(outreach, **{"filter[sequence][id]": "999"}) == []


async def test_pages_follow_absolute_links(tenant: MakeTenant) -> None:
    seed = {"sequences": [{"id": 1, "steps": 120}]}
    outreach = await tenant("outreach", seed=seed)
    response = await outreach.send("GET", STEPS, params={"filter[sequence][id]": "1"})
    assert len(response.json()["data"]) == 50
    assert response.json()["meta"]["count"] == 120
    seen: list[int] = []
    query = {"filter[sequence][id]": "1", "page[size]": "50", "sort": "-order"}
    page = (await outreach.send("GET", STEPS, params=query)).json()
    seen += [record["attributes"]["order"] for record in page["data"]]
    while "links" in page:
        assert page["links"]["next"].startswith(f"{outreach.base_url}{STEPS}?")
        page = (await outreach.http.get(page["links"]["next"], headers=outreach.headers)).json()
        seen += [record["attributes"]["order"] for record in page["data"]]
    assert seen == list(range(120, 0, -1))


async def test_unknown_records_and_routes(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    for path in (f"{STEPS}/9", "/api/v2/sequences/9", "/api/v2/sequences/x", f"{TEMPLATES}/9"):
        missing = await outreach.send("GET", path)
        assert (missing.status_code, error_id(missing)) == (404, "resourceNotFound")
    for method, path in (("GET", "/api/v2/sequences"), ("GET", "/v2/x"), ("PUT", STEPS)):
        assert (await outreach.send(method, path)).status_code == 404


async def test_the_colleague_is_another_creator(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    token = outreach.credentials["colleague_access_token"]
    made = await outreach.send("POST", STEPS, NEW_STEP, {"authorization": f"Bearer {token}"})
    assert made.json()["data"]["relationships"]["creator"]["data"]["id"] == 13


@pytest.mark.parametrize(
    "authorization", [None, "Bearer nobody", "Basic x", "salesloft-demo-access-1"]
)
async def test_refuses_strangers(tenant: MakeTenant, authorization: str | None) -> None:
    outreach = await tenant("outreach")
    response = await outreach.send("GET", STEPS, headers={"authorization": authorization})
    assert response.status_code == 401


async def test_a_token_opens_its_own_vendor_only(tenant: MakeTenant) -> None:
    outreach, salesloft = await tenant("outreach"), await tenant("salesloft")
    token = salesloft.headers["authorization"]
    assert (await outreach.send("GET", STEPS, headers={"authorization": token})).status_code == 401


@pytest.mark.parametrize(
    ("scope", "request_line", "status"),
    [
        ("sequenceSteps.write", f"POST {STEPS}", 201),
        ("sequenceSteps.write", f"GET {STEPS}", 403),
        ("sequenceSteps.read", f"POST {STEPS}", 403),
        ("sequenceSteps.all", f"GET {STEPS}", 200),
        ("sequenceSteps.all", f"GET {LINKS}", 403),
        ("sequenceSteps.all", "GET /api/v2/sequences/4711", 403),
        ("templates.read", f"GET {TEMPLATES}/55", 200),
        ("templates.read", f"DELETE {TEMPLATES}/55", 403),
    ],
)
async def test_scopes_do_not_include_each_other(
    tenant: MakeTenant, scope: str, request_line: str, status: int
) -> None:
    outreach = await tenant("outreach", scopes=[scope])
    method, path = request_line.split()
    response = await outreach.send(method, path, NEW_STEP if method == "POST" else None)
    assert response.status_code == status
    if status == 403:
        assert error_id(response) == "unauthorizedOauthScope"


async def test_a_refresh_rotates(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    answer = (await outreach.refresh()).json()
    assert answer == {
        "access_token": f"{outreach.name}-access-2",
        "refresh_token": f"{outreach.name}-refresh-2",
        "token_type": "Bearer",
        "expires_in": 7200,
        "scope": "sequences.all sequenceSteps.all sequenceTemplates.all templates.all",
        "created_at": int(NOON),
    }
    again = await outreach.refresh()
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert (await outreach.refresh(refresh_token=answer["refresh_token"])).status_code == 200


async def test_a_refresh_may_bring_no_refresh_token(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach", refresh_answer="none")
    assert "refresh_token" not in (await outreach.refresh()).json()
    assert (await outreach.refresh()).json()["access_token"] == f"{outreach.name}-access-3"


async def test_a_refresh_takes_a_form(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    names = ("client_id", "client_secret", "refresh_token")
    form = {name: outreach.credentials[name] for name in names} | {"grant_type": "refresh_token"}
    response = await outreach.http.post("/outreach/oauth/token", data=form)
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_id": "other"}, 401, "invalid_client"),
        ({"client_secret": "other"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"refresh_token": "other"}, 400, "invalid_grant"),
    ],
)
async def test_refuses_grants(
    tenant: MakeTenant, changes: dict[str, str], status: int, error: str
) -> None:
    outreach = await tenant("outreach")
    response = await outreach.refresh(**changes)
    assert (response.status_code, response.json()["error"]) == (status, error)
    assert (await outreach.refresh()).status_code == 200


async def test_an_incomplete_grant(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    response = await outreach.http.post("/outreach/oauth/token", json={"grant_type": "x"})
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    response = await outreach.http.post("/outreach/oauth/token", content=b"?")
    assert response.status_code == 400


async def test_access_tokens_grow_old(timed: MakeTenant, clock: HandClock) -> None:
    outreach = await timed("outreach")
    clock.now += 7199
    assert (await outreach.send("GET", STEPS)).status_code == 200
    clock.now += 1
    assert (await outreach.send("GET", STEPS)).status_code == 401
    token = (await outreach.refresh()).json()["access_token"]
    renewed = await outreach.send("GET", STEPS, headers={"authorization": f"Bearer {token}"})
    assert renewed.status_code == 200


async def test_minting_is_throttled(timed: MakeTenant, clock: HandClock) -> None:
    outreach = await timed("outreach", mint_throttle_seconds=60)
    token = (await outreach.refresh()).json()["refresh_token"]
    clock.now += 20
    throttled = await outreach.refresh(refresh_token=token)
    assert (throttled.status_code, error_id(throttled)) == (429, "rateLimitExceeded")
    assert throttled.headers["retry-after"] == "40"
    clock.now += 40
    assert (await outreach.refresh(refresh_token=token)).status_code == 200


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("seconds", "3590"),
        ("epoch", str(int(NOON) + 3600)),
        ("http_date", "Tue, 24 Nov 2026 11:00:00 GMT"),
        ("iso8601", "2026-11-24T11:00:00Z"),
        ("none", None),
    ],
)
async def test_the_rate_limit(
    timed: MakeTenant, clock: HandClock, form: str, value: str | None
) -> None:
    outreach = await timed("outreach", rate_limit={"limit": 3}, retry_after=form)
    left = [(await outreach.send("GET", STEPS)).headers["x-ratelimit-remaining"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    clock.now += 10
    refused = await outreach.send("POST", STEPS, NEW_STEP)
    assert (refused.status_code, error_id(refused)) == (429, "rateLimitExceeded")
    assert refused.headers.get("retry-after") == value
    assert refused.headers["x-ratelimit-reset"] == (value or "3590")
    assert await outreach.state("steps") == []
    clock.now += 3590
    assert (await outreach.send("POST", STEPS, NEW_STEP)).status_code == 201


async def test_without_a_limit_there_is_always_something_left(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    response = await outreach.send("GET", f"{STEPS}/9")
    assert response.headers["x-ratelimit-limit"] == "10000"
    assert response.headers["x-ratelimit-remaining"] == "9999"
