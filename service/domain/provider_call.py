"""One HTTP call to a provider, as data: what is sent, what came back, and how it can fail.

The failures are split by the only question that matters for a write without an idempotency key:
can the provider have acted? `NotSent` says no, `AnswerLost` says perhaps, and a `ProviderAnswer`
says what its status says.
"""

import enum
from collections.abc import Mapping
from dataclasses import field

from service.domain.value_class import value_class


class CallKind(enum.StrEnum):
    """What a request to a provider is for."""

    READ = "read"
    WRITE = "write"
    REFRESH = "refresh"
    """Of an access token."""


@value_class
class ProviderRequest:
    """One HTTP request, ready to be sent; `headers` carry a credential and are never printed."""

    provider: str
    kind: CallKind
    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


@value_class
class ProviderAnswer:
    """One HTTP answer whose status line and headers were read in full.

    Header names are in lower case; `body` has its content encoding undone. `flaw` says why the
    body cannot be trusted (too large, broke off, timed out); the body is empty then.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    flaw: str = ""


class NotSent(Exception):  # noqa: N818 - a fact about the call, not a fault of ours
    """No byte of the request reached the provider; `why` is a short phrase without secrets."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class AnswerLost(Exception):  # noqa: N818 - likewise
    """The request may have reached the provider and no status was read; `why` is a short phrase."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
