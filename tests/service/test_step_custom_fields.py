"""Custom fields: where they go, and what they cannot replace."""

from typing import Any

import pytest

from engagement.v1 import sequence_step_pb2 as step_pb2
from tests.service.arrived_step import arrived
from tests.service.conftest import Client, NewAccount
from tests.service.step_messages import (
    AUTO_EMAIL,
    CALL,
    MANUAL_EMAIL,
    step,
    warnings_of,
)

CONTENT = step_pb2.Template(
    content=step_pb2.TemplateContent(subject="Hello", body_html="<p>Hi</p>")
)
OWNED_KEYS = {
    "outreach": ("stepType", "interval", "date", "order", "taskNote"),
    "salesloft": ("cadence_id", "step_groups"),
    "apollo": (
        *("emailer_campaign_id", "position", "wait_time", "wait_mode"),
        *("exact_datetime", "note"),
    ),
}
OWNED_TEMPLATE_KEYS = {
    "outreach": (
        *("name", "subject", "bodyHtml"),
        *("toRecipients", "ccRecipients", "bccRecipients"),
    ),
    "salesloft": ("title", "subject", "body"),
}
AT_NINE = {"send_type": "at_time", "time_of_day": "09:00", "timezone_mode": "person"}
NEVER = ("id", "type", "data", "relationships", "api_key")


@pytest.mark.parametrize(
    ("custom_fields", "arrives"),
    [
        ({"due_immediately": True}, {"due_immediately": True}),
        ({"reference_id": 77}, {"reference_id": 77}),
        ({"enabled": False}, {"enabled": False}),
        (
            {"automated_settings": {"allow_send_on_weekends": True}},
            {
                "automated_settings": {
                    "send_type": "after_time_delay",
                    "delay_time": 0,
                    "allow_send_on_weekends": True,
                }
            },
        ),
        ({"automated_settings": AT_NINE}, {"automated_settings": AT_NINE}),
    ],
)
async def test_salesloft_group_and_step_take_their_custom_fields(
    custom_fields: dict[str, Any],
    arrives: dict[str, Any],
    client: Client,
    new_account: NewAccount,
) -> None:
    account = await new_account("salesloft")
    email = step(AUTO_EMAIL, template=CONTENT, custom_fields=custom_fields)
    answer = await client.create(account, email)
    assert (await arrived(account, answer.id)).items() >= arrives.items()
    assert warnings_of(answer) == []


@pytest.mark.parametrize(
    ("kind", "custom_fields", "field"),
    [
        (AUTO_EMAIL, {"type_settings": {"email_template": {}}}, "type_settings.email_template"),
        (AUTO_EMAIL, {"type_settings": "x"}, "type_settings"),
        (AUTO_EMAIL, {"automated_settings": {"delay_time": 5}}, "automated_settings.delay_time"),
        (AUTO_EMAIL, {"automated_settings": AT_NINE}, "automated_settings.send_type"),
        (MANUAL_EMAIL, {"automated_settings": AT_NINE}, "automated_settings"),
        (CALL, {"type_settings": {"instructions": "x"}}, "type_settings.instructions"),
        (CALL, {"settings": {}}, "settings"),
    ],
)
async def test_salesloft_custom_fields_that_cannot_be_taken(
    *,
    kind: step_pb2.StepType,
    custom_fields: dict[str, Any],
    field: str,
    client: Client,
    new_account: NewAccount,
) -> None:
    """A time of day takes the place of the delay that half an hour would need."""
    account = await new_account("salesloft")
    template = None if kind == CALL else CONTENT
    message = step(kind, template=template, interval_seconds=1800, custom_fields=custom_fields)
    failure = await client.fail(account, message)
    assert failure.outcome == (
        "INVALID_ARGUMENT",
        "INVALID_FIELD",
        (f"step.custom_fields.{field}",),
    )
    assert await account.requests() == []


async def test_salesloft_type_settings_are_merged_under_those_of_the_step(
    client: Client, new_account: NewAccount
) -> None:
    account = await new_account("salesloft")
    settings = {"previous_email_step_group_reference_id": 3}
    email = step(AUTO_EMAIL, template=CONTENT, custom_fields={"type_settings": settings})
    failure = await client.fail(account, email)
    assert failure.reason == "PROVIDER_REJECTED"  # There is no such group in this import.
    [request] = await account.writes()
    [group] = request["body"]["cadence_content"]["step_groups"]
    content = {"title": "Hello", "subject": "Hello", "body": "<p>Hi</p>"}
    assert group["steps"][0]["type_settings"] == {**settings, "email_template": content}


async def test_salesloft_cadence_takes_the_rest(client: Client, new_account: NewAccount) -> None:
    account = await new_account("salesloft")
    failure = await client.fail(account, step(CALL, custom_fields={"colour": {"shade": 3}}))
    assert failure.reason == "PROVIDER_REJECTED"  # The vendor has no such field.
    [request] = await account.writes()
    assert request["body"]["cadence_content"]["colour"] == {"shade": 3}
    assert await account.step_ids() == ["1"]


@pytest.mark.parametrize("vendor", OWNED_KEYS)
async def test_custom_fields_cannot_replace_what_the_service_writes(
    vendor: str, client: Client, new_account: NewAccount
) -> None:
    account = await new_account(vendor)
    keys = (*OWNED_KEYS[vendor], *NEVER)
    failure = await client.fail(account, step(CALL, custom_fields=dict.fromkeys(keys, 1)))
    assert (failure.code, failure.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert sorted(failure.fields) == sorted(f"step.custom_fields.{key}" for key in keys)
    assert await account.requests() == []


@pytest.mark.parametrize("vendor", OWNED_TEMPLATE_KEYS)
async def test_a_templates_custom_fields_cannot_replace_its_content(
    vendor: str, client: Client, new_account: NewAccount
) -> None:
    account = await new_account(vendor)
    keys = (*OWNED_TEMPLATE_KEYS[vendor], *NEVER)
    email = step(AUTO_EMAIL, template=CONTENT)
    email.template.content.custom_fields.update(dict.fromkeys(keys, 1))
    failure = await client.fail(account, email)
    assert (failure.code, failure.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    path = "step.template.content.custom_fields"
    assert sorted(failure.fields) == sorted(f"{path}.{key}" for key in keys)
    assert await account.requests() == []
