"""The token endpoints of Outreach and Salesloft: refresh, rotation and throttle.

[doc, code] refresh fields and answer fields, JSON and form body, 400 `invalid_grant`, 7200 s.
[unknown] what a wrong client answers (here 401 `invalid_client`, as RFC 6749 allows), and whether a
refresh ends older access tokens (here it does not; they live until they expire).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl

from sandbox.messages import Answer, RefusedError, Request, json_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.clock import Clock

ACCESS_TOKEN_SECONDS = 7200
GRANT_FIELDS = ("client_id", "client_secret", "grant_type", "refresh_token")


@dataclass(frozen=True, slots=True)
class Client:
    """The one application that is registered at a vendor, for all of its accounts."""

    client_id: str
    client_secret: str


def read_fields(request: Request) -> dict[str, str]:
    """Reads the fields of a grant from a JSON or a form body; empty when there are none."""
    if request.content_type == "application/x-www-form-urlencoded":
        return dict(parse_qsl(request.body.decode(errors="replace")))
    try:
        value = json.loads(request.body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def credential_of(request: Request, token_path: str) -> str | None:
    """Returns the refresh token of a grant, or else the bearer token."""
    if request.path == token_path:
        token = read_fields(request).get("refresh_token")
        return token if isinstance(token, str) else None
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else None


def refuse_grant(request: Request, client: Client) -> Answer:
    """Answers a grant whose refresh token is not known, or that is none."""
    try:
        read_grant(request, client)
    except RefusedError as refusal:
        return refusal.answer
    return invalid_grant().answer


def read_grant(request: Request, client: Client) -> str:
    """Returns the refresh token of a well-formed grant of the right client.

    Raises:
        RefusedError: 400 or 401 in the form of RFC 6749.
    """
    given = read_fields(request)
    missing = [name for name in GRANT_FIELDS if not isinstance(given.get(name), str)]
    if missing:
        raise _oauth_error(400, "invalid_request", f"missing {', '.join(missing)}")
    if (given["client_id"], given["client_secret"]) != (client.client_id, client.client_secret):
        raise _oauth_error(401, "invalid_client", "Client authentication failed.")
    if given["grant_type"] != "refresh_token":
        raise _oauth_error(400, "unsupported_grant_type", "Only refresh_token is known here.")
    return given["refresh_token"]


def invalid_grant() -> RefusedError:
    """The refusal of a refresh token that is unknown, used or revoked."""
    return _oauth_error(400, "invalid_grant", "The refresh token is invalid, expired or revoked.")


def _oauth_error(status: int, error: str, description: str) -> RefusedError:
    return RefusedError(json_answer(status, {"error": error, "error_description": description}))


@dataclass(frozen=True, slots=True)
class Rules:
    """What a vendor, or an account's options, say of refreshing.

    refresh_answer: `new` brings a new refresh token and ends the old one, `none` leaves it.
    throttle_seconds: at most one refresh in this time; 0 is no limit.
    """

    scope: str
    refresh_answer: Literal["new", "none"] = "new"
    throttle_seconds: float = 0.0


class OAuthTokens:
    """The tokens of one account; the names count up: `NAME-access-1`, `NAME-refresh-1`.

    `register` is told of each credential as it is made.
    """

    def __init__(
        self, account_name: str, clock: Clock, register: Callable[[str], None], rules: Rules
    ) -> None:
        self._name = account_name
        self._clock = clock
        self._register = register
        self._rules = rules
        self._expires_at: dict[str, float] = {}
        self._minted = 0
        self._rotated = 0
        self._last_refresh_at = float("-inf")
        self.access_token = self._mint_access()
        self.refresh_token: str | None = self._next_refresh()

    def is_live(self, access_token: str) -> bool:
        """Whether this access token still opens the account."""
        return self._clock() < self._expires_at.get(access_token, 0.0)

    def expire_access_tokens(self) -> None:
        """Makes all access tokens of the account too old, now."""
        self._expires_at.clear()

    def revoke_refresh_token(self) -> None:
        """Ends the connection: what comes next is `invalid_grant`."""
        self.refresh_token = None

    def throttled_for(self) -> float:
        """Seconds until another access token may be minted; 0 when it may be now."""
        return max(0.0, self._last_refresh_at + self._rules.throttle_seconds - self._clock())

    def exchange(self, refresh_token: str) -> Answer:
        """Answers a grant with a new access token, and by rule with a new refresh token.

        Raises:
            RefusedError: 400 `invalid_grant`.
        """
        if refresh_token != self.refresh_token:
            raise invalid_grant()
        now = self._clock()
        self._last_refresh_at = now
        self.access_token = self._mint_access()
        answer = {
            "access_token": self.access_token,
            "token_type": "Bearer",
            "expires_in": ACCESS_TOKEN_SECONDS,
            "scope": self._rules.scope,
            "created_at": int(now),
        }
        if self._rules.refresh_answer == "new":
            self.refresh_token = answer["refresh_token"] = self._next_refresh()
        return json_answer(200, answer)

    def _mint_access(self) -> str:
        self._minted += 1
        token = f"{self._name}-access-{self._minted}"
        self._expires_at[token] = self._clock() + ACCESS_TOKEN_SECONDS
        self._register(token)
        return token

    def _next_refresh(self) -> str:
        self._rotated += 1
        token = f"{self._name}-refresh-{self._rotated}"
        self._register(token)
        return token
