"""A call with everything that its caller is told: the answer or the error, and the metadata."""

from dataclasses import dataclass
from typing import Any

import grpc

from engagement.v1 import sequence_step_pb2 as step_pb2
from engagement.v1 import sequence_step_service_pb2 as service_pb2
from tests.service.conftest import Client
from tests.service.grpc_failure import Failure, failure_of
from tests.service.vendor_account import VendorAccount


@dataclass(frozen=True)
class Told:
    """What came of a call."""

    reason: str
    """OK, or that of the error; empty when it was not the service that ended the call."""

    step_id: str
    """The answer's, or the one that the error names."""

    initial: dict[str, Any]
    """The initial metadata."""

    is_replay: bool
    failure: Failure | None = None

    @property
    def request_id(self) -> str:
        """The id of the request as the initial metadata tells it."""
        return str(self.initial["engagement-request-id"])


async def whole_call(
    client: Client,
    account: VendorAccount,
    step: step_pb2.SequenceStep,
    *,
    timeout: float = 30,  # noqa: ASYNC109 - the call's deadline, as grpc names it
    sequence_id: str = "",
    **request: Any,
) -> Told:
    """Call CreateSequenceStep as the account's customer, whatever comes of it."""
    call = client.stub.CreateSequenceStep(
        service_pb2.CreateSequenceStepRequest(
            sequence_id=sequence_id or account.sequence_id, step=step, **request
        ),
        metadata=(("x-customer-id", account.name), ("x-provider-name", account.vendor)),
        timeout=timeout,
    )
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        failure = failure_of(error)
        initial = dict(error.initial_metadata() or ())
        step_id = failure.metadata.get("stepId", "")
        return Told(failure.reason, step_id, initial, is_replay=False, failure=failure)
    initial, trailing = dict(await call.initial_metadata()), dict(await call.trailing_metadata())
    return Told("OK", answer.id, initial, trailing.get("x-idempotent-replay") == "true")
