"""What no provider can make anything of: refused by name, without any request to the vendor."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct
from structlog.testing import capture_logs

from engagement.v1 import sequence_step_pb2 as step_pb2
from engagement.v1 import sequence_step_service_pb2 as service_pb2
from service.providers.apollo import mapping as apollo
from service.providers.outreach import mapping as outreach
from service.providers.salesloft import mapping as salesloft
from tests.service.conftest import Client, NewAccount
from tests.service.grpc_failure import Failure, failure_of
from tests.service.step_messages import AUTO_EMAIL, CALL, LINKEDIN, step
from tests.service.vendor_account import SEQUENCES, VendorAccount

VENDORS = ("outreach", "salesloft", "apollo")
METHOD = "/engagement.v1.SequenceStepService/CreateSequenceStep"

BAD_IDS = {
    "empty": "",
    "another path": "4711/../../users/1",
    "another path, encoded": "4711%2F..%2Fusers",
    "two dots": "..",
    "a slash": "4711/sequenceSteps",
    "a backslash": "4711\\1",
    "a query": "4711?filter[id]=1",
    "a fragment": "4711#1",
    "a semicolon": "4711;v=2",
    "a URL": "https://elsewhere.example/4711",
    "a host": "//elsewhere.example/4711",
    "a user": "a@elsewhere.example",
    "a line break": "4711\r\nX-Injected: 1",
    "a NUL": "4711\x00",
    "a space": " 4711",
    "a sign": "+4711",
    "a minus": "-4711",
    "a zero": "0",
    "a leading zero": "04711",
    "a fraction": "4711.0",
    "an exponent": "4e3",
    "hexadecimal": "0x1267",
    "an underscore": "4_711",
    "Arabic digits": "٤٧١١",
    "full-width digits": "\uff14\uff17\uff11\uff11",
    "a superscript": "47²",
    "braces": "{step_id}",
    "19 digits": "9" * 19,
    "10 KiB": "1" * 10_240,
    "25 hexadecimal digits": "65334c9c2722cd008bde87c30",
    "upper-case hexadecimal digits": "65334C9C2722CD008BDE87C3",
}


def _of_another_vendor(vendor: str) -> dict[str, str]:
    """An id that another vendor would take."""
    return {"of another vendor": SEQUENCES["outreach" if vendor == "apollo" else "apollo"]}


async def _check_nothing_was_asked(account: VendorAccount) -> None:
    assert await account.requests() == []


@pytest.mark.parametrize("vendor", VENDORS)
async def test_ids_of_another_form(client: Client, new_account: NewAccount, vendor: str) -> None:
    account = await new_account(vendor)

    for name, bad in {**BAD_IDS, **_of_another_vendor(vendor)}.items():
        failure = await client.fail(account, step(CALL), sequence_id=bad)
        _check_invalid(failure, ("sequence_id",), name)
        if bad:
            asked = step(AUTO_EMAIL, template_id=bad)
            _check_invalid(await client.fail(account, asked), ("step.template.id",), name)

    await _check_nothing_was_asked(account)


def _check_invalid(failure: Failure, fields: tuple[str, ...], name: str) -> None:
    assert (failure.code, failure.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD"), (name, failure)
    assert failure.fields == fields, (name, failure)
    assert failure.domain == "engagement.v1"
    assert failure.retry_seconds is None
    assert failure.status_bytes <= 4096
    assert failure.message.isprintable()


@dataclass(frozen=True)
class Bad:
    """A step that is wrong in itself, and what a caller is told of it."""

    step: step_pb2.SequenceStep
    fields: tuple[str, ...]
    reason: str = "INVALID_FIELD"


def _fields(custom: Mapping[str, Any], kind: step_pb2.StepType = CALL) -> step_pb2.SequenceStep:
    struct = Struct()
    struct.update(custom)
    return step_pb2.SequenceStep(type=kind, custom_fields=struct)


def _content(**fields: Any) -> step_pb2.SequenceStep:
    given = {"subject": "Hello", "body_html": "<p>Hi</p>", **fields}
    content = step_pb2.TemplateContent(**given)
    return step_pb2.SequenceStep(type=AUTO_EMAIL, template=step_pb2.Template(content=content))


def _owned_content(**custom: Any) -> step_pb2.SequenceStep:
    struct = Struct()
    struct.update(custom)
    return _content(custom_fields=struct)


ANYWHERE = {
    "no type": Bad(step_pb2.SequenceStep(), ("step.type",)),
    "a wait of less than nothing": Bad(step(CALL, interval_seconds=-1), ("step.interval_seconds",)),
    "a wait and a date": Bad(
        step(CALL, interval_seconds=0, date="2030-01-01"), ("step.interval_seconds", "step.date")
    ),
    "a date that is none": Bad(step(CALL, date="2030-02-30"), ("step.date",)),
    "position 0": Bad(step(CALL, order=0), ("step.order",)),
    "a name with a line break": Bad(step(CALL, name="a\nb"), ("step.name",)),
    "no body": Bad(_content(body_html=""), ("step.template.content.body_html",)),
    "no subject": Bad(_content(subject=""), ("step.template.content.subject",)),
    "too much body": Bad(_content(body_html="é" * 150_000), ("step.template.content.body_html",)),
    "an address that is none": Bad(_content(to=["nobody"]), ("step.template.content.to[0]",)),
    "an id and content": Bad(
        step_pb2.SequenceStep(
            type=AUTO_EMAIL,
            template=step_pb2.Template(
                id="55", content=step_pb2.TemplateContent(subject="a", body_html="b")
            ),
        ),
        ("step.template.id", "step.template.content"),
    ),
    "custom fields that are no JSON": Bad(_fields({"a": float("nan")}), ("step.custom_fields.a",)),
    "a number that is not exact": Bad(_fields({"a": 2.0**53}), ("step.custom_fields.a",)),
    "custom fields that own the step": Bad(
        _fields({"id": 1, "type": "email", "data": {}, "relationships": {}, "api_key": "k"}),
        tuple(
            f"step.custom_fields.{key}"
            for key in ("id", "type", "data", "relationships", "api_key")
        ),
    ),
}
AT = {
    "outreach": {
        "its own attributes": Bad(
            _fields({"interval": 1, "stepType": "task"}),
            ("step.custom_fields.interval", "step.custom_fields.stepType"),
        ),
        "its own template attributes": Bad(
            _owned_content(bodyHtml="<p>Other</p>"),
            ("step.template.content.custom_fields.bodyHtml",),
        ),
    },
    "salesloft": {
        "another cadence": Bad(
            _fields({"cadence_id": 124, "step_groups": []}),
            ("step.custom_fields.cadence_id", "step.custom_fields.step_groups"),
        ),
        "the settings of a new cadence": Bad(
            _fields({"settings": {"name": "New"}}), ("step.custom_fields.settings",)
        ),
        "a date": Bad(
            step(CALL, date="2030-01-01"), ("step.date",), reason="UNSUPPORTED_BY_PROVIDER"
        ),
        "an e-mail without a message": Bad(
            step(AUTO_EMAIL), ("step.template",), reason="TEMPLATE_REQUIRED"
        ),
        "LinkedIn without an integration": Bad(
            step(LINKEDIN),
            (
                "step.custom_fields.integration_id",
                "step.custom_fields.integration_step_type_guid",
            ),
            reason="UNSUPPORTED_BY_PROVIDER",
        ),
    },
    "apollo": {
        "another sequence": Bad(
            _fields({"emailer_campaign_id": SEQUENCES["apollo"]}),
            ("step.custom_fields.emailer_campaign_id",),
        ),
        "somebody else's template": Bad(
            _fields({"emailer_template_id": "65340d43bd9e6900a3054740"}, AUTO_EMAIL),
            ("step.custom_fields.emailer_template_id",),
        ),
    },
}


@pytest.mark.parametrize(
    ("vendor", "name"),
    [(vendor, name) for vendor in VENDORS for name in (*ANYWHERE, *AT[vendor])],
)
async def test_steps_that_are_wrong_in_themselves(
    client: Client, new_account: NewAccount, vendor: str, name: str
) -> None:
    account = await new_account(vendor)
    bad = {**ANYWHERE, **AT[vendor]}[name]

    for validate_only in (False, True):
        failure = await client.fail(account, bad.step, validate_only=validate_only)

        is_invalid = bad.reason == "INVALID_FIELD"
        code = "INVALID_ARGUMENT" if is_invalid else "FAILED_PRECONDITION"
        assert (failure.code, failure.reason) == (code, bad.reason), failure
        assert sorted(failure.fields) == sorted(bad.fields)

    await _check_nothing_was_asked(account)


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_request_without_a_step(
    client: Client, new_account: NewAccount, vendor: str
) -> None:
    account = await new_account(vendor)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.stub.CreateSequenceStep(
            service_pb2.CreateSequenceStepRequest(sequence_id=account.sequence_id),
            metadata=(("x-customer-id", account.name), ("x-provider-name", vendor)),
            timeout=10,
        )

    _check_invalid(failure_of(caught.value), ("step",), "no step")
    await _check_nothing_was_asked(account)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\xff" * 100, "INVALID_FIELD"),
        (b"\x0a\x02\xff\xfe", "INVALID_FIELD"),  # An id that is not UTF-8.
        (b"\x0a\x83\x80\x30" + b"1" * 786_435, "REQUEST_TOO_LARGE"),
    ],
)
async def test_bytes_that_are_no_request(
    client: Client, new_account: NewAccount, raw: bytes, reason: str
) -> None:
    account = await new_account("outreach")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{client.port}") as channel:
        call: Any = channel.unary_unary(METHOD)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(
                raw,
                metadata=(("x-customer-id", account.name), ("x-provider-name", "outreach")),
                timeout=10,
            )

    failure = failure_of(caught.value)
    assert (failure.code, failure.reason) == ("INVALID_ARGUMENT", reason)
    await _check_nothing_was_asked(account)


BAD_METADATA: dict[str, tuple[tuple[tuple[str, str], ...], str]] = {
    "none": ((), "METADATA_INVALID"),
    "no provider": ((("x-customer-id", "{name}"),), "METADATA_INVALID"),
    "no customer": ((("x-provider-name", "outreach"),), "METADATA_INVALID"),
    "two customers": (
        (
            ("x-customer-id", "{name}"),
            ("x-customer-id", "{name}"),
            ("x-provider-name", "outreach"),
        ),
        "METADATA_INVALID",
    ),
    "two providers": (
        (
            ("x-customer-id", "{name}"),
            ("x-provider-name", "outreach"),
            ("x-provider-name", "apollo"),
        ),
        "METADATA_INVALID",
    ),
    "a customer with a space": (
        (("x-customer-id", "{name} "), ("x-provider-name", "outreach")),
        "METADATA_INVALID",
    ),
    "a long customer": (
        (("x-customer-id", "c" * 257), ("x-provider-name", "outreach")),
        "METADATA_INVALID",
    ),
    "an unknown provider": (
        (("x-customer-id", "{name}"), ("x-provider-name", "hubspot")),
        "PROVIDER_UNKNOWN",
    ),
    "a provider that is a path": (
        (("x-customer-id", "{name}"), ("x-provider-name", "outreach/../apollo")),
        "PROVIDER_UNKNOWN",
    ),
}


@pytest.mark.parametrize("name", BAD_METADATA)
async def test_metadata_that_names_nobody(
    client: Client, new_account: NewAccount, name: str
) -> None:
    account = await new_account("outreach")
    metadata, reason = BAD_METADATA[name]

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.stub.CreateSequenceStep(
            service_pb2.CreateSequenceStepRequest(sequence_id="4711", step=step(CALL)),
            metadata=tuple((key, value.replace("{name}", account.name)) for key, value in metadata),
            timeout=10,
        )

    failure = failure_of(caught.value)
    assert (failure.code, failure.reason) == ("INVALID_ARGUMENT", reason)
    await _check_nothing_was_asked(account)


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_bug_is_told_by_its_number_alone(
    client: Client, new_account: NewAccount, monkeypatch: pytest.MonkeyPatch, vendor: str
) -> None:
    account = await new_account(vendor)
    mapping = {"outreach": outreach, "salesloft": salesloft, "apollo": apollo}[vendor]

    def fail(*_: object) -> None:
        raise RuntimeError("a thing that only operators may read")

    monkeypatch.setattr(mapping, "plan", fail)
    with capture_logs() as logs:
        failure = await client.fail(account, step(CALL))

    assert (failure.code, failure.reason) == ("INTERNAL", "INTERNAL")
    assert "operators may read" not in failure.message
    assert "RuntimeError" not in failure.message
    (line,) = (line for line in logs if line["event"] == "rpc" and line["customer"] == account.name)
    assert line["error_id"] == failure.metadata["errorId"]
    assert line["log_level"] == "error"
    assert str(line["exc_info"]) == "a thing that only operators may read"
    assert failure.pushback_ms == "-1"
    assert await account.writes() == []
