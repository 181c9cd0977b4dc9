"""Every field that can be wrong, each with its exact path; and the request that results."""

import datetime as dt
from collections.abc import Callable

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct

from engagement.v1 import sequence_step_pb2 as step_pb2
from engagement.v1 import sequence_step_service_pb2 as service_pb2
from service.domain.step import SequenceStep, StepDate, StepRequest, StepType, TemplateContent
from tests.transport.stand_in import Api, email_request, step_request
from tests.transport.wire import bytes_field, number_field

Request = service_pb2.CreateSequenceStepRequest

ID_RULE = "Must be 1 to 256 printable ASCII characters without spaces."
ONE_LINE = "Must have no line breaks and no control characters."
ADDRESS = "Must be an e-mail address, with one @ in it."
CONTENT = "step.template.content"


def sequence_id(text: str) -> Request:
    request = step_request()
    request.sequence_id = text
    return request


def template(**fields: object) -> Request:
    return step_request(
        type=step_pb2.STEP_TYPE_AUTO_EMAIL,
        template=step_pb2.Template(**fields),  # type: ignore[arg-type]
    )


REFUSED = [
    ("sequence_id_missing", sequence_id(""), "sequence_id", "Required."),
    ("sequence_id_with_a_space", sequence_id("1 2"), "sequence_id", ID_RULE),
    ("sequence_id_with_a_line_break", sequence_id("1\n2"), "sequence_id", ID_RULE),
    ("sequence_id_with_nul", sequence_id("1\x002"), "sequence_id", ID_RULE),
    ("sequence_id_not_ascii", sequence_id("١٢"), "sequence_id", ID_RULE),
    ("sequence_id_of_257_characters", sequence_id("1" * 257), "sequence_id", ID_RULE),
    ("sequence_id_of_10_kib", sequence_id("1" * 10_240), "sequence_id", ID_RULE),
    ("step_missing", Request(sequence_id="7"), "step", "Required."),
    ("type_unspecified", step_request(type=0), "step.type", "Required."),
    ("type_unknown", step_request(type=99), "step.type", "99 is no known type of step."),
    ("type_negative", step_request(type=-1), "step.type", "-1 is no known type of step."),
    (
        "name_of_256_characters",
        step_request(name="n" * 256),
        "step.name",
        "Must have at most 255 characters; has 256.",
    ),
    ("name_with_a_line_break", step_request(name="a\nb"), "step.name", ONE_LINE),
    ("name_with_delete", step_request(name="a\x7fb"), "step.name", ONE_LINE),
    ("name_with_a_line_separator", step_request(name="a\u2028b"), "step.name", ONE_LINE),
    (
        "interval_below_zero",
        step_request(interval_seconds=-1),
        "step.interval_seconds",
        "Must be 0 to 157680000; is -1.",
    ),
    (
        "interval_over_five_years",
        step_request(interval_seconds=157_680_001),
        "step.interval_seconds",
        "Must be 0 to 157680000; is 157680001.",
    ),
    (
        "interval_at_the_end_of_int32",
        step_request(interval_seconds=2**31 - 1),
        "step.interval_seconds",
        "Must be 0 to 157680000; is 2147483647.",
    ),
    (
        "interval_at_the_other_end_of_int32",
        step_request(interval_seconds=-(2**31)),
        "step.interval_seconds",
        "Must be 0 to 157680000; is -2147483648.",
    ),
    ("order_zero", step_request(order=0), "step.order", "Must be 1 to 1000; is 0."),
    ("order_below_zero", step_request(order=-1), "step.order", "Must be 1 to 1000; is -1."),
    ("order_1001", step_request(order=1001), "step.order", "Must be 1 to 1000; is 1001."),
    (
        "order_at_the_end_of_int32",
        step_request(order=2**31 - 1),
        "step.order",
        "Must be 1 to 1000; is 2147483647.",
    ),
    (
        "note_of_65_536_characters",
        step_request(task_note="n" * 65_536),
        "step.task_note",
        "Must have at most 65535 characters; has 65536.",
    ),
    ("template_empty", template(), "step.template", "Give its id or its content."),
    ("template_id_with_a_space", template(id="1 2"), "step.template.id", ID_RULE),
    ("template_id_of_257_characters", template(id="1" * 257), "step.template.id", ID_RULE),
    ("template_id_not_ascii", template(id="é"), "step.template.id", ID_RULE),
    ("subject_missing", email_request(subject=""), f"{CONTENT}.subject", "Required."),
    ("subject_of_spaces", email_request(subject=" "), f"{CONTENT}.subject", "Required."),
    ("subject_with_a_line_break", email_request(subject="a\r\nb"), f"{CONTENT}.subject", ONE_LINE),
    (
        "subject_of_999_characters",
        email_request(subject="s" * 999),
        f"{CONTENT}.subject",
        "Must have at most 998 characters; has 999.",
    ),
    ("body_missing", email_request(body_html=""), f"{CONTENT}.body_html", "Required."),
    ("body_of_white_space", email_request(body_html=" \n"), f"{CONTENT}.body_html", "Required."),
    (
        "body_over_200_kib_in_bytes_not_in_characters",
        email_request(body_html="é" * 102_401),
        f"{CONTENT}.body_html",
        "Must have at most 204800 bytes; has 204802.",
    ),
    (
        "template_name_of_226_characters",
        email_request(name="n" * 226),
        f"{CONTENT}.name",
        "Must have at most 225 characters; has 226.",
    ),
    ("template_name_with_a_tab", email_request(name="a\tb"), f"{CONTENT}.name", ONE_LINE),
    (
        "51_recipients",
        email_request(to=["a@b.example"] * 51),
        f"{CONTENT}.to",
        "Must have at most 50 entries; has 51.",
    ),
    ("recipient_empty", email_request(to=[""]), f"{CONTENT}.to[0]", ADDRESS),
    ("recipient_without_at", email_request(cc=["ann"]), f"{CONTENT}.cc[0]", ADDRESS),
    ("recipient_with_two_at", email_request(bcc=["a@b@c"]), f"{CONTENT}.bcc[0]", ADDRESS),
    ("recipient_that_is_only_at", email_request(to=["@"]), f"{CONTENT}.to[0]", ADDRESS),
    (
        "recipient_with_a_second_header",
        email_request(cc=["ok@b.example", "a@b.example\r\nBcc: everybody"]),
        f"{CONTENT}.cc[1]",
        ONE_LINE,
    ),
    (
        "recipient_of_255_characters",
        email_request(to=["a" * 250 + "@b.io"]),
        f"{CONTENT}.to[0]",
        "Must have at most 254 characters; has 255.",
    ),
]


@pytest.mark.parametrize(
    ("request_", "field", "description"),
    [case[1:] for case in REFUSED],
    ids=[c[0] for c in REFUSED],
)
async def test_a_wrong_field_is_refused(
    api: Api, request_: Request, field: str, description: str
) -> None:
    failure = await api.refused(request_)

    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.reason == "INVALID_FIELD"
    assert failure.violations[field] == description
    assert failure.message == f"{field}: {description}"


async def test_everything_that_is_wrong_is_told_at_once(api: Api) -> None:
    request = email_request(subject="", body_html="", to=["nobody"])
    request.sequence_id = ""
    request.step.order = 0
    request.step.interval_seconds = -1
    request.step.date = "soon"
    request.step.custom_fields["x"] = float("nan")
    request.request_id = "soon"

    failure = await api.refused(request)

    assert failure.message == "sequence_id: Required. (10 more: see the details)"
    assert list(failure.violations) == [
        "sequence_id",
        "step.interval_seconds",
        "step.date",
        f"{CONTENT}.subject",
        f"{CONTENT}.body_html",
        f"{CONTENT}.to[0]",
        "step.order",
        "step.custom_fields.x",
        "request_id",
    ]


async def test_interval_and_date_together_are_refused_naming_both(api: Api) -> None:
    failure = await api.refused(step_request(interval_seconds=0, date="2027-01-15"))

    assert failure.violations == {
        "step.interval_seconds": "Give either this or step.date, not both.",
        "step.date": "Give either this or step.interval_seconds, not both.",
    }


async def test_a_template_by_id_and_content_is_refused_naming_both(api: Api) -> None:
    content = step_pb2.TemplateContent(subject="Hello", body_html="Hello")
    failure = await api.refused(template(id="9", content=content))

    assert failure.violations == {
        "step.template.id": "Give either this or content, not both.",
        "step.template.content": "Give either this or id, not both.",
    }


async def test_an_unknown_type_does_not_make_the_subject_required(api: Api) -> None:
    request = email_request(subject="")
    request.step.type = 99  # type: ignore[assignment]
    request.step.order = 0

    assert list((await api.refused(request)).violations) == ["step.type", "step.order"]


def without_subject(change: Callable[[step_pb2.SequenceStep], None]) -> Request:
    request = email_request(subject="")
    change(request.step)
    return request


def make_reply(step: step_pb2.SequenceStep) -> None:
    step.is_reply = True


def make_linkedin(step: step_pb2.SequenceStep) -> None:
    step.type = step_pb2.STEP_TYPE_LINKEDIN_SEND_MESSAGE


@pytest.mark.parametrize("change", [make_reply, make_linkedin])
async def test_replies_and_linkedin_messages_need_no_subject(
    api: Api, change: Callable[[step_pb2.SequenceStep], None]
) -> None:
    await api.create(without_subject(change))

    (call,) = api.application.calls
    assert call.request.step.template_content == TemplateContent("", "<p>Hello</p>")


def raw_step(field_number: int, number: int) -> bytes:
    """The bytes of a valid call with one more number in its step."""
    step = step_request().step.SerializeToString() + number_field(field_number, number)
    return bytes_field(1, b"7") + bytes_field(2, step)


@pytest.mark.parametrize(
    ("number", "read_as"),
    [(2**31, -(2**31)), (-(2**31) - 1, 2**31 - 1), (2**63 - 1, -1), (2**32 - 1, -1)],
)
@pytest.mark.parametrize(
    ("field_number", "field"), [(2, "step.interval_seconds"), (6, "step.order")]
)
async def test_a_number_over_int32_on_the_wire_is_refused_as_what_protobuf_makes_of_it(
    api: Api, field_number: int, field: str, number: int, read_as: int
) -> None:
    """Protobuf keeps the low 32 bits of a longer number; generated clients cannot send one."""
    failure = await api.failed(raw_step(field_number, number))

    assert failure.reason == "INVALID_FIELD"
    assert failure.violations[field].endswith(f"is {read_as}.")
    assert api.application.calls == []


async def test_limits_are_inclusive(api: Api) -> None:
    request = email_request(
        subject="s" * 998,
        body_html="é" * 102_400,
        name="n" * 225,
        to=["a" * 249 + "@b.io"] * 50,
    )
    request.sequence_id = "~" * 256
    request.step.name = "ä" * 255
    request.step.task_note = "\n" * 65_535
    request.step.order = 1000
    request.step.interval_seconds = 157_680_000

    await api.create(request)

    assert len(api.application.calls) == 1


async def test_a_full_request_becomes_the_domain_request(api: Api) -> None:
    custom_fields = Struct()
    custom_fields.update({"taskAutoskipDelay": 86400})
    await api.create(
        Request(
            sequence_id="7",
            validate_only=True,
            fail_on_warning=True,
            step=step_pb2.SequenceStep(
                name="Intro",
                date="2027-01-15T09:30:00+02:00",
                template=step_pb2.Template(
                    content=step_pb2.TemplateContent(
                        subject="Hello",
                        body_html="<p>Hello</p>",
                        name="Intro mail",
                        to=["Ann <ann@example.com>"],
                        cc=["bob@example.com"],
                        bcc=["eve@example.com"],
                        custom_fields=custom_fields,
                    )
                ),
                is_reply=True,
                order=3,
                type=step_pb2.STEP_TYPE_MANUAL_EMAIL,
                task_note="Look\nfirst",
                custom_fields=custom_fields,
            ),
        )
    )

    (call,) = api.application.calls
    two_hours_east = dt.timezone(dt.timedelta(hours=2))
    assert call.request == StepRequest(
        "7",
        SequenceStep(
            type=StepType.MANUAL_EMAIL,
            name="Intro",
            date=StepDate(
                dt.date(2027, 1, 15), dt.datetime(2027, 1, 15, 9, 30, tzinfo=two_hours_east)
            ),
            template_content=TemplateContent(
                subject="Hello",
                body_html="<p>Hello</p>",
                name="Intro mail",
                to=("Ann <ann@example.com>",),
                cc=("bob@example.com",),
                bcc=("eve@example.com",),
                custom_fields={"taskAutoskipDelay": 86400},
            ),
            is_reply=True,
            order=3,
            task_note="Look\nfirst",
            custom_fields={"taskAutoskipDelay": 86400},
        ),
        validate_only=True,
        fail_on_warning=True,
    )


async def test_what_is_not_given_stays_apart_from_zero(api: Api) -> None:
    await api.create(step_request())
    await api.create(step_request(interval_seconds=0))
    await api.create(template(id="9"))

    bare, zero, by_id = (call.request.step for call in api.application.calls)
    assert bare == SequenceStep(type=StepType.CALL)
    assert zero == SequenceStep(type=StepType.CALL, interval_seconds=0)
    assert by_id == SequenceStep(type=StepType.AUTO_EMAIL, template_id="9")


@pytest.mark.parametrize("step_type", list(StepType))
async def test_every_type_is_read(api: Api, step_type: StepType) -> None:
    number = step_pb2.StepType.Value(f"STEP_TYPE_{step_type.name}")
    await api.create(step_request(type=number))

    (call,) = api.application.calls
    assert call.request.step.type is step_type
