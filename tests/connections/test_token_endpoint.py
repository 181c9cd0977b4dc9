"""What is sent to a token endpoint, and what each of its answers means."""

import json

import pytest

from service.application.connection_ports import GrantRefused
from service.domain.connection import Connection, Secret
from service.domain.errors import Reason, ServiceError
from service.domain.provider_call import AnswerLost, NotSent, ProviderAnswer
from service.domain.step import ProviderName
from service.providers.oauth import OAuthTokenEndpoint
from tests.connections.manual_clock import EPOCH_SECONDS, ManualClock
from tests.connections.samples import ACME_OUTREACH, ACME_SALESLOFT, APPLICATIONS, oauth
from tests.connections.scripted_http import Happening, ScriptedHttp, refusal, tokens


async def _refresh(happening: Happening, connection: Connection | None = None) -> Connection:
    endpoint = OAuthTokenEndpoint(ScriptedHttp(happening), APPLICATIONS, ManualClock())
    return await endpoint.refresh(connection or oauth())


async def _error(happening: Happening) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        await _refresh(happening)
    assert "refresh-1" not in caught.value.message
    assert "client-secret" not in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("connection", "url", "client"),
    [
        (oauth(ACME_OUTREACH), "https://outreach.test/oauth/token", "outreach-client"),
        (oauth(ACME_SALESLOFT), "https://salesloft.test/oauth/token", "salesloft-client"),
    ],
)
async def test_what_is_sent(connection: Connection, url: str, client: str) -> None:
    http = ScriptedHttp(tokens())
    await OAuthTokenEndpoint(http, APPLICATIONS, ManualClock()).refresh(connection)
    (request,) = http.requests
    assert (request.method, request.url) == ("POST", url)
    assert request.headers == {"content-type": "application/json", "accept": "application/json"}
    assert json.loads(request.body or b"") == {
        "client_id": client,
        "client_secret": f"{client}-secret",
        "grant_type": "refresh_token",
        "refresh_token": "refresh-1",
    }
    assert http.timeouts_seconds == [20.0]


async def test_the_answers_tokens_take_the_place_of_the_old() -> None:
    assert await _refresh(tokens()) == oauth(
        credential="access-2", refresh_token="refresh-2", left_seconds=7200
    )


async def test_the_end_is_counted_from_before_the_request() -> None:
    clock = ManualClock()

    def slowly() -> ProviderAnswer:
        clock.passed_seconds = 15.0
        return tokens(created_at=int(EPOCH_SECONDS) + 9000)

    endpoint = OAuthTokenEndpoint(ScriptedHttp(slowly), APPLICATIONS, clock)
    renewed = await endpoint.refresh(oauth())
    assert renewed.expires_at_epoch_seconds == EPOCH_SECONDS + 7200


@pytest.mark.parametrize("missing", [None, ""])
async def test_without_a_new_refresh_token_the_old_one_stays(missing: str | None) -> None:
    renewed = await _refresh(tokens(refresh_token=missing))
    assert renewed.refresh_token == Secret("refresh-1")
    assert renewed.credential == Secret("access-2")


@pytest.mark.parametrize(
    ("expires_in", "life_seconds"),
    [(1, 1.0), (7200, 7200.0), (59.5, 59.5), (315_360_000, 315_360_000.0)],
)
async def test_a_life_that_makes_sense_is_believed(expires_in: float, life_seconds: float) -> None:
    renewed = await _refresh(tokens(expires_in=expires_in))
    assert renewed.expires_at_epoch_seconds == EPOCH_SECONDS + life_seconds


@pytest.mark.parametrize(
    "expires_in",
    [
        None,
        True,
        False,
        0,
        -1,
        315360001,
        10**400,
        1e308,
        "7200",
        [7200],
        {},
        float("nan"),
        float("inf"),
        float("-inf"),
    ],
)
async def test_tokens_are_kept_whatever_their_life_is_said_to_be(expires_in: object) -> None:
    """To throw them away would be to throw away the one refresh token that works."""
    assert await _refresh(tokens(expires_in=expires_in)) == oauth(
        credential="access-2", refresh_token="refresh-2", left_seconds=None
    )


@pytest.mark.parametrize(
    "token",
    [
        "",
        " ",
        "two words",
        "line\nbreak",
        "nul\x00",
        "käse",
        "x" * 8193,
        7,
        True,
        ["token"],
        {},
        "header\r\nx-other: 1",
    ],
)
async def test_a_token_that_no_header_takes_is_no_token(token: object) -> None:
    assert (await _error(tokens(access_token=token))).reason is Reason.PROVIDER_UNAVAILABLE
    if token != "":
        assert (await _error(tokens(refresh_token=token))).reason is Reason.PROVIDER_UNAVAILABLE


@pytest.mark.parametrize(
    "answer",
    [
        tokens(access_token=None),
        ProviderAnswer(200, {}, b""),
        ProviderAnswer(200, {}, b"<html>"),
        ProviderAnswer(200, {}, b'["access_token"]'),
        ProviderAnswer(200, {}, b'{"access_token": "access-2"'),
        ProviderAnswer(200, {}, b"[" * 100_000),
        ProviderAnswer(200, {}, b"\xff\xfe\xff"),
        ProviderAnswer(200, {}, b"", flaw="larger than 1 MiB"),
        ProviderAnswer(204, {}),
    ],
)
async def test_an_answer_without_a_token_is_none(answer: ProviderAnswer) -> None:
    error = await _error(answer)
    assert (error.reason, error.retry_after_seconds) == (Reason.PROVIDER_UNAVAILABLE, 5.0)


@pytest.mark.parametrize(
    ("happening", "retry_after_seconds"),
    [
        (NotSent("could not connect"), 5.0),
        (AnswerLost("no answer in time"), 5.0),
        (refusal(408), 5.0),
        (refusal(500, "invalid_grant"), 5.0),
        (refusal(502), 5.0),
        (refusal(503, retry_after="120"), 120.0),
        (refusal(504), 5.0),
    ],
)
async def test_no_answer_is_no_refusal(happening: Happening, retry_after_seconds: float) -> None:
    error = await _error(happening)
    assert error.reason is Reason.PROVIDER_UNAVAILABLE
    assert error.retry_after_seconds == retry_after_seconds
    assert "Outreach" in error.message


@pytest.mark.parametrize(
    ("answer", "retry_after_seconds"),
    [
        (refusal(429), 60.0),
        (refusal(429, "invalid_grant"), 60.0),
        (refusal(429, retry_after="7"), 7.0),
        (refusal(429, retry_after=str(int(EPOCH_SECONDS) + 30)), 30.0),
        (refusal(429, retry_after="rubbish"), 60.0),
    ],
)
async def test_the_mints_throttle_is_passed_on(
    answer: ProviderAnswer, retry_after_seconds: float
) -> None:
    error = await _error(answer)
    assert error.reason is Reason.PROVIDER_RATE_LIMITED
    assert error.retry_after_seconds == retry_after_seconds


async def test_a_refused_refresh_token_is_told_apart() -> None:
    with pytest.raises(GrantRefused):
        await _refresh(refusal(400, "invalid_grant"))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (refusal(401, "invalid_client"), "401 invalid_client"),
        (refusal(400, "invalid_client"), "400 invalid_client"),
        (refusal(401, "invalid_grant"), "401 invalid_grant"),
        (refusal(400, "invalid_request"), "400 invalid_request"),
        (refusal(400), "answers 400;"),
        (refusal(403, "client-secret of yours"), "answers 403;"),
        (ProviderAnswer(400, {}, b'{"error": ["invalid_grant"]}'), "answers 400;"),
        (ProviderAnswer(404, {}, b"<html>"), "answers 404;"),
        (refusal(302, location="https://elsewhere.test/"), "answers 302;"),
    ],
)
async def test_wrong_settings_are_named(answer: ProviderAnswer, why: str) -> None:
    error = await _error(answer)
    assert error.reason is Reason.PROVIDER_REJECTED
    assert error.retry_after_seconds is None
    assert why in error.message
    assert "ENGAGEMENT_OUTREACH_CLIENT_ID and ENGAGEMENT_OUTREACH_CLIENT_SECRET" in error.message


async def test_a_provider_that_is_not_set_up_is_asked_nothing() -> None:
    http = ScriptedHttp()
    endpoint = OAuthTokenEndpoint(
        http, {ProviderName("salesloft"): APPLICATIONS[ProviderName("salesloft")]}, ManualClock()
    )
    with pytest.raises(ServiceError, match="ENGAGEMENT_OUTREACH_CLIENT_ID") as caught:
        await endpoint.refresh(oauth())
    assert caught.value.reason is Reason.PROVIDER_REJECTED
    assert http.requests == []
