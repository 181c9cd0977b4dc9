"""An `Http` that answers from a script: a token endpoint without a network."""

import asyncio
import json
from collections.abc import Callable

from service.domain.provider_call import AnswerLost, NotSent, ProviderAnswer, ProviderRequest

Happening = ProviderAnswer | NotSent | AnswerLost | Callable[[], ProviderAnswer]
"""What comes of one request; a function is called when the request arrives."""


class ScriptedHttp:
    """Does one thing of the script per request; a request beyond the script fails the test."""

    def __init__(self, *script: Happening) -> None:
        self._script = list(script)
        self.requests: list[ProviderRequest] = []
        self.timeouts_seconds: list[float] = []
        self.open = asyncio.Event()
        """While it is cleared, answers are held back."""
        self.open.set()
        self.arrived = asyncio.Event()

    def add(self, *happenings: Happening) -> None:
        self._script += happenings

    @property
    def sent_refresh_tokens(self) -> list[str]:
        return [json.loads(request.body or b"")["refresh_token"] for request in self.requests]

    async def send(
        self,
        request: ProviderRequest,
        *,
        timeout_seconds: float,
        start_by_seconds: float | None = None,
    ) -> ProviderAnswer:
        assert start_by_seconds is None
        self.requests.append(request)
        self.timeouts_seconds.append(timeout_seconds)
        happening = self._script.pop(0)
        self.arrived.set()
        await self.open.wait()
        if isinstance(happening, Exception):
            raise happening
        return happening if isinstance(happening, ProviderAnswer) else happening()


def tokens(
    access_token: object = "access-2", refresh_token: object = "refresh-2", **members: object
) -> ProviderAnswer:
    """Return the answer of a refresh that succeeds; `None` leaves a token out."""
    given = {"access_token": access_token, "refresh_token": refresh_token}
    body = {
        "token_type": "Bearer",
        "expires_in": 7200,
        "scope": "all",
        "created_at": 1_700_000_000,
        **{name: token for name, token in given.items() if token is not None},
        **members,
    }
    return ProviderAnswer(200, {"content-type": "application/json"}, json.dumps(body).encode())


def refusal(status: int, error: str = "", **headers: str) -> ProviderAnswer:
    """Return an answer that is no success; underscores in header names stand for hyphens."""
    body = json.dumps({"error": error, "error_description": "so there"}) if error else ""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ProviderAnswer(status, named, body.encode())
