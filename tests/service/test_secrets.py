"""Credentials and contents stay where they belong, whatever a vendor does with them."""

import asyncio
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct

from engagement.v1 import sequence_step_pb2 as step_pb2
from sandbox.server import RunningSandbox
from service.bootstrap import opened_stores
from service.domain.connection import Connection, ConnectionKind, Secret
from service.domain.step import ConnectionKey, ProviderName
from tests.service.conftest import Client, NewAccount, client_at, environment_for
from tests.service.leaked_credentials import LogWatch, leaked
from tests.service.service_process import service_process
from tests.service.step_messages import AUTO_EMAIL, CALL, step
from tests.service.vendor_account import VendorAccount

VENDORS = ("outreach", "salesloft", "apollo")
NEXT_SEQUENCES = {
    "outreach": "4711",
    "salesloft": "124",  # A cadence takes one step.
    "apollo": "65334c9c2722cd008bde87c3",
}
CLIENT_SECRETS = ("outreach-secret", "salesloft-secret")
MARK = "canary"
"""In everything that a caller gives as content."""

TOKEN = {"method": "POST", "path": "/oauth/token"}


@dataclass(frozen=True)
class Situation:
    """One call, and what the vendor does to it."""

    account: VendorAccount
    step: step_pb2.SequenceStep
    faults: tuple[dict[str, Any], ...] = ()
    has_expired: bool = False


def marked_step(vendor: str) -> step_pb2.SequenceStep:
    """Return an e-mail with the mark in every text that the vendor takes."""
    more = Struct()
    more.update({"tags": [f"{MARK} tag"]} if vendor == "outreach" else {"comment": f"{MARK} more"})
    content = step_pb2.TemplateContent(
        subject=f"{MARK} subject",
        body_html=f"<p>{MARK} body</p>",
        name=f"{MARK} template",
        to=[f"{MARK}@example.com"] if vendor == "outreach" else [],
        custom_fields=more if vendor == "outreach" else None,
    )
    return step_pb2.SequenceStep(
        type=AUTO_EMAIL,
        name=f"{MARK} name",
        task_note=f"{MARK} note",
        template=step_pb2.Template(content=content),
    )


def bad_steps() -> Iterator[step_pb2.SequenceStep]:
    """Yield steps that are refused for what is in them."""
    owned = Struct()
    owned.update({"id": f"{MARK} id", "api_key": f"{MARK} key"})
    yield step_pb2.SequenceStep(type=CALL, custom_fields=owned)
    yield step_pb2.SequenceStep(type=CALL, date=f"{MARK} day")
    yield step_pb2.SequenceStep(type=AUTO_EMAIL, template=step_pb2.Template(id=f"../{MARK}"))


def echoes(vendor: str, secret: str) -> Iterator[dict[str, Any]]:
    """Yield errors that repeat the credential, whole or where the sentence is cut."""
    sentences = (
        f"The token {secret} may not do this.",
        f"<b>{secret}</b>\r\nX-Injected: {secret}",
        *("x" * length + secret for length in (285, 290, 295)),
    )
    for sentence in sentences:
        for status in (400, 403, 422):
            yield _error(status, _in_form_of(vendor, sentence))
        yield {**_error(422, _in_form_of(vendor, sentence)), "method": "POST"}
    for status in (400, 401, 404, 422, 500):
        yield {**_error(status, secret), "content_type": "text/plain"}


def token_echoes(secret: str, refresh_token: str) -> Iterator[dict[str, Any]]:
    """Yield the like of a token endpoint."""
    for status in (400, 401, 500):
        for sentence in (secret, refresh_token):
            body = {"error": sentence, "error_description": sentence}
            yield {**_error(status, body), **TOKEN}
    yield {**_error(400, {"error": "invalid_grant", "error_description": refresh_token}), **TOKEN}
    yield {**_error(200, {"access_token": f"{secret}\n", "refresh_token": refresh_token}), **TOKEN}


def _error(status: int, body: Any) -> dict[str, Any]:
    return {"kind": "status", "status": status, "body": body, "method": "GET", "times": None}


def _in_form_of(vendor: str, sentence: str) -> dict[str, Any]:
    match vendor:
        case "outreach":
            return {"errors": [{"detail": sentence, "title": sentence, "id": sentence}]}
        case "salesloft":
            return {"error": sentence, "errors": {sentence: [sentence]}}
        case _:
            return {"error": sentence, "error_code": sentence}


BROKEN: tuple[dict[str, Any], ...] = (
    {"kind": "close", "when": "after", "method": "POST"},
    {"kind": "garbage", "when": "after", "method": "POST"},
    {"kind": "no_id", "method": "POST"},
    {"kind": "deep_json", "times": None},
    {"kind": "huge_header", "times": None},
    {"kind": "redirect", "location": "http://elsewhere.example/", "times": None},
    {"kind": "rate_limited", "retry_after_seconds": 90},
)


async def situations(new_account: NewAccount, vendor: str) -> list[Situation]:
    """Return a vendor's situations, each with an account of its own."""

    async def account() -> VendorAccount:
        return await new_account(vendor, connected=False)

    asked = marked_step(vendor)
    found = [Situation(await account(), asked)]
    found += [Situation(await account(), bad) for bad in bad_steps()]
    found += [Situation(await account(), asked, (fault,)) for fault in BROKEN]
    probe = await account()
    for number, _ in enumerate(echoes(vendor, "")):
        owner = await account()
        faults = list(echoes(vendor, owner.connection().credential.reveal()))
        found.append(Situation(owner, asked, (faults[number],)))
    if probe.connection().refresh_token is not None:
        for number, _ in enumerate(token_echoes("", "")):
            owner = await account()
            faults = list(token_echoes(f"{vendor}-secret", owner.credentials["refresh_token"]))
            found.append(Situation(owner, asked, (faults[number],), has_expired=True))
        found.append(Situation(probe, asked, has_expired=True))
    return found


async def told(client: Client, situation: Situation) -> tuple[str, str]:
    """Call, and return the outcome with all that the caller gets of it, as text."""
    try:
        return "OK", str(await client.create(situation.account, situation.step))
    except grpc.aio.AioRpcError as error:
        trailing = tuple(error.trailing_metadata() or ())
        return error.code().name, f"{error.details()} {error.debug_error_string()} {trailing!r}"


def pieces(account: VendorAccount) -> tuple[str, ...]:
    """Return how each credential of an account begins, since a part of one is one too."""
    key = account.credentials.get("api_key", "")
    return (f"{account.name}-", *([key[:10]] if key.startswith("ak") else []))


async def test_nothing_leaks_from_a_process_whatever_goes_wrong(
    sandbox: RunningSandbox, new_account: NewAccount, tmp_path: Path
) -> None:
    database = tmp_path / "data" / "engagement.db"
    environment = environment_for(
        sandbox.base_url,
        database,
        ENGAGEMENT_LOG_LEVEL="debug",
        ENGAGEMENT_DRAIN_DELAY_SECONDS="0",
    )
    key = environment["ENGAGEMENT_KEYS"].partition(":")[2]
    all_of_them = [each for vendor in VENDORS for each in await situations(new_account, vendor)]
    async with service_process(environment, tmp_path / "log") as process:
        port = await process.port()
        async with opened_stores(process.settings) as stores:
            for situation in all_of_them:
                await _prepare(situation)
                await stores.connections.put(situation.account.connection())
        async with client_at(port, process.settings) as client:
            outcomes = await asyncio.gather(*(told(client, each) for each in all_of_them))
        files = [path.read_bytes() for path in database.parent.iterdir()]
        process.process.send_signal(signal.SIGTERM)
        assert await process.ended() == 0
    files += [path.read_bytes() for path in database.parent.iterdir()]
    log = (tmp_path / "log").read_text()

    _check_that_it_happened([code for code, _ in outcomes], log)
    in_all = (*CLIENT_SECRETS, key)
    for situation, (_, text) in zip(all_of_them, outcomes, strict=True):
        for secret in (*in_all, *pieces(situation.account)):
            assert secret not in text, (situation.faults, text)
            assert secret not in log
            assert not any(secret.encode() in file for file in files)
    assert MARK not in log
    assert not any(MARK.encode() in file for file in files)


async def _prepare(situation: Situation) -> None:
    await situation.account.faults(situation.faults)
    if situation.has_expired:
        await situation.account.expire_access_tokens()


def _check_that_it_happened(codes: list[str], log: str) -> None:
    assert set(codes) >= {
        *("OK", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "UNAVAILABLE"),
        *("RESOURCE_EXHAUSTED",),
    }
    assert log.count('"event":"rpc"') == len(codes)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ({"event": "rpc", "customer": "outreach-test-1"}, 0),
        ({"event": "rpc", "customer": "outreach-test-1-access-1"}, 1),
        ({"event": "rpc", "customer": "ak" + 64 * "0"}, 1),
        ({"event": "store_failed", "error": "postgresql://me:secret@db"}, 1),
        ({"event": "rpc", "subject": "Hello"}, 1),
        ({"event": "made up"}, 1),
    ],
)
def test_the_watch_over_this_suite_s_logs_finds_what_it_should(
    line: dict[str, str], found: int
) -> None:
    watch = LogWatch()

    watch.look(None, "info", line)

    assert len(watch.found) == found


def test_the_look_at_a_process_s_log_finds_its_own_secrets() -> None:
    environment = {"ENGAGEMENT_KEYS": "k1:a2V5", "ENGAGEMENT_OUTREACH_CLIENT_SECRET": "hush"}

    assert leaked("k1 and nothing else", environment) == []
    assert leaked("with a2V5 and hush", environment) == ["a2V5", "hush"]


async def test_no_cookie_is_kept(client: Client, new_account: NewAccount) -> None:
    """Neither for the customer who got it, nor for the next."""
    for vendor in VENDORS:
        first, second = await new_account(vendor), await new_account(vendor)
        await first.fault(kind="set_cookie", times=None)

        await client.create(first, step(CALL))
        await client.create(first, step(CALL), sequence_id=NEXT_SEQUENCES[vendor])
        await client.create(second, step(CALL))

        for request in (*await first.requests(), *await second.requests()):
            assert "cookie" not in request["headers"]


async def test_a_customer_s_name_does_not_leave_the_service(
    client: Client, new_account: NewAccount
) -> None:
    for vendor in VENDORS:
        account = await new_account(vendor, connected=False)
        name = f"tenant-{MARK}-{vendor}"
        connection = account.connection()
        key = ConnectionKey(name, ProviderName(vendor))
        async with opened_stores(client.settings) as stores:
            await stores.connections.put(replace(connection, key=key))

        await client.create(
            replace(account, name=name), step(CALL), sequence_id=account.sequence_id
        )

        requests = await account.requests()
        assert requests
        assert MARK not in str(requests)
        for request in requests:
            credentials = {"authorization", "x-api-key"} & request["headers"].keys()
            assert len(credentials) == 1
            assert not [name for name in request["headers"] if name.startswith(("grpc", "x-cust"))]


async def test_one_customer_s_call_uses_no_other_s_connection(
    client: Client, new_account: NewAccount
) -> None:
    """Though the ids that it names are the other's too."""
    for vendor in VENDORS:
        mine, other = await new_account(vendor), await new_account(vendor)
        before = await other.state()

        answer = await client.create(mine, step(CALL))

        assert answer.id in await mine.step_ids()
        assert await other.requests() == []
        assert await other.state() == before


async def test_a_connection_at_one_vendor_is_none_at_another(
    client: Client, new_account: NewAccount
) -> None:
    account = await new_account("outreach")
    strangers = await account.control.get("/strangers/requests")

    failure = await client.fail(replace(account, vendor="salesloft"), step(CALL))

    assert (failure.code, failure.reason) == ("FAILED_PRECONDITION", "CONNECTION_MISSING")
    assert await account.requests() == []
    assert (await account.control.get("/strangers/requests")).json() == strangers.json()


@pytest.mark.parametrize("kind", [ConnectionKind.API_KEY, ConnectionKind.BEARER])
async def test_a_key_of_salesloft_goes_where_a_token_goes(
    client: Client, new_account: NewAccount, kind: ConnectionKind
) -> None:
    account = await new_account("salesloft", connected=False)
    key = account.credentials["api_key"]
    async with opened_stores(client.settings) as stores:
        await stores.connections.put(Connection(account.key, kind, Secret(key)))

    await client.create(account, step(CALL))

    requests = await account.requests()
    assert {request["headers"]["authorization"] for request in requests} == {f"Bearer {key}"}
