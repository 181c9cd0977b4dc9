"""Refreshes access tokens at the token endpoints of Outreach and Salesloft.

Both take `client_id`, `client_secret`, `grant_type` and `refresh_token` as a JSON body [code, doc]
and answer `access_token`, `token_type`, `expires_in`, `refresh_token`, `scope` and `created_at`
[doc, code]. An access token lives 7200 s [doc]. A bad or used refresh token is 400 `invalid_grant`
[code; doc for Salesloft]. Outreach mints one token per user and application in 60 s, else 429
[doc]; what Salesloft answers to too many is [unknown], and taken for the same. How either answers a
wrong client is [unknown]; RFC 6749 has 401 or 400 with `invalid_client`.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from service.application.connection_ports import GrantRefused
from service.application.json_text import json_bytes, parse_json_object
from service.application.ports import Clock, Http
from service.domain.connection import Connection, Secret
from service.domain.errors import Reason, ServiceError
from service.domain.json_value import JsonObject, JsonValue, member
from service.domain.provider_call import (
    AnswerLost,
    CallKind,
    NotSent,
    ProviderAnswer,
    ProviderRequest,
)
from service.domain.retry_after import retry_after_seconds
from service.domain.step import ProviderName
from service.domain.value_class import value_class

TIMEOUT_SECONDS: Final = 20.0
"""For one refresh in all. It always gets this, whatever the caller's deadline."""

RETRY_AFTER_SECONDS: Final = 5.0
"""What a caller is told to wait where the provider does not say."""

MINTING_SECONDS: Final = 60.0
"""Outreach mints one token in this time [doc]: the wait when a 429 does not say."""

TOKEN_LIFE_SECONDS_MAX: Final = 10 * 365 * 86_400

_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,8192}")
"""What can stand in a header, and no longer than any server takes one."""

_REFUSALS: Final = frozenset(
    {
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)
"""The errors of RFC 6749, section 5.2; nothing else that a provider says is passed on."""


@value_class
class OAuthApplication:
    """This service as one provider knows it."""

    token_url: str
    client_id: str
    client_secret: Secret


class OAuthTokenEndpoint:
    """Implements `TokenEndpoint` for all providers that have an application."""

    def __init__(
        self, http: Http, applications: Mapping[ProviderName, OAuthApplication], clock: Clock
    ) -> None:
        self._http = http
        self._applications = applications
        self._clock = clock

    async def refresh(self, connection: Connection) -> Connection:
        """See `TokenEndpoint.refresh`.

        Without a new refresh token in the answer the old one stays. The end of the access token is
        counted from before the request and by our clock: `created_at` is by the provider's, and a
        token that is thought to last too long costs one 401.
        """
        provider = connection.key.provider
        application = self._applications.get(provider)
        if application is None:
            raise _settings_wrong(provider, "this service is not set up as its client")
        asked_at_epoch_seconds = self._clock.epoch_seconds()
        answer = await self._ask(application, connection)
        if not 200 <= answer.status <= 299:  # noqa: PLR2004 - HTTP's success
            raise self._refusal(provider, answer)
        renewed = _renewed(connection, answer, asked_at_epoch_seconds)
        if renewed is None:
            raise _unavailable(provider, "answered something that is no token")
        return renewed

    async def _ask(self, application: OAuthApplication, connection: Connection) -> ProviderAnswer:
        assert connection.refresh_token is not None
        fields = {
            "client_id": application.client_id,
            "client_secret": application.client_secret.reveal(),
            "grant_type": "refresh_token",
            "refresh_token": connection.refresh_token.reveal(),
        }
        headers = {"content-type": "application/json", "accept": "application/json"}
        body = json_bytes(fields)
        provider = connection.key.provider
        request = ProviderRequest(
            provider, CallKind.REFRESH, "POST", application.token_url, headers, body
        )
        try:
            return await self._http.send(request, timeout_seconds=TIMEOUT_SECONDS)
        except NotSent as failure:
            raise _unavailable(connection.key.provider, f"not reached: {failure.why}") from None
        except AnswerLost as failure:
            raise _unavailable(connection.key.provider, f"no answer: {failure.why}") from None

    def _refusal(
        self, provider: ProviderName, answer: ProviderAnswer
    ) -> ServiceError | GrantRefused:
        wait_seconds = retry_after_seconds(answer.headers, self._clock.epoch_seconds())
        error = member(parse_json_object(answer.body), "error")
        if answer.status == 400 and error == "invalid_grant":  # noqa: PLR2004 - by the vendors
            return GrantRefused()
        if answer.status == 429:  # noqa: PLR2004 - HTTP's "too many requests"
            return ServiceError(
                Reason.PROVIDER_RATE_LIMITED,
                f"{provider.capitalize()} gives out no new access token for now.",
                retry_after_seconds=MINTING_SECONDS if wait_seconds is None else wait_seconds,
            )
        if answer.status == 408 or answer.status >= 500:  # noqa: PLR2004 - HTTP's "not now"
            return _unavailable(provider, f"status {answer.status}", wait_seconds)
        known = f" {error}" if isinstance(error, str) and error in _REFUSALS else ""
        return _settings_wrong(provider, f"its token endpoint answers {answer.status}{known}")


def _renewed(
    connection: Connection, answer: ProviderAnswer, asked_at_epoch_seconds: float
) -> Connection | None:
    """Read the new tokens; None where the answer has none that could be used.

    Whatever `expires_in` is, tokens that can be used are kept, since the old refresh token may be
    worth nothing by now.
    """
    tokens: JsonObject = parse_json_object(answer.body) or {}
    access_token = _token(tokens.get("access_token"))
    new = tokens.get("refresh_token")
    refresh_token = connection.refresh_token if new in (None, "") else _token(new)
    if access_token is None or refresh_token is None:
        return None
    life_seconds = _life_seconds(tokens.get("expires_in"))
    return replace(
        connection,
        credential=access_token,
        refresh_token=refresh_token,
        expires_at_epoch_seconds=(
            None if life_seconds is None else asked_at_epoch_seconds + life_seconds
        ),
    )


def _token(value: JsonValue) -> Secret | None:
    return Secret(value) if isinstance(value, str) and _TOKEN.fullmatch(value) else None


def _life_seconds(value: JsonValue) -> float | None:
    """Read `expires_in`; None where it is not a number of seconds that makes sense."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value <= TOKEN_LIFE_SECONDS_MAX else None


def _unavailable(
    provider: ProviderName, why: str, wait_seconds: float | None = None
) -> ServiceError:
    return ServiceError(
        Reason.PROVIDER_UNAVAILABLE,
        f"The access token could not be refreshed at {provider.capitalize()}: {why}.",
        retry_after_seconds=RETRY_AFTER_SECONDS if wait_seconds is None else wait_seconds,
    )


def _settings_wrong(provider: ProviderName, why: str) -> ServiceError:
    prefix = f"ENGAGEMENT_{provider.upper()}"
    return ServiceError(
        Reason.PROVIDER_REJECTED,
        f"The access token cannot be refreshed at {provider.capitalize()}, {why}; an operator "
        f"checks {prefix}_TOKEN_URL, {prefix}_CLIENT_ID and {prefix}_CLIENT_SECRET.",
    )
