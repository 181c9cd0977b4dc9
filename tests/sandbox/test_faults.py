"""Each fault, as a client sees it, and what the vendor did behind it."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.sandbox.conftest import NOON, HandClock, MakeTenant

if TYPE_CHECKING:
    from tests.sandbox.tenant import Tenant

STEPS = "/api/v2/sequenceSteps"
STEP: dict[str, Any] = {
    "data": {
        "type": "sequenceStep",
        "attributes": {"stepType": "call", "interval": 60},
        "relationships": {"sequence": {"data": {"type": "sequence", "id": 4711}}},
    }
}


async def create(outreach: Tenant, **more: Any) -> httpx.Response:
    """Ask for a step, the write that most faults here meet."""
    return await outreach.send("POST", STEPS, STEP, **more)


async def count(outreach: Tenant) -> int:
    """Count the steps that are really there."""
    return len(await outreach.state("steps"))


async def a_step_appears(outreach: Tenant) -> None:
    """Wait until the vendor has a step; what happens in the sandbox can only be asked for."""
    async with asyncio.timeout(5):
        while await count(outreach) == 0:  # noqa: ASYNC110  (another process in real life)
            await asyncio.sleep(0.01)


async def raw_create(outreach: Tenant) -> tuple[bytes, type[Exception] | None]:
    """Ask for a step over a bare socket: all bytes that came, and how the connection ended."""
    url = outreach.http.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    body = json.dumps(STEP).encode()
    headers = {**outreach.headers, "host": "sandbox", "content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"POST /outreach{STEPS} HTTP/1.1\r\n{head}\r\n".encode() + body)
    received = bytearray()
    try:
        while chunk := await reader.read(65_536):
            received += chunk
    except ConnectionResetError:
        return bytes(received), ConnectionResetError
    finally:
        writer.close()
    return bytes(received), None


@pytest.mark.parametrize(("when", "steps"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize(("kind", "end"), [("close", None), ("reset", ConnectionResetError)])
async def test_the_connection_ends_without_a_byte(
    tenant: MakeTenant, kind: str, end: type[Exception] | None, when: str, steps: int
) -> None:
    outreach = await tenant("outreach")
    await outreach.fault(kind=kind, when=when)
    assert await raw_create(outreach) == (b"", end)
    assert await count(outreach) == steps
    (logged,) = await outreach.log()
    assert (logged["status"], logged["applied"], logged["fault"]) == (None, steps == 1, kind)


async def test_reset_mid_body(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    await outreach.fault(kind="reset_mid_body")
    received, end = await raw_create(outreach)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 201 Created\r\n")
    promised = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    assert end is ConnectionResetError
    assert 0 < len(body) < promised
    assert await count(outreach) == 1


@pytest.mark.parametrize(("when", "steps"), [("before", 0), ("after", 1)])
async def test_garbage(tenant: MakeTenant, when: str, steps: int) -> None:
    outreach = await tenant("outreach")
    await outreach.fault(kind="garbage", when=when, text="nonsense\x00\xff")
    assert await raw_create(outreach) == (b"nonsense\x00\xff", None)
    await outreach.fault(kind="garbage")
    with pytest.raises(httpx.RemoteProtocolError):
        await create(outreach)
    assert await count(outreach) == steps


async def test_late_apply(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    await outreach.fault(kind="late_apply", late_seconds=0.05)
    assert await raw_create(outreach) == (b"", None)
    assert await count(outreach) == 0
    await a_step_appears(outreach)
    assert [logged["applied"] for logged in await outreach.log()] == [True]


async def test_a_wait_before_the_vendor_acts(tenant: MakeTenant) -> None:
    """A client that gives up does not stop the vendor."""
    outreach = await tenant("outreach")
    await outreach.fault(kind="none", before_seconds=0.2)
    with pytest.raises(httpx.ReadTimeout):
        await create(outreach, timeout=0.05)
    assert await count(outreach) == 0
    await a_step_appears(outreach)


async def test_a_wait_after_the_vendor_acted(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    await outreach.fault(kind="none", after_seconds=0.1)
    started = time.monotonic()
    creating = asyncio.create_task(create(outreach))
    await a_step_appears(outreach)
    assert not creating.done()
    assert (await creating).status_code == 201
    assert time.monotonic() - started >= 0.1


@pytest.mark.parametrize(("when", "steps"), [("before", 0), ("after", 1)])
async def test_any_status(tenant: MakeTenant, when: str, steps: int) -> None:
    outreach = await tenant("outreach")
    await outreach.fault(kind="status", status=502, when=when)
    page = await create(outreach)
    assert (page.status_code, page.headers["content-type"]) == (502, "text/html")
    assert await count(outreach) == steps
    await outreach.fault(
        kind="status", status=418, body={"a": [1]}, headers={"x-made": "up"}, content_type="a/b"
    )
    custom = await create(outreach)
    assert (custom.status_code, custom.json()) == (418, {"a": [1]})
    assert (custom.headers["x-made"], custom.headers["content-type"]) == ("up", "a/b")
    await outreach.fault(kind="status", status=500, body="Oh no")
    assert (await create(outreach)).text == "Oh no"
    await outreach.fault(kind="status", status=204)
    assert (await create(outreach)).content == b""


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("seconds", "30"),
        ("epoch", str(int(NOON) + 30)),
        ("http_date", "Tue, 24 Nov 2026 10:00:30 GMT"),
        ("iso8601", "2026-11-24T10:00:30Z"),
        ("none", None),
    ],
)
@pytest.mark.parametrize("vendor", ["outreach", "salesloft", "apollo"])
async def test_rate_limited(tenant: MakeTenant, vendor: str, form: str, value: str | None) -> None:
    account = await tenant(vendor)
    await account.fault(kind="rate_limited", retry_after=form, retry_after_seconds=29.5)
    refused = await account.send("POST", "/anything")
    assert (refused.status_code, refused.headers.get("retry-after")) == (429, value)
    key = {"outreach": "errors", "salesloft": "error", "apollo": "message"}[vendor]
    assert list(refused.json()) == [key]


async def test_maintenance(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    await outreach.fault(kind="maintenance", retry_after_seconds=60)
    refused = await create(outreach)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2026-11-24T10:01:00Z")
    assert refused.json()["errors"][0]["id"] == "scheduledServerMaintenance"
    assert await count(outreach) == 0


async def test_redirect(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    await outreach.fault(kind="redirect", location="http://elsewhere.example/x")
    sent = await create(outreach)
    assert (sent.status_code, sent.headers["location"]) == (302, "http://elsewhere.example/x")
    await outreach.fault(kind="redirect", location="/outreach/other", status=307, when="after")
    assert (await create(outreach)).status_code == 307
    assert await count(outreach) == 1


async def test_wrong_content_type(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    await outreach.fault(kind="wrong_content_type")
    page = await create(outreach)
    assert (page.status_code, page.headers["content-type"]) == (201, "text/html; charset=utf-8")
    assert page.text.startswith("<html>")
    assert await count(outreach) == 1


async def test_unreadable_json(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    await outreach.fault(kind="unreadable_json")
    cut = await create(outreach)
    assert cut.status_code == 201
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        cut.json()
    assert await count(outreach) == 1


async def test_no_id(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    await outreach.fault(kind="no_id")
    made = await create(outreach)
    assert made.status_code == 201
    assert made.json()["data"]["type"] == "sequenceStep"
    assert '"id"' not in made.text
    assert await count(outreach) == 1


async def test_huge_body(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    await outreach.fault(kind="huge_body")
    made = await create(outreach)
    assert len(made.content) > 2 * 1024 * 1024
    assert made.json()["data"]["id"] == 90210


async def test_gzip_bomb(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    await outreach.fault(kind="huge_body", gzip=True, bytes=4_000_000)
    received, _ = await asyncio.wait_for(_read_once(outreach), 5)
    head, _, packed = received.partition(b"\r\n\r\n")
    assert b"content-encoding: gzip" in head
    assert len(packed) < 10_000
    assert len(gzip.decompress(packed)) > 4_000_000


async def _read_once(outreach: Tenant) -> tuple[bytes, type[Exception] | None]:
    """Ask for a step and for the connection's end after it."""
    outreach.headers["connection"] = "close"
    return await raw_create(outreach)


async def test_deep_json(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    await outreach.fault(kind="deep_json")
    made = await create(outreach)
    with pytest.raises(RecursionError):
        made.json()
    await outreach.fault(kind="deep_json", depth=3)
    assert (await create(outreach)).json() == {"data": [[[]]]}


async def test_set_cookie(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    await outreach.fault(kind="set_cookie", cookie="session=a; Path=/nowhere")
    assert (await create(outreach)).headers["set-cookie"] == "session=a; Path=/nowhere"


async def test_huge_header(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    await outreach.fault(kind="huge_header", bytes=30_000)
    assert len((await create(outreach)).headers["x-filler"]) == 30_000
    await outreach.fault(kind="huge_header")
    with pytest.raises(httpx.RemoteProtocolError):
        await create(outreach)
    assert await count(outreach) == 2


async def test_drip(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    await outreach.fault(kind="drip", piece_bytes=300, pause_seconds=0.02)
    started = time.monotonic()
    made = await create(outreach)
    assert made.json()["data"]["id"] == 90210
    assert time.monotonic() - started >= 0.02 * (len(made.content) // 300)


async def test_hidden_for_some_reads(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    await outreach.fault(kind="none", hidden_reads=2)
    await create(outreach)
    assert (await outreach.send("GET", STEPS)).json()["data"] == []
    assert (await outreach.send("GET", f"{STEPS}/90210")).status_code == 404
    assert len((await outreach.send("GET", STEPS)).json()["data"]) == 1
    assert await count(outreach) == 1


async def test_hidden_for_some_seconds(timed: MakeTenant, clock: HandClock) -> None:
    outreach = await timed("outreach")
    await outreach.fault(kind="close", when="after", hidden_seconds=3)
    with pytest.raises(httpx.RemoteProtocolError):
        await create(outreach)
    await create(outreach)
    ids = [record["id"] for record in (await outreach.send("GET", STEPS)).json()["data"]]
    assert ids == [90211]
    clock.now += 3
    assert len((await outreach.send("GET", STEPS)).json()["data"]) == 2


async def test_hidden_at_the_other_vendors(tenant: MakeTenant) -> None:
    salesloft, apollo = await tenant("salesloft"), await tenant("apollo")
    task = {"enabled": True, "name": "A", "type": "Other", "type_settings": {"instructions": ""}}
    group = {"day": 1, "automated": False, "due_immediately": False, "steps": [task]}
    await salesloft.fault(kind="none", hidden_reads=2)
    content = {"cadence_id": 123, "step_groups": [group]}
    await salesloft.send("POST", "/v2/cadence_imports", {"cadence_content": content})
    lists = [
        (await salesloft.send("GET", "/v2/steps", params={"cadence_id": "123"})).json()["data"]
        for _ in range(3)
    ]
    assert [len(data) for data in lists] == [0, 0, 1]
    sequence = "65334c9c2722cd008bde87c3"
    await apollo.fault(kind="none", hidden_reads=1)
    body = {
        "emailer_campaign_id": sequence,
        "type": "auto_email",
        "wait_time": 1,
        "wait_mode": "day",
    }
    await apollo.send("POST", "/v1/emailer_steps", body)
    path = f"/v1/emailer_campaigns/{sequence}"
    reads = [(await apollo.send("GET", path)).json() for _ in range(2)]
    assert [len(read["emailer_steps"]) for read in reads] == [0, 1]
    assert [len(read["emailer_touches"]) for read in reads] == [0, 1]


async def test_a_list_of_faults_is_a_script(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    script = [
        {"kind": "status", "status": 500, "method": "POST", "path": "sequenceSteps$", "times": 2},
        {"kind": "none", "method": "POST"},
        {"kind": "status", "status": 503, "times": None},
    ]
    await outreach.control("POST", "/faults", script)
    assert (await outreach.send("GET", STEPS)).status_code == 503
    statuses = [(await create(outreach)).status_code for _ in range(4)]
    assert statuses == [500, 500, 201, 503]
    left = (await outreach.control("GET", "/faults"))["faults"]
    assert left == [{"kind": "status", "status": 503, "times": None, "remaining": None}]
    await outreach.control("DELETE", "/faults")
    assert (await create(outreach)).status_code == 201


async def test_a_fault_for_one_request_by_header(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    await outreach.fault(kind="status", status=500)
    fault = {"x-sandbox-fault": '{"kind": "status", "status": 502, "when": "after"}'}
    assert (await create(outreach, headers=fault)).status_code == 502
    assert (await create(outreach)).status_code == 500
    assert (await create(outreach)).status_code == 201
    assert await count(outreach) == 2
    for wrong in ("close", "{}", '{"kind": "close", "times": 2}'):
        refused = await create(outreach, headers={"x-sandbox-fault": wrong})
        assert (refused.status_code, refused.text[:15]) == (400, "x-sandbox-fault")


async def test_faults_meet_the_token_endpoint_too(tenant: MakeTenant) -> None:
    outreach = await tenant("outreach")
    await outreach.fault(kind="close", when="after", path="^/oauth/token$")
    with pytest.raises(httpx.RemoteProtocolError):
        await outreach.refresh()
    assert (await outreach.refresh()).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("fault", "place"),
    [
        ([1], "fault"),
        ({}, "fault.kind"),
        ({"kind": "explode"}, "fault.kind"),
        ({"kind": "close", "whenn": "after"}, "fault.whenn"),
        ({"kind": "close", "when": "later"}, "fault.when"),
        ({"kind": "none", "when": "after"}, "fault.when"),
        ({"kind": "status"}, "fault.status"),
        ({"kind": "status", "status": 99}, "fault.status"),
        ({"kind": "status", "status": "500"}, "fault.status"),
        ({"kind": "status", "status": 500, "headers": {"a": 1}}, "fault.headers.a"),
        ({"kind": "drip", "piece_bytes": 0}, "fault.piece_bytes"),
        ({"kind": "close", "times": 0}, "fault.times"),
        ({"kind": "close", "path": "("}, "fault.path"),
        ({"kind": "close", "after_seconds": True}, "fault.after_seconds"),
    ],
)
async def test_refuses_faults(tenant: MakeTenant, fault: Any, place: str) -> None:
    outreach = await tenant("outreach")
    url = f"/_sandbox/accounts/{outreach.name}/faults"
    refused = await outreach.http.post(url, json=fault)
    assert (refused.status_code, refused.json()["error"].partition(":")[0]) == (400, place)
    assert (await outreach.control("GET", "/faults"))["faults"] == []
