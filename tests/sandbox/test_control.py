"""The control interface: accounts, their seeds and options, credentials, log, reset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from sandbox.accounts import REQUESTS_KEPT
from sandbox.server import serve
from tests.sandbox.tenant import Tenant

if TYPE_CHECKING:
    from tests.sandbox.conftest import MakeTenant

ACCOUNTS = "/_sandbox/accounts"


async def test_demo_accounts_are_as_documented(http: httpx.AsyncClient) -> None:
    listed = (await http.get(ACCOUNTS)).json()["accounts"]
    demo = [account["name"] for account in listed if account["name"].endswith("-demo")]
    assert demo == ["outreach-demo", "salesloft-demo", "apollo-demo"]
    shown = {name: (await http.get(f"{ACCOUNTS}/{name}")).json() for name in demo}
    assert shown["outreach-demo"]["credentials"] == {
        "client_id": "outreach-client",
        "client_secret": "outreach-secret",
        "access_token": "outreach-demo-access-1",
        "refresh_token": "outreach-demo-refresh-1",
        "colleague_access_token": "outreach-demo-colleague",
    }
    assert shown["apollo-demo"]["credentials"] == {
        "api_key": "apollo-demo-master",
        "api_key_without_master": "apollo-demo-plain",
        "access_token": "apollo-demo-bearer",
    }
    ids = {
        name: [record["id"] for record in account["state"]["sequences"]]
        for name, account in shown.items()
    }
    assert ids == {
        "outreach-demo": [4711, 4712],
        "salesloft-demo": list(range(123, 142)),
        "apollo-demo": ["65334c9c2722cd008bde87c3", "65334c9c2722cd008bde87c4"],
    }
    assert shown["salesloft-demo"]["base_url"] == f"{http.base_url}/salesloft".replace(
        "//salesloft", "/salesloft"
    )


async def test_seeds(tenant: MakeTenant) -> None:
    sequences = [{"id": 1, "count": 3}, {"id": 9, "kind": "date", "steps": 2, "name": "Dates"}]
    templates = [{"id": 5, "subject": "S", "body": "B"}, {"count": 2}]
    seed = {"sequences": sequences, "templates": templates}
    outreach = await tenant("outreach", seed=seed)
    shown = await outreach.state("sequences")
    assert [record["id"] for record in shown] == [1, 2, 3, 9]
    assert shown[3]["attributes"]["name"] == "Dates"
    assert shown[3]["attributes"]["sequenceStepCount"] == 2
    made = await outreach.state("templates")
    assert [record["attributes"]["subject"] for record in made] == ["S", "Hello", "Hello"]
    first = "65334c9c2722cd008bde87ff"
    apollo = await tenant("apollo", seed={"sequences": [{"id": first, "count": 2}]})
    ids = [record["id"] for record in await apollo.state("sequences")]
    assert ids == [first, "65334c9c2722cd008bde8800"]
    assert await apollo.state("templates") == []


async def test_accounts_share_nothing(tenant: MakeTenant) -> None:
    one, other = await tenant("apollo"), await tenant("apollo")
    await one.fault(kind="status", status=500, times=None)
    body = {
        "emailer_campaign_id": "65334c9c2722cd008bde87c3",
        "type": "call",
        "wait_time": 0,
        "wait_mode": "day",
    }
    assert (await one.send("POST", "/v1/emailer_steps", body)).status_code == 500
    assert (await other.send("POST", "/v1/emailer_steps", body)).status_code == 200
    assert [len(await account.state("steps")) for account in (one, other)] == [0, 1]
    assert [len(await account.log()) for account in (one, other)] == [1, 1]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ([], "body"),
        ({}, "vendor"),
        ({"vendor": "hubspot"}, "vendor"),
        ({"vendor": "apollo", "name": "apollo-demo"}, "name"),
        ({"vendor": "apollo", "name": "A b"}, "name"),
        ({"vendor": "apollo", "optoins": {}}, "optoins"),
        ({"vendor": "apollo", "options": {"put_aproves": True}}, "options.put_aproves"),
        ({"vendor": "apollo", "options": {"put_approves": 1}}, "options.put_approves"),
        ({"vendor": "apollo", "options": {"create_answer": "half"}}, "options.create_answer"),
        ({"vendor": "apollo", "options": {"rate_limit": {}}}, "options.rate_limit.limit"),
        ({"vendor": "outreach", "options": {"scopes": "x"}}, "options.scopes"),
        ({"vendor": "outreach", "options": {"retry_after": None}}, "options.retry_after"),
        ({"vendor": "outreach", "seed": {"sequences": [{"ID": 1}]}}, "seed.sequences[0].ID"),
        ({"vendor": "outreach", "seed": {"sequences": [{"id": "x"}]}}, "seed"),
        ({"vendor": "outreach", "seed": {"sequences": [{"kind": "exact_time"}]}}, "seed"),
        ({"vendor": "salesloft", "seed": {"sequences": [{"kind": "date"}]}}, "seed"),
        ({"vendor": "salesloft", "seed": {"templates": [{"id": "x"}]}}, "seed"),
        ({"vendor": "apollo", "seed": {"sequences": [{"id": "4711"}]}}, "seed"),
        ({"vendor": "apollo", "seed": {"sequences": [{"kind": "date"}]}}, "seed"),
    ],
)
async def test_refuses_accounts(http: httpx.AsyncClient, body: Any, place: str) -> None:
    refused = await http.post(ACCOUNTS, json=body)
    assert (refused.status_code, refused.json()["error"].partition(":")[0]) == (400, place)


async def test_refuses_a_body_that_is_no_json(http: httpx.AsyncClient) -> None:
    refused = await http.post(ACCOUNTS, content=b"{")
    assert refused.status_code == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/reset"),
        ("GET", "/faults"),
        ("DELETE", "/requests"),
        ("POST", "/expire-access-tokens"),
        ("DELETE", "/steps/1"),
    ],
)
async def test_unknown_accounts(http: httpx.AsyncClient, method: str, path: str) -> None:
    missing = await http.request(method, f"{ACCOUNTS}/nobody{path}")
    assert (missing.status_code, list(missing.json())) == (404, ["error"])


async def test_the_log(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    await outreach.send("GET", "/api/v2/sequenceSteps", params={"filter[sequence][id]": "4711"})
    await outreach.send("POST", "/api/v2/templates", {"data": {"type": "template"}})
    await outreach.send("POST", "/api/v2/templates", {"data": {"type": "step"}})
    listed, made, refused = await outreach.log()
    assert (listed["number"], listed["method"], listed["path"]) == (
        1,
        "GET",
        "/api/v2/sequenceSteps",
    )
    assert listed["query"] == [["filter[sequence][id]", "4711"]]
    assert listed["headers"]["authorization"] == outreach.headers["authorization"]
    assert [item["status"] for item in (listed, made, refused)] == [200, 201, 409]
    assert [item["applied"] for item in (listed, made, refused)] == [False, True, False]
    assert made["body"] == {"data": {"type": "template"}}
    assert made["at"] <= made["answered_at"]
    await outreach.control("DELETE", "/requests")
    assert await outreach.log() == []
    await outreach.send("GET", "/api/v2/templates/55")
    assert [item["number"] for item in await outreach.log()] == [4]


async def test_bodies_that_are_no_json_are_logged_as_text(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    url = "/outreach/api/v2/templates"
    await outreach.http.post(url, content=b"\xff{", headers=outreach.headers)
    (logged,) = await outreach.log()
    assert logged["body"] == "\ufffd{"


async def test_strangers_have_a_log_of_their_own(http: httpx.AsyncClient) -> None:
    url = "/_sandbox/strangers/requests"
    await http.delete(url)
    await http.get("/outreach/api/v2/templates/55", headers={"authorization": "Bearer nobody"})
    (logged,) = (await http.get(url)).json()["requests"]
    assert (logged["path"], logged["status"]) == ("/api/v2/templates/55", 401)


async def test_a_reset_goes_back_to_the_first_moment(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach", seed={"templates": [{"id": 1}]}, link_enabled=False)
    await outreach.send("DELETE", "/api/v2/templates/1")
    await outreach.refresh()
    await outreach.fault(kind="close", path="never")
    described = await outreach.control("POST", "/reset")
    assert described["credentials"] == outreach.credentials
    assert described["options"] == {"link_enabled": False}
    assert [record["id"] for record in described["state"]["templates"]] == [1]
    assert await outreach.log() == []
    assert (await outreach.control("GET", "/faults"))["faults"] == []
    assert (await outreach.send("GET", "/api/v2/templates/1")).status_code == 200


async def test_a_reset_of_everything() -> None:
    async with (
        serve() as sandbox,
        httpx.AsyncClient(base_url=sandbox.base_url) as http,
    ):
        demo = Tenant(http, (await http.get(f"{ACCOUNTS}/outreach-demo")).json())
        await demo.send("DELETE", "/api/v2/templates/55")
        assert (await http.post("/_sandbox/reset")).status_code == 204
        assert len(await demo.state("templates")) == 1


async def test_an_account_can_be_removed(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    await outreach.control("DELETE")
    assert (await outreach.send("GET", "/api/v2/templates/55")).status_code == 401


@pytest.mark.parametrize(
    ("vendor", "path"),
    [
        ("outreach", "/api/v2/templates/55"),
        ("salesloft", "/v2/cadences/123"),
        ("apollo", "/v1/emailer_campaigns/65334c9c2722cd008bde87c3"),
    ],
)
async def test_access_can_be_ended(tenant: MakeTenant, vendor: str, path: str) -> None:
    account = await tenant(vendor)
    assert (await account.send("GET", path)).status_code == 200
    await account.control("POST", "/expire-access-tokens")
    assert (await account.send("GET", path)).status_code == 401
    await account.control("POST", "/revoke-refresh-token")
    if vendor != "apollo":
        assert (await account.refresh()).json()["error"] == "invalid_grant"
    await account.control("POST", "/reset")
    assert (await account.send("GET", path)).status_code == 200


async def test_a_person_deletes_a_step(tenant: MakeTenant) -> None:
    seed = {"sequences": [{"steps": 2}]}
    for vendor in ("outreach", "salesloft", "apollo"):
        account = await tenant(vendor, seed=seed)
        first, second = [record["id"] for record in await account.state("steps")]
        await account.control("DELETE", f"/steps/{first}")
        assert [record["id"] for record in await account.state("steps")] == [second]
        url = f"{ACCOUNTS}/{account.name}/steps/{first}"
        assert (await account.http.delete(url)).status_code == 404
    assert REQUESTS_KEPT >= 10_000
