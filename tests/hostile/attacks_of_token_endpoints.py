"""What a token endpoint answers, when a token has ended and the request needs a new one.

What is expected: tokens that can stand in a header are stored and used; anything else marks
nothing as broken and is told as unavailable; only `invalid_grant` with 400 ends the connection.
"""

import gzip
import json
from collections.abc import Mapping

from tests.hostile.attack import EXPIRED, LIMITED, OK, REFUSED, UNAVAILABLE, Attack, Ends
from tests.hostile.hostile_vendor import TOKEN_REQUEST, Strike
from tests.hostile.strikes import (
    does_and_changes,
    drips,
    floods,
    hangs,
    hangs_up,
    redirects,
    repeats_the_body,
    says,
    says_json,
    sends,
)

_DAY_SECONDS = 86_400
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def _token(
    ends: Ends, strike: Strike, retry_within_seconds: tuple[float, float] | None = None
) -> Attack:
    return Attack(
        ends,
        writes=1 if ends == OK else 0,
        requests=None if ends == OK else 1,
        answers={TOKEN_REQUEST: strike},
        token_has_expired=True,
        retry_within_seconds=retry_within_seconds,
    )


def _bad_token(token: object, name: str = "access_token") -> Attack:
    return _token(UNAVAILABLE, does_and_changes(lambda good: {**good, name: token}))


def _good(**members: object) -> Attack:
    return _token(OK, does_and_changes(lambda good: {**good, **members}))


def _body(body: bytes, content_type: str = "application/json", **headers: str) -> Attack:
    return _token(UNAVAILABLE, says(200, body, content_type, **headers))


BAD_TOKENS: Mapping[str, object] = {
    "nothing": "",
    "null": None,
    "a header": "token\r\nX-Injected: 1",
    "a line end": "token\n",
    "two words": "two words",
    "a NUL": "token\x00",
    "no ASCII": "tökén",
    "what nobody sees": "tok\u200ben",
    "half a surrogate pair": "token\ud800",
    "8,193 characters": "t" * 8193,
    "a number": 7,
    "true": True,
    "a list": ["token"],
    "an object": {"token": "token"},
}

TOKENS: Mapping[str, Attack] = {
    **{f"an access token of {name}": _bad_token(bad) for name, bad in BAD_TOKENS.items()},
    "a refresh token with a header": _bad_token("refresh\r\nX-Injected: 1", "refresh_token"),
    "a refresh token of 10,000 characters": _bad_token("r" * 10_000, "refresh_token"),
    "a refresh token that is a list": _bad_token([], "refresh_token"),
    "no token": _token(UNAVAILABLE, says_json(200, {"token_type": "Bearer", "expires_in": 7200})),
    "an end before now": _good(expires_in=-7200),
    "an end now": _good(expires_in=0),
    "an end in a second": _good(expires_in=1),
    "an end in NaN": _good(expires_in=float("nan")),
    "an end in infinity": _good(expires_in=float("inf")),
    "an end in 10^400": _good(expires_in=10**400),
    "an end in a text": _good(expires_in="7200"),
    "an end in an object": _good(expires_in={"seconds": 7200}),
    "an end that is true": _good(expires_in=True),
    "another type of token": _good(token_type="mac\r\nX-Injected: 1", scope=["*"]),
    "invalid_grant, but with 200": _token(UNAVAILABLE, says_json(200, {"error": "invalid_grant"})),
    "invalid_grant": _token(EXPIRED, says_json(400, {"error": "invalid_grant"})),
    "invalid_grant, but with 401": _token(REFUSED, says_json(401, {"error": "invalid_grant"})),
    "invalid_grant, but with 500": _token(UNAVAILABLE, says_json(500, {"error": "invalid_grant"})),
    "invalid_grant in a list": _token(REFUSED, says_json(400, {"error": ["invalid_grant"]})),
    "an error that is a script": _token(
        REFUSED, says_json(400, {"error": "<script>\x1b[2J", "error_description": "\r\nX: 1"})
    ),
    "every secret, with 400": _token(REFUSED, repeats_the_body(400)),
    "every secret, with 401": _token(REFUSED, repeats_the_body(401)),
    "every secret, with 500": _token(UNAVAILABLE, repeats_the_body(500)),
    "every secret, with 200": _token(UNAVAILABLE, repeats_the_body(200)),
    "HTML": _body(b"<html>Sign in</html>", "text/html"),
    "tokens that say that they are HTML": _body(
        b'{"access_token": "t", "refresh_token": "r"}', "text/html"
    ),
    "nothing": _body(b""),
    "a list": _body(b'["access_token"]'),
    "lists inside one another": _body(b'{"access_token":' + b"[" * 100_000),
    "UTF-16": _body('{"access_token": "t"}'.encode("utf-16")),
    "2 MiB": _body(json.dumps({"access_token": "t", "more": "x" * 2_097_152}).encode()),
    "a gzip bomb": _body(gzip.compress(bytes(64 * 1024 * 1024)), Content_Encoding="gzip"),
    "a redirect to another host": _token(REFUSED, redirects(302)),
    "a redirect that keeps the body": _token(REFUSED, redirects(307)),
    "a lasting redirect that keeps the body": _token(REFUSED, redirects(308)),
    "an answer without end": _token(
        UNAVAILABLE, floods(_HEAD + b"Connection: close\r\n\r\n", b" " * 65_536)
    ),
    "an answer that drips": _token(
        UNAVAILABLE, drips(_HEAD + b"Content-Length: 9000\r\n\r\n", b" ")
    ),
    "silence": _token(UNAVAILABLE, hangs),
    "the end of the connection": _token(UNAVAILABLE, hangs_up),
    "garbage": _token(UNAVAILABLE, sends(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")),
    "a limit of ten years": _token(LIMITED, says(429, Retry_After="315360000"), (0, _DAY_SECONDS)),
    "a limit before now": _token(LIMITED, says(429, Retry_After="-1"), (0, 0)),
    "a limit of garbage": _token(LIMITED, says(429, Retry_After="soon"), (0, 60)),
}

TOKEN_ENDPOINTS: Mapping[str, Mapping[str, Attack]] = {"token": TOKENS}
