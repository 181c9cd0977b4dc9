"""Messages: templates and inline content, replies, and what a vendor does with them."""

from typing import Any

import pytest

from engagement.v1 import sequence_step_pb2 as step_pb2
from tests.service.arrived_step import arrived
from tests.service.conftest import Client, NewAccount
from tests.service.step_messages import (
    AUTO_EMAIL,
    LINKEDIN,
    MANUAL_EMAIL,
    step,
    warnings_of,
)

CONTENT = step_pb2.Template(
    content=step_pb2.TemplateContent(subject="Hello", body_html="<p>Hi</p>")
)


@pytest.mark.parametrize("vendor", ["outreach", "salesloft", "apollo"])
@pytest.mark.parametrize("kind", [AUTO_EMAIL, MANUAL_EMAIL, LINKEDIN], ids=step_pb2.StepType.Name)
async def test_a_message_step_without_template(
    vendor: str, kind: step_pb2.StepType, client: Client, new_account: NewAccount
) -> None:
    account = await new_account(vendor)
    if vendor == "salesloft":
        failure = await client.fail(account, step(kind))
        assert failure.code == "FAILED_PRECONDITION"
        assert await account.requests() == []
        return
    answer = await client.create(account, step(kind))
    undocumented = (vendor, kind) == ("outreach", LINKEDIN)
    assert warnings_of(answer) == [
        ("TEMPLATE_MISSING", "step.template"),
        *[("UNDOCUMENTED_TYPE", "step.type")] * undocumented,
    ]
    assert [request["method"] for request in await account.writes()] == ["POST"]


@pytest.mark.parametrize("vendor", ["outreach", "apollo"])
async def test_a_reply_without_a_message(
    vendor: str, client: Client, new_account: NewAccount
) -> None:
    """The thread belongs to the message, which is not there."""
    account = await new_account(vendor, **_replies_allowed(vendor))
    answer = await client.create(account, step(AUTO_EMAIL, is_reply=True))
    assert warnings_of(answer) == [
        ("FIELD_NOT_SUPPORTED", "step.is_reply"),
        ("TEMPLATE_MISSING", "step.template"),
    ]
    assert [request["method"] for request in await account.writes()] == ["POST"]


@pytest.mark.parametrize(
    ("vendor", "warnings"),
    [("outreach", []), ("apollo", [("NEEDS_APPROVAL", "step.template")])],
)
async def test_a_reply_needs_no_subject(
    vendor: str, warnings: list[tuple[str, str]], client: Client, new_account: NewAccount
) -> None:
    account = await new_account(vendor, **_replies_allowed(vendor))
    answer = await client.create(account, _reply_without_subject())
    assert (await arrived(account, answer.id))["subject"] == ""
    assert warnings_of(answer) == warnings


async def test_salesloft_refuses_a_reply_without_subject(
    client: Client, new_account: NewAccount
) -> None:
    """It would become a new thread, and an e-mail without a subject."""
    account = await new_account("salesloft")
    failure = await client.fail(account, _reply_without_subject())
    assert failure.outcome == (
        "FAILED_PRECONDITION",
        "UNSUPPORTED_BY_PROVIDER",
        ("step.template.content.subject",),
    )
    assert await account.requests() == []


async def test_apollo_refuses_a_reply_without_a_thread_and_nothing_stays(
    client: Client, new_account: NewAccount
) -> None:
    account = await new_account("apollo")
    failure = await client.fail(account, step(AUTO_EMAIL, is_reply=True, template=CONTENT))
    assert failure.reason == "PROVIDER_REJECTED"
    assert "A reply needs an earlier step that starts a thread." in failure.message
    assert await account.steps() == []


async def test_apollo_replies_in_the_thread_that_it_made(
    client: Client, new_account: NewAccount
) -> None:
    account = await new_account("apollo")
    await client.create(account, step(AUTO_EMAIL, template=CONTENT))
    answer = await client.create(account, step(AUTO_EMAIL, is_reply=True, template=CONTENT))
    at_vendor = await arrived(account, answer.id)
    assert (at_vendor["position"], at_vendor["touch_type"]) == (2, "reply_to_thread")


async def test_apollo_says_nothing_of_approval_when_the_message_is_approved(
    client: Client, new_account: NewAccount
) -> None:
    account = await new_account("apollo", options={"put_approves": True})
    answer = await client.create(account, step(AUTO_EMAIL, template=CONTENT))
    assert warnings_of(answer) == []


async def test_apollo_answers_with_the_step_alone(client: Client, new_account: NewAccount) -> None:
    """The touch is read then; some clients have seen such answers."""
    account = await new_account("apollo", options={"create_answer": "step_only"})
    answer = await client.create(account, step(AUTO_EMAIL, template=CONTENT))
    assert (await arrived(account, answer.id))["body_html"] == "<p>Hi</p>"


async def test_outreach_links_that_are_off_are_told(
    client: Client, new_account: NewAccount
) -> None:
    account = await new_account("outreach", options={"link_enabled": False})
    answer = await client.create(account, step(AUTO_EMAIL, template=CONTENT))
    assert warnings_of(answer) == [("TEMPLATE_NOT_ENABLED", "step.template")]


@pytest.mark.parametrize(
    ("template_id", "title", "is_guessed"), [("5", "Mine", True), ("6", "Of the team", False)]
)
async def test_salesloft_takes_the_personal_template_before_the_teams(
    *,
    template_id: str,
    title: str,
    is_guessed: bool,
    client: Client,
    new_account: NewAccount,
) -> None:
    team_templates = [
        {"id": number, "name": "Of the team", "body": "Of the team"} for number in (5, 6)
    ]
    seed = {
        "sequences": [{"id": 123}],
        "templates": [{"id": 5, "name": "Mine", "body": "Mine"}],
        "team_templates": team_templates,
    }
    account = await new_account("salesloft", seed=seed)
    answer = await client.create(account, step(AUTO_EMAIL, template_id=template_id))
    at_vendor = await arrived(account, answer.id)
    assert (at_vendor["title"], at_vendor["body"]) == (title, title)
    assert warnings_of(answer) == [
        ("TEMPLATE_COPIED", "step.template.id"),
        *[("TEMPLATE_KIND_GUESSED", "step.template.id")] * is_guessed,
    ]


@pytest.mark.parametrize(
    ("given", "template", "name", "title"),
    [
        ("Mine", {"name": "Title", "subject": "Subject"}, "Mine", "Title"),
        ("Mine", {"name": "", "subject": "Subject"}, "Mine", "Mine"),
        ("", {"name": "Title", "subject": "Subject"}, "Title", "Title"),
        ("", {"name": "", "subject": "Subject"}, "Subject", "Subject"),
        ("", {"name": "", "subject": ""}, "Email", "Email"),
    ],
)
async def test_salesloft_steps_and_their_templates_have_a_name(
    *,
    given: str,
    template: dict[str, str],
    name: str,
    title: str,
    client: Client,
    new_account: NewAccount,
) -> None:
    seed = {"sequences": [{"id": 123}], "templates": [{"id": 5, **template}]}
    account = await new_account("salesloft", seed=seed)
    answer = await client.create(account, step(AUTO_EMAIL, template_id="5", name=given))
    at_vendor = await arrived(account, answer.id)
    assert (at_vendor["name"], at_vendor["title"]) == (name, title)


def _replies_allowed(vendor: str) -> dict[str, Any]:
    return {"options": {"reply_needs_thread": False}} if vendor == "apollo" else {}


def _reply_without_subject() -> step_pb2.SequenceStep:
    content = step_pb2.TemplateContent(body_html="<p>Hi</p>")
    return step(AUTO_EMAIL, is_reply=True, template=step_pb2.Template(content=content))
