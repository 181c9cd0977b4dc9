"""Requests to the providers, row by row: what is read and written for which step, in which order.

Each row is one step through the whole service, against the vendor's stand-in: the exact requests
that the vendor gets, and the exact answer that the caller gets.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from engagement.v1 import sequence_step_pb2 as step_pb2
from service.bootstrap import opened_stores
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
from tests.service.vendor_account import VendorAccount
from tests.service.vendor_requests import (
    Sent,
    Traffic,
    apollo_step,
    apollo_touch,
    outreach_link,
    outreach_step,
    salesloft_email,
    salesloft_import,
    salesloft_task,
    traffic,
    with_names_for_new_ids,
)

DAY = 86_400
NEW_STEP_IDS = {"outreach": "90210", "salesloft": "987", "apollo": "{step_id}"}

OUTREACH_READS = (
    "GET /api/v2/sequenceSteps?filter[sequence][id]=4711",
    "GET /api/v2/sequences/4711",
)
OUTREACH_TEMPLATE_READS = (*OUTREACH_READS, "GET /api/v2/templates/55")
OUTREACH_LOOK = Sent(OUTREACH_READS[0])
OUTREACH_EMAIL = outreach_step(stepType="auto_email", interval=3 * DAY, order=3)

SALESLOFT_READS = ("GET /v2/cadences/123", "GET /v2/steps?cadence_id=123")
SALESLOFT_TEMPLATE_READS = (
    *SALESLOFT_READS,
    "GET /v2/email_templates/5",
    "GET /v2/team_templates/5",
)
SALESLOFT_LOOK = Sent(SALESLOFT_READS[1])
SALESLOFT_EMAIL = salesloft_email(
    "Intro", {"title": "Intro", "subject": "Hello", "body": "<p>Hi</p>"}
)

APOLLO_SEQUENCE = "65334c9c2722cd008bde87c3"
APOLLO_TEMPLATE = "65340d43bd9e6900a3054740"
APOLLO_READS = (f"GET /api/v1/emailer_campaigns/{APOLLO_SEQUENCE}",)
APOLLO_TEMPLATE_READS = (*APOLLO_READS, f"GET /api/v1/emailer_templates/{APOLLO_TEMPLATE}")
APOLLO_LOOK = Sent(APOLLO_READS[0])
APOLLO_EMAIL = apollo_step(type="auto_email", position=2, wait_time=3, wait_mode="day")

NAME_DROPPED = ("FIELD_NOT_SUPPORTED", "step.name")
ORDER_DROPPED = ("FIELD_NOT_SUPPORTED", "step.order")
REPLY_DROPPED = ("FIELD_NOT_SUPPORTED", "step.is_reply")
TEMPLATE_DROPPED = ("FIELD_NOT_SUPPORTED", "step.template.id")
TEMPLATE_COPIED = ("TEMPLATE_COPIED", "step.template.id")
TEMPLATE_MISSING = ("TEMPLATE_MISSING", "step.template")
TYPE_UNDOCUMENTED = ("UNDOCUMENTED_TYPE", "step.type")
INTERVAL_ROUNDED = ("INTERVAL_ROUNDED", "step.interval_seconds")
NEEDS_APPROVAL = ("NEEDS_APPROVAL", "step.template")


@dataclass(frozen=True)
class Refusal:
    """The error of a row."""

    code: str
    reason: str
    fields: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Has to be in the error's metadata, which may have more."""

    says: str = ""
    """Has to be in the error's message."""

    retry_seconds: float | None = None
    pushback_ms: str | None = None


@dataclass(frozen=True)
class Row:
    """One step: where it is to be added, and what has to come of it."""

    vendor: str
    step: step_pb2.SequenceStep
    survey: tuple[str, ...] = ()
    """The reads before the first write."""

    then: tuple[Sent, ...] = ()
    """The first write, and all that follows it."""

    warnings: tuple[tuple[str, str], ...] = ()
    error: Refusal | None = None
    step_stays: bool = False
    """With an error: whether the step is there all the same."""

    sequence_id: str | None = None
    """None: the account's first one."""

    setup: Mapping[str, Any] = field(default_factory=dict)
    """Options and seed of the account."""

    fault: Mapping[str, Any] = field(default_factory=dict)
    credential: str = ""
    """Which of the account's credentials the service has; empty for the usual one."""


def apollo_with_steps(count: int, **options: Any) -> dict[str, Any]:
    """Return the setup of an account whose sequence has so many steps already, all calls."""
    seed = {
        "sequences": [{"id": APOLLO_SEQUENCE, "steps": count}],
        "templates": [{"id": APOLLO_TEMPLATE}],
    }
    return {"seed": seed, "options": options}


ROWS = {
    "1": Row(
        "outreach",
        step(AUTO_EMAIL, interval_seconds=3 * DAY, order=3, template_id="55"),
        OUTREACH_TEMPLATE_READS,
        (OUTREACH_EMAIL, outreach_link()),
    ),
    "2": Row(
        "outreach",
        step(AUTO_EMAIL, interval_seconds=3 * DAY, order=3, template_id="55", is_reply=True),
        OUTREACH_TEMPLATE_READS,
        (OUTREACH_EMAIL, outreach_link(is_reply=True)),
    ),
    "3": Row(
        "outreach",
        step(MANUAL_EMAIL, template_id="55"),
        OUTREACH_TEMPLATE_READS,
        (outreach_step(stepType="manual_email", interval=0, order=1), outreach_link()),
    ),
    "4": Row(
        "outreach",
        step(CALL, interval_seconds=DAY, task_note="Ask"),
        OUTREACH_READS,
        (outreach_step(stepType="call", interval=DAY, order=1, taskNote="Ask"),),
    ),
    "5": Row(
        "outreach",
        step(TASK, task_note="Read blog"),
        OUTREACH_READS,
        (outreach_step(stepType="task", interval=0, order=1, taskNote="Read blog"),),
    ),
    "6": Row(
        "outreach",
        step(LINKEDIN, task_note="Hi"),
        OUTREACH_READS,
        (outreach_step(stepType="linkedin_send_message", interval=0, order=1, taskNote="Hi"),),
        warnings=(TYPE_UNDOCUMENTED, TEMPLATE_MISSING),
    ),
    "7, date sequence": Row(
        "outreach",
        step(AUTO_EMAIL, date="2027-01-15", template_id="55"),
        (
            "GET /api/v2/sequenceSteps?filter[sequence][id]=4712",
            "GET /api/v2/sequences/4712",
            "GET /api/v2/templates/55",
        ),
        (
            outreach_step(4712, stepType="auto_email", date="2027-01-15", order=1),
            outreach_link(),
        ),
        sequence_id="4712",
    ),
    "7, interval sequence": Row(
        "outreach",
        step(AUTO_EMAIL, date="2027-01-15", template_id="55"),
        OUTREACH_TEMPLATE_READS,
        error=Refusal("FAILED_PRECONDITION", "SEQUENCE_KIND_MISMATCH", ("step.date",)),
    ),
    "8": Row(
        "outreach",
        step(AUTO_EMAIL, interval_seconds=3 * DAY, order=3, template_id="55", name="Intro"),
        OUTREACH_TEMPLATE_READS,
        (OUTREACH_EMAIL, outreach_link()),
        warnings=(NAME_DROPPED,),
    ),
    "9": Row(
        "outreach",
        step(CALL, template_id="55"),
        OUTREACH_READS,
        (outreach_step(stepType="call", interval=0, order=1),),
        warnings=(TEMPLATE_DROPPED,),
    ),
    "10": Row(
        "outreach",
        step(AUTO_EMAIL),
        OUTREACH_READS,
        (outreach_step(stepType="auto_email", interval=0, order=1),),
        warnings=(TEMPLATE_MISSING,),
    ),
    "11": Row(
        "outreach",
        step(CALL, custom_fields={"taskAutoskipDelay": DAY}),
        OUTREACH_READS,
        (outreach_step(stepType="call", interval=0, order=1, taskAutoskipDelay=DAY),),
    ),
    "12": Row(
        "outreach",
        step(CALL),
        sequence_id="abc",
        error=Refusal("INVALID_ARGUMENT", "INVALID_FIELD", ("sequence_id",)),
    ),
    "13": Row(
        "outreach",
        step(AUTO_EMAIL, interval_seconds=3 * DAY, order=3, template_id="55"),
        OUTREACH_TEMPLATE_READS,
        (OUTREACH_EMAIL, outreach_link()),
        fault={
            "kind": "status",
            "status": 422,
            "method": "POST",
            "path": "sequenceTemplates$",
            "body": {
                "errors": [
                    {
                        "id": "validationError",
                        "title": "Validation Error",
                        "detail": "Template is archived.",
                    }
                ]
            },
        },
        error=Refusal(
            "FAILED_PRECONDITION",
            "STEP_INCOMPLETE",
            ("step",),
            metadata={"stepId": "90210", "failedCall": "POST /sequenceTemplates"},
            says="Template is archived.",
            pushback_ms="-1",
        ),
        step_stays=True,
    ),
    "14": Row(
        "outreach",
        step(AUTO_EMAIL, interval_seconds=3 * DAY, order=3, template_id="55"),
        OUTREACH_TEMPLATE_READS,
        (OUTREACH_EMAIL, OUTREACH_LOOK, outreach_link()),
        fault={"kind": "close", "when": "after", "method": "POST", "path": "sequenceSteps$"},
    ),
    "15": Row(
        "outreach",
        step(AUTO_EMAIL, interval_seconds=3 * DAY, order=3, template_id="55"),
        OUTREACH_TEMPLATE_READS,
        (OUTREACH_EMAIL, OUTREACH_EMAIL, outreach_link()),
        fault={
            "kind": "rate_limited",
            "retry_after": "seconds",
            "retry_after_seconds": 2,
            "method": "POST",
            "path": "sequenceSteps$",
        },
    ),
    "16": Row(
        "outreach",
        step(AUTO_EMAIL, interval_seconds=3 * DAY, order=3, template_id="55"),
        OUTREACH_TEMPLATE_READS,
        (OUTREACH_EMAIL, Sent("POST /oauth/token"), OUTREACH_EMAIL, outreach_link()),
        fault={"kind": "status", "status": 401, "method": "POST", "path": "sequenceSteps$"},
    ),
    "17": Row(
        "salesloft",
        step(AUTO_EMAIL, name="Intro", interval_seconds=0, template_id="5"),
        SALESLOFT_TEMPLATE_READS,
        (
            salesloft_import(
                SALESLOFT_EMAIL,
                automated=True,
                automated_settings={"send_type": "after_time_delay", "delay_time": 0},
                reference_id=1,
            ),
            SALESLOFT_LOOK,
        ),
        warnings=(TEMPLATE_COPIED,),
    ),
    "18": Row(
        "salesloft",
        step(AUTO_EMAIL, interval_seconds=3 * DAY + 1800, template_id="5"),
        SALESLOFT_TEMPLATE_READS,
        (
            salesloft_import(
                SALESLOFT_EMAIL,
                day=4,
                automated=True,
                automated_settings={"send_type": "after_time_delay", "delay_time": 30},
                reference_id=1,
            ),
            SALESLOFT_LOOK,
        ),
        warnings=(TEMPLATE_COPIED,),
    ),
    "19": Row(
        "salesloft",
        step(MANUAL_EMAIL, interval_seconds=DAY, template_id="5"),
        SALESLOFT_TEMPLATE_READS,
        (salesloft_import(SALESLOFT_EMAIL, day=2, reference_id=1), SALESLOFT_LOOK),
        warnings=(TEMPLATE_COPIED,),
    ),
    "20": Row(
        "salesloft",
        step(MANUAL_EMAIL, interval_seconds=90_000, template_id="5"),
        SALESLOFT_TEMPLATE_READS,
        (salesloft_import(SALESLOFT_EMAIL, day=3, reference_id=1), SALESLOFT_LOOK),
        warnings=(INTERVAL_ROUNDED, TEMPLATE_COPIED),
    ),
    "20, without a message": Row(
        "salesloft",
        step(MANUAL_EMAIL, interval_seconds=90_000),
        error=Refusal("FAILED_PRECONDITION", "TEMPLATE_REQUIRED", ("step.template",)),
    ),
    "21": Row(
        "salesloft",
        step(CALL, interval_seconds=2 * DAY, task_note="Ask", name="Call 1"),
        SALESLOFT_READS,
        (salesloft_import(salesloft_task("Call 1", "Phone", "Ask"), day=3), SALESLOFT_LOOK),
    ),
    "22": Row(
        "salesloft",
        step(TASK, task_note="Blog", order=2),
        SALESLOFT_READS,
        (salesloft_import(salesloft_task("Task", "Other", "Blog")), SALESLOFT_LOOK),
        warnings=(ORDER_DROPPED,),
    ),
    "23": Row(
        "salesloft",
        step(LINKEDIN),
        error=Refusal(
            "FAILED_PRECONDITION",
            "UNSUPPORTED_BY_PROVIDER",
            (
                "step.custom_fields.integration_id",
                "step.custom_fields.integration_step_type_guid",
            ),
        ),
    ),
    "24": Row(
        "salesloft",
        step(CALL, date="2027-01-15"),
        error=Refusal("FAILED_PRECONDITION", "UNSUPPORTED_BY_PROVIDER", ("step.date",)),
    ),
    "25": Row(
        "salesloft",
        step(AUTO_EMAIL, is_reply=True, template_id="5"),
        SALESLOFT_TEMPLATE_READS,
        (
            salesloft_import(
                SALESLOFT_EMAIL,
                automated=True,
                automated_settings={"send_type": "after_time_delay", "delay_time": 0},
                reference_id=1,
            ),
            SALESLOFT_LOOK,
        ),
        warnings=(REPLY_DROPPED, TEMPLATE_COPIED),
    ),
    "26": Row(
        "salesloft",
        step(CALL),
        ("GET /v2/cadences/141", "GET /v2/steps?cadence_id=141"),
        sequence_id="141",
        error=Refusal("FAILED_PRECONDITION", "SEQUENCE_NOT_EMPTY", ("sequence_id",)),
    ),
    "27": Row(
        "salesloft",
        step(CALL),
        SALESLOFT_READS,
        (salesloft_import(salesloft_task("Call", "Phone")), SALESLOFT_LOOK),
        fault={"kind": "close", "when": "after", "method": "POST", "path": "cadence_imports$"},
    ),
    "28": Row(
        "apollo",
        step(AUTO_EMAIL, interval_seconds=3 * DAY, order=2, template_id=APOLLO_TEMPLATE),
        APOLLO_TEMPLATE_READS,
        (APOLLO_EMAIL, apollo_touch("new_thread", subject="Hello")),
        warnings=(NEEDS_APPROVAL, TEMPLATE_COPIED),
        setup=apollo_with_steps(1),
    ),
    "29": Row(
        "apollo",
        step(
            AUTO_EMAIL,
            interval_seconds=3 * DAY,
            order=2,
            template_id=APOLLO_TEMPLATE,
            is_reply=True,
        ),
        APOLLO_TEMPLATE_READS,
        (APOLLO_EMAIL, apollo_touch("reply_to_thread", subject="")),
        warnings=(NEEDS_APPROVAL, TEMPLATE_COPIED),
        setup=apollo_with_steps(1, reply_needs_thread=False),
    ),
    "30": Row(
        "apollo",
        step(MANUAL_EMAIL, interval_seconds=5400),
        APOLLO_READS,
        (apollo_step(type="manual_email", position=1, wait_time=90, wait_mode="minute"),),
        warnings=(TEMPLATE_MISSING,),
    ),
    "31": Row(
        "apollo",
        step(CALL, interval_seconds=90_000, task_note="Ask", order=3),
        APOLLO_READS,
        (apollo_step(type="call", position=3, wait_time=25, wait_mode="hour", note="Ask"),),
        setup=apollo_with_steps(2),
    ),
    "32": Row(
        "apollo",
        step(TASK, interval_seconds=0, task_note="Blog", order=4),
        APOLLO_READS,
        (
            apollo_step(
                type="action_item", position=4, wait_time=0, wait_mode="minute", note="Blog"
            ),
        ),
        setup=apollo_with_steps(3),
    ),
    "33": Row(
        "apollo",
        step(LINKEDIN, order=5, template_id=APOLLO_TEMPLATE),
        APOLLO_TEMPLATE_READS,
        (
            apollo_step(type="linkedin_step_message", position=5, wait_time=0, wait_mode="minute"),
            apollo_touch("new_thread", subject=""),
        ),
        warnings=(TEMPLATE_COPIED,),
        setup=apollo_with_steps(4),
    ),
    "34": Row(
        "apollo",
        step(CALL, interval_seconds=90),
        APOLLO_READS,
        (apollo_step(type="call", position=1, wait_time=2, wait_mode="minute"),),
        warnings=(INTERVAL_ROUNDED,),
    ),
    "35": Row(
        "apollo",
        step(CALL, name="Intro", template_id=APOLLO_TEMPLATE),
        APOLLO_READS,
        (apollo_step(type="call", position=1, wait_time=0, wait_mode="minute"),),
        warnings=(NAME_DROPPED, TEMPLATE_DROPPED),
    ),
    "36": Row(
        "apollo",
        step(AUTO_EMAIL, date="2027-01-15"),
        APOLLO_READS,
        error=Refusal("FAILED_PRECONDITION", "SEQUENCE_KIND_MISMATCH", ("step.date",)),
    ),
    "37": Row(
        "apollo",
        step(AUTO_EMAIL, interval_seconds=3 * DAY, order=2, template_id=APOLLO_TEMPLATE),
        APOLLO_TEMPLATE_READS,
        (
            APOLLO_EMAIL,
            apollo_touch("new_thread", subject="Hello"),
            Sent("DELETE /api/v1/emailer_steps/{step_id}"),
        ),
        setup=apollo_with_steps(1),
        fault={
            "kind": "status",
            "status": 422,
            "method": "PUT",
            "path": "emailer_touches",
            "body": {"error": "Body is too long."},
        },
        error=Refusal(
            "FAILED_PRECONDITION",
            "PROVIDER_REJECTED",
            metadata={"httpStatus": "422", "provider": "apollo"},
            says="Body is too long.",
        ),
    ),
    "38": Row(
        "apollo",
        step(AUTO_EMAIL, interval_seconds=3 * DAY, order=2, template_id=APOLLO_TEMPLATE),
        APOLLO_TEMPLATE_READS,
        (APOLLO_EMAIL, APOLLO_LOOK, apollo_touch("new_thread", subject="Hello")),
        warnings=(NEEDS_APPROVAL, TEMPLATE_COPIED),
        setup=apollo_with_steps(1),
        fault={"kind": "close", "when": "after", "method": "POST", "path": "emailer_steps$"},
    ),
    "39": Row(
        "apollo",
        step(CALL),
        APOLLO_READS,
        (apollo_step(type="call", position=4, wait_time=0, wait_mode="minute"),),
        setup=apollo_with_steps(3),
    ),
    "40": Row(
        "apollo",
        step(CALL),
        APOLLO_READS,
        credential="api_key_without_master",
        error=Refusal(
            "FAILED_PRECONDITION",
            "PROVIDER_FORBIDDEN",
            metadata={"httpStatus": "403"},
            says="not authorized to access api/v1/emailer_campaigns/show",
        ),
    ),
    "41": Row(
        "apollo",
        step(CALL),
        APOLLO_READS,
        (apollo_step(type="call", position=1, wait_time=0, wait_mode="minute"),),
        fault={
            "kind": "rate_limited",
            "retry_after": "seconds",
            "retry_after_seconds": 1800,
            "method": "POST",
            "path": "emailer_steps$",
        },
        error=Refusal(
            "RESOURCE_EXHAUSTED",
            "PROVIDER_RATE_LIMITED",
            metadata={"provider": "apollo"},
            retry_seconds=1800,
            pushback_ms="-1",
        ),
    ),
}


def test_every_vector_has_a_row() -> None:
    assert {name.partition(",")[0] for name in ROWS} == {str(number) for number in range(1, 42)}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_row(row: Row, client: Client, new_account: NewAccount) -> None:
    account = await _account(row, client, new_account)
    there_before = set(await account.step_ids())
    if row.fault:
        await account.fault(**row.fault)

    if row.error is None:
        answer = await client.create(account, row.step, sequence_id=row.sequence_id)
        assert with_names_for_new_ids(answer.id) == NEW_STEP_IDS[row.vendor]
        assert warnings_of(answer) == sorted(row.warnings)
    else:
        await _refused(row, row.error, client, account)

    assert await traffic(account) == Traffic(sorted(row.survey), list(row.then))
    new = with_names_for_new_ids([*(set(await account.step_ids()) - there_before)])
    has_step = row.error is None or row.step_stays
    assert new == ([NEW_STEP_IDS[row.vendor]] if has_step else [])


async def test_a_refresh_is_stored(client: Client, new_account: NewAccount) -> None:
    """Row 16 goes on: the next process would start with the new pair of tokens."""
    row = ROWS["16"]
    account = await _account(row, client, new_account)
    await account.fault(**row.fault)
    await client.create(account, row.step)
    async with opened_stores(client.settings) as stores:
        stored = await stores.connections.read(account.key)
    renewed = replace(account, credentials=await account.credentials_now()).connection()
    assert stored is not None
    assert stored.connection.credential == renewed.credential != account.connection().credential
    assert stored.connection.refresh_token == renewed.refresh_token
    assert renewed.refresh_token != account.connection().refresh_token


async def _account(row: Row, client: Client, new_account: NewAccount) -> VendorAccount:
    account = await new_account(row.vendor, connected=not row.credential, **row.setup)
    if row.credential:
        account = replace(account, credentials={"api_key": account.credentials[row.credential]})
        async with opened_stores(client.settings) as stores:
            await stores.connections.put(account.connection())
    return account


async def _refused(row: Row, error: Refusal, client: Client, account: VendorAccount) -> None:
    more = {} if row.sequence_id is None else {"sequence_id": row.sequence_id}
    failure = await client.fail(account, row.step, **more)
    assert (failure.code, failure.reason) == (error.code, error.reason)
    assert failure.fields == error.fields
    assert failure.metadata.items() >= error.metadata.items()
    assert error.says in failure.message
    assert failure.retry_seconds == error.retry_seconds
    assert failure.pushback_ms == error.pushback_ms
