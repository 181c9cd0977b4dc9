"""The stand-in of Apollo: the public examples, its refusals, its touches, its keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.conftest import NOON, HandClock, MakeTenant

if TYPE_CHECKING:
    import httpx

    from tests.sandbox.tenant import Tenant

STEPS = "/api/v1/emailer_steps"
TOUCHES = "/api/v1/emailer_touches"
CAMPAIGNS = "/api/v1/emailer_campaigns"
TEMPLATES = "/api/v1/emailer_templates"

WAITING = "65334c9c2722cd008bde87c3"
EXACT = "65334c9c2722cd008bde87c4"
LIBRARY_TEMPLATE = "65340d43bd9e6900a3054740"
UNKNOWN = "0" * 24
MADE_AT = f"{int(NOON):08x}"


def step(**members: Any) -> dict[str, Any]:
    """Build the body of a new email step, with these members changed."""
    return {
        "emailer_campaign_id": WAITING,
        "type": "auto_email",
        "position": 2,
        "wait_time": 3,
        "wait_mode": "day",
        **members,
    }


def call(**members: Any) -> dict[str, Any]:
    """Build the body of a new call step, with these members changed."""
    return step(type="call", **members)


def error(response: httpx.Response) -> str:
    """Return the one string of an error answer."""
    return str(response.json()["error"])


async def add_email(apollo: Tenant, position: int) -> dict[str, Any]:
    """Add an email step and return the whole answer."""
    made = await apollo.send("POST", STEPS, step(position=position))
    assert made.status_code == 200, made.text
    answer: dict[str, Any] = made.json()
    return answer


async def test_public_example(tenant: MakeTenant) -> None:
    apollo = await tenant("apollo", reply_needs_thread=False)
    made = await apollo.send("POST", STEPS, step())
    step_id, template_id, touch_id = (f"{MADE_AT}bd9e6900a30547{end}" for end in ("3f", "40", "41"))
    counts = "active paused finished bounced spam_blocked hard_bounced not_sent"
    assert (made.status_code, made.json()) == (
        200,
        {
            "emailer_step": {
                "id": step_id,
                "emailer_campaign_id": WAITING,
                "position": 2,
                "wait_time": 3,
                "wait_mode": "day",
                "type": "auto_email",
                "note": None,
                "max_emails_per_day": None,
                "exact_datetime": None,
                "priority": None,
                "auto_skip_in_x_days": None,
                "counts": dict.fromkeys(counts.split(), 0),
            },
            "emailer_touch": {
                "id": touch_id,
                "emailer_step_id": step_id,
                "emailer_template_id": template_id,
                "status": "to_be_reviewed",
                "type": "new_thread",
                "include_signature": True,
                "has_personalized_opener": None,
            },
            "emailer_template": {
                "id": template_id,
                "name": None,
                "subject": None,
                "body_text": "",
                "body_html": "",
                "archived": False,
                "global": False,
                "creation_type": "manual",
                "label_ids": [],
                "created_at": "2026-11-24T10:00:00.000Z",
            },
        },
    )
    content = {"id": template_id, "subject": "", "body_html": "<p>Following up</p>"}
    update = {
        "id": touch_id,
        "emailer_step_id": step_id,
        "type": "reply_to_thread",
        "emailer_template": content,
    }
    updated = await apollo.send("PUT", f"{TOUCHES}/{touch_id}", update)
    assert updated.status_code == 200
    shown = updated.json()["emailer_touch"]
    del shown["has_personalized_opener"]
    assert shown == {
        **update,
        "emailer_template_id": template_id,
        "status": "to_be_reviewed",
        "include_signature": True,
    }
    deleted = await apollo.send("DELETE", f"{STEPS}/{step_id}")
    assert deleted.json() == {"emailer_step": {"id": step_id, "deleted": True}}
    assert (await apollo.send("DELETE", f"{STEPS}/{step_id}")).status_code == 404
    assert [await apollo.state(name) for name in ("steps", "touches")] == [[], []]


async def test_the_read_of_a_sequence_has_everything(tenant: MakeTenant) -> None:
    apollo = await tenant("apollo")
    email = await add_email(apollo, 2)
    await apollo.send("POST", STEPS, call(position=1))
    for base in ("/api/v1", "/v1"):
        read = (await apollo.send("GET", f"{base}/emailer_campaigns/{WAITING}")).json()
        assert read["emailer_campaign"]["id"] == WAITING
        assert read["emailer_campaign"]["sequence_by_exact_daytime"] is None
        assert [item["type"] for item in read["emailer_steps"]] == ["call", "auto_email"]
        assert read["emailer_touches"] == [email["emailer_touch"]]
        assert read["emailer_templates"] == [email["emailer_template"]]


@pytest.mark.parametrize("kind", ["call", "action_item"])
async def test_calls_and_tasks_have_no_touch(tenant: MakeTenant, kind: str) -> None:
    apollo = await tenant("apollo")
    made = (await apollo.send("POST", STEPS, step(type=kind, note="Check their blog"))).json()
    assert made["emailer_step"]["note"] == "Check their blog"
    assert (made["emailer_touch"], made["emailer_template"]) == (None, None)


async def test_linkedin_messages_are_approved_at_once(tenant: MakeTenant) -> None:
    apollo = await tenant("apollo")
    made = (await apollo.send("POST", STEPS, step(type="linkedin_step_message"))).json()
    assert made["emailer_touch"]["status"] == "approved"


async def test_the_short_answer_has_the_step_alone(tenant: MakeTenant) -> None:
    apollo = await tenant("apollo", create_answer="step_only")
    assert list(await add_email(apollo, 1)) == ["emailer_step"]
    assert len(await apollo.state("touches")) == 1


async def test_without_position_a_step_goes_last(tenant: MakeTenant) -> None:
    apollo = await tenant("apollo", seed={"sequences": [{"id": WAITING, "steps": 3}]})
    body = call()
    del body["position"]
    made = (await apollo.send("POST", STEPS, body)).json()
    assert made["emailer_step"]["position"] == 4


async def test_a_taken_position_is_refused(tenant: MakeTenant) -> None:
    apollo = await tenant("apollo")
    await add_email(apollo, 2)
    refused = await apollo.send("POST", STEPS, call())
    assert (refused.status_code, error(refused)) == (422, "Position 2 has already been taken.")
    assert len(await apollo.state("steps")) == 1


async def test_a_taken_position_can_shift_the_others(tenant: MakeTenant) -> None:
    seed = {"sequences": [{"id": WAITING, "steps": 3}]}
    apollo = await tenant("apollo", seed=seed, taken_position="shift")
    await apollo.send("POST", STEPS, call(position=2))
    positions = [item["position"] for item in await apollo.state("steps")]
    assert positions == [1, 3, 4, 2]


@pytest.mark.parametrize(
    ("members", "member"),
    [
        ({"emailer_campaign_id": "4711"}, "emailer_campaign_id"),
        ({"emailer_campaign_id": 4711}, "emailer_campaign_id"),
        ({"type": "linkedin_send_message"}, "type"),
        ({"type": "task"}, "type"),
        ({"position": 0}, "position"),
        ({"position": "2"}, "position"),
        ({"wait_time": -1}, "wait_time"),
        ({"wait_time": 1.5}, "wait_time"),
        ({"wait_time": "3"}, "wait_time"),
        ({"wait_time": None}, "wait_time"),
        ({"wait_mode": "week"}, "wait_mode"),
        ({"wait_mode": "second"}, "wait_mode"),
        ({"exact_datetime": "2027-01-15"}, "exact_datetime"),
        ({"exact_datetime": "2027-01-15T00:00:00"}, "exact_datetime"),
        ({"exact_datetime": 5}, "exact_datetime"),
        ({"note": 5}, "note"),
        ({"priority": "urgent"}, "priority"),
        ({"auto_skip_in_x_days": "1"}, "auto_skip_in_x_days"),
        ({"name": "Intro"}, "name"),
        ({"subject": "Hello"}, "subject"),
        ({"order": 2}, "order"),
    ],
)
async def test_refuses_steps(tenant: MakeTenant, members: dict[str, Any], member: str) -> None:
    apollo = await tenant("apollo")
    refused = await apollo.send("POST", STEPS, step(**members))
    assert refused.status_code == 422
    assert error(refused).startswith(f"{member} ")
    assert await apollo.state("steps") == []


@pytest.mark.parametrize("member", ["emailer_campaign_id", "type", "wait_time", "wait_mode"])
async def test_requires_members(tenant: MakeTenant, member: str) -> None:
    apollo = await tenant("apollo")
    body = step()
    del body[member]
    refused = await apollo.send("POST", STEPS, body)
    assert (refused.status_code, error(refused)) == (422, f"{member} is required")


async def test_no_seconds_is_no_wait(tenant: MakeTenant) -> None:
    apollo = await tenant("apollo")
    made = await apollo.send("POST", STEPS, call(wait_time=0, wait_mode="second"))
    assert made.status_code == 200


async def test_nested_content_is_ignored(tenant: MakeTenant) -> None:
    apollo = await tenant("apollo")
    nested = {"emailer_template": {"subject": "Hi", "body_html": "<p>Hi</p>"}, "emailer_touch": {}}
    made = (await apollo.send("POST", STEPS, step(**nested))).json()
    assert made["emailer_template"]["body_html"] == ""
    assert "emailer_template" not in made["emailer_step"]


@pytest.mark.parametrize("status", [404, 422])
async def test_an_unknown_sequence(tenant: MakeTenant, status: int) -> None:
    apollo = await tenant("apollo", unknown_sequence_status=status)
    refused = await apollo.send("POST", STEPS, step(emailer_campaign_id=UNKNOWN))
    assert (refused.status_code, list(refused.json())) == (status, ["error"])


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"wait_time":NaN}'])
async def test_refuses_what_is_no_json_object(tenant: MakeTenant, content: bytes) -> None:
    apollo = await tenant("apollo")
    url = f"/apollo{STEPS}"
    response = await apollo.http.post(url, content=content, headers=apollo.headers)
    assert (response.status_code, "error_code" in response.json()) == (400, True)


async def test_refuses_other_content_types(tenant: MakeTenant) -> None:
    apollo = await tenant("apollo")
    response = await apollo.send("POST", STEPS, step(), {"content-type": "text/plain"})
    assert response.status_code == 400


async def test_exact_time_sequences(tenant: MakeTenant) -> None:
    apollo = await tenant("apollo")

    async def add(position: int, moment: str | None) -> int:
        body = call(emailer_campaign_id=EXACT, position=position, exact_datetime=moment)
        return (await apollo.send("POST", STEPS, body)).status_code

    assert await add(2, "2027-01-15T00:00:00Z") == 200
    assert await add(3, None) == 422
    assert await add(3, "2026-11-24T10:00:00Z") == 422  # Not in the future.
    assert await add(3, "2027-01-15T00:00:00Z") == 422  # Not after the earlier step.
    assert await add(3, "2027-01-15T01:30:00+01:00") == 200
    assert await add(1, "2027-01-14T00:00:00+00:00") == 200
    read = (await apollo.send("GET", f"{CAMPAIGNS}/{EXACT}")).json()
    assert read["emailer_campaign"]["sequence_by_exact_daytime"] is True


async def test_a_moment_on_a_waiting_time_sequence_is_kept(tenant: MakeTenant) -> None:
    apollo = await tenant("apollo")
    made = await apollo.send("POST", STEPS, call(exact_datetime="2020-01-01T00:00:00Z"))
    assert made.json()["emailer_step"]["exact_datetime"] == "2020-01-01T00:00:00Z"


CONTENT = {"subject": "Hello", "body_html": "<p>Hi</p>"}


@pytest.mark.parametrize(
    "update",
    [
        {},
        {"type": "new_thread"},
        {"emailer_template": {}},
        {"emailer_template": {"subject": "Hello"}},
        {"emailer_template": {"body_html": "<p>Hi</p>"}},
        {"emailer_template": {"id": LIBRARY_TEMPLATE}},
    ],
)
async def test_a_touch_update_without_content(tenant: MakeTenant, update: dict[str, Any]) -> None:
    apollo = await tenant("apollo")
    touch_id = (await add_email(apollo, 1))["emailer_touch"]["id"]
    refused = await apollo.send("PUT", f"{TOUCHES}/{touch_id}", update)
    assert (refused.status_code, error(refused)) == (422, "undefined method '[]' for nil")


@pytest.mark.parametrize(
    "update",
    [
        {"emailer_template": {**CONTENT, "id": LIBRARY_TEMPLATE}},
        {"emailer_template": {**CONTENT, "body": "x"}},
        {"emailer_template": {**CONTENT, "subject": None}},
        {"emailer_template": CONTENT, "id": UNKNOWN},
        {"emailer_template": CONTENT, "emailer_step_id": UNKNOWN},
        {"emailer_template": CONTENT, "type": "reply"},
        {"emailer_template": CONTENT, "is_reply": True},
        {"emailer_template": CONTENT, "type": "reply_to_thread"},  # No earlier email.
    ],
)
async def test_refuses_touch_updates(tenant: MakeTenant, update: dict[str, Any]) -> None:
    apollo = await tenant("apollo")
    touch_id = (await add_email(apollo, 1))["emailer_touch"]["id"]
    refused = await apollo.send("PUT", f"{TOUCHES}/{touch_id}", update)
    assert refused.status_code == 422
    (library, own) = await apollo.state("templates")
    assert (library["subject"], own["subject"]) == ("Hello", None)


async def test_a_reply_follows_an_earlier_email(tenant: MakeTenant) -> None:
    apollo = await tenant("apollo")
    await add_email(apollo, 1)
    touch_id = (await add_email(apollo, 2))["emailer_touch"]["id"]
    update = {"type": "reply_to_thread", "emailer_template": {"subject": "", "body_html": "x"}}
    assert (await apollo.send("PUT", f"{TOUCHES}/{touch_id}", update)).status_code == 200


@pytest.mark.parametrize(
    ("options", "status"), [({}, "to_be_reviewed"), ({"put_approves": True}, "approved")]
)
async def test_an_update_may_approve(
    tenant: MakeTenant, options: dict[str, bool], status: str
) -> None:
    apollo = await tenant("apollo", **options)
    touch_id = (await add_email(apollo, 1))["emailer_touch"]["id"]
    updated = await apollo.send("PUT", f"{TOUCHES}/{touch_id}", {"emailer_template": CONTENT})
    assert updated.json()["emailer_touch"]["status"] == status


async def test_approval_needs_a_body(tenant: MakeTenant) -> None:
    apollo = await tenant("apollo")
    touch_id = (await add_email(apollo, 1))["emailer_touch"]["id"]
    assert (await apollo.send("POST", f"{TOUCHES}/{touch_id}/approve")).status_code == 422
    await apollo.send("PUT", f"{TOUCHES}/{touch_id}", {"emailer_template": CONTENT})
    approved = await apollo.send("POST", f"{TOUCHES}/{touch_id}/approve")
    assert approved.json()["emailer_touch"]["status"] == "approved"
    assert (await apollo.send("POST", f"{TOUCHES}/{UNKNOWN}/approve")).status_code == 404


async def test_bodies_are_cleaned(tenant: MakeTenant) -> None:
    apollo = await tenant("apollo")
    touch_id = (await add_email(apollo, 1))["emailer_touch"]["id"]
    dirty = {"subject": "Hi", "body_html": "<p>Hi</p><script>alert(1)</script>"}
    updated = await apollo.send("PUT", f"{TOUCHES}/{touch_id}", {"emailer_template": dirty})
    assert updated.json()["emailer_touch"]["emailer_template"]["body_html"] == "<p>Hi</p>"


async def test_templates(tenant: MakeTenant) -> None:
    apollo = await tenant("apollo")
    path = f"{TEMPLATES}/{LIBRARY_TEMPLATE}"
    read = (await apollo.send("GET", path)).json()["emailer_template"]
    assert (read["subject"], read["body_html"]) == ("Hello", "<p>Hi</p>")
    for method in ("PUT", "PATCH"):
        written = await apollo.send(method, path, {"subject": method, "body_html": "x"})
        assert written.json()["emailer_template"]["subject"] == method
    for wrong in ({"body": "x"}, {"id": UNKNOWN}, {"subject": None}):
        assert (await apollo.send("PUT", path, wrong)).status_code == 422
    assert (await apollo.send("GET", f"{TEMPLATES}/{UNKNOWN}")).status_code == 404


async def test_searches(tenant: MakeTenant) -> None:
    apollo = await tenant("apollo")
    found = (await apollo.send("POST", f"{CAMPAIGNS}/search", {"q_name": "exact"})).json()
    assert [item["id"] for item in found["emailer_campaigns"]] == [EXACT]
    second = {"page": 2, "per_page": 1}
    page = (await apollo.send("POST", f"{CAMPAIGNS}/search", second)).json()
    assert [item["id"] for item in page["emailer_campaigns"]] == [EXACT]
    assert page["pagination"]["total_entries"] == 2
    templates = (await apollo.send("POST", f"{TEMPLATES}/search", {})).json()["emailer_templates"]
    assert [item["id"] for item in templates] == [LIBRARY_TEMPLATE]


async def test_unknown_records_and_routes(tenant: MakeTenant) -> None:
    apollo = await tenant("apollo")
    for method, path in (
        ("GET", CAMPAIGNS),
        ("GET", f"{CAMPAIGNS}/{UNKNOWN}"),
        ("PUT", f"{TOUCHES}/{UNKNOWN}"),
        ("PUT", f"/api/v1/sequences/{WAITING}"),
        ("GET", "/api/v2/emailer_steps"),
    ):
        missing = await apollo.send(method, path)
        assert (missing.status_code, list(missing.json())) == (404, ["error"])


@pytest.mark.parametrize("key", [None, "", "other", "outreach-demo-access-1"])
async def test_a_wrong_key_is_told_in_text(tenant: MakeTenant, key: str | None) -> None:
    apollo = await tenant("apollo")
    refused = await apollo.send("GET", f"{CAMPAIGNS}/{WAITING}", headers={"x-api-key": key})
    assert refused.status_code == 401
    assert refused.headers["content-type"].startswith("text/plain")
    assert refused.text.startswith("Invalid API key.")
    assert not any(name.startswith("x-rate-limit") for name in refused.headers)


async def test_bearer_tokens(tenant: MakeTenant) -> None:
    apollo = await tenant("apollo")
    path = f"{CAMPAIGNS}/{WAITING}"
    token = f"Bearer {apollo.credentials['access_token']}"
    partner = await apollo.send("GET", path, headers={"x-api-key": None, "authorization": token})
    assert partner.status_code == 200
    refused = await apollo.send(
        "GET", path, headers={"x-api-key": None, "authorization": "Bearer x"}
    )
    assert (refused.status_code, refused.json()["error_code"]) == (401, "INVALID_ACCESS_TOKEN")


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", STEPS, "emailer_steps/create"),
        ("DELETE", f"{STEPS}/{UNKNOWN}", "emailer_steps/destroy"),
        ("GET", f"{CAMPAIGNS}/{WAITING}", "emailer_campaigns/show"),
        ("PUT", f"{TOUCHES}/{UNKNOWN}", "emailer_touches/update"),
    ],
)
async def test_sequences_need_a_master_key(
    tenant: MakeTenant, method: str, path: str, name: str
) -> None:
    apollo = await tenant("apollo")
    plain: dict[str, str | None] = {"x-api-key": apollo.credentials["api_key_without_master"]}
    refused = await apollo.send(method, path, step() if method == "POST" else None, plain)
    assert (refused.status_code, refused.json()["error_code"]) == (403, "API_INACCESSIBLE")
    assert error(refused).startswith(f"This API key is not authorized to access api/v1/{name}.")
    assert not any(name.startswith("x-rate-limit") for name in refused.headers)
    assert (await apollo.send("POST", f"{CAMPAIGNS}/search", {}, plain)).status_code == 200


async def test_a_free_plan_has_no_access(tenant: MakeTenant) -> None:
    apollo = await tenant("apollo", paid_plan=False)
    refused = await apollo.send("POST", STEPS, step())
    assert refused.status_code == 403
    message = "This endpoint is only available to Apollo users on paid plans."
    assert refused.json() == {"message": message}


async def test_rate_limits_are_per_endpoint(timed: MakeTenant, clock: HandClock) -> None:
    limit = {"limit": 2, "window": "hour", "window_seconds": 1800}
    apollo = await timed("apollo", rate_limit=limit)
    first = await apollo.send("POST", STEPS, call(position=1))
    assert first.headers["x-rate-limit-hourly"] == "2"
    assert first.headers["x-hourly-usage"] == "1"
    assert first.headers["x-hourly-requests-left"] == "1"
    assert first.headers["x-rate-limit-minute"] == "200"
    assert first.headers["x-24-hour-requests-left"] == "1999"
    await apollo.send("POST", STEPS, call(position=2))
    clock.now += 600
    refused = await apollo.send("POST", STEPS, call(position=3))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1200")
    words = "The maximum number of api calls allowed for api/v1/emailer_steps is 2 times per hour."
    assert refused.json()["message"].startswith(words)
    assert (await apollo.send("GET", f"{CAMPAIGNS}/{WAITING}")).status_code == 200
    clock.now += 1200
    assert (await apollo.send("POST", STEPS, call(position=3))).status_code == 200
