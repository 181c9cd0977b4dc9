"""One attack: who does what, and what has to come of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

from engagement.v1 import sequence_step_pb2 as step_pb2
from engagement.v1 import sequence_step_service_pb2 as service_pb2
from tests.hostile.hostile_vendor import MODELS, Strike

CALL = step_pb2.STEP_TYPE_CALL
AUTO_EMAIL = step_pb2.STEP_TYPE_AUTO_EMAIL
LINKEDIN = step_pb2.STEP_TYPE_LINKEDIN_SEND_MESSAGE

Metadata = tuple[tuple[str, str | bytes], ...]

DEADLINE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Ends:
    """What the caller gets."""

    code: str
    reason: str = ""
    """Empty for OK, and where gRPC ends the call before any code of ours runs: an error without
    `ErrorInfo`, which docs/errors.md has a row for."""

    fields: tuple[str, ...] | None = None
    """The fields that the error names; None where they are not the point."""


OK = Ends("OK")
BY_THE_LIBRARY = Ends("RESOURCE_EXHAUSTED")
REFUSED = Ends("FAILED_PRECONDITION", "PROVIDER_REJECTED")
FORBIDDEN = Ends("FAILED_PRECONDITION", "PROVIDER_FORBIDDEN")
UNAVAILABLE = Ends("UNAVAILABLE", "PROVIDER_UNAVAILABLE")
LIMITED = Ends("RESOURCE_EXHAUSTED", "PROVIDER_RATE_LIMITED")
EXPIRED = Ends("FAILED_PRECONDITION", "CONNECTION_EXPIRED")
UNKNOWN = Ends("UNKNOWN", "OUTCOME_UNKNOWN")


def invalid(*fields: str) -> Ends:
    """Name these fields as wrong."""
    return Ends("INVALID_ARGUMENT", "INVALID_FIELD", fields)


@dataclass(frozen=True, slots=True)
class Attack:
    """One row of the table."""

    ends: Ends
    writes: int = 0
    """How many writes reach the vendor."""

    requests: int | None = None
    """How many requests reach the vendor in all; None where repeats of reads are not the point."""

    vendor: str = "outreach"
    sends: bytes | None = None
    """The message's bytes; None for a good request."""

    metadata: Metadata | None = None
    """None for the attack's own customer; `{customer}` in a value stands for it."""

    more_metadata: Metadata = ()
    answers: Mapping[str, Strike | Sequence[Strike]] = field(default_factory=dict)
    token_has_expired: bool = False
    deadline_seconds: float = DEADLINE_SECONDS
    compression: grpc.Compression = grpc.Compression.NoCompression
    reaches_vendor: bytes = b""
    """What must stand in the body of a write as it is."""

    retry_within_seconds: tuple[float, float] | None = None
    """The bounds of the wait that the caller is told."""

    @property
    def own_metadata(self) -> Metadata:
        """Whose connection the call is for."""
        if self.metadata is not None:
            return self.metadata
        return (("x-customer-id", "{customer}"), ("x-provider-name", self.vendor))

    @property
    def message(self) -> bytes:
        """The bytes of the request."""
        return request(vendor=self.vendor) if self.sends is None else self.sends


def request(
    step: step_pb2.SequenceStep | None = None, *, vendor: str = "outreach", **fields: Any
) -> bytes:
    """Return the bytes of a request, good but for what is given."""
    fields = {"sequence_id": MODELS[vendor].sequence_id, **fields}
    message = service_pb2.CreateSequenceStepRequest(step=step or a_step(), **fields)
    return message.SerializeToString()


def a_step(**fields: Any) -> step_pb2.SequenceStep:
    """Return a step, good but for what is given."""
    return step_pb2.SequenceStep(**{"type": CALL, **fields})


def an_email(**content: Any) -> step_pb2.SequenceStep:
    """Return an e-mail with content, good but for what is given."""
    fields = {"subject": "Hello", "body_html": "<p>Hi</p>", **content}
    template = step_pb2.Template(content=step_pb2.TemplateContent(**fields))
    return step_pb2.SequenceStep(type=AUTO_EMAIL, template=template)
