"""What callers ask for and what vendors do to it, with marks in all that is said."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.struct_pb2 import Struct

from engagement.v1 import sequence_step_pb2 as step_pb2
from engagement.v1.sequence_step_service_pb2 import CreateSequenceStepRequest
from tests.canary import serve_with_bugs as bugs
from tests.canary.marks import Mark, marked
from tests.service import fault_troubles as troubles
from tests.service.fault_troubles import Trouble
from tests.service.step_messages import AUTO_EMAIL, CALL
from tests.service.test_secrets import echoes, token_echoes
from tests.service.vendor_account import VendorAccount
from tests.service.vendor_hold import STEP_WRITES

VENDORS = ("outreach", "salesloft", "apollo")
IN_TIME_SECONDS = 40.0
LEAVES_AFTER_SECONDS = 1.0
VENDOR_SAYS = f"Sorry, {marked(Mark.VENDOR, 'sentence')}"

Fault = dict[str, Any]
Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Situation:
    """One call, and what the vendor does to it."""

    vendor: str
    faults: tuple[Fault, ...] = ()
    sequence_id: str = ""
    """Another one than the account's first."""

    has_expired: bool = False
    is_revoked: bool = False
    timeout_seconds: float = IN_TIME_SECONDS
    flag: str = ""


def marked_email(vendor: str) -> step_pb2.SequenceStep:
    """Return an e-mail with a mark in every text that the vendor takes."""
    text = marked(Mark.CONTENT, "text")
    is_outreach = vendor == "outreach"
    content = step_pb2.TemplateContent(
        subject=f"subject {text}",
        body_html=f"<p>body {text}</p>",
        name=f"template {text}",
        to=[f"{Mark.CONTENT}@example.com"] if is_outreach else [],
        custom_fields=_struct(tags=[text]) if is_outreach else None,
    )
    return step_pb2.SequenceStep(
        type=AUTO_EMAIL,
        name=f"name {text}",
        task_note=f"note {text}",
        template=step_pb2.Template(content=content),
    )


def marked_call(vendor: str) -> step_pb2.SequenceStep:
    """Return a call with marks in what an e-mail has not: custom fields of the step."""
    name = {"outreach": "tags", "salesloft": "reference_id", "apollo": "comment"}[vendor]
    text = marked(Mark.CONTENT, "field")
    fields = _struct(**{name: [text] if vendor == "outreach" else text})
    return step_pb2.SequenceStep(type=CALL, task_note=f"note {text}", custom_fields=fields)


def situations() -> Iterator[Situation]:
    """Yield what a vendor can do, for each vendor, at a read and at the write of the step."""
    for vendor in VENDORS:
        yield from (Situation(vendor, flag=flag) for flag in ("validate_only", "fail_on_warning"))
        yield Situation(vendor)
        yield Situation(vendor, has_expired=True)
        yield Situation(vendor, has_expired=True, is_revoked=True)
        method, path = STEP_WRITES[vendor]
        for trouble in _troubles():
            yield Situation(vendor, (_spoken(trouble, "GET", ""),))
            yield Situation(vendor, (_spoken(trouble, method, path),))
        hold = {"kind": "none", "method": method, "path": path, "after_seconds": 3.0}
        yield Situation(vendor, (hold,), timeout_seconds=LEAVES_AFTER_SECONDS)
    detail = f"{VENDOR_SAYS} {bugs.IN_EXPLAIN}"
    refused = {"kind": "status", "status": 422, "body": {"errors": [{"detail": detail}]}}
    yield Situation("outreach", ({**refused, "method": "POST"},), bugs.IN_EXPLAIN)
    for sequence_id in bugs.OTHERS:
        yield Situation("outreach", (), sequence_id)


def _troubles() -> list[Trouble]:
    given = (*troubles.ANSWERED, *troubles.LOST_NEVER_APPLIED, *troubles.LOST_APPLIED)
    slow = {"slow", "drip"}  # They tell nothing that `none` does not tell.
    return [trouble for trouble in given if trouble.name not in slow]


def _spoken(trouble: Trouble, method: str, path: str) -> Fault:
    """Return a fault in which the vendor speaks, where it can, and quotes the caller."""
    quoted = f"{VENDOR_SAYS} about {marked(Mark.CONTENT, 'quoted')}"
    words: dict[str, Fault] = {
        "status": {"body": {"error": quoted, "errors": [{"detail": quoted, "title": quoted}]}},
        "garbage": {"text": quoted},
        "wrong_content_type": {"body": quoted},
        "set_cookie": {"cookie": f"session={marked(Mark.VENDOR)}"},
        "redirect": {"location": f"http://{Mark.VENDOR}.example/?{Mark.CONTENT}"},
    }
    kind = trouble.fault["kind"]
    where = {"method": method, "path": path, "times": trouble.times}
    return {**trouble.fault, **where, **words.get(kind, {})}


def echo_situations(account: VendorAccount) -> Iterator[Situation]:
    """Yield answers in which the vendor repeats the credential that it was sent."""
    for fault in echoes(account.vendor, account.connection().credential.reveal()):
        yield Situation(account.vendor, (fault,))
    refresh_token = account.credentials.get("refresh_token")
    if refresh_token:
        for fault in token_echoes(marked(Mark.SECRET, "client"), refresh_token):
            yield Situation(account.vendor, (fault,), has_expired=True)


def bad_requests() -> Iterator[tuple[bytes, Metadata]]:
    """Yield what no server should take: bytes of a request, and metadata."""
    usual = (("x-customer-id", "nobody"), ("x-provider-name", "outreach"))
    text = marked(Mark.CONTENT, "bad")
    good = CreateSequenceStepRequest(sequence_id="4711", step=marked_email("outreach"))
    yield text.encode(), usual
    yield good.SerializeToString()[:-7], usual
    yield text.encode() * 30_000, usual
    for request in _with_bad_fields(text):
        yield request.SerializeToString(), usual
    for metadata in (
        (("x-customer-id", f"{text} {text}"),),
        (("x-customer-id", "a"), ("x-customer-id", text)),
        (("x-customer-id", "acme"), ("x-provider-name", text)),
        (("x-customer-id", text * 20), ("x-provider-name", "outreach")),
    ):
        yield good.SerializeToString(), metadata
    others = (("x-api-key", marked(Mark.SECRET)), ("cookie", marked(Mark.SECRET)))
    yield good.SerializeToString(), (*usual, *others)


def _with_bad_fields(text: str) -> Iterator[CreateSequenceStepRequest]:
    owned = _struct(id=f"{text} id", api_key=f"{text} key", **{text: {text: [text] * 3}})
    deep: dict[str, Any] = {text: text}
    for _ in range(9):
        deep = {text: deep}
    for step in (
        step_pb2.SequenceStep(type=CALL, custom_fields=owned),
        step_pb2.SequenceStep(type=CALL, custom_fields=_struct(**deep)),
        step_pb2.SequenceStep(type=CALL, date=f"{text} day"),
        step_pb2.SequenceStep(type=CALL, name=text * 30, task_note=text * 3000),
        step_pb2.SequenceStep(type=AUTO_EMAIL, template=step_pb2.Template(id=f"../{text}")),
    ):
        yield CreateSequenceStepRequest(sequence_id="4711", step=step)
    step = marked_email("outreach")
    yield CreateSequenceStepRequest(sequence_id=text, step=step)
    yield CreateSequenceStepRequest(sequence_id="4711", step=step, request_id=text)


def _struct(**fields: Any) -> Struct:
    made = Struct()
    made.update(fields)
    return made
