"""Vendors that refuse, and vendors that are not there: their reasons are told, nothing is left."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any

import pytest

from engagement.v1 import sequence_step_pb2 as step_pb2
from sandbox.server import RunningSandbox
from service.bootstrap import opened_stores
from service.domain.connection import Connection, ConnectionKind, Secret
from tests.service.conftest import Client, NewAccount, client_of, settings_for
from tests.service.step_messages import AUTO_EMAIL, CALL, step
from tests.service.vendor_account import TEMPLATES

OUTREACH_SCOPES = (
    *("sequences.read", "sequenceSteps.read", "sequenceSteps.write"),
    *("sequenceTemplates.read", "sequenceTemplates.write"),
    *("templates.read", "templates.write", "templates.delete"),
)
SALESLOFT_SCOPES = (
    *("cadences:read", "cadences:write"),
    *("email_templates:read", "team_templates:read"),
)
INLINE = step_pb2.SequenceStep(
    type=AUTO_EMAIL,
    template=step_pb2.Template(
        content=step_pb2.TemplateContent(subject="Hello", body_html="<p>Hi</p>")
    ),
)


@dataclass(frozen=True)
class Case:
    """A step, and the scopes that the connection lacks."""

    vendor: str
    step: step_pb2.SequenceStep
    missing: Sequence[str]
    named: str
    reason: str = "PROVIDER_FORBIDDEN"
    templates_left: int = 0

    def __str__(self) -> str:
        kind = "inline" if self.step.template.HasField("content") else self.step.template.id
        return f"{self.vendor} {kind or 'call'} without {' and '.join(self.missing)}"


def _outreach(
    kind: step_pb2.SequenceStep, missing: str, reason: str = "PROVIDER_FORBIDDEN"
) -> Case:
    return Case("outreach", kind, (missing,), missing, reason)


OUTREACH_BY_ID = step(AUTO_EMAIL, template_id=TEMPLATES["outreach"])
SALESLOFT_BY_ID = step(AUTO_EMAIL, template_id=TEMPLATES["salesloft"])
CASES = (
    _outreach(step(CALL), "sequences.read"),
    _outreach(step(CALL), "sequenceSteps.read"),
    _outreach(step(CALL), "sequenceSteps.write"),
    _outreach(OUTREACH_BY_ID, "templates.read"),
    _outreach(INLINE, "templates.write"),
    _outreach(INLINE, "sequenceSteps.write"),
    _outreach(OUTREACH_BY_ID, "sequenceTemplates.write", "STEP_INCOMPLETE"),
    Case(
        "outreach",
        INLINE,
        ("sequenceSteps.write", "templates.delete"),
        "sequenceSteps.write",
        templates_left=1,
    ),
    Case("salesloft", step(CALL), ("cadences:read",), "cadences:read"),
    Case("salesloft", step(CALL), ("cadences:write",), "cadences:write"),
    Case(
        "salesloft",
        SALESLOFT_BY_ID,
        ("email_templates:read", "team_templates:read"),
        "email_templates:read",
    ),
    Case("salesloft", SALESLOFT_BY_ID, ("email_templates:read",), "email_templates:read"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_missing_scope_is_named(
    client: Client, new_account: NewAccount, case: Case
) -> None:
    all_scopes = {"outreach": OUTREACH_SCOPES, "salesloft": SALESLOFT_SCOPES}[case.vendor]
    scopes = [scope for scope in all_scopes if scope not in case.missing]
    account = await new_account(case.vendor, options={"scopes": scopes})
    before = await account.state()

    failure = await client.fail(account, case.step)

    assert (failure.code, failure.reason) == ("FAILED_PRECONDITION", case.reason)
    assert case.named in failure.message
    assert failure.metadata["httpStatus"] == "403"
    assert (failure.retry_seconds, failure.pushback_ms in {None, "-1"}) == (None, True)
    after = await account.state()
    assert len(after["templates"]) - len(before["templates"]) == case.templates_left
    new_steps = [str(each["id"]) for each in after["steps"] if each not in before["steps"]]
    if case.reason == "STEP_INCOMPLETE":
        assert new_steps == [failure.metadata["stepId"]]
    else:
        assert new_steps == []


async def test_one_of_salesloft_s_two_template_scopes_is_enough(
    client: Client, new_account: NewAccount
) -> None:
    scopes = [scope for scope in SALESLOFT_SCOPES if scope != "team_templates:read"]
    account = await new_account("salesloft", options={"scopes": scopes})

    answer = await client.create(account, SALESLOFT_BY_ID)

    assert answer.id in await account.step_ids()


async def test_a_key_of_apollo_that_is_no_master_key(
    client: Client, new_account: NewAccount
) -> None:
    account = await new_account("apollo", connected=False)
    plain = Secret(account.credentials["api_key_without_master"])
    async with opened_stores(client.settings) as stores:
        await stores.connections.put(Connection(account.key, ConnectionKind.API_KEY, plain))

    failure = await client.fail(account, step(CALL))

    assert (failure.code, failure.reason) == ("FAILED_PRECONDITION", "PROVIDER_FORBIDDEN")
    assert "master" in failure.message
    assert await account.step_ids() == []


async def test_a_plan_of_apollo_without_an_api(client: Client, new_account: NewAccount) -> None:
    account = await new_account("apollo", options={"paid_plan": False})

    failure = await client.fail(account, step(CALL))

    assert (failure.code, failure.reason) == ("FAILED_PRECONDITION", "PROVIDER_FORBIDDEN")
    assert "paid plans" in failure.message
    assert await account.step_ids() == []


REFUSED_STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "outreach": (
        "/sequenceSteps$",
        {
            "errors": [
                {
                    "id": "validationError",
                    "title": "Validation Error",
                    "detail": "Order <b>is</b>\r\nodd.\x1b[31m",
                    "source": {"pointer": "/data/attributes/order"},
                }
            ]
        },
    ),
    "salesloft": ("/cadence_imports$", {"errors": {"name": ["<b>is</b>\r\nodd.\x1b[31m"]}}),
    "apollo": ("/emailer_steps$", {"error": "Position <b>is</b>\r\nodd.\x1b[31m"}),
}
POINTED_AT = {"outreach": ("step.order",), "salesloft": ("step.name",), "apollo": ()}


@pytest.mark.parametrize("vendor", REFUSED_STEPS)
async def test_the_vendor_s_own_sentence_is_passed_on_clean(
    client: Client, new_account: NewAccount, vendor: str
) -> None:
    account = await new_account(vendor)
    before = await account.state()
    path, body = REFUSED_STEPS[vendor]
    await account.fault(kind="status", status=422, method="POST", path=path, body=body)

    failure = await client.fail(account, step(CALL))

    assert failure.reason == "PROVIDER_REJECTED"
    assert failure.code == ("INVALID_ARGUMENT" if POINTED_AT[vendor] else "FAILED_PRECONDITION")
    assert failure.fields == POINTED_AT[vendor]
    assert "is odd." in failure.message
    assert failure.message.isprintable()
    assert failure.metadata["httpStatus"] == "422"
    assert await account.state() == before


@pytest.mark.parametrize("vendor", REFUSED_STEPS)
async def test_a_long_sentence_is_cut(client: Client, new_account: NewAccount, vendor: str) -> None:
    account = await new_account(vendor)
    path, _ = REFUSED_STEPS[vendor]
    long = "é" * 100_000
    bodies: dict[str, Any] = {
        "outreach": {"errors": [{"detail": long}] * 3},
        "salesloft": {"errors": {long: [long, long]}},
        "apollo": long,
    }
    await account.fault(kind="status", status=422, method="POST", path=path, body=bodies[vendor])

    failure = await client.fail(account, step(CALL))

    assert failure.reason == "PROVIDER_REJECTED"
    assert failure.message.count("é") <= 300
    assert failure.status_bytes <= 4096


@pytest.mark.parametrize("vendor", REFUSED_STEPS)
async def test_a_vendor_that_is_not_there(
    sandbox: RunningSandbox, new_account: NewAccount, tmp_path: Path, vendor: str
) -> None:
    account = await new_account(vendor, connected=False)
    with socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        name = f"ENGAGEMENT_{vendor.upper()}_API_URL"
        settings = settings_for(sandbox.base_url, tmp_path / "engagement.db", **{name: nowhere})
        async with client_of(settings) as client:
            async with opened_stores(settings) as stores:
                await stores.connections.put(account.connection())
            failure = await client.fail(account, step(CALL))

    assert (failure.code, failure.reason) == ("UNAVAILABLE", "PROVIDER_UNAVAILABLE")
    assert failure.retry_seconds is not None
    assert failure.retry_seconds > 0
    assert await account.requests() == []
