"""What a provider's API answers, to reads and to writes.

What is expected: a read that cannot be believed is repeated, and then the provider is unavailable
with nothing written. A write whose answer says yes in a way that cannot be read is looked for and
found, and is never sent again. A refusal is passed on, cleaned, in the vendor's own words.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from engagement.v1 import sequence_step_pb2 as step_pb2
from tests.hostile.attack import (
    AUTO_EMAIL,
    FORBIDDEN,
    LIMITED,
    OK,
    REFUSED,
    UNAVAILABLE,
    Attack,
    Ends,
    a_step,
    an_email,
    request,
)
from tests.hostile.hostile_vendor import Strike, as_bytes
from tests.hostile.strikes import (
    does_and_changes,
    does_and_says,
    does_and_sends,
    drips,
    floods,
    hangs,
    hangs_up,
    redirects,
    repeats_the_credential,
    says,
    says_json,
    sends,
)

SURVEY = "GET /sequences"
STEPS = "GET /sequenceSteps"
MAKE = "POST /sequenceSteps"
MIB = 1024 * 1024

_DAY_SECONDS = 86_400
_BOMB = gzip.compress(bytes(64 * MIB))
_GOOD = json.dumps({"data": {"id": 4711, "attributes": {"sequenceType": "interval"}}}).encode()
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
_MANY_HEADERS = b"X-More: header\r\n" * 4096


def _read(ends: Ends, strike: Strike, requests: int | None = None) -> Attack:
    """Let the sequence be answered so."""
    writes = 1 if ends == OK else 0
    return Attack(ends, writes, requests, answers={SURVEY: strike})


def _write(ends: Ends, strike: Strike, writes: int = 1) -> Attack:
    """Let the new step be answered so."""
    return Attack(ends, writes, answers={MAKE: strike})


def _unbelievable(strike: Strike) -> Attack:
    return _read(UNAVAILABLE, strike)


def _body(body: bytes, **headers: str) -> Attack:
    return _unbelievable(says(200, body, **headers))


READS: Mapping[str, Attack] = {
    "2 MiB": _body(b'{"data":"' + b"x" * 2 * MIB + b'"}'),
    "chunks without end": _unbelievable(floods(_CHUNKED, b"10000\r\n" + b" " * 65_536 + b"\r\n")),
    "a body until the end of the connection, without end": _unbelievable(
        floods(_HEAD + b"Connection: close\r\n\r\n", b" " * 65_536)
    ),
    "a gzip bomb": _body(_BOMB, Content_Encoding="gzip"),
    "a gzip bomb in a gzip bomb": _body(gzip.compress(_BOMB), Content_Encoding="gzip, gzip"),
    "deflate, which was not asked for": _body(zlib.compress(_GOOD), Content_Encoding="deflate"),
    "brotli, which was not asked for": _body(b"\x0b\x02\x80{}\x03", Content_Encoding="br"),
    "zstandard, which was not asked for": _body(b"\x28\xb5\x2f\xfd\x00", Content_Encoding="zstd"),
    "gzip that is none": _body(_GOOD, Content_Encoding="gzip"),
    "a length beyond the body": _unbelievable(
        sends(_HEAD + b"Content-Length: 9000\r\n\r\n" + _GOOD, then_closes=True)
    ),
    "a length beyond the body, and waiting": _unbelievable(
        sends(_HEAD + b"Content-Length: 9000\r\n\r\n" + _GOOD)
    ),
    "a length within the body": _unbelievable(
        sends(_HEAD + b"Content-Length: 20\r\n\r\n" + _GOOD, then_closes=True)
    ),
    "a negative length": _unbelievable(sends(_HEAD + b"Content-Length: -1\r\n\r\n" + _GOOD)),
    "a length of 2^70": _unbelievable(
        sends(_HEAD + b"Content-Length: 1180591620717411303424\r\n\r\n" + _GOOD)
    ),
    "two lengths": _unbelievable(
        sends(_HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", then_closes=True)
    ),
    "a chunk of a length that is none": _unbelievable(
        sends(_CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n", then_closes=True)
    ),
    "a chunk's extension without end": _unbelievable(floods(_CHUNKED + b"2;", b"a" * 65_536)),
    "trailers without end": _unbelievable(
        floods(
            _HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
            b"X-More: header\r\n" * 4096,
        )
    ),
    "JSON that says that it is HTML": _body(_GOOD, content_type="text/html"),
    "JSON that says that it is a script": _body(_GOOD, content_type="application/javascript"),
    "JSON that says nothing of itself": _read(OK, says(200, _GOOD, content_type="")),
    "HTML": _body(b"<html><body>It works!</body></html>", content_type="text/html"),
    "nothing": _body(b""),
    "null": _body(b"null"),
    "a list": _body(b"[]"),
    "a text": _body(b'"data"'),
    "two objects": _body(_GOOD + _GOOD),
    "half an object": _body(_GOOD[:-2]),
    "bytes": _body(bytes(range(256))),
    "UTF-16": _body(_GOOD.decode().encode("utf-16")),
    "text that is no UTF-8": _body(b'{"data": {"id": "\xff\xfe"}}'),
    "a byte order mark": _read(OK, says(200, b"\xef\xbb\xbf" + _GOOD)),
    "100,000 lists inside one another": _body(b'{"data":' + b"[" * 100_000),
    "500 lists inside one another": _body(b'{"data":' + b"[" * 500 + b"]" * 500 + b"}"),
    "65 objects inside one another": _body(b'{"data":' * 65 + b"1" + b"}" * 65),
    "a number of 100,000 digits": _body(b'{"data":' + b"9" * 100_000 + b"}"),
    "NaN and infinities": _read(
        OK, says(200, b'{"data": {"id": NaN, "attributes": {"sequenceType": Infinity}}}')
    ),
    "a key twice": _read(OK, says(200, b'{"data": [], "data": {"id": 4711}}')),
    "a kind that is none": _read(
        OK, says_json(200, {"data": {"attributes": {"sequenceType": ["interval"]}}})
    ),
    "204": _unbelievable(sends(b"HTTP/1.1 204 No Content\r\n\r\n")),
    "205 with a body": _unbelievable(says(205, b"")),
    "a switch to another protocol": _unbelievable(
        sends(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    ),
    "1,000 early hints, and then the answer": _read(
        OK, sends(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 1000 + as_bytes(200, _GOOD))
    ),
    "early hints without end": _unbelievable(
        floods(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)
    ),
    "a status of 999": _unbelievable(says(999)),
    "a status of 600": _unbelievable(says(600)),
    "a status that is none": _unbelievable(sends(b"HTTP/1.1 2x0 OK\r\n\r\n")),
    "HTTP/2": _unbelievable(sends(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18))),
    "HTTP/0.9": _unbelievable(sends(_GOOD, then_closes=True)),
    "a TLS alert": _unbelievable(sends(b"\x15\x03\x03\x00\x02\x02\x28", then_closes=True)),
    "a header of 1 MiB": _unbelievable(
        sends(b"HTTP/1.1 200 OK\r\nX-Huge: " + b"a" * MIB + b"\r\n\r\n")
    ),
    "a header without end": _unbelievable(floods(b"HTTP/1.1 200 OK\r\nX-Huge: ", b"a" * 65_536)),
    "headers without end": _unbelievable(
        floods(b"HTTP/1.1 200 OK\r\n", b"X-More: header\r\n" * 4096)
    ),
    "a reason without end": _unbelievable(floods(b"HTTP/1.1 200 ", b"a" * 65_536)),
    "headers that drip": _unbelievable(drips(b"HTTP/1.1 200 OK\r\n", b"X-More: header\r\n")),
    "a body that drips": _unbelievable(drips(_HEAD + b"Content-Length: 9000\r\n\r\n", b" ")),
    "silence": _unbelievable(hangs),
    "the end of the connection": _unbelievable(hangs_up),
    "a second answer, to no question": Attack(
        OK,
        writes=1,
        answers={
            SURVEY: sends(as_bytes(200, _GOOD) + as_bytes(201, b'{"data": {"id": 666}}')),
        },
    ),
    "cookies": _read(
        OK, says(200, _GOOD, Set_Cookie="session=xenial; Path=/; Domain=127.0.0.1; SameSite=None")
    ),
    "headers that ask for more": _read(
        OK,
        says(
            200,
            _GOOD,
            Refresh="0;url=http://127.0.0.1:1/",
            Link="<http://127.0.0.1:1/>; rel=preload",
            Alt_Svc='h3=":1"; ma=99',
            WWW_Authenticate="Basic",
            Clear_Site_Data="*",
        ),
    ),
}

_SENTENCE = "no such thing"


def _error(vendor: str, sentence: str) -> object:
    match vendor:
        case "outreach":
            return {"errors": [{"detail": sentence, "title": sentence, "id": sentence}]}
        case "salesloft":
            return {"error": sentence}
        case _:
            return {"error": sentence, "error_code": sentence}


def _redirect(status: int) -> Attack:
    return _read(REFUSED, redirects(status), requests=2)


REDIRECTS: Mapping[str, Attack] = {
    **{f"{status} to another host": _redirect(status) for status in (301, 302, 303, 307, 308)},
    "300 with a choice": _redirect(300),
    "304, though nothing was kept": _read(REFUSED, says(304, b"")),
    "305 to a proxy": _redirect(305),
    "a redirect without a place": _read(REFUSED, says(302)),
    "a redirect to itself": _read(REFUSED, says(307, Location="/v2/sequences/4711"), requests=2),
    "a redirect to a file": _read(REFUSED, says(302, Location="file:///etc/passwd")),
    "a redirect of a write": _write(REFUSED, redirects(307)),
    "a redirect of an import": Attack(
        REFUSED, 1, vendor="salesloft", answers={"POST /cadence_imports": redirects(308)}
    ),
}


def _waits(retry_after: str, least: float, most: float) -> Attack:
    return Attack(
        LIMITED,
        answers={SURVEY: says(429, Retry_After=retry_after)},
        retry_within_seconds=(least, most),
    )


_DEFAULT = (0, 60)

RETRY_AFTER: Mapping[str, Attack] = {
    "a wait before now": _waits("-5", 0, 0),
    "a wait of no time": _waits("0", 0, 0),
    "ten years": _waits("315360000", 0, _DAY_SECONDS),
    "ten years as a date": _waits("Wed, 21 Oct 2065 07:28:00 GMT", 0, _DAY_SECONDS),
    "a date that is long past": _waits("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
    "a moment in milliseconds": _waits("1893456000000", 0, _DAY_SECONDS),
    "1e309": _waits("1e309", *_DEFAULT),
    "infinity": _waits("inf", *_DEFAULT),
    "NaN": _waits("nan", *_DEFAULT),
    "hexadecimal digits": _waits("0x10", *_DEFAULT),
    "8,000 digits": _waits("9" * 8_000, *_DEFAULT),
    "two waits": _waits("5, 3600", *_DEFAULT),
    "garbage": _waits("'; DROP TABLE limits; --", *_DEFAULT),
    "a day that is none": _waits("Wed, 99 Oct 2065 07:28:00 GMT", *_DEFAULT),
    "a year of twenty digits": _waits("10 Jan 99999999999999999999 00:00", *_DEFAULT),
    "an offset of twenty digits": _waits(
        "Mon, 01 Jan 2024 00:00:00 +99999999999999999999", 0, _DAY_SECONDS
    ),
    "a wait of a gateway": Attack(
        UNAVAILABLE,
        answers={SURVEY: says(503, Retry_After="315360000")},
        retry_within_seconds=(0, 60),
    ),
    "maintenance for ever": Attack(
        UNAVAILABLE,
        answers={
            SURVEY: says_json(
                503, {"errors": [{"id": "scheduledServerMaintenance"}]}, Retry_After="9999-12-31"
            )
        },
        retry_within_seconds=(0, _DAY_SECONDS),
    ),
}


def _echo(vendor: str, wire: Callable[[str], bytes], ends: Ends = REFUSED) -> Attack:
    reads = {"outreach": SURVEY, "salesloft": "GET /cadences", "apollo": "GET /emailer_campaigns"}
    return Attack(ends, vendor=vendor, answers={reads[vendor]: repeats_the_credential(wire)})


def _told(status: int, vendor: str, sentence: Callable[[str], str]) -> Callable[[str], bytes]:
    return lambda secret: as_bytes(status, json.dumps(_error(vendor, sentence(secret))).encode())


def _escaped(status: int, vendor: str, before: int) -> Callable[[str], bytes]:
    """Repeat it as a vendor does whose JSON escapes slashes and more, where the sentence is cut."""

    def wire(secret: str) -> bytes:
        body = json.dumps(_error(vendor, "x" * before + " SECRET " + "and more " * 40))
        escaped = "".join(
            rf"\u{ord(each):04x}" if each in "-+=&<>" else each for each in secret
        ).replace("/", r"\/")
        return as_bytes(status, body.replace("SECRET", escaped).encode())

    return wire


def _in_every_header(secret: str) -> bytes:
    return as_bytes(
        400, b"{}", X_Echo=secret, WWW_Authenticate=secret, Location=secret, Retry_After=secret
    )


ECHOES: Mapping[str, Attack] = {
    **{
        f"{vendor} repeats the credential, status {status}": _echo(
            vendor, _told(status, vendor, lambda secret: f"bad token {secret}"), ends
        )
        for vendor in ("outreach", "salesloft", "apollo")
        for status, ends in ((400, REFUSED), (403, FORBIDDEN), (500, UNAVAILABLE))
    },
    **{
        f"{vendor} repeats it escaped, after {before} characters": _echo(
            vendor, _escaped(422, vendor, before)
        )
        for vendor in ("outreach", "salesloft", "apollo")
        for before in (260, 270, 280, 290)
    },
    "the credential in UTF-16": _echo(
        "apollo",
        lambda secret: as_bytes(
            400, json.dumps({"error": "x" * 280 + secret + "y" * 300}).encode("utf-16")
        ),
    ),
    "the credential in HTML": _echo(
        "apollo",
        lambda secret: as_bytes(
            400, f"<p>{'x' * 280}&#32;{secret}</p>".encode() * 2, content_type="text/plain"
        ),
    ),
    "the credential after 3,000 characters of tags": _echo(
        "apollo",
        lambda secret: as_bytes(400, json.dumps({"error": "<b>" * 995 + secret * 3}).encode()),
    ),
    "the credential in every header": _echo("outreach", _in_every_header),
    "the credential in the status line": _echo(
        "outreach",
        lambda secret: b"HTTP/1.1 400 " + secret.encode() + b"\r\nContent-Length: 0\r\n\r\n",
    ),
    "the credential as the key of a field": _echo(
        "salesloft",
        lambda secret: as_bytes(422, json.dumps({"errors": {secret: [secret]}}).encode()),
    ),
    "the credential to a write": Attack(
        REFUSED,
        1,
        answers={
            MAKE: repeats_the_credential(
                _told(422, "outreach", lambda secret: f"{secret} {secret}")
            )
        },
    ),
    "the credential as an id": Attack(
        OK,
        1,
        answers={
            MAKE: does_and_says(b'{"data": {"id": "canary-access-0-"}}'),
        },
    ),
}


def _refusal(sentence: str, status: int = 400, ends: Ends = REFUSED) -> Attack:
    return _read(ends, says_json(status, _error("outreach", sentence)))


SENTENCES: Mapping[str, Attack] = {
    "HTML": _read(REFUSED, says(400, b"<html><script>alert(1)</script></html>", "text/html")),
    "escaped HTML": _refusal("&lt;script&gt;alert(1)&lt;/script&gt;"),
    "escape sequences of a terminal": _refusal("\x1b[2J\x1b]0;owned\x07\x9b31m"),
    "control characters": _refusal("".join(map(chr, range(32))) + "\x7f\x80\x9f"),
    "line ends and a header": _refusal("bad\r\ngrpc-status: 0\r\n\r\nOK"),
    "what nobody sees": _refusal("\u202e\u2066\u200b\ufeff\u00ad\u061c\U000e0041"),
    "half a surrogate pair": _refusal("\ud800\udc00\udfff"),
    "1 MiB": _refusal("x " * (MIB // 2 - 100)),
    "a million references to characters": _refusal("&#x41;" * 150_000),
    "a reference of thousands of digits": _refusal("&#" + "9" * 5_000 + ";"),
    "a stack trace": _read(
        UNAVAILABLE,
        says(
            500, b'Traceback (most recent call last):\n  File "/app/main.py", line 1, in <module>'
        ),
    ),
    "a sentence that is no text": _read(
        REFUSED, says_json(422, {"errors": [{"detail": {"a": [1]}, "title": 5, "id": None}]})
    ),
    "100,000 errors": _read(REFUSED, says_json(422, {"errors": [{"detail": "x"}] * 50_000})),
    "a pointer at a field": _read(
        Ends("INVALID_ARGUMENT", "PROVIDER_REJECTED", ("step.order",)),
        says_json(
            422,
            {"errors": [{"detail": "\u202eno", "source": {"pointer": "/data/attributes/order"}}]},
        ),
    ),
    "a pointer at something else": _read(
        REFUSED, says_json(422, {"errors": [{"detail": "no", "source": {"pointer": "../../x"}}]})
    ),
    "an unknown sequence": _read(Ends("NOT_FOUND", "SEQUENCE_NOT_FOUND"), says(404, b"\x1b[2J")),
}

BAD_STEP_IDS: Mapping[str, object] = {
    "another path": "1/../2",
    "an encoded path": "1%2f..%2f2",
    "a host": "//elsewhere.example",
    "a header": "1\r\nX-Injected: 1",
    "a name in braces": "{step_id}",
    "a fraction": 1.5,
    "a whole fraction": 90210.0,
    "zero": 0,
    "less than nothing": -90210,
    "10^30": 10**30,
    "true": True,
    "null": None,
    "nothing": "",
    "a list": [90210],
    "an object": {"id": 90210},
    "Arabic digits": "٩٠٢١٠",
    "a NUL": "90210\x00",
    "100,000 digits": "9" * 100_000,
}


_ONE_STEP = b'{"data": [{"id": 1, "attributes": {"order": %b}}]}'


def _listed(step_id: object) -> Attack:
    body = {"data": [{"id": step_id, "attributes": {"order": 1}}]}
    return Attack(UNAVAILABLE, answers={STEPS: says_json(200, body)})


def _named(step_id: object) -> Attack:
    return _write(OK, does_and_changes(lambda good: {"data": {**good["data"], "id": step_id}}, 201))


def _apollo_named(change: Callable[[Any], object]) -> Attack:
    """Let Apollo name another step or touch: what is written to is read, or the step removed."""
    sent = request(an_email(), vendor="apollo")
    strike = {"POST /emailer_steps": does_and_changes(change)}
    return Attack(OK, 2, vendor="apollo", sends=sent, answers=strike)


IDS_OF_STEPS: Mapping[str, Attack] = {
    **{f"a listed step whose id is {name}": _listed(bad) for name, bad in BAD_STEP_IDS.items()},
    **{f"a new step whose id is {name}": _named(bad) for name, bad in BAD_STEP_IDS.items()},
    "a new step of another sequence": _write(
        OK,
        does_and_changes(
            lambda good: {
                "data": {
                    "id": 1,
                    "relationships": {"sequence": {"data": {"id": 4712}}},
                    "was": good,
                }
            },
            201,
        ),
    ),
    "an Apollo step that is a path": _apollo_named(
        lambda good: {**good, "emailer_step": {**good["emailer_step"], "id": "../../users"}}
    ),
    "an Apollo step of another campaign": _apollo_named(
        lambda good: {
            "emailer_step": {"id": "a" * 24, "emailer_campaign_id": "b" * 24},
            "was": good,
        }
    ),
    "an Apollo touch that is a path": _apollo_named(
        lambda good: {**good, "emailer_touch": {**good["emailer_touch"], "id": "../emailer_steps"}}
    ),
    "an Apollo touch of another step": _apollo_named(
        lambda good: {
            **good,
            "emailer_touch": {**good["emailer_touch"], "id": "c" * 24, "emailer_step_id": "d" * 24},
        }
    ),
    "an Apollo touch in capitals": _apollo_named(
        lambda good: {
            **good,
            "emailer_touch": {**good["emailer_touch"], "id": good["emailer_touch"]["id"] + "F"},
        }
    ),
    "a template whose id is a path, twice": Attack(
        UNAVAILABLE,
        2,
        sends=request(an_email()),
        answers={"POST /templates": does_and_says(b'{"data": {"id": "7001/../55"}}')},
    ),
    "a new step that was there before": Attack(
        OK,
        1,
        answers={
            STEPS: [says(200, _ONE_STEP % b"1")],
            MAKE: does_and_changes(lambda good: {"data": {**good["data"], "id": 1}}, 201),
        },
    ),
    "an Apollo step that was there before, and a message that is refused": Attack(
        Ends("FAILED_PRECONDITION", "STEP_INCOMPLETE"),
        2,
        vendor="apollo",
        sends=request(an_email(), vendor="apollo"),
        answers={
            "GET /emailer_campaigns": [
                says_json(
                    200,
                    {
                        "emailer_campaign": {"id": "65334c9c2722cd008bde87c3", "num_steps": 1},
                        "emailer_steps": [{"id": "e" * 24, "position": 1}],
                    },
                )
            ],
            "POST /emailer_steps": does_and_changes(
                lambda good: {
                    "emailer_step": {"id": "e" * 24},
                    "emailer_touch": {**good["emailer_touch"], "emailer_step_id": "e" * 24},
                }
            ),
            "PUT /emailer_touches": says(422, b"{}"),
        },
    ),
    "a position of 400 digits": Attack(
        OK,
        1,
        answers={STEPS: says(200, _ONE_STEP % (b"9" * 400))},
        reaches_vendor=b'"order":1,',
    ),
    "a position of 4,300 digits": Attack(
        OK,
        1,
        answers={
            STEPS: says(
                200, b'{"data": [{"id": 1, "attributes": {"order": ' + b"9" * 4300 + b"}}]}"
            )
        },
    ),
}


def _pages(following: object, ends: Ends, requests: int | None = None) -> Attack:
    page = {"data": [], "links": {"next": following}}
    return Attack(ends, requests=requests, answers={STEPS: says_json(200, page)})


def _salesloft_pages(next_page: object, ends: Ends) -> Attack:
    """Lose the answer to the import, and show pages without end when the step is looked for."""
    page = {"data": [], "metadata": {"paging": {"next_page": next_page}}}
    good = {"data": [], "metadata": {"paging": {"next_page": None}}}
    return Attack(
        ends,
        1,
        vendor="salesloft",
        answers={"GET /steps": [says_json(200, good), *[says_json(200, page)] * 60]},
    )


PAGES: Mapping[str, Attack] = {
    "a next page at another host": _pages(
        "http://127.0.0.1:1/sequenceSteps?page[after]=abc", REFUSED, requests=41
    ),
    "a next page that is itself": _pages("?page[after]=abc", REFUSED, requests=41),
    "a cursor that is a path": _pages("?page[after]=../../users%3fa=1%23", REFUSED, requests=41),
    "a cursor with a header": _pages("?page[after]=a%0d%0aX-Injected:%201", UNAVAILABLE),
    "a cursor of 100 KiB": _pages("?page[after]=" + "c" * 102_400, UNAVAILABLE),
    "a cursor of what is no text": _pages("?page[after]=%ff%fe", UNAVAILABLE),
    "a page without a cursor": _pages("/sequenceSteps?page[number]=2", UNAVAILABLE),
    "a next page that is an object": _pages({"href": "?page[after]=abc"}, UNAVAILABLE),
    "100,000 parameters": _pages("?" + "a=1&" * 100_000, UNAVAILABLE),
    "50,000 steps on one page": Attack(
        REFUSED,
        answers={STEPS: says_json(200, {"data": [{"id": id_} for id_ in range(1, 50_001)]})},
    ),
    "Salesloft pages without end": _salesloft_pages(2, Ends("UNKNOWN", "OUTCOME_UNKNOWN")),
    "a Salesloft page of another kind": _salesloft_pages(
        {"$": "/steps?page=2"}, Ends("UNKNOWN", "OUTCOME_UNKNOWN")
    ),
}

_UNREADABLE_YES: Mapping[str, Callable[[bytes], bytes]] = {
    "2 MiB": lambda good: as_bytes(201, good[:-1] + b" " * 2 * MIB + b"}"),
    "a gzip bomb": lambda _: as_bytes(201, _BOMB, Content_Encoding="gzip"),
    "another encoding": lambda good: as_bytes(201, good, Content_Encoding="br"),
    "HTML": lambda _: as_bytes(201, b"<html>", "text/html"),
    "JSON that says that it is HTML": lambda good: as_bytes(201, good, "text/html"),
    "nothing": lambda _: as_bytes(201, b""),
    "204": lambda _: b"HTTP/1.1 204 No Content\r\n\r\n",
    "half an object": lambda good: as_bytes(201, good[:-2]),
    "UTF-16": lambda good: as_bytes(201, good.decode().encode("utf-16")),
    "lists inside one another": lambda _: as_bytes(201, b'{"data":' + b"[" * 100_000),
    "a length beyond the body": lambda good: _HEAD + b"Content-Length: 9000\r\n\r\n" + good,
    "a status of 299": lambda _: as_bytes(299, b"{}"),
    "500": lambda _: as_bytes(500, b"{}"),
    "502 of a gateway": lambda _: as_bytes(502, b"<html>", "text/html"),
    "408": lambda _: as_bytes(408, b"{}"),
    "a status of 999": lambda _: as_bytes(999, b"{}"),
    "a switch to another protocol": lambda _: (
        b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    ),
    "garbage": lambda _: b"\x00\xff garbage \r\n\r\n",
    "a header of 1 MiB": lambda _: b"HTTP/1.1 201 OK\r\nX: " + b"a" * MIB + b"\r\n\r\n",
}


async def _does_and_hangs(exchange: Any) -> None:
    exchange.applied()
    await hangs(exchange)


async def _does_and_hangs_up(exchange: Any) -> None:
    exchange.applied()
    exchange.close()


_REFERENCE_NOTE = "&#" + "9" * 5_000 + "; <b>bold</b> \u202e"

WRITES: Mapping[str, Attack] = {
    **{
        f"the step is made, and the answer is {name}": _write(OK, does_and_sends(wire))
        for name, wire in _UNREADABLE_YES.items()
    },
    "the step is made, and the answer never comes": _write(OK, _does_and_hangs),
    "the step is made, and the connection ends": _write(OK, _does_and_hangs_up),
    "the answer is lost, and the note is a reference of thousands of digits": Attack(
        OK,
        1,
        sends=request(a_step(task_note=_REFERENCE_NOTE)),
        answers={MAKE: _does_and_hangs_up},
    ),
    "yes is said, and nothing done": _write(
        Ends("UNKNOWN", "OUTCOME_UNKNOWN"), says(201, b'{"data": {"id": "1/../2"}}')
    ),
    "the message is refused with HTML, and the step removed": Attack(
        REFUSED,
        3,
        vendor="apollo",
        sends=request(an_email(), vendor="apollo"),
        answers={"PUT /emailer_touches": says(422, b"<b>\x1b[2Jno</b>", "text/html")},
    ),
    "an Apollo campaign that counts no steps and lists none": Attack(
        UNAVAILABLE,
        vendor="apollo",
        answers={"GET /emailer_campaigns": says_json(200, {"emailer_campaign": {"id": "x"}})},
    ),
    "a Salesloft template of half surrogate pairs": Attack(
        OK,
        1,
        vendor="salesloft",
        sends=request(
            a_step(type=AUTO_EMAIL, template=step_pb2.Template(id="5")),
            vendor="salesloft",
        ),
        answers={
            "GET /email_templates": says(
                200, rb'{"data": {"title": "\ud800", "subject": "a\r\nb\u0000", "body": "\udfff"}}'
            )
        },
    ),
}

PROVIDERS: Mapping[str, Mapping[str, Attack]] = {
    "answer to a read": READS,
    "redirect": REDIRECTS,
    "retry-after": RETRY_AFTER,
    "echo": ECHOES,
    "sentence": SENTENCES,
    "provider's id": IDS_OF_STEPS,
    "page": PAGES,
    "answer to a write": WRITES,
}
