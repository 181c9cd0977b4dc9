"""When the Python caller repeats and when it ends, on a channel and a clock that the test holds."""

import itertools
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc_testing  # type: ignore[import-untyped]
import pytest
from grpc import StatusCode as Code

from engagement.v1 import sequence_step_service_pb2 as service_pb2
from engagement.v1.sequence_step_service_pb2_grpc import SequenceStepServiceStub
from examples.python.create_step import (
    PAUSE_SECONDS_MAX,
    SETTLE_SECONDS,
    Clock,
    StepFailed,
    Tenant,
    create_step,
    pause_before_repeat,
)
from examples.python.failure import Failure
from tests.clients.scripted_service import STEP_ID, Said
from tests.service.step_messages import TASK, step

SERVICE = service_pb2.DESCRIPTOR.services_by_name["SequenceStepService"]
METHOD = SERVICE.methods_by_name["CreateSequenceStep"]
TENANT = Tenant("acme", "outreach")


@dataclass
class Scene:
    """A caller whose calls are answered as `says` has them, in a time that only sleeping moves."""

    says: Iterator[Said | None]
    """None: the step."""

    seconds: float = 0.0
    pauses: list[float] = field(default_factory=list)
    arrived: list[service_pb2.CreateSequenceStepRequest] = field(default_factory=list)

    def create(self, request: service_pb2.CreateSequenceStepRequest) -> str:
        """Let the caller add a step; return the step's id."""
        channel = grpc_testing.channel([SERVICE], grpc_testing.strict_fake_time(0))
        threading.Thread(target=self._answer, args=(channel,), daemon=True).start()
        stub = SequenceStepServiceStub(channel)  # type: ignore[no-untyped-call]
        clock = Clock(now=lambda: self.seconds, sleep=self._sleep)
        return create_step(stub, request, TENANT, clock=clock).id

    def _answer(self, channel: Any) -> None:
        for said in itertools.chain(self.says, itertools.repeat(None)):
            _, request, call = channel.take_unary_unary(METHOD)
            self.arrived.append(request)
            if said is None:
                answer = service_pb2.CreateSequenceStepResponse(id=STEP_ID)
                call.terminate(answer, (), Code.OK, "")
            else:
                call.terminate(None, said.trailing_metadata(), said.code, said.message)

    def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.seconds += seconds


def a_request() -> service_pb2.CreateSequenceStepRequest:
    return service_pb2.CreateSequenceStepRequest(
        request_id=str(uuid.uuid4()), sequence_id="4711", step=step(TASK)
    )


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (Said(Code.UNAVAILABLE, "PROVIDER_UNAVAILABLE", 2), (2, 2.5)),
        (Said(Code.ABORTED, "SEQUENCE_BUSY", 117.3, "-1"), (117.3, 146.7)),
        (Said(Code.UNKNOWN, "OUTCOME_UNKNOWN", 30, "30000"), (30, 37.5)),
        (Said(Code.FAILED_PRECONDITION, "STEP_INCOMPLETE", 5, "5000"), (5, 6.25)),
        (Said(Code.INTERNAL, "INTERNAL", pushback_ms="-1"), (0.5, 1)),
        (Said(Code.UNAVAILABLE), (0.5, 1)),
        (Said(Code.UNAVAILABLE, pushback_ms="7000"), (7, 8.75)),
        (Said(Code.UNAVAILABLE, pushback_ms="0"), (0.1, 0.125)),
        (Said(Code.UNAVAILABLE, pushback_ms="-1"), (0.5, 1)),
        (Said(Code.DEADLINE_EXCEEDED), (0.5, 1)),
    ],
    ids=lambda value: value.name() if isinstance(value, Said) else "",
)
def test_it_waits_as_it_is_told_and_sends_the_same(
    said: Said, seconds: tuple[float, float]
) -> None:
    """At least as long; somewhat more, so that not all callers come at once."""
    scene, request = Scene(iter([said, None])), a_request()
    assert scene.create(request) == STEP_ID
    assert scene.arrived == [request, request]
    (pause,) = scene.pauses
    assert seconds[0] <= pause <= seconds[1]


def test_pauses_grow_while_nobody_says_how_long() -> None:
    scene = Scene(iter([Said(Code.UNAVAILABLE)] * 8))
    assert scene.create(a_request()) == STEP_ID
    for repeats, pause in enumerate(scene.pauses):
        longest = min(2**repeats, PAUSE_SECONDS_MAX)
        assert longest / 2 <= pause <= longest


@pytest.mark.parametrize(
    "said",
    [
        Said(Code.INVALID_ARGUMENT, "INVALID_FIELD"),
        Said(Code.UNKNOWN, "OUTCOME_UNKNOWN", pushback_ms="-1"),
        Said(Code.FAILED_PRECONDITION, "STEP_INCOMPLETE", pushback_ms="-1"),
        Said(Code.RESOURCE_EXHAUSTED, message="SERVER: Received message larger than max (9 vs. 4)"),
    ],
    ids=Said.name,
)
def test_what_is_final_is_not_repeated(said: Said) -> None:
    scene = Scene(iter([said, None]))
    with pytest.raises(StepFailed) as caught:
        scene.create(a_request())
    assert (caught.value.is_final, caught.value.failure.reason) == (True, said.reason)
    assert (len(scene.arrived), scene.pauses) == (1, [])


def test_pauses_stay_as_they_are_through_a_day() -> None:
    """Of an outage, where the caller was given that long."""
    unavailable = Failure(Code.UNAVAILABLE, "")
    pause_seconds = pause_before_repeat(unavailable, 24 * 60 * 60)
    assert pause_seconds is not None
    assert PAUSE_SECONDS_MAX / 2 <= pause_seconds <= PAUSE_SECONDS_MAX


def test_it_ends_when_its_time_is_over() -> None:
    """No call begins after that, and the error says that a later one may settle it."""
    scene = Scene(itertools.repeat(Said(Code.UNAVAILABLE)))
    with pytest.raises(StepFailed) as caught:
        scene.create(a_request())
    assert not caught.value.is_final
    assert SETTLE_SECONDS - PAUSE_SECONDS_MAX <= scene.seconds <= SETTLE_SECONDS
    assert len(scene.arrived) == len(scene.pauses) + 1


def test_without_an_id_nothing_is_sent() -> None:
    scene, request = Scene(iter([None])), a_request()
    request.request_id = ""
    with pytest.raises(ValueError, match="request_id"):
        scene.create(request)
    assert scene.arrived == []
