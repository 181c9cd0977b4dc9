"""A request as a careful caller makes it: repeated with its id, anywhere, until it is settled."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import grpc

from engagement.v1 import sequence_step_pb2 as step_pb2
from tests.service.conftest import Client
from tests.service.grpc_failure import failure_of
from tests.service.step_messages import AUTO_EMAIL, TASK, step
from tests.service.vendor_account import VendorAccount

OK = "OK"
NOBODY = "nobody"
"""Stands for the reason of a call that the service did not end: its process died, or it took too
long for its caller."""

MAY_HAVE_WRITTEN = {OK, NOBODY, "OUTCOME_UNKNOWN", "STEP_INCOMPLETE"}
WROTE_NOTHING = {
    "SEQUENCE_BUSY",
    "REQUEST_IN_PROGRESS",
    "PROVIDER_UNAVAILABLE",
    "STORE_UNAVAILABLE",
    "SERVICE_OVERLOADED",
    "DEADLINE_TOO_SHORT",
}
"""Any other reason is wrong after what is done to the service here."""

CALL_SECONDS = 8.0
PAUSE_SECONDS_MIN = 0.3
PAUSE_SECONDS_MAX = 3.0
SETTLED_SECONDS_MAX = 120.0
"""A lease lasts 30, and others may have to be waited for as well."""


class Asked(Protocol):
    """Whoever is asked: a replica, or several behind one client."""

    @property
    def client(self) -> Client:
        """What it is asked with."""


Pick: TypeAlias = Callable[[], Asked]
"""Says who is asked next."""


@dataclass(frozen=True)
class Answer:
    """What one call came to."""

    reason: str
    step_id: str
    retry_seconds: float | None
    ended_at: float
    """In epoch seconds, as in the vendors' logs."""


@dataclass
class Request:
    """One step to be added, and what its calls came to."""

    account: VendorAccount
    sequence_id: str
    step: step_pb2.SequenceStep
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    answers: list[Answer] = field(default_factory=list)

    @property
    def step_ids(self) -> set[str]:
        """The ids that it was answered with."""
        return {answer.step_id for answer in self.answers if answer.reason == OK}

    async def ask(self, asked: Asked, seconds: float = CALL_SECONDS) -> Answer:
        """Make one call."""
        reason, step_id, retry_seconds = OK, "", None
        try:
            made = await asked.client.create(
                self.account,
                self.step,
                sequence_id=self.sequence_id,
                request_id=self.id,
                timeout=seconds,
            )
        except grpc.aio.AioRpcError as error:
            failure = failure_of(error)
            reason, retry_seconds = failure.reason or NOBODY, failure.retry_seconds
            assert reason in MAY_HAVE_WRITTEN | WROTE_NOTHING, failure
        else:
            step_id = made.id
        answer = Answer(reason, step_id, retry_seconds, time.time())
        self.answers.append(answer)
        return answer

    async def settle(self, pick: Pick) -> None:
        """Repeat it until it is answered with its step."""
        async with asyncio.timeout(SETTLED_SECONDS_MAX):
            while (answer := await self.ask(pick())).reason != OK:
                needs_a_person = answer.reason == "OUTCOME_UNKNOWN" and answer.retry_seconds is None
                assert not needs_a_person, self
                pause_seconds = max(answer.retry_seconds or 0.0, PAUSE_SECONDS_MIN)
                await asyncio.sleep(min(pause_seconds, PAUSE_SECONDS_MAX))


def any_request(account: VendorAccount, sequence_id: str) -> Request:
    """Return a request whose step equals that of all others; of two writes where that can be."""
    return Request(account, sequence_id, _step(account, "Equal"))


def marked_request(account: VendorAccount, sequence_id: str) -> Request:
    """Return a request whose step has its id, so that the vendor's log says whose a write is."""
    made = any_request(account, sequence_id)
    made.step.task_note = made.id
    return made


def counts(requests: Iterable[Request]) -> str:
    """Say how many calls came to what."""
    asked = list(requests)
    reasons = Counter(answer.reason for request in asked for answer in request.answers)
    return f"{len(asked)} requests, {reasons.total()} calls: {dict(reasons.most_common())}"


def _step(account: VendorAccount, note: str) -> step_pb2.SequenceStep:
    if account.vendor == "salesloft":  # Its e-mails have no note.
        return step(TASK, task_note=note)
    return step(AUTO_EMAIL, task_note=note, template_id=account.template_id)
