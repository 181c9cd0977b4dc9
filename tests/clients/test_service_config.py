"""`examples/service_config.json`: what a client library repeats by itself, and what it does not.

The calls are counted where they arrive.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode as Code

from engagement.v1 import sequence_step_service_pb2 as service_pb2
from engagement.v1.sequence_step_service_pb2_grpc import SequenceStepServiceStub
from sandbox.server import RunningSandbox
from tests.clients.scripted_service import (
    SILENCE,
    Said,
    ScriptedService,
    scripted_service,
)
from tests.service.conftest import NewAccount, client_of, settings_for
from tests.service.programs import ROOT
from tests.service.step_messages import TASK, step
from tests.service.test_repeating import connected

CONFIG = (ROOT / "examples" / "service_config.json").read_text()
ATTEMPTS_MAX = 5

REPEATED = (
    *(
        Said(code)
        for code in (
            *(Code.UNAVAILABLE, Code.ABORTED, Code.RESOURCE_EXHAUSTED),
            *(Code.UNKNOWN, Code.INTERNAL, Code.CANCELLED),
        )
    ),
    Said(Code.UNAVAILABLE, "PROVIDER_UNAVAILABLE", 0.01, "10"),
    Said(Code.ABORTED, "SEQUENCE_BUSY", 0.01, "10"),
    Said(Code.RESOURCE_EXHAUSTED, "SERVICE_OVERLOADED", 0.01, "10"),
    Said(Code.UNKNOWN, "OUTCOME_UNKNOWN", 0.01, "10"),
)
LEFT_TO_THE_CALLER = (
    Said(Code.RESOURCE_EXHAUSTED, "PROVIDER_RATE_LIMITED", 60, "-1"),
    Said(Code.UNKNOWN, "OUTCOME_UNKNOWN", pushback_ms="-1"),
    Said(Code.INTERNAL, "INTERNAL", pushback_ms="-1"),
    Said(Code.UNAVAILABLE, after_headers=True),
    Said(Code.UNKNOWN, "OUTCOME_UNKNOWN", 0.01, "10", after_headers=True),
    Said(Code.FAILED_PRECONDITION, "STEP_INCOMPLETE", 0.01, "10"),
    Said(Code.INVALID_ARGUMENT, "INVALID_FIELD"),
    Said(Code.DEADLINE_EXCEEDED, "DEADLINE_TOO_SHORT"),
)


@asynccontextmanager
async def stub_at(*ports: int, config: str) -> AsyncIterator[Any]:
    target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
    options = (("grpc.service_config", config),)
    async with grpc.aio.insecure_channel(target, options) as channel:
        yield SequenceStepServiceStub(channel)  # type: ignore[no-untyped-call]


@pytest.fixture
async def stub(scripted: ScriptedService) -> AsyncIterator[Any]:
    """A client whose library repeats, with shorter pauses where the server asks for none."""
    quick = json.loads(CONFIG)
    quick["methodConfig"][0]["retryPolicy"] |= {"initialBackoff": "0.01s", "maxBackoff": "0.01s"}
    async with stub_at(scripted.port, config=json.dumps(quick)) as made:
        yield made


def any_request(sequence_id: str = "4711") -> service_pb2.CreateSequenceStepRequest:
    return service_pb2.CreateSequenceStepRequest(
        request_id=str(uuid.uuid4()), sequence_id=sequence_id, step=step(TASK)
    )


@pytest.mark.parametrize("said", REPEATED, ids=Said.name)
async def test_the_library_repeats(scripted: ScriptedService, stub: Any, said: Said) -> None:
    """With the same request, until it is answered."""
    scripted.scripts["4711"] = [said] * (ATTEMPTS_MAX - 1)
    asked = any_request()
    await stub.CreateSequenceStep(asked)
    assert [call.request for call in scripted.calls["4711"]] == [asked] * ATTEMPTS_MAX


async def test_the_library_gives_up_after_five(scripted: ScriptedService, stub: Any) -> None:
    scripted.scripts["4711"] = [Said(Code.UNAVAILABLE)] * 9
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.CreateSequenceStep(any_request())
    assert len(scripted.calls["4711"]) == ATTEMPTS_MAX


async def test_the_library_ends_a_call_by_the_deadline(scripted: ScriptedService) -> None:
    """Which is here a shorter one."""
    scripted.scripts["4711"] = [SILENCE] * 9
    shorter = json.loads(CONFIG)
    shorter["methodConfig"][0]["timeout"] = "2s"
    async with stub_at(scripted.port, config=json.dumps(shorter)) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.CreateSequenceStep(any_request())
    assert (caught.value.code(), len(scripted.calls["4711"])) == (Code.DEADLINE_EXCEEDED, 1)


@pytest.mark.parametrize("said", LEFT_TO_THE_CALLER, ids=Said.name)
async def test_the_library_leaves_to_the_caller(
    scripted: ScriptedService, stub: Any, said: Said
) -> None:
    """Long waits, what says so, and all that comes after a first write."""
    scripted.scripts["4711"] = [said] * 9
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.CreateSequenceStep(any_request())
    assert (caught.value.code(), len(scripted.calls["4711"])) == (said.code, 1)


async def test_calls_go_to_all_addresses_in_turn(scripted: ScriptedService) -> None:
    async with (
        scripted_service() as another,
        stub_at(scripted.port, another.port, config=CONFIG) as stub,
    ):
        async with asyncio.timeout(30):
            while not (scripted.calls and another.calls):
                await stub.CreateSequenceStep(any_request())


async def test_a_service_that_is_full_is_asked_again(
    sandbox: RunningSandbox, new_account: NewAccount, tmp_path: Path
) -> None:
    """The real one, which takes two of three calls at once: one is worked on, one waits."""
    settings = settings_for(
        sandbox.base_url,
        tmp_path / "engagement.db",
        ENGAGEMENT_REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX="1",
    )
    account = await new_account("outreach", connected=False)
    await account.fault(kind="none", before_seconds=0.2, times=None)
    metadata = (("x-customer-id", account.name), ("x-provider-name", account.vendor))
    async with client_of(settings) as client, stub_at(client.port, config=CONFIG) as stub:
        await connected(client, account)
        answers = await asyncio.gather(
            *(
                stub.CreateSequenceStep(any_request(account.sequence_id), metadata=metadata)
                for _ in range(3)
            )
        )
        refused = await asyncio.gather(
            *(client.create(account, step(TASK)) for _ in range(3)), return_exceptions=True
        )
    assert [type(each) for each in refused].count(grpc.aio.AioRpcError) == 1
    made = await account.step_ids()
    assert {answer.id for answer in answers} < set(made)
    assert len(made) == 5
