"""Every type of step, at every provider, with every field: what arrives, and what is told.

Each case adds one field to a step. At the vendor exactly what the table says is different then,
and the caller gets exactly the warnings it says: nothing is lost silently, nothing slips in.
"""

from collections import Counter

import pytest

from engagement.v1 import sequence_step_pb2 as step_pb2
from tests.service.arrived_step import arrived
from tests.service.conftest import Client, NewAccount
from tests.service.step_fates import (
    ALL,
    BASE_WARNINGS,
    BASES,
    FATES,
    GIVEN,
    GIVEN_ELSEWHERE,
    INTEGRATION,
    MESSAGES,
    Fate,
)
from tests.service.step_messages import LINKEDIN, warnings_of
from tests.service.vendor_account import VendorAccount

VENDORS = ("outreach", "salesloft", "apollo")
DATE_SEQUENCES = {"outreach": "4712", "apollo": "65334c9c2722cd008bde87c4"}
OPTIONS = {"apollo": {"reply_needs_thread": False}}
CASES = [
    pytest.param(vendor, kind, fate, id=f"{vendor}-{_short}-{fate.path.removeprefix('step.')}")
    for vendor in VENDORS
    for fate in FATES[vendor]
    for kind in fate.types
    for _short in [step_pb2.StepType.Name(kind).removeprefix("STEP_TYPE_").lower()]
]


def test_the_table_has_every_provider_type_and_field_once() -> None:
    entries = Counter(
        (vendor, kind, fate.path)
        for vendor in VENDORS
        for fate in FATES[vendor]
        for kind in fate.types
    )
    assert entries == Counter(
        (vendor, kind, path) for vendor in VENDORS for kind in ALL for path in GIVEN
    )


@pytest.mark.parametrize("kind", ALL, ids=step_pb2.StepType.Name)
@pytest.mark.parametrize("vendor", VENDORS)
async def test_type(
    vendor: str, kind: step_pb2.StepType, client: Client, new_account: NewAccount
) -> None:
    account = await _account(vendor, new_account)
    answer = await client.create(account, _step(account, kind))
    assert await arrived(account, answer.id) == BASES[vendor][kind]
    assert warnings_of(answer) == sorted(BASE_WARNINGS.get((vendor, kind), ()))


@pytest.mark.parametrize(("vendor", "kind", "fate"), CASES)
async def test_field(
    vendor: str, kind: step_pb2.StepType, fate: Fate, client: Client, new_account: NewAccount
) -> None:
    account = await _account(vendor, new_account)
    step = _step(account, kind, fate.path)
    if fate.support == "refused":
        failure = await client.fail(account, step)
        assert (failure.code, failure.reason, failure.fields) == (
            "FAILED_PRECONDITION",
            "UNSUPPORTED_BY_PROVIDER",
            (fate.path,),
        )
        assert await account.requests() == []
        return
    sequence_id = DATE_SEQUENCES[vendor] if fate.path == "step.date" else None
    answer = await client.create(account, step, sequence_id=sequence_id)
    assert await arrived(account, answer.id) == {**BASES[vendor][kind], **fate.arrives}
    base_warnings = BASE_WARNINGS.get((vendor, kind), ())
    assert warnings_of(answer) == sorted((*base_warnings, *fate.warnings))


async def _account(vendor: str, new_account: NewAccount) -> VendorAccount:
    return await new_account(vendor, options=OPTIONS.get(vendor, {}))


def _step(account: VendorAccount, kind: step_pb2.StepType, path: str = "") -> step_pb2.SequenceStep:
    """Return a step of a type, complete but without anything else; with one more field."""
    vendor = account.vendor
    step = step_pb2.SequenceStep(type=kind)
    if (vendor, kind) == ("salesloft", LINKEDIN):
        step.custom_fields.update(INTEGRATION)  # The message is the integration's.
    elif kind in MESSAGES:
        step.template.content.MergeFrom(_content(vendor, kind))
    if path == "step.template.id":
        step.ClearField("template")
        step.template.id = account.template_id
    elif path.startswith("step.template.content"):
        step.template.content.MergeFrom(_content(vendor, kind))
    given = GIVEN_ELSEWHERE.get((vendor, path), GIVEN.get(path, {}))
    step.MergeFrom(step_pb2.SequenceStep(**given))
    return step


def _content(vendor: str, kind: step_pb2.StepType) -> step_pb2.TemplateContent:
    """Return a message; Apollo's on LinkedIn have no subject."""
    has_subject = (vendor, kind) != ("apollo", LINKEDIN)
    return step_pb2.TemplateContent(
        subject="Inline" if has_subject else "", body_html="<p>Inline</p>"
    )
