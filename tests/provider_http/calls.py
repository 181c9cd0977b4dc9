"""What the tests send, and what came of it as one value that can be compared."""

from dataclasses import dataclass

from service.domain.provider_call import (
    AnswerLost,
    CallKind,
    NotSent,
    ProviderAnswer,
    ProviderRequest,
)
from service.providers.provider_http import ProviderHttp

BODY = b'{"name": "Intro"}'


def request(url: str, method: str = "POST", body: bytes | None = BODY) -> ProviderRequest:
    return ProviderRequest(
        "outreach", CallKind.WRITE, method, url, {"Authorization": "Bearer secret"}, body
    )


@dataclass(frozen=True)
class Answered:
    status: int
    body: bytes = b"{}"
    flaw: str = ""


@dataclass(frozen=True)
class Unsent:
    why: str


@dataclass(frozen=True)
class Lost:
    why: str


async def outcome(
    client: ProviderHttp,
    sent: ProviderRequest,
    *,
    timeout_seconds: float = 5,
    start_by_seconds: float | None = None,
) -> Answered | Unsent | Lost:
    """Send and say how it ended; anything but the three documented ways fails the test."""
    try:
        answer: ProviderAnswer = await client.send(
            sent, timeout_seconds=timeout_seconds, start_by_seconds=start_by_seconds
        )
    except NotSent as error:
        return Unsent(error.why)
    except AnswerLost as error:
        return Lost(error.why)
    return Answered(answer.status, answer.body, answer.flaw)
