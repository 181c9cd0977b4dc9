"""Adds one step, and repeats the call by the service's rule for callers until it is settled."""

import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from engagement.v1 import sequence_step_service_pb2 as service_pb2
from examples.python.failure import Failure, failure_of

CALL_SECONDS = 60.0
"""The deadline of each call; it fits every provider."""

SETTLE_SECONDS = 300.0
"""After so long no further call begins. A lost write may take the service two minutes to settle."""

FIRST_PAUSE_SECONDS = 1.0
PAUSE_SECONDS_MAX = 30.0
DOUBLINGS_MAX = 10
"""More than lead to the longest pause; a float has no room for a thousand."""

PAUSE_SECONDS_MIN = 0.1
"""Also where a shorter wait is asked for, so that nothing spins."""

_REPEATED_WITHOUT_RETRY_INFO = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INTERNAL,
}


class StepFailed(Exception):  # noqa: N818 - it reads as the sentence it stands for
    """There is no answer with a step.

    `is_final`: repeating changes nothing before somebody does what the message says. Otherwise the
    time is over; the step may be there. Keep the `request_id`, and call again with it later.
    """

    def __init__(self, failure: Failure, *, is_final: bool) -> None:
        super().__init__(f"{failure.code.name} {failure.reason}: {failure.message}")
        self.failure = failure
        self.is_final = is_final


@dataclass(frozen=True)
class Tenant:
    """For whom the step is, and where."""

    customer_id: str
    provider_name: str


@dataclass(frozen=True)
class Clock:
    """Time, which tests replace."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def create_step(
    stub: Any,
    request: service_pb2.CreateSequenceStepRequest,
    tenant: Tenant,
    *,
    settle_seconds: float = SETTLE_SECONDS,
    clock: Clock = Clock(),
) -> service_pb2.CreateSequenceStepResponse:
    """Add one step.

    `request.request_id` is a UUID that was stored before this, with whatever the step is for: who
    comes back after a crash finds it there, and calls again with the same request.

    Raises:
        StepFailed: the error is final, or the time is over.
    """
    if not request.request_id:
        raise ValueError("without a request_id a call cannot be repeated")
    metadata = (
        ("x-customer-id", tenant.customer_id),
        ("x-provider-name", tenant.provider_name),
    )
    give_up_at = clock.now() + settle_seconds
    for repeats in itertools.count():
        try:
            answer: service_pb2.CreateSequenceStepResponse = stub.CreateSequenceStep(
                request, metadata=metadata, timeout=CALL_SECONDS
            )
        except grpc.RpcError as error:
            failure = failure_of(error)
            pause_seconds = pause_before_repeat(failure, repeats)
            if pause_seconds is None:
                raise StepFailed(failure, is_final=True) from error
            if clock.now() + pause_seconds > give_up_at:
                raise StepFailed(failure, is_final=False) from error
        else:
            return answer
        clock.sleep(pause_seconds)
    raise AssertionError("the loop has no end of its own")


def pause_before_repeat(failure: Failure, repeats: int) -> float | None:
    """Return how many seconds to wait before the same request is sent again; None: not at all."""
    if not failure.reason and _is_too_big(failure):
        return None
    if failure.retry_seconds is not None:
        pause_seconds = max(failure.retry_seconds, PAUSE_SECONDS_MIN)
        return pause_seconds * random.uniform(1, 1.25)  # noqa: S311 - so that not all come at once
    if not failure.reason or failure.code in _REPEATED_WITHOUT_RETRY_INFO:
        doublings = min(repeats, DOUBLINGS_MAX)
        pause_seconds = min(FIRST_PAUSE_SECONDS * 2.0**doublings, PAUSE_SECONDS_MAX)
        return pause_seconds * random.uniform(0.5, 1)  # noqa: S311 - likewise
    return None


def _is_too_big(failure: Failure) -> bool:
    """Whether a library refused the message: nothing was written, and nothing else comes of it."""
    is_of_limit = failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    return is_of_limit and "larger than max" in failure.message
