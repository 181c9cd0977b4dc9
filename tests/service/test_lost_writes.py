"""A write whose answer is lost, with other people at work on the same sequence."""

import asyncio
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import pytest

from engagement.v1 import sequence_step_pb2 as step_pb2
from sandbox.server import RunningSandbox
from tests.service.conftest import Client, NewAccount
from tests.service.grpc_failure import failure_of
from tests.service.step_messages import AUTO_EMAIL, CALL, step
from tests.service.vendor_account import VendorAccount
from tests.service.vendor_hold import held, hold

SEQUENCES = {
    "outreach": ("4711", "4712"),
    "salesloft": ("123", "124"),
    "apollo": ("65334c9c2722cd008bde87c3", "65334c9c2722cd008bde87c5"),
}
INTERVAL_SECONDS = 86_400


@dataclass(frozen=True)
class Colleague:
    """What another user adds while the service's own write is on its way."""

    attributes: dict[str, Any]
    ours_is_applied: bool
    reason: str


EQUAL = {"stepType": "auto_email", "interval": INTERVAL_SECONDS, "order": 7}
COLLEAGUES = {
    "an equal step": Colleague(EQUAL, ours_is_applied=True, reason="OUTCOME_UNKNOWN"),
    "another wait, ours lost for good": Colleague(
        {**EQUAL, "interval": 60}, ours_is_applied=False, reason="OUTCOME_UNKNOWN"
    ),
    "another note, ours lost for good": Colleague(
        {**EQUAL, "taskNote": "Call first"}, ours_is_applied=False, reason="OUTCOME_UNKNOWN"
    ),
    "another type": Colleague({**EQUAL, "stepType": "call"}, ours_is_applied=True, reason="OK"),
}


@pytest.mark.parametrize("name", COLLEAGUES)
async def test_a_colleague_adds_a_step_meanwhile(
    client: Client, new_account: NewAccount, sandbox: RunningSandbox, name: str
) -> None:
    colleague = COLLEAGUES[name]
    account = await new_account("outreach")
    when = "after" if colleague.ours_is_applied else "before"
    await hold(account, "POST", "/sequenceSteps$", seconds=1, kind="close", when=when)
    asked = step(AUTO_EMAIL, template_id="55", interval_seconds=INTERVAL_SECONDS)
    calling = asyncio.create_task(_reason_and_id(client, account, asked))
    await held(account)

    theirs = await _add_as_colleague(sandbox, account, colleague.attributes)
    reason, step_id = await calling

    assert reason == colleague.reason
    ours = set(await account.step_ids()) - {theirs}
    assert len(ours) == colleague.ours_is_applied
    linked = [
        str(link["relationships"]["sequenceStep"]["data"]["id"])
        for link in (await account.state())["links"]
    ]
    if reason == "OK":
        assert ours == {step_id}
        assert linked == [step_id]
    else:
        assert linked == [], "a template was linked to a step that may not be ours"


async def _reason_and_id(
    client: Client, account: VendorAccount, asked: step_pb2.SequenceStep
) -> tuple[str, str]:
    try:
        answer = await client.create(account, asked)
    except grpc.aio.AioRpcError as error:
        return failure_of(error).reason, ""
    return "OK", answer.id


async def _add_as_colleague(
    sandbox: RunningSandbox, account: VendorAccount, attributes: dict[str, Any]
) -> str:
    sequence = {"data": {"type": "sequence", "id": 4711}}
    data = {
        "type": "sequenceStep",
        "attributes": attributes,
        "relationships": {"sequence": sequence},
    }
    token = account.credentials["colleague_access_token"]
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(
            f"{sandbox.base_url}/outreach/api/v2/sequenceSteps",
            json={"data": data},
            headers={
                "authorization": f"Bearer {token}",
                "content-type": "application/vnd.api+json",
            },
        )
    answer.raise_for_status()
    return str(answer.json()["data"]["id"])


@pytest.mark.parametrize("vendor", SEQUENCES)
async def test_nobody_writes_to_a_sequence_while_a_lost_write_may_still_come(
    client: Client, new_account: NewAccount, vendor: str
) -> None:
    """Even where the step was found: the next one would be taken for it, or it for the next."""
    first, second = SEQUENCES[vendor]
    number = int(first) if first.isdecimal() else first
    other = int(second) if second.isdecimal() else second
    seed = {"sequences": [{"id": number}, {"id": other}]}
    account, neighbour = await new_account(vendor, seed=seed), await new_account(vendor, seed=seed)
    await account.fault(kind="close", when="after", method="POST")
    found = await client.create(account, step(CALL))
    sent = len(await account.requests())

    busy = await client.fail(account, step(CALL))

    assert (busy.code, busy.reason) == ("ABORTED", "SEQUENCE_BUSY")
    assert busy.retry_seconds is not None
    assert 60 < busy.retry_seconds <= 120
    assert busy.pushback_ms == "-1"
    assert len(await account.requests()) == sent
    beside = await client.create(account, step(CALL), sequence_id=second)
    assert await account.step_ids() == [found.id, beside.id]
    assert (await client.create(neighbour, step(CALL))).id in await neighbour.step_ids()


@pytest.mark.parametrize("vendor", SEQUENCES)
async def test_a_look_only_is_not_held_up_by_a_lost_write(
    client: Client, new_account: NewAccount, vendor: str
) -> None:
    account = await new_account(vendor)
    await account.fault(kind="close", when="after", method="POST")
    await client.create(account, step(CALL))

    if vendor == "salesloft":  # Its cadence has a step now, which is what a look has to say.
        failure = await client.fail(account, step(CALL), validate_only=True)
        assert failure.reason == "SEQUENCE_NOT_EMPTY"
    else:
        answer = await client.create(account, step(CALL), validate_only=True)
        assert len(answer.planned_calls) == 1
    assert len(await account.writes()) == 1
