"""For whom a caller may act: refused alike whether or not there is such a customer."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from engagement.v1 import sequence_step_service_pb2 as service_pb2
from service.stores.connections_sqlite import SqliteConnections
from service.stores.journal_sqlite import SqliteJournal
from tests.callers.authority import uri
from tests.callers.stage import (
    BILLING_TOKEN,
    CRM_TOKEN,
    SALES_TOKEN,
    SPIFFE,
    Server,
    bearer,
    failure_for,
    with_proof,
)
from tests.service.conftest import Client, NewAccount
from tests.transport.stand_in import REQUEST_ID, Metadata, step_request


async def test_a_caller_acts_for_its_customers_and_for_no_other(server: Server) -> None:
    async with server.api(server.authority.client(uri(SPIFFE))) as api:
        for customer in ("acme", "globex"):
            await api.create(step_request(), with_proof(customer=customer))
        server.application.calls.clear()
        for customer in ("initech", "Acme", "acme1", "acm", "*"):
            failure = await api.failed(
                step_request(request_id=REQUEST_ID).SerializeToString(),
                with_proof(customer=customer),
            )
            assert failure.code == grpc.StatusCode.PERMISSION_DENIED
            assert failure.reason == "CUSTOMER_FORBIDDEN"
            assert failure.message == "The caller may not act for this customer; nothing was done."
            assert failure.metadata == {"provider": "outreach", "requestId": REQUEST_ID}
            assert set(failure.details) == {"ErrorInfo"}
            assert failure.pushback is None
            line = server.events("rpc")[-1]
            assert (line["caller"], line["customer"]) == ("billing", customer)
    assert server.application.calls == []


async def test_a_caller_of_any_customer_acts_for_all(token_server: Server) -> None:
    async with token_server.api() as api:
        for customer in ("acme", "initech", "*", "!"):
            await api.create(step_request(), with_proof(bearer(CRM_TOKEN), customer=customer))


async def test_a_bad_request_for_a_forbidden_customer_is_forbidden(token_server: Server) -> None:
    """What a caller may do comes before what it asks for."""
    async with token_server.api() as api:
        failure = await api.failed(
            step_request(name="x" * 10_000).SerializeToString(),
            with_proof(bearer(BILLING_TOKEN), customer="initech"),
        )
    assert failure.reason == "CUSTOMER_FORBIDDEN"


Read = Callable[..., Awaitable[Any]]


@pytest.fixture
def store_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the stores, as it is asked."""
    asked: list[str] = []

    def noted(name: str, read: Read) -> Read:
        async def noting(*arguments: Any, **more: Any) -> Any:
            asked.append(name)
            return await read(*arguments, **more)

        return noting

    monkeypatch.setattr(SqliteConnections, "read", noted("connection", SqliteConnections.read))
    for name in ("claim", "find"):
        monkeypatch.setattr(SqliteJournal, name, noted(name, getattr(SqliteJournal, name)))
    return asked


async def test_a_forbidden_customer_that_exists_and_one_that_does_not_get_the_same_bytes(
    client: Client, new_account: NewAccount, store_reads: list[str]
) -> None:
    account = await new_account("outreach")
    for validate_only in (False, True):
        answers = [
            await refusal(client, customer, validate_only=validate_only)
            for customer in (account.name, "nobody-of-that-name")
        ]
        assert answers[0] == answers[1]
    assert store_reads == []
    assert await account.requests() == []

    await client.stub.CreateSequenceStep(
        request_for(account.sequence_id),
        metadata=with_proof(bearer(CRM_TOKEN), customer=account.name),
        timeout=30,
    )
    assert set(store_reads) >= {"connection", "claim"}


async def refusal(client: Client, customer: str, *, validate_only: bool) -> tuple[Any, ...]:
    """All that a caller gets for a customer that it may not act for."""
    call = client.stub.CreateSequenceStep(
        request_for("4711", validate_only=validate_only),
        metadata=with_proof(bearer(BILLING_TOKEN), customer=customer),
        timeout=30,
    )
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    error = failed.value
    assert error.code() == grpc.StatusCode.PERMISSION_DENIED
    return (
        error.code(),
        error.details(),
        tuple(error.initial_metadata() or ()),
        tuple(error.trailing_metadata() or ()),
    )


def request_for(
    sequence_id: str, *, validate_only: bool = False, **step: object
) -> service_pb2.CreateSequenceStepRequest:
    """A request that has the same id each time."""
    request = step_request(request_id=REQUEST_ID, **step)
    request.sequence_id = sequence_id
    request.validate_only = validate_only
    return request


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param(with_proof(bearer("x" * 43)), id="unknown_caller"),
        pytest.param((bearer(BILLING_TOKEN),), id="no_customer"),
    ],
)
async def test_no_store_is_read_for_who_is_refused_before(
    client: Client, store_reads: list[str], metadata: Metadata
) -> None:
    failure = await failure_for(client, metadata)

    assert failure.reason in {"CALLER_UNAUTHENTICATED", "METADATA_INVALID"}
    assert store_reads == []


async def test_two_callers_with_one_request_id_have_a_step_each(
    client: Client, new_account: NewAccount
) -> None:
    """On the same sequence of the same customer; neither gets the other's answer."""
    account = await new_account("outreach")
    before = await account.step_ids()

    async def create(token: str, task_note: str) -> tuple[str, bool]:
        call = client.stub.CreateSequenceStep(
            request_for(account.sequence_id, task_note=task_note),
            metadata=with_proof(bearer(token), customer=account.name),
            timeout=60,
        )
        answer = await call
        return answer.id, ("x-idempotent-replay", "true") in tuple(await call.trailing_metadata())

    first, second = await create(SALES_TOKEN, "Ask"), await create(CRM_TOKEN, "Ask")

    assert first[0] != second[0]
    assert (first[1], second[1]) == (False, False)
    assert await create(SALES_TOKEN, "Ask") == (first[0], True)
    assert await create(CRM_TOKEN, "Ask") == (second[0], True)
    assert sorted(await account.step_ids()) == sorted([*before, first[0], second[0]])


async def test_another_caller_s_request_is_not_seen_by_its_id(
    client: Client, new_account: NewAccount
) -> None:
    """Not even that the id is in use: another request with it is no conflict."""
    account = await new_account("outreach")
    made = []
    for token, task_note in ((SALES_TOKEN, "Ask"), (CRM_TOKEN, "Ask for something else")):
        answer = await client.stub.CreateSequenceStep(
            request_for(account.sequence_id, task_note=task_note),
            metadata=with_proof(bearer(token), customer=account.name),
            timeout=60,
        )
        made.append(answer.id)

    assert len(set(made)) == 2
