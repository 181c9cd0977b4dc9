"""What callers send: metadata, bytes, fields, custom fields, request ids.

No provider is asked, unless the row says that what was sent is good after all. What is expected
stands in the contract's comments and in docs/errors.md.
"""

from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from engagement.v1 import sequence_step_pb2 as step_pb2
from tests.hostile.attack import (
    AUTO_EMAIL,
    BY_THE_LIBRARY,
    LINKEDIN,
    OK,
    Attack,
    Ends,
    a_step,
    an_email,
    invalid,
    request,
)
from tests.transport.wire import bytes_field, number_field, varint

GOOD = request()
CUSTOMER = ("x-customer-id", "{customer}")
OUTREACH = ("x-provider-name", "outreach")
BAD_METADATA = Ends("INVALID_ARGUMENT", "METADATA_INVALID")
NO_PROVIDER = Ends("INVALID_ARGUMENT", "PROVIDER_UNKNOWN")
NO_CONNECTION = Ends("FAILED_PRECONDITION", "CONNECTION_MISSING")
NO_BYTES = invalid()


def _metadata(ends: Ends, *entries: tuple[str, str | bytes]) -> Attack:
    return Attack(ends, requests=0, metadata=entries)


def _more(*entries: tuple[str, str | bytes]) -> Attack:
    return Attack(OK, writes=1, more_metadata=entries)


def _customer(ends: Ends, customer: str) -> Attack:
    return _metadata(ends, ("x-customer-id", customer), OUTREACH)


def _provider(provider: str) -> Attack:
    return _metadata(NO_PROVIDER, CUSTOMER, ("x-provider-name", provider))


METADATA: Mapping[str, Attack] = {
    "no metadata at all": _metadata(BAD_METADATA),
    "no customer": _metadata(BAD_METADATA, OUTREACH),
    "no provider": _metadata(BAD_METADATA, CUSTOMER),
    "an empty customer": _customer(BAD_METADATA, ""),
    "two customers": _metadata(BAD_METADATA, CUSTOMER, ("x-customer-id", "other"), OUTREACH),
    "two providers": _metadata(BAD_METADATA, CUSTOMER, OUTREACH, ("x-provider-name", "apollo")),
    "the same customer twice": _metadata(BAD_METADATA, CUSTOMER, CUSTOMER, OUTREACH),
    "a customer of 257 characters": _customer(BAD_METADATA, "c" * 257),
    "a customer with a space in it": _customer(BAD_METADATA, "a b"),
    "a customer with a space behind it": _customer(BAD_METADATA, "{customer} "),
    "a customer in binary metadata alone": _metadata(
        BAD_METADATA, ("x-customer-id-bin", b"\x00\xff\r\n"), OUTREACH
    ),
    "a customer that is a path": _customer(NO_CONNECTION, "../../../etc/passwd"),
    "a customer that is a URL": _customer(NO_CONNECTION, "//elsewhere.example/{customer}"),
    "a customer that is an encoded path": _customer(NO_CONNECTION, "%2e%2e%2f%2e%2e%2f"),
    "a customer that is SQL": _customer(NO_CONNECTION, "x'/**/OR/**/'1'='1';--"),
    "a customer that is a format": _customer(NO_CONNECTION, "{0.__class__}%s%n$(id)`id`"),
    "a customer that is a wildcard": _customer(NO_CONNECTION, "*"),
    "a customer that is markup": _customer(NO_CONNECTION, "<script>alert(1)</script>"),
    "a customer that has no connection there": Attack(
        NO_CONNECTION,
        requests=0,
        sends=request(vendor="apollo"),
        metadata=(CUSTOMER, ("x-provider-name", "apollo")),
    ),
    "a provider that nobody knows": _provider("hubspot"),
    "a provider that is a path": _provider("outreach/../apollo"),
    "a provider that is a URL": _provider("https://elsewhere.example/"),
    "a provider with a space behind it": _provider("outreach "),
    "a provider of 7,000 characters": _provider("outreach" * 875),
    "a provider that is a member of a class": _provider("__class__"),
    "a list of providers": _provider("outreach,apollo"),
    "a provider in capitals": Attack(
        OK, writes=1, metadata=(CUSTOMER, ("x-provider-name", "OUTREACH"))
    ),
    "100 entries of no meaning": _more(*((f"x-{number}", "v") for number in range(100))),
    "more than 16 KiB of metadata": Attack(
        BY_THE_LIBRARY,
        requests=0,
        more_metadata=tuple((f"x-{number}", "v" * 1000) for number in range(40)),
    ),
    "a credential of the caller's own": _more(("authorization", "Bearer xenial")),
    "an API key of the caller's own": _more(("x-api-key", "xenial")),
    "cookies": _more(("cookie", "session=xenial")),
    "a host of the caller's own": _more(("host", "elsewhere.example"), ("forwarded", "for=xenial")),
    "trace context that is none": _more(("traceparent", "00-xenial-\x7e"), ("tracestate", "=,=,")),
    "a user agent that is an attack": _more(("x-user-agent", "() { :;}; echo xenial")),
    "one second": Attack(
        Ends("DEADLINE_EXCEEDED", "DEADLINE_TOO_SHORT"), requests=0, deadline_seconds=1.0
    ),
    "a deadline of ten years": Attack(OK, writes=1, deadline_seconds=315_360_000.0),
}


def _bytes(raw: bytes, ends: Ends = NO_BYTES) -> Attack:
    return Attack(ends, requests=0, sends=raw)


def _in_groups(levels: int) -> bytes:
    return varint(90 << 3 | 3) * levels + varint(90 << 3 | 4) * levels


def _in_structs(levels: int) -> bytes:
    """Return custom fields that hold themselves, so to say, by hand: no library makes them."""
    value = b""
    for _ in range(levels):
        entry = bytes_field(1, b"a") + bytes_field(2, bytes_field(5, value))
        value = bytes_field(1, entry)
    return request() + bytes_field(2, bytes_field(9, value))


BODIES: Mapping[str, Attack] = {
    "nothing": _bytes(b"", invalid("sequence_id", "step")),
    "bytes that are no message": _bytes(b"\xff" * 100),
    "half a message": _bytes(GOOD[:-1]),
    "an id that is no UTF-8": _bytes(bytes_field(1, b"\xff\xfe")),
    "half a surrogate pair": _bytes(GOOD + bytes_field(2, bytes_field(1, b"\xed\xa0\x80"))),
    "a NUL in two bytes": _bytes(GOOD + bytes_field(2, bytes_field(1, b"\xc0\x80"))),
    "UTF-8 beyond Unicode": _bytes(GOOD + bytes_field(2, bytes_field(1, b"\xf4\x90\x80\x80"))),
    "an id that is a number": _bytes(
        number_field(1, 7) + bytes_field(2, number_field(7, 3)), invalid("sequence_id")
    ),
    "field number 0": _bytes(GOOD + b"\x00\x00"),
    "a wire type that is none": _bytes(GOOD + varint(90 << 3 | 7)),
    "a number of eleven bytes": _bytes(GOOD + varint(90 << 3) + b"\xff" * 10 + b"\x01"),
    "a length beyond the end": _bytes(GOOD + varint(90 << 3 | 2) + varint(1000)),
    "a length of 2^31": _bytes(GOOD + varint(90 << 3 | 2) + varint(2**31)),
    "a length of 2^64 - 1": _bytes(GOOD + varint(90 << 3 | 2) + varint(2**64 - 1)),
    "a group without an end": _bytes(GOOD + varint(90 << 3 | 3)),
    "an end without a group": _bytes(GOOD + varint(90 << 3 | 4)),
    "10,000 groups inside one another": _bytes(GOOD + _in_groups(10_000)),
    "1,000 objects inside one another": _bytes(_in_structs(1_000)),
    "100,000 fields that nobody knows": Attack(OK, 1, sends=GOOD + number_field(4000, 1) * 100_000),
    "the step in 1,000 pieces": Attack(
        OK, 1, sends=GOOD + bytes_field(2, bytes_field(8, b"note")) * 1_000
    ),
    "a position of 2^32 + 1, which protobuf reads as 1": Attack(
        OK, 1, sends=GOOD + bytes_field(2, number_field(6, 2**32 + 1)), reaches_vendor=b'"order":1'
    ),
    "769 KiB": _bytes(
        request(a_step(task_note="n" * 769 * 1024)),
        Ends("INVALID_ARGUMENT", "REQUEST_TOO_LARGE"),
    ),
    "3 MiB": Attack(BY_THE_LIBRARY, requests=0, sends=bytes(3 * 1024 * 1024)),
    "64 MiB of zeros, packed into 64 KiB": Attack(
        BY_THE_LIBRARY,
        requests=0,
        sends=bytes(64 * 1024 * 1024),
        compression=grpc.Compression.Gzip,
    ),
    "1 MiB of zeros, packed into 1 KiB": Attack(
        Ends("INVALID_ARGUMENT", "REQUEST_TOO_LARGE"),
        requests=0,
        sends=bytes(1024 * 1024),
        compression=grpc.Compression.Gzip,
    ),
}


def _step(*fields: str, **step: Any) -> Attack:
    return Attack(
        invalid(*(f"step.{name}" for name in fields)), requests=0, sends=request(a_step(**step))
    )


def _content(*fields: str, **content: Any) -> Attack:
    paths = invalid(*(f"step.template.content.{name}" for name in fields))
    return Attack(paths, requests=0, sends=request(an_email(**content)))


def _sequence(sequence_id: str, vendor: str = "outreach") -> Attack:
    sent = request(vendor=vendor, sequence_id=sequence_id)
    return Attack(invalid("sequence_id"), requests=0, vendor=vendor, sends=sent)


def _template(template_id: str, vendor: str = "outreach") -> Attack:
    step = a_step(type=AUTO_EMAIL, template=step_pb2.Template(id=template_id))
    sent = request(step, vendor=vendor)
    return Attack(invalid("step.template.id"), requests=0, vendor=vendor, sends=sent)


BAD_IDS: Mapping[str, str] = {
    "nothing": "",
    "another path": "4711/../../users/1",
    "an encoded path": "4711%2f..%2fusers",
    "an encoded dot": "%2e%2e",
    "two dots": "..",
    "a host": "//elsewhere.example/4711",
    "a URL": "https://elsewhere.example/4711",
    "a user and a host": "4711@elsewhere.example",
    "a query": "4711?filter[id]=1",
    "a fragment": "4711#1",
    "a matrix parameter": "4711;v=2",
    "a backslash": "..\\..\\users",
    "a header": "4711\r\nX-Injected: 1",
    "a request": "4711 HTTP/1.1\r\nHost: elsewhere.example\r\n\r\nGET /",
    "a line end": "4711\n",
    "a NUL": "4711\x00",
    "a tab": "4711\t",
    "a name in braces": "{step_id}",
    "a format": "{0.__class__.__mro__}",
    "a sign": "-4711",
    "zero": "0",
    "zeros in front": "007",
    "a fraction": "4711.0",
    "an exponent": "4e3",
    "Arabic digits": "٤٧١١",
    "full-width digits": "\uff14\uff17\uff11\uff11",
    "a zero-width space": "47\u200b11",
    "a turn of direction": "\u202e1174",
    "19 digits": "9" * 19,
    "100 KiB": "1" * 102_400,
    "markup": "<b>1</b>",
}
TEMPLATE_IDS = ("another path", "a host", "a header", "a NUL", "a query", "19 digits")

IDS: Mapping[str, Attack] = {
    **{f"a sequence that is {name}": _sequence(bad) for name, bad in BAD_IDS.items()},
    **{f"a template that is {name}": _template(BAD_IDS[name]) for name in TEMPLATE_IDS},
    "an Apollo sequence that is another path": _sequence("../users/65334c9c2722cd008b", "apollo"),
    "an Apollo sequence in capitals": _sequence("65334C9C2722CD008BDE87C3", "apollo"),
    "an Apollo sequence with a line end": _sequence("65334c9c2722cd008bde87c3\n", "apollo"),
    "an Apollo template that is a path": _template("../../users/65334c9c2722c", "apollo"),
    "a Salesloft cadence that is a query": _sequence("123?page=2", "salesloft"),
    "a Salesloft template that is a path": _template("5/../6", "salesloft"),
}

_EVERYTHING_UNSEEN = "\u202egnp.exe\u2066\u200b\u200d\ufeff\u00ad"

FIELDS: Mapping[str, Attack] = {
    "no type": _step("type", type=0),
    "a type of the future": _step("type", type=99),
    "a negative type": _step("type", type=-1),
    "a name with a line end": _step("name", name="a\r\nX-Injected: 1"),
    "a name with an escape sequence": _step("name", name="\x1b[2J\x1b]0;owned\x07"),
    "a name with a NUL": _step("name", name="a\x00b"),
    "a name with a line separator": _step("name", name="a\u2028b"),
    "a name of 256 characters": _step("name", name="n" * 256),
    "a name of what nobody sees": Attack(
        OK,
        1,
        vendor="salesloft",
        sends=request(a_step(name=_EVERYTHING_UNSEEN), vendor="salesloft"),
        reaches_vendor=_EVERYTHING_UNSEEN.encode(),
    ),
    "a note of control characters": Attack(
        OK,
        1,
        sends=request(a_step(task_note="\x00\x1b[2J\r\n\x7f")),
        reaches_vendor=rb'"taskNote":"\u0000\u001b[2J\r\n' + b"\x7f",
    ),
    "a note that ends the JSON": Attack(
        OK,
        1,
        sends=request(a_step(task_note='"}}},"data":{"id":1}')),
        reaches_vendor=rb'"taskNote":"\"}}},\"data\":{\"id\":1}"',
    ),
    "a note of 65,536 characters": _step("task_note", task_note="n" * 65_536),
    "a wait before now": _step("interval_seconds", interval_seconds=-1),
    "the shortest wait there is": _step("interval_seconds", interval_seconds=-(2**31)),
    "the longest wait there is": _step("interval_seconds", interval_seconds=2**31 - 1),
    "a wait and a date": _step("interval_seconds", "date", interval_seconds=0, date="2030-01-01"),
    "a day that is none": _step("date", date="2027-02-30"),
    "the year 0": _step("date", date="0000-01-01"),
    "a time beyond the calendar": _step("date", date="9999-12-31T23:59:59-23:59"),
    "a time before the calendar": _step("date", date="0001-01-01T00:00:00+23:59"),
    "a leap second": _step("date", date="2030-06-30T23:59:60Z"),
    "the hour 24": _step("date", date="2030-01-01T24:00:00Z"),
    "an offset of 25 hours": _step("date", date="2030-01-01T00:00:00+25:00"),
    "no offset": _step("date", date="2030-01-01T00:00:00"),
    "a week": _step("date", date="2030-W03"),
    "a date with an Arabic digit": _step("date", date="2030-01-0\u0661"),
    "a date with a line end": _step("date", date="2030-01-01\n"),
    "a date with an escape sequence": _step("date", date="2030-01-01\x1b[2J"),
    "a date of 100 KiB": _step("date", date="2030-01-01T00:00:00." + "1" * 102_400 + "Z"),
    "position 0": _step("order", order=0),
    "position 1001": _step("order", order=1001),
    "the first position there is": _step("order", order=-(2**31)),
    "a template of nothing": _step("template", type=AUTO_EMAIL, template=step_pb2.Template()),
    "a template with an id and content": _step(
        "template.id",
        "template.content",
        type=AUTO_EMAIL,
        template=step_pb2.Template(
            id="55", content=step_pb2.TemplateContent(subject="a", body_html="b")
        ),
    ),
    "a subject with a header": _content("subject", subject="Hi\r\nBcc: all@example.com"),
    "a subject of 999 characters": _content("subject", subject="s" * 999),
    "a subject of spaces": _content("subject", subject="\u2003 \u3000"),
    "no body": _content("body_html", body_html=""),
    "a body of spaces": _content("body_html", body_html=" \n\t\u3000"),
    "a body of more than 200 KiB": _content("body_html", body_html="é" * 102_401),
    "a template's name with a line end": _content("name", name="a\nb"),
    "51 recipients": _content("to", to=["a@example.com"] * 51),
    "a recipient with a header": _content("cc[0]", cc=["a@example.com\r\nBcc: b@example.com"]),
    "a recipient of two": _content("bcc[0]", bcc=["a@example.com,b@example.com"]),
    "a recipient with a NUL": _content("to[0]", to=["a@example.com\x00"]),
    "a recipient of 255 characters": _content("to[0]", to=["a@" + "e" * 253]),
    "a recipient that is none": _content("to[0]", to=["nobody"]),
    "everything wrong at once": Attack(
        Ends("INVALID_ARGUMENT", "INVALID_FIELD"),
        requests=0,
        sends=request(
            an_email(
                subject="\n" * 2000,
                name="\x1b" * 500,
                to=["\u202e" * 5000] * 50,
                cc=["\r\n"] * 50,
                bcc=["é" * 300] * 50,
            ),
            sequence_id="\x00" * 300,
            request_id="\x00" * 300,
        ),
    ),
}


def _struct(fields: Mapping[str, Any]) -> Struct:
    struct = Struct()
    struct.update(fields)
    return struct


def _custom(*keys: str, vendor: str = "outreach", **fields: Any) -> Attack:
    """Return an attack whose custom fields are refused at these keys."""
    paths = invalid(*(f"step.custom_fields.{key}" for key in keys))
    sent = request(a_step(custom_fields=_struct(fields)), vendor=vendor)
    return Attack(paths, requests=0, vendor=vendor, sends=sent)


def _whole(fields: Mapping[str, Any]) -> Attack:
    """Return an attack whose custom fields are refused as a whole."""
    step = a_step(custom_fields=_struct(fields))
    return Attack(invalid("step.custom_fields"), requests=0, sends=request(step))


def _passed_on(reaches: bytes, fields: Mapping[str, Any]) -> Attack:
    step = a_step(custom_fields=_struct(fields))
    return Attack(OK, 1, sends=request(step), reaches_vendor=reaches)


def _nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {"end": 1}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


_NO_VALUE = a_step(custom_fields=Struct(fields={"a": Value()}))
_MANY_NULLS = a_step(
    custom_fields=Struct(
        fields={"a": Value(list_value=ListValue(values=[Value(null_value=0)] * 20_000))}  # type: ignore[arg-type]
    )
)

CUSTOM_FIELDS: Mapping[str, Attack] = {
    "NaN": _custom("a", a=float("nan")),
    "infinity": _custom("a", a=float("inf")),
    "minus infinity": _custom("a", a=float("-inf")),
    "2^53": _custom("a", a=2.0**53),
    "minus 2^53": _custom("a", a=-(2.0**53)),
    "1e308": _custom("a", a=1e308),
    "2^53 - 1": _passed_on(b'"a":9007199254740991', {"a": 2.0**53 - 1}),
    "minus zero": _passed_on(b'"a":0', {"a": -0.0}),
    "the smallest number there is": _passed_on(b'"a":5e-324', {"a": 5e-324}),
    "NaN in a list in an object": _custom("a.b[1]", a={"b": [1, float("nan")]}),
    "six levels": _custom("a.a.a.a.a", **_nested(6)),
    "50 levels": _custom("a.a.a.a.a", **_nested(30)),
    "lists in lists": _custom("a[0][0][0][0]", a=[[[[[[1]]]]]]),
    "51 keys": _whole({f"k{number}": 1 for number in range(51)}),
    "51 keys, most of them inside": _whole({"a": {f"k{number}": 1 for number in range(50)}}),
    "20,000 values": Attack(invalid("step.custom_fields"), requests=0, sends=request(_MANY_NULLS)),
    "a text of 33 KiB": _whole({"a": "x" * 33 * 1024}),
    "a key of 33 KiB": _whole({"x" * 33 * 1024: 1}),
    "a value that is none": Attack(
        invalid("step.custom_fields.a"), requests=0, sends=request(_NO_VALUE)
    ),
    "an empty key": _whole({"": 1}),
    "the id": _custom("id", id=1),
    "the type": _custom("type", type="sequenceTemplate"),
    "the envelope": _custom("data", data={"id": 1}),
    "other relationships": _custom(
        "relationships", relationships={"sequence": {"data": {"id": 1}}}
    ),
    "another credential": _custom("api_key", api_key="k"),
    "what the mapping writes": _custom("stepType", "order", stepType="call", order=1),
    "an Apollo template of somebody else": _custom(
        "emailer_template_id", vendor="apollo", emailer_template_id="65340d43bd9e6900a3054740"
    ),
    "another Apollo sequence": _custom(
        "emailer_campaign_id", vendor="apollo", emailer_campaign_id="65334c9c2722cd008bde87c4"
    ),
    "another Salesloft cadence": _custom(
        "cadence_id", "step_groups", vendor="salesloft", cadence_id=1, step_groups=[]
    ),
    "instructions by the back door": _custom(
        "type_settings.instructions", vendor="salesloft", type_settings={"instructions": "x"}
    ),
    "settings that are no object": _custom(
        "type_settings", vendor="salesloft", type_settings="email_template"
    ),
    "an integration of another kind": Attack(
        Ends("FAILED_PRECONDITION", "UNSUPPORTED_BY_PROVIDER"),
        requests=0,
        vendor="salesloft",
        sends=request(
            a_step(
                type=LINKEDIN,
                custom_fields=_struct(
                    {"integration_id": True, "integration_step_type_guid": ["x"]}
                ),
            ),
            vendor="salesloft",
        ),
    ),
    "the journal's own mark": _passed_on(b'"$":"step_id"', {"a": {"$": "step_id"}}),
    "a reference": _passed_on(b'"$ref":"#/data"', {"$ref": "#/data", "$$": {"$": 1}}),
    "a prototype": _passed_on(
        b'"__proto__":{"admin":true}', {"__proto__": {"admin": True}, "constructor": "x"}
    ),
    "a name in braces": _passed_on(b'"{step_id}":"{touch_id}"', {"{step_id}": "{touch_id}"}),
    "a key that ends the JSON": _passed_on(rb'"a\":1},\"b":1', {'a":1},"b': 1}),
    "a key with a line end": _passed_on(rb'"a\r\nX-Injected: 1":1', {"a\r\nX-Injected: 1": 1}),
    "a key that nobody sees": _passed_on("\u202e\u200b".encode(), {"\u202e\u200b": 1}),
}


def _request_id(request_id: str) -> Attack:
    return Attack(invalid("request_id"), requests=0, sends=request(request_id=request_id))


REQUEST_IDS: Mapping[str, Attack] = {
    "the nil UUID": _request_id("00000000-0000-0000-0000-000000000000"),
    "a UUID without hyphens": _request_id("5d0f9a3e27c44b8a9f16e83b1c6d7042"),
    "a UUID in braces": _request_id("{5d0f9a3e-27c4-4b8a-9f16-e83b1c6d7042}"),
    "a UUID as a URN": _request_id("urn:uuid:5d0f9a3e-27c4-4b8a-9f16-e83b1c6d7042"),
    "a UUID with a line end": _request_id("5d0f9a3e-27c4-4b8a-9f16-e83b1c6d7042\n"),
    "a UUID with a header": _request_id("5d0f9a3e-27c4-4b8a-9f16-e83b1c6d7042\r\nX-Injected: 1"),
    "a UUID with a NUL": _request_id("5d0f9a3e-27c4-4b8a-9f16-e83b1c6d7042\x00"),
    "a UUID in other digits": _request_id("\uff15d0f9a3e-27c4-4b8a-9f16-e83b1c6d7042"),
    "a UUID with a letter too many": _request_id("5d0f9a3e-27c4-4b8a-9f16-e83b1c6d7042a"),
    "hyphens elsewhere": _request_id("5d0f-9a3e27c4-4b8a-9f16-e83b1c6d7042"),
    "a path": _request_id("../../../../../../../../../etc/passwd"),
    "SQL": _request_id("'; DROP TABLE operations; --"),
    "300 KiB": _request_id("a" * 300 * 1024),
    "what nobody sees": _request_id("\u202e\u200b\u2066"),
}

CALLERS: Mapping[str, Mapping[str, Attack]] = {
    "metadata": METADATA,
    "body": BODIES,
    "id": IDS,
    "field": FIELDS,
    "custom field": CUSTOM_FIELDS,
    "request id": REQUEST_IDS,
}
