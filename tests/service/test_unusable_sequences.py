"""Sequences and templates that are not there or not open: refused before any write."""

import pytest

from tests.service.conftest import Client, NewAccount
from tests.service.step_messages import (
    AUTO_EMAIL,
    CALL,
    step,
)


@pytest.mark.parametrize(
    ("vendor", "unknown_id"), [("outreach", "999"), ("salesloft", "999"), ("apollo", "6" * 24)]
)
async def test_unknown_ids(
    vendor: str, unknown_id: str, client: Client, new_account: NewAccount
) -> None:
    account = await new_account(vendor)
    failure = await client.fail(account, step(CALL), sequence_id=unknown_id)
    assert (failure.code, failure.reason) == ("NOT_FOUND", "SEQUENCE_NOT_FOUND")
    assert failure.metadata["sequenceId"] == unknown_id
    failure = await client.fail(account, step(AUTO_EMAIL, template_id=unknown_id))
    assert failure.outcome == (
        "FAILED_PRECONDITION",
        "TEMPLATE_NOT_FOUND",
        ("step.template.id",),
    )
    assert failure.metadata["templateId"] == unknown_id
    assert await account.writes() == []


@pytest.mark.parametrize(
    ("vendor", "ill_formed"),
    [
        ("outreach", "12abc"),
        ("outreach", "0"),
        ("outreach", "-1"),
        ("salesloft", "1.5"),
        ("salesloft", "1/steps"),
        ("apollo", "4711"),
        ("apollo", "g" * 24),
        ("apollo", "6" * 25),
    ],
)
async def test_ids_of_another_form_are_refused_without_a_call(
    vendor: str, ill_formed: str, client: Client, new_account: NewAccount
) -> None:
    account = await new_account(vendor)
    message = step(AUTO_EMAIL, template_id=ill_formed)
    failure = await client.fail(account, message, sequence_id=ill_formed)
    assert failure.outcome == (
        "INVALID_ARGUMENT",
        "INVALID_FIELD",
        ("sequence_id", "step.template.id"),
    )
    assert await account.requests() == []


@pytest.mark.parametrize("show_current_state", [True, False])
async def test_an_archived_cadence_is_refused(
    *,
    show_current_state: bool,
    client: Client,
    new_account: NewAccount,
) -> None:
    account = await new_account("salesloft", options={"show_current_state": show_current_state})
    failure = await client.fail(account, step(CALL), sequence_id="140")
    assert failure.outcome == ("FAILED_PRECONDITION", "SEQUENCE_ARCHIVED", ("sequence_id",))
    assert await account.writes() == []


async def test_salesloft_takes_one_step_only(client: Client, new_account: NewAccount) -> None:
    account = await new_account("salesloft")
    await client.create(account, step(CALL))
    failure = await client.fail(account, step(CALL))
    assert failure.outcome == ("FAILED_PRECONDITION", "SEQUENCE_NOT_EMPTY", ("sequence_id",))
    assert len(await account.writes()) == 1
