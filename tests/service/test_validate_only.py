"""`validate_only` and `fail_on_warning`: look first, and do not write what would warn.

Each step is asked for twice, first with `validate_only`, then for good: both say the same.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from google.protobuf import json_format

from engagement.v1 import sequence_step_pb2 as step_pb2
from engagement.v1.sequence_step_service_pb2 import CreateSequenceStepResponse
from tests.service.conftest import Client, NewAccount
from tests.service.step_messages import (
    AUTO_EMAIL,
    CALL,
    LINKEDIN,
    MANUAL_EMAIL,
    TASK,
    step,
    warnings_of,
)
from tests.service.vendor_account import SEQUENCES, TEMPLATES, VendorAccount
from tests.service.vendor_requests import with_names_for_new_ids

DAY = 86_400
VENDORS = ("outreach", "salesloft", "apollo")
BASE_PATHS = {"outreach": "/api/v2", "salesloft": "/v2", "apollo": "/api/v1"}
IDS: dict[str, dict[str, int | str]] = {
    "outreach": {"template_id": 7001, "step_id": 90210},
    "salesloft": {},
    "apollo": {
        "step_id": "{step_id}",
        "touch_id": "{touch_id}",
        "touch_template_id": "{template_id}",
    },
}
"""What the names in planned calls become; Apollo's ids hold the time, so the log has names too."""

AFTER_WRITE = {"NEEDS_APPROVAL", "TEMPLATE_NOT_ENABLED", "TEMPLATE_LEFT_BEHIND"}


@dataclass(frozen=True)
class Case:
    """One step at one vendor."""

    vendor: str
    step: step_pb2.SequenceStep
    sequence_id: str | None = None
    setup: Mapping[str, Any] = field(default_factory=dict)


def content(**fields: Any) -> step_pb2.Template:
    given = {"subject": "Hello", "body_html": "<p>Hi</p>", **fields}
    return step_pb2.Template(content=step_pb2.TemplateContent(**given))


CASES = {
    "outreach, e-mail with template": Case(
        "outreach", step(AUTO_EMAIL, template_id="55", is_reply=True, interval_seconds=DAY)
    ),
    "outreach, e-mail with content": Case(
        "outreach",
        step(MANUAL_EMAIL, name="Intro", template=content(name="Offer", to=["a@example.com"])),
    ),
    "outreach, e-mail without template": Case("outreach", step(AUTO_EMAIL, is_reply=True, order=7)),
    "outreach, link that is off": Case(
        "outreach",
        step(AUTO_EMAIL, template_id="55"),
        setup={"options": {"link_enabled": False}},
    ),
    "outreach, date": Case("outreach", step(CALL, date="2099-01-15T09:30:00Z"), "4712"),
    "outreach, call": Case(
        "outreach", step(CALL, template_id="55", custom_fields={"taskAutoskipDelay": DAY})
    ),
    "outreach, LinkedIn": Case("outreach", step(LINKEDIN, task_note="Hi")),
    "salesloft, e-mail with template": Case(
        "salesloft", step(AUTO_EMAIL, template_id="5", is_reply=True, interval_seconds=1801)
    ),
    "salesloft, e-mail with content": Case(
        "salesloft",
        step(MANUAL_EMAIL, interval_seconds=DAY + 1, template=content(cc=["a@example.com"])),
    ),
    "salesloft, task": Case("salesloft", step(TASK, order=2, task_note="Blog", name="Read")),
    "apollo, e-mail with template": Case(
        "apollo",
        step(AUTO_EMAIL, template_id=TEMPLATES["apollo"], order=9, interval_seconds=61),
    ),
    "apollo, e-mail with content": Case(
        "apollo",
        step(MANUAL_EMAIL, name="Intro", task_note="Hi", template=content(name="Offer")),
    ),
    "apollo, reply": Case(
        "apollo",
        step(AUTO_EMAIL, is_reply=True, template=content()),
        setup={"options": {"reply_needs_thread": False}},
    ),
    "apollo, e-mail without template": Case("apollo", step(AUTO_EMAIL)),
    "apollo, LinkedIn": Case("apollo", step(LINKEDIN, template_id=TEMPLATES["apollo"])),
    "apollo, date": Case("apollo", step(CALL, date="2099-01-15"), "65334c9c2722cd008bde87c4"),
    "apollo, call": Case(
        "apollo", step(CALL, template=content(), custom_fields={"priority": "high"})
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_it_says_what_the_real_request_does(
    case: Case, client: Client, new_account: NewAccount
) -> None:
    account = await new_account(case.vendor, **case.setup)
    steps_before = await account.step_ids()
    planned = await client.create(
        account, case.step, sequence_id=case.sequence_id, validate_only=True
    )
    assert planned.id == ""
    assert await account.writes() == []
    assert await account.step_ids() == steps_before

    answer = await client.create(account, case.step, sequence_id=case.sequence_id)
    assert answer.id
    assert not answer.planned_calls
    assert _bound(_planned_calls(planned), IDS[case.vendor]) == await _writes(account)
    after_write = {warning for warning in warnings_of(answer) if warning[0] in AFTER_WRITE}
    assert warnings_of(planned) == sorted(set(warnings_of(answer)) - after_write)


async def test_an_id_that_is_not_known_yet_stands_as_its_name(
    client: Client, new_account: NewAccount
) -> None:
    account = await new_account("apollo")
    planned = await client.create(account, step(AUTO_EMAIL, template=content()), validate_only=True)
    touch = planned.planned_calls[1]
    assert (touch.method, touch.path) == ("PUT", "/emailer_touches/{touch_id}")
    assert touch.body["emailer_step_id"] == "{step_id}"


async def test_no_credential_is_in_a_plan(client: Client, new_account: NewAccount) -> None:
    for vendor in VENDORS:
        account = await new_account(vendor)
        email = step(AUTO_EMAIL, template=content())
        planned = await client.create(account, email, validate_only=True)
        secret = account.connection().credential.reveal()
        assert secret.encode() not in planned.SerializeToString()


@pytest.mark.parametrize("vendor", VENDORS)
async def test_it_can_be_asked_again_and_again(
    vendor: str, client: Client, new_account: NewAccount
) -> None:
    account = await new_account(vendor)
    email = step(AUTO_EMAIL, template=content())
    first = await client.create(account, email, validate_only=True)
    assert await client.create(account, email, validate_only=True) == first


REQUEST_ID = "5f0c2b0e-6c55-4c4e-9d0b-0a4f3b3c1c11"


@pytest.mark.parametrize(
    ("vendor", "message", "sequence_id", "reason"),
    [
        ("outreach", step(CALL), "4712", "SEQUENCE_KIND_MISMATCH"),
        ("outreach", step(CALL), "999", "SEQUENCE_NOT_FOUND"),
        ("outreach", step(AUTO_EMAIL, template_id="999"), None, "TEMPLATE_NOT_FOUND"),
        ("salesloft", step(CALL), "141", "SEQUENCE_NOT_EMPTY"),
        ("salesloft", step(AUTO_EMAIL), None, "TEMPLATE_REQUIRED"),
        ("salesloft", step(CALL, date="2099-01-15"), None, "UNSUPPORTED_BY_PROVIDER"),
    ],
)
async def test_it_refuses_what_the_real_request_refuses(
    *,
    vendor: str,
    message: step_pb2.SequenceStep,
    sequence_id: str | None,
    reason: str,
    client: Client,
    new_account: NewAccount,
) -> None:
    account = await new_account(vendor)
    failures = [
        await client.fail(
            account,
            message,
            sequence_id=sequence_id,
            validate_only=validate_only,
            request_id=REQUEST_ID,
        )
        for validate_only in (True, False)
    ]
    assert failures[0].reason == reason
    assert failures[0] == failures[1]


async def test_apollo_refuses_a_taken_position_either_way(
    client: Client, new_account: NewAccount
) -> None:
    seed = {"sequences": [{"id": SEQUENCES["apollo"], "steps": 1}]}
    account = await new_account("apollo", seed=seed)
    failure = await client.fail(account, step(CALL, order=1), validate_only=True)
    assert failure.reason == "POSITION_TAKEN"


@pytest.mark.parametrize("validate_only", [False, True])
@pytest.mark.parametrize(
    ("vendor", "message", "fields"),
    [
        ("outreach", step(CALL, name="Intro", template_id="55"), ("step.name", "step.template.id")),
        ("outreach", step(AUTO_EMAIL), ("step.template",)),
        ("salesloft", step(TASK, order=2), ("step.order",)),
        ("salesloft", step(AUTO_EMAIL, template_id="5"), ("step.template.id",)),
        ("apollo", step(CALL, interval_seconds=90), ("step.interval_seconds",)),
        (
            "apollo",
            step(AUTO_EMAIL, order=9, template=content(name="Offer")),
            ("step.template.content.name", "step.order"),
        ),
    ],
)
async def test_warnings_are_errors_when_the_caller_wants_it(
    *,
    vendor: str,
    message: step_pb2.SequenceStep,
    fields: tuple[str, ...],
    validate_only: bool,
    client: Client,
    new_account: NewAccount,
) -> None:
    account = await new_account(vendor)
    steps_before = await account.step_ids()
    failure = await client.fail(account, message, fail_on_warning=True, validate_only=validate_only)
    assert (failure.code, failure.reason) == ("FAILED_PRECONDITION", "WARNINGS_AS_ERRORS")
    assert sorted(failure.fields) == sorted(fields)
    assert await account.writes() == []
    assert await account.step_ids() == steps_before


@pytest.mark.parametrize("vendor", VENDORS)
async def test_without_warnings_the_step_is_made(
    vendor: str, client: Client, new_account: NewAccount
) -> None:
    account = await new_account(vendor)
    planned = await client.create(account, step(CALL), fail_on_warning=True, validate_only=True)
    assert len(planned.planned_calls) == 1
    answer = await client.create(account, step(CALL), fail_on_warning=True)
    assert answer.id in await account.step_ids()


@pytest.mark.parametrize(
    ("vendor", "options", "problem_type"),
    [
        ("outreach", {"link_enabled": False}, "TEMPLATE_NOT_ENABLED"),
        ("apollo", {}, "NEEDS_APPROVAL"),
    ],
)
async def test_what_only_a_write_shows_is_no_error(
    *,
    vendor: str,
    options: dict[str, Any],
    problem_type: str,
    client: Client,
    new_account: NewAccount,
) -> None:
    account = await new_account(vendor, options=options)
    email = step(AUTO_EMAIL, template=content())
    answer = await client.create(account, email, fail_on_warning=True)
    assert warnings_of(answer) == [(problem_type, "step.template")]


def _planned_calls(answer: CreateSequenceStepResponse) -> list[dict[str, Any]]:
    return [
        {
            "method": call.method,
            "path": call.path,
            "body": json_format.MessageToDict(call.body) if call.HasField("body") else None,
        }
        for call in answer.planned_calls
    ]


async def _writes(account: VendorAccount) -> list[dict[str, Any]]:
    """Return the log of writes in the form of planned calls."""
    base_path = BASE_PATHS[account.vendor]
    return [
        {
            "method": request["method"],
            "path": with_names_for_new_ids(request["path"]).removeprefix(base_path),
            "body": with_names_for_new_ids(request["body"]),
        }
        for request in await account.writes()
    ]


def _bound(value: Any, ids: Mapping[str, int | str]) -> Any:
    """Put ids in the place of their names."""
    if isinstance(value, dict):
        return {key: _bound(inner, ids) for key, inner in value.items()}
    if isinstance(value, list):
        return [_bound(inner, ids) for inner in value]
    if isinstance(value, str):
        whole = re.fullmatch(r"\{(\w+)\}", value)
        return ids[whole[1]] if whole else re.sub(r"\{(\w+)\}", lambda m: str(ids[m[1]]), value)
    return value
