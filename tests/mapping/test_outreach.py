"""Outreach: each neutral step as exact requests, and what Outreach's answers mean."""

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.application.ports import Provider
from service.domain.connection import Connection, ConnectionKind, Secret
from service.domain.errors import Reason, ServiceError
from service.domain.field_table import StepField
from service.domain.json_value import JsonObject, JsonValue
from service.domain.outcome import Candidate, Fit
from service.domain.plan import Plan, Target, bind, shown
from service.domain.provider_call import ProviderAnswer
from service.domain.step import (
    ConnectionKey,
    Ids,
    ProviderName,
    SequenceStep,
    StepDate,
    StepRequest,
    StepType,
    TemplateContent,
)
from service.domain.survey import SequenceKind, Survey
from service.domain.warnings import ProblemType
from service.providers.outreach import mapping
from service.providers.outreach.adapter import PAGES_MAX, Outreach
from tests.mapping.damaged import HOSTILE_BODIES, every_damage
from tests.mapping.one_field import fate, pair
from tests.mapping.scripted_reader import Answer, ScriptedReader

OUTREACH: Provider = Outreach("https://outreach.test/api/v2")

AUTO_EMAIL = StepType.AUTO_EMAIL
MANUAL_EMAIL = StepType.MANUAL_EMAIL
CALL = StepType.CALL
TASK = StepType.TASK
LINKEDIN = StepType.LINKEDIN_SEND_MESSAGE

CONTENT = TemplateContent("Hello", "<p>Hi</p>")


def sequence(kind: JsonValue = "interval") -> JsonObject:
    return {"data": {"type": "sequence", "id": 4711, "attributes": {"sequenceType": kind}}}


def resource(id_: JsonValue, **attributes: JsonValue) -> dict[str, JsonValue]:
    return {"type": "sequenceStep", "id": id_, "attributes": attributes}


def page(*resources: JsonValue, following: str = "") -> JsonObject:
    return {"data": list(resources), "links": {"next": following} if following else {}}


def existing_steps(count: int) -> JsonObject:
    return page(*(resource(order, stepType="call", order=order) for order in range(1, count + 1)))


TEMPLATE: JsonObject = {"data": {"type": "template", "id": 55, "attributes": {}}}


def request(step: SequenceStep, sequence_id: str = "4711") -> StepRequest:
    return StepRequest(sequence_id, step)


def step_of(step_type: StepType, **fields: Any) -> SequenceStep:
    return SequenceStep(step_type, **fields)


def reader_of(
    steps: Answer | list[Answer], kind: JsonValue = "interval", template: Answer = TEMPLATE
) -> ScriptedReader:
    return ScriptedReader(
        {"/sequences/4711": sequence(kind), "/sequenceSteps": steps, "/templates/55": template}
    )


async def planned(step: SequenceStep, steps: Answer, kind: JsonValue = "interval") -> Plan:
    """Check, survey and plan, with the warnings of all three."""
    warnings = OUTREACH.check(request(step))
    survey = await OUTREACH.survey(reader_of(steps, kind), request(step))
    plan = OUTREACH.plan(request(step), survey)
    return Plan(plan.writes, (*warnings, *plan.warnings))


def plan_now(step: SequenceStep) -> Plan:
    return OUTREACH.plan(request(step), Survey(None, {}))


def sent(plan: Plan) -> list[tuple[str, str, JsonObject | None]]:
    return [(write.method, write.path, shown(write)) for write in plan.writes]


def warned(plan: Plan) -> list[tuple[str, str]]:
    return [(warning.problem_type.name, warning.field) for warning in plan.warnings]


def new_step(**attributes: JsonValue) -> tuple[str, str, JsonObject]:
    data: JsonObject = {
        "type": "sequenceStep",
        "attributes": attributes,
        "relationships": {"sequence": {"data": {"type": "sequence", "id": 4711}}},
    }
    return ("POST", "/sequenceSteps", {"data": data})


def new_link(
    template: JsonValue = 55, *, step: JsonValue = "{step_id}", is_reply: bool = False
) -> tuple[str, str, JsonObject]:
    data: JsonObject = {
        "type": "sequenceTemplate",
        "attributes": {"isReply": is_reply},
        "relationships": {
            "sequenceStep": {"data": {"type": "sequenceStep", "id": step}},
            "template": {"data": {"type": "template", "id": template}},
        },
    }
    return ("POST", "/sequenceTemplates", {"data": data})


def new_template(**attributes: JsonValue) -> tuple[str, str, JsonObject]:
    return ("POST", "/templates", {"data": {"type": "template", "attributes": attributes}})


@pytest.mark.parametrize(
    ("step", "step_count", "calls", "warnings"),
    [
        pytest.param(
            step_of(AUTO_EMAIL, interval_seconds=259_200, order=3, template_id="55"),
            2,
            [new_step(stepType="auto_email", interval=259_200, order=3), new_link()],
            [],
            id="1 e-mail with a template",
        ),
        pytest.param(
            step_of(AUTO_EMAIL, interval_seconds=259_200, order=3, template_id="55", is_reply=True),
            2,
            [new_step(stepType="auto_email", interval=259_200, order=3), new_link(is_reply=True)],
            [],
            id="2 reply",
        ),
        pytest.param(
            step_of(MANUAL_EMAIL, template_id="55"),
            0,
            [new_step(stepType="manual_email", interval=0, order=1), new_link()],
            [],
            id="3 no interval and no date",
        ),
        pytest.param(
            step_of(CALL, interval_seconds=86_400, task_note="Ask"),
            0,
            [new_step(stepType="call", interval=86_400, order=1, taskNote="Ask")],
            [],
            id="4 call",
        ),
        pytest.param(
            step_of(TASK, task_note="Read blog"),
            0,
            [new_step(stepType="task", interval=0, order=1, taskNote="Read blog")],
            [],
            id="5 task",
        ),
        pytest.param(
            step_of(LINKEDIN, task_note="Hi", template_id="55"),
            0,
            [
                new_step(stepType="linkedin_send_message", interval=0, order=1, taskNote="Hi"),
                new_link(),
            ],
            [("UNDOCUMENTED_TYPE", "step.type")],
            id="6 LinkedIn message",
        ),
        pytest.param(
            step_of(LINKEDIN, task_note="Hi"),
            0,
            [new_step(stepType="linkedin_send_message", interval=0, order=1, taskNote="Hi")],
            [("UNDOCUMENTED_TYPE", "step.type"), ("TEMPLATE_MISSING", "step.template")],
            id="6 LinkedIn message without its text",
        ),
        pytest.param(
            step_of(AUTO_EMAIL, name="Intro", interval_seconds=259_200, order=3, template_id="55"),
            2,
            [new_step(stepType="auto_email", interval=259_200, order=3), new_link()],
            [("FIELD_NOT_SUPPORTED", "step.name")],
            id="8 name",
        ),
        pytest.param(
            step_of(CALL, template_id="55"),
            0,
            [new_step(stepType="call", interval=0, order=1)],
            [("FIELD_NOT_SUPPORTED", "step.template.id")],
            id="9 call with a template",
        ),
        pytest.param(
            step_of(AUTO_EMAIL),
            0,
            [new_step(stepType="auto_email", interval=0, order=1)],
            [("TEMPLATE_MISSING", "step.template")],
            id="10 e-mail without a template",
        ),
        pytest.param(
            step_of(AUTO_EMAIL, is_reply=True),
            0,
            [new_step(stepType="auto_email", interval=0, order=1)],
            [("TEMPLATE_MISSING", "step.template"), ("FIELD_NOT_SUPPORTED", "step.is_reply")],
            id="reply without a template",
        ),
        pytest.param(
            step_of(CALL, custom_fields={"taskAutoskipDelay": 86_400}),
            0,
            [new_step(taskAutoskipDelay=86_400, stepType="call", interval=0, order=1)],
            [],
            id="11 custom fields",
        ),
        pytest.param(
            step_of(CALL),
            3,
            [new_step(stepType="call", interval=0, order=4)],
            [],
            id="no order",
        ),
        pytest.param(
            step_of(CALL, order=2),
            3,
            [new_step(stepType="call", interval=0, order=2)],
            [],
            id="order that is taken",
        ),
        pytest.param(
            step_of(AUTO_EMAIL, template_content=CONTENT, is_reply=True),
            0,
            [
                new_template(subject="Hello", bodyHtml="<p>Hi</p>"),
                new_step(stepType="auto_email", interval=0, order=1),
                new_link("{template_id}", is_reply=True),
            ],
            [],
            id="inline content",
        ),
        pytest.param(
            step_of(
                AUTO_EMAIL,
                template_content=TemplateContent(
                    "Hello",
                    "<p>Hi</p>",
                    name="Intro",
                    to=("a@example.com",),
                    cc=("b@example.com", "c@example.com"),
                    bcc=("d@example.com",),
                    custom_fields={"shareType": "shared"},
                ),
            ),
            0,
            [
                new_template(
                    shareType="shared",
                    subject="Hello",
                    bodyHtml="<p>Hi</p>",
                    name="Intro",
                    toRecipients=["a@example.com"],
                    ccRecipients=["b@example.com", "c@example.com"],
                    bccRecipients=["d@example.com"],
                ),
                new_step(stepType="auto_email", interval=0, order=1),
                new_link("{template_id}"),
            ],
            [],
            id="all of a template's content",
        ),
        pytest.param(
            step_of(LINKEDIN, template_content=TemplateContent("", "<p>Hi</p>")),
            0,
            [
                new_template(subject="", bodyHtml="<p>Hi</p>"),
                new_step(stepType="linkedin_send_message", interval=0, order=1),
                new_link("{template_id}"),
            ],
            [("UNDOCUMENTED_TYPE", "step.type")],
            id="LinkedIn message with content",
        ),
    ],
)
async def test_step_becomes_these_calls(
    step: SequenceStep,
    step_count: int,
    calls: list[tuple[str, str, JsonObject]],
    warnings: list[tuple[str, str]],
) -> None:
    plan = await planned(step, existing_steps(step_count))

    assert sent(plan) == calls
    assert warned(plan) == warnings


WEST = dt.timezone(dt.timedelta(hours=-11))
EAST = dt.timezone(dt.timedelta(hours=14))
TIME_DROPPED = ("TIME_DROPPED", "step.date")


@pytest.mark.parametrize(
    ("date", "warnings"),
    [
        (StepDate(dt.date(2027, 1, 15)), []),
        (
            StepDate(dt.date(2027, 1, 15), dt.datetime(2027, 1, 15, 9, tzinfo=dt.UTC)),
            [TIME_DROPPED],
        ),
        (
            StepDate(dt.date(2027, 1, 15), dt.datetime(2027, 1, 15, 23, 30, tzinfo=WEST)),
            [TIME_DROPPED],
        ),
        (
            StepDate(dt.date(2027, 1, 15), dt.datetime(2027, 1, 15, 0, 30, tzinfo=EAST)),
            [TIME_DROPPED],
        ),
    ],
    ids=["7 date", "UTC", "the day after in UTC", "the day before in UTC"],
)
async def test_date_is_sent_as_it_was_written(
    date: StepDate, warnings: list[tuple[str, str]]
) -> None:
    plan = await planned(step_of(CALL, date=date), page(), "date")

    assert sent(plan) == [new_step(stepType="call", order=1, date="2027-01-15")]
    assert warned(plan) == warnings


@pytest.mark.parametrize(
    ("step", "kind", "field"),
    [
        (step_of(CALL, date=StepDate(dt.date(2027, 1, 15))), "interval", "step.date"),
        (step_of(CALL, interval_seconds=60), "date", "step.interval_seconds"),
        (step_of(CALL), "date", "step.date"),
    ],
)
async def test_sequence_of_the_other_kind_is_refused(
    step: SequenceStep, kind: str, field: str
) -> None:
    with pytest.raises(ServiceError) as refusal:
        await planned(step, page(), kind)

    assert refusal.value.reason is Reason.SEQUENCE_KIND_MISMATCH
    assert [violation.field for violation in refusal.value.violations] == [field]


@pytest.mark.parametrize("kind", [None, "hourly", 1, ["date"]])
async def test_sequence_of_an_unknown_kind_refuses_nothing(kind: JsonValue) -> None:
    plan = await planned(step_of(CALL, interval_seconds=60), page(), kind)

    assert sent(plan) == [new_step(stepType="call", order=1, interval=60)]


DROPPED = "left out FIELD_NOT_SUPPORTED"
FATES = {
    # Columns: automatic e-mail, manual e-mail, call, task, LinkedIn message.
    StepField.NAME: (DROPPED, DROPPED, DROPPED, DROPPED, DROPPED),
    StepField.INTERVAL_SECONDS: ("sent", "sent", "sent", "sent", "sent"),
    StepField.DATE: ("sent", "sent", "sent", "sent", "sent"),
    StepField.TEMPLATE_ID: ("sent", "sent", DROPPED, DROPPED, "sent"),
    StepField.TEMPLATE_CONTENT: ("sent", "sent", DROPPED, DROPPED, "sent"),
    StepField.TEMPLATE_NAME: ("sent", "sent", "left out", "left out", "sent"),
    StepField.TEMPLATE_TO: ("sent", "sent", "left out", "left out", "sent"),
    StepField.TEMPLATE_CC: ("sent", "sent", "left out", "left out", "sent"),
    StepField.TEMPLATE_BCC: ("sent", "sent", "left out", "left out", "sent"),
    StepField.TEMPLATE_CUSTOM_FIELDS: ("sent", "sent", "left out", "left out", "sent"),
    StepField.IS_REPLY: ("sent", "sent", DROPPED, DROPPED, DROPPED),
    StepField.ORDER: ("sent", "sent", "sent", "sent", "sent"),
    StepField.TASK_NOTE: ("sent", "sent", "sent", "sent", "sent"),
    StepField.CUSTOM_FIELDS: ("sent", "sent", "sent", "sent", "sent"),
}


@pytest.mark.parametrize("step_type", StepType)
@pytest.mark.parametrize("field", [field for field in StepField if field is not StepField.TYPE])
async def test_what_becomes_of_each_field(field: StepField, step_type: StepType) -> None:
    without, with_it = pair(step_type, field, "55")
    plans = [
        await planned(step, page(), "interval" if step.date is None else "date")
        for step in (without, with_it)
    ]

    assert fate(plans[0], plans[1], field) == FATES[field][list(StepType).index(step_type)]


def test_field_table_covers_every_type_and_field() -> None:
    assert set(mapping.FIELDS) == set(StepType)
    assert all(set(rules) == set(StepField) for rules in mapping.FIELDS.values())


@pytest.mark.parametrize("step_type", StepType)
async def test_type_is_sent_by_its_own_name(step_type: StepType) -> None:
    plan = await planned(step_of(step_type), page())

    assert sent(plan) == [new_step(stepType=step_type.value, interval=0, order=1)]
    assert ("UNDOCUMENTED_TYPE" in [name for name, _ in warned(plan)]) == (step_type is LINKEDIN)


@pytest.mark.parametrize(
    "sequence_id",
    ["", "abc", "12abc", "0", "007", "-1", "+1", "1.0", "1e3", " 1", "1\n", "١٢", "9" * 19, "../1"],
)
def test_12_id_of_another_form_is_refused(sequence_id: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        OUTREACH.check(request(step_of(CALL), sequence_id))

    assert refusal.value.reason is Reason.INVALID_FIELD
    assert [violation.field for violation in refusal.value.violations] == ["sequence_id"]


@pytest.mark.parametrize("sequence_id", ["1", "4711", "9" * 18])
def test_id_is_accepted(sequence_id: str) -> None:
    assert OUTREACH.check(request(step_of(CALL), sequence_id)) == ()


def test_both_bad_ids_are_named() -> None:
    with pytest.raises(ServiceError) as refusal:
        OUTREACH.check(request(step_of(AUTO_EMAIL, template_id="T1"), "abc"))

    assert [violation.field for violation in refusal.value.violations] == [
        "sequence_id",
        "step.template.id",
    ]


def test_id_of_a_template_that_is_dropped_is_not_checked() -> None:
    warnings = OUTREACH.check(request(step_of(CALL, template_id="T1")))

    assert [warning.field for warning in warnings] == ["step.template.id"]


@pytest.mark.parametrize(
    "key",
    [
        *("stepType", "interval", "date", "order", "taskNote"),
        *("id", "type", "data", "relationships", "api_key"),
    ],
)
def test_custom_field_that_the_mapping_writes_is_refused(key: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        OUTREACH.check(request(step_of(CALL, custom_fields={key: 1, "taskAutoskipDelay": 60})))

    assert refusal.value.reason is Reason.INVALID_FIELD
    assert [violation.field for violation in refusal.value.violations] == [
        f"step.custom_fields.{key}"
    ]


@pytest.mark.parametrize(
    "key",
    [
        *("name", "subject", "bodyHtml", "toRecipients", "ccRecipients", "bccRecipients"),
        *("id", "type", "data", "relationships", "api_key"),
    ],
)
def test_custom_field_of_a_template_that_the_mapping_writes_is_refused(key: str) -> None:
    content = TemplateContent("Hello", "<p>Hi</p>", custom_fields={key: 1, "shareType": "shared"})

    with pytest.raises(ServiceError) as refusal:
        OUTREACH.check(request(step_of(AUTO_EMAIL, template_content=content)))

    assert refusal.value.reason is Reason.INVALID_FIELD
    assert [violation.field for violation in refusal.value.violations] == [
        f"step.template.content.custom_fields.{key}"
    ]


async def test_survey_reads_sequence_steps_and_template_once_each() -> None:
    reader = reader_of(existing_steps(2))

    survey = await OUTREACH.survey(reader, request(step_of(AUTO_EMAIL, template_id="55")))

    assert sorted(reader.calls) == [
        ("/sequenceSteps", {"filter[sequence][id]": "4711", "count": "false"}),
        ("/sequences/4711", {}),
        ("/templates/55", {}),
    ]
    assert survey == Survey(SequenceKind.INTERVAL, {"1": 1, "2": 2})


async def test_survey_does_not_read_a_template_that_is_dropped() -> None:
    reader = reader_of(page())

    await OUTREACH.survey(reader, request(step_of(CALL, template_id="55")))

    assert sorted(reader.paths) == ["/sequenceSteps", "/sequences/4711"]


NOT_READ = ServiceError(Reason.PROVIDER_FORBIDDEN, "no")


@pytest.mark.parametrize(
    ("path", "answer", "reason"),
    [
        ("/sequences/4711", None, Reason.SEQUENCE_NOT_FOUND),
        ("/templates/55", None, Reason.TEMPLATE_NOT_FOUND),
        ("/sequences/4711", NOT_READ, Reason.PROVIDER_FORBIDDEN),
        ("/sequenceSteps", NOT_READ, Reason.PROVIDER_FORBIDDEN),
        ("/templates/55", NOT_READ, Reason.PROVIDER_FORBIDDEN),
    ],
)
async def test_survey_that_cannot_be_made(path: str, answer: Answer, reason: Reason) -> None:
    answers = {
        "/sequences/4711": sequence(),
        "/sequenceSteps": page(),
        "/templates/55": TEMPLATE,
        path: answer,
    }

    with pytest.raises(ServiceError) as failure:
        await OUTREACH.survey(
            ScriptedReader(answers), request(step_of(AUTO_EMAIL, template_id="55"))
        )

    assert failure.value.reason is reason


UNREADABLE_LISTS: list[JsonObject | None] = [
    None,
    {},
    {"data": None},
    {"data": {"id": 1}},
    {"data": [{"type": "sequenceStep", "attributes": {"order": 1}}]},
]


@pytest.mark.parametrize("steps", UNREADABLE_LISTS)
async def test_list_of_steps_that_cannot_be_read_is_no_empty_list(
    steps: JsonObject | None,
) -> None:
    """A snapshot with steps missing would make another's step look new."""
    with pytest.raises(ServiceError):
        await OUTREACH.survey(reader_of(steps), request(step_of(CALL)))


async def test_all_pages_are_read() -> None:
    reader = reader_of(
        [
            page(
                resource(1, order=1),
                following="https://outreach.test/api/v2/sequenceSteps?page%5Bafter%5D=abc%3D",
            ),
            page(resource(2, order=2), following="/sequenceSteps?page[after]=def"),
            page(resource(3, order=3)),
        ]
    )

    survey = await OUTREACH.survey(reader, request(step_of(CALL)))

    assert survey.positions == {"1": 1, "2": 2, "3": 3}
    assert [query.get("page[after]") for path, query in reader.calls if "Steps" in path] == [
        None,
        "abc=",
        "def",
    ]
    assert all(
        query["filter[sequence][id]"] == "4711" for path, query in reader.calls if "Steps" in path
    )


@pytest.mark.parametrize("host", ["https://evil.test", "//evil.test", "file://evil.test"])
async def test_next_page_is_never_read_from_another_host(host: str) -> None:
    reader = reader_of(
        [page(following=f"{host}/steal?page[after]=abc&filter[sequence][id]=1"), page()]
    )

    await OUTREACH.survey(reader, request(step_of(CALL)))

    assert set(reader.paths) == {"/sequences/4711", "/sequenceSteps"}
    next_page = {"filter[sequence][id]": "4711", "count": "false", "page[after]": "abc"}
    assert ("/sequenceSteps", next_page) in reader.calls


async def test_list_without_an_end_is_refused() -> None:
    endless = page(following="/sequenceSteps?page[after]=abc")
    reader = reader_of([endless] * PAGES_MAX)

    with pytest.raises(ServiceError) as refusal:
        await OUTREACH.survey(reader, request(step_of(CALL)))

    assert refusal.value.reason is Reason.PROVIDER_REJECTED


async def test_list_that_breaks_off_is_refused() -> None:
    first = page(resource(1, order=1), following="/sequenceSteps?page[after]=abc")

    with pytest.raises(ServiceError):
        await OUTREACH.survey(reader_of([first, None]), request(step_of(CALL)))


LINKED_EMAIL = step_of(AUTO_EMAIL, interval_seconds=259_200, template_id="55", task_note="Ask")
EMAIL_WITH_CONTENT = step_of(AUTO_EMAIL, template_content=CONTENT)


def test_ids_of_answers_reach_later_calls_as_numbers() -> None:
    make_template, create, link = plan_now(EMAIL_WITH_CONTENT).writes
    ids: dict[str, int | str] = {}
    for write, new_id in ((make_template, 77), (create, 90_210)):
        result = OUTREACH.read_result(write, {"data": {"id": new_id}})
        assert set(result.ids) == set(write.yields)
        ids |= result.ids

    call = bind(link, ids)

    assert (call.write.method, call.path, call.body) == new_link(77, step=90_210)


@pytest.mark.parametrize("new_id", [90_210, "90210"])
def test_new_id_may_be_a_number_or_its_digits(new_id: JsonValue) -> None:
    result = OUTREACH.read_result(plan_now(LINKED_EMAIL).writes[0], {"data": {"id": new_id}})

    assert result.ids == {"step_id": 90_210}


@pytest.mark.parametrize(
    "new_id", [None, "", "abc", 0, -1, 1.5, True, [1], {}, "1/../2", "9" * 5000, 10**30]
)
def test_new_id_of_another_form_is_left_out(new_id: JsonValue) -> None:
    result = OUTREACH.read_result(plan_now(LINKED_EMAIL).writes[0], {"data": {"id": new_id}})

    assert result.ids == {}


@pytest.mark.parametrize("answer", [{}, {"data": None}, {"data": []}, {"errors": []}])
def test_answer_without_an_id_yields_none(answer: JsonObject) -> None:
    assert OUTREACH.read_result(plan_now(LINKED_EMAIL).writes[0], answer).ids == {}


@pytest.mark.parametrize(
    ("enabled", "warnings"),
    [(False, [ProblemType.TEMPLATE_NOT_ENABLED]), (True, []), (None, [])],
)
def test_link_that_is_not_enabled_is_warned_of(
    enabled: JsonValue, warnings: list[ProblemType]
) -> None:
    link = plan_now(LINKED_EMAIL).writes[1]

    result = OUTREACH.read_result(link, {"data": {"id": 3, "attributes": {"enabled": enabled}}})

    assert result.ids == {"link_id": 3}
    assert [warning.problem_type for warning in result.warnings] == warnings


def test_every_write_creates() -> None:
    writes = plan_now(EMAIL_WITH_CONTENT).writes

    assert [write.target for write in writes] == [Target.TEMPLATE, Target.STEP, Target.CONTENT]
    assert not any(write.repeatable for write in writes)


BEFORE = Survey(SequenceKind.INTERVAL, {"1": 1, "2": 2})


def found_step(id_: int = 90_210, **changes: JsonValue) -> dict[str, JsonValue]:
    """Return the step that LINKED_EMAIL makes, as the list shows it."""
    attributes: dict[str, JsonValue] = {
        "stepType": "auto_email",
        "interval": 259_200,
        "date": None,
        "order": 3,
        "taskNote": "Ask",
        **changes,
    }
    relationships: JsonObject = {
        "sequence": {"data": {"type": "sequence", "id": 4711}},
        "sequenceTemplates": {"data": []},
    }
    return {**resource(id_, **attributes), "relationships": relationships}


async def look_for_step(
    *pages: Answer, step: SequenceStep = LINKED_EMAIL, ids: Ids | None = None
) -> tuple[Candidate, ...]:
    call = bind(plan_now(step).writes[0], {})
    reader = ScriptedReader({"/sequenceSteps": list(pages)})
    return await OUTREACH.look(reader, call, frozenset(BEFORE.positions), ids or {})


async def test_14_lost_step_is_found() -> None:
    candidates = await look_for_step(page(resource(1), resource(2), found_step()))

    assert candidates == (Candidate(Fit.FITS, {"step_id": 90_210}),)


@pytest.mark.parametrize(
    ("found", "fit"),
    [
        (found_step(order=9), Fit.FITS),
        (found_step(taskNote="<p>Ask</p>"), Fit.FITS),
        (found_step(taskNote=" <div>Ask<br></div> "), Fit.FITS),
        (found_step(taskNote="Ask them"), Fit.PERHAPS),
        (found_step(taskNote=None), Fit.PERHAPS),
        (found_step(interval=4320), Fit.PERHAPS),
        (found_step(date="2027-01-15"), Fit.PERHAPS),
        (
            {
                **found_step(),
                "relationships": {
                    "sequenceTemplates": {"data": [{"type": "sequenceTemplate", "id": 3}]}
                },
            },
            Fit.PERHAPS,
        ),
        (found_step(stepType="manual_email"), None),
        (found_step(stepType=None), Fit.PERHAPS),
        (found_step(id_=2), None),
    ],
    ids=[
        *("moved", "markup", "more markup", "other note", "no note", "other wait", "date"),
        *("linked", "other type", "no type", "there before"),
    ],
)
async def test_new_step_is_compared_with_the_lost_one(
    found: dict[str, JsonValue], fit: Fit | None
) -> None:
    candidates = await look_for_step(page(found))

    assert [candidate.fit for candidate in candidates] == ([] if fit is None else [fit])


async def test_lost_step_with_a_date_is_found() -> None:
    step = step_of(CALL, date=StepDate(dt.date(2027, 1, 15)))
    found = found_step(stepType="call", interval=None, date="2027-01-15", taskNote=None)

    candidates = await look_for_step(page(found), step=step)

    assert candidates == (Candidate(Fit.FITS, {"step_id": 90_210}),)


async def test_lost_step_is_looked_for_on_all_pages() -> None:
    candidates = await look_for_step(
        page(resource(1), following="/sequenceSteps?page[after]=abc"), page(found_step())
    )

    assert [candidate.ids for candidate in candidates] == [{"step_id": 90_210}]


async def test_every_new_step_is_a_candidate() -> None:
    candidates = await look_for_step(page(found_step(), found_step(id_=90_211, interval=1)))

    assert candidates == (
        Candidate(Fit.FITS, {"step_id": 90_210}),
        Candidate(Fit.PERHAPS, {"step_id": 90_211}),
    )


async def test_own_step_is_looked_for_alone_whatever_it_looks_like() -> None:
    candidates = await look_for_step(
        page(found_step(id_=90_211), found_step(interval=1)), ids={"step_id": 90_210}
    )

    assert candidates == (Candidate(Fit.FITS, {"step_id": 90_210}),)


@pytest.mark.parametrize("steps", UNREADABLE_LISTS)
async def test_look_that_shows_nothing_proves_nothing(steps: JsonObject | None) -> None:
    """Taken for an empty list, it would let the step be made a second time."""
    with pytest.raises(ServiceError):
        await look_for_step(steps)


def found_link(link_id: JsonValue, template: int, **attributes: JsonValue) -> JsonObject:
    return {
        "type": "sequenceTemplate",
        "id": link_id,
        "attributes": attributes,
        "relationships": {"template": {"data": {"type": "template", "id": template}}},
    }


@pytest.mark.parametrize(
    ("links", "candidates"),
    [
        ([], ()),
        (
            [found_link(3, 55, isReply=False, enabled=True)],
            (Candidate(Fit.FITS, {"link_id": 3}),),
        ),
        ([found_link(3, 55, isReply=True)], (Candidate(Fit.PERHAPS, {"link_id": 3}),)),
        ([found_link(3, 56, isReply=False)], ()),
        (
            [found_link(3, 55, isReply=False), found_link(4, 55, isReply=False)],
            (Candidate(Fit.FITS, {"link_id": 3}), Candidate(Fit.FITS, {"link_id": 4})),
        ),
    ],
    ids=["none", "ours", "reply", "other template", "two"],
)
async def test_lost_link_is_looked_for_by_the_step(
    links: list[JsonValue], candidates: tuple[Candidate, ...]
) -> None:
    ids = {"step_id": 90_210}
    reader = ScriptedReader({"/sequenceTemplates": page(*links)})
    call = bind(plan_now(LINKED_EMAIL).writes[1], ids)

    assert await OUTREACH.look(reader, call, frozenset(BEFORE.positions), ids) == candidates
    assert reader.calls == [
        ("/sequenceTemplates", {"filter[sequenceStep][id]": "90210", "count": "false"})
    ]


@pytest.mark.parametrize("links", UNREADABLE_LISTS)
async def test_list_of_links_that_cannot_be_read_is_no_empty_list(
    links: JsonObject | None,
) -> None:
    """A second link would be a second variant of the step."""
    ids = {"step_id": 90_210}
    reader = ScriptedReader({"/sequenceTemplates": links})
    call = bind(plan_now(LINKED_EMAIL).writes[1], ids)

    with pytest.raises(ServiceError):
        await OUTREACH.look(reader, call, frozenset(BEFORE.positions), ids)


def test_own_template_without_a_step_is_removed() -> None:
    write = OUTREACH.undo({"template_id": 77})

    assert write is not None
    assert (write.method, write.path, write.body) == ("DELETE", "/templates/77", None)
    assert (write.target, write.repeatable) == (Target.TEMPLATE, True)


@pytest.mark.parametrize("ids", [{}, {"step_id": 90_210}, {"step_id": 90_210, "template_id": 77}])
def test_13_step_cannot_be_removed(ids: Ids) -> None:
    assert OUTREACH.undo(ids) is None


async def ids_that_come_out_of(steps: JsonObject) -> set[int | str]:
    """Return every id of a survey and a look that read this list; none when they refuse it."""
    try:
        survey = await OUTREACH.survey(reader_of([steps, page()]), request(step_of(CALL)))
        candidates = await look_for_step(steps, page())
    except ServiceError:
        return set()
    OUTREACH.plan(request(step_of(CALL)), survey)
    return {*survey.positions, *(id_ for each in candidates for id_ in each.ids.values())}


async def test_damaged_lists_are_read_or_refused() -> None:
    """No damage breaks a read, and no id of another form gets out of one."""
    whole = page(
        resource(1, stepType="call", order=1),
        found_step(),
        following="https://outreach.test/api/v2/sequenceSteps?page[after]=abc",
    )

    assert await ids_that_come_out_of(whole) == {"1", "90210", 90_210}
    for damaged in every_damage(whole):
        assert await ids_that_come_out_of(damaged) <= {"1", "90210", 90_210}


def error_body(**error: JsonValue) -> bytes:
    return json.dumps({"errors": [error]}).encode()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ({"id": "validationError", "title": "Validation Error", "detail": "No."}, "No."),
        ({"title": "Validation Error", "details": "No."}, "No."),
        ({"title": "Validation Error"}, "Validation Error"),
        ({"detail": "Use <b>bold</b>\nwords"}, "Use bold words"),
        ({}, ""),
    ],
)
def test_refusal_in_the_vendors_words(error: JsonObject, sentence: str) -> None:
    refusal = OUTREACH.explain(ProviderAnswer(422, {}, error_body(**error)))

    assert refusal.sentence == sentence


@pytest.mark.parametrize(
    ("pointer", "field"),
    [
        ("/data/attributes/order", "step.order"),
        ("/data/attributes/interval", "step.interval_seconds"),
        ("/data/attributes/date", "step.date"),
        ("/data/attributes/taskNote", "step.task_note"),
        ("/data/attributes/bodyHtml", "step.template.content.body_html"),
        ("/data/relationships/sequence", "sequence_id"),
        ("/data/relationships/template", "step.template.id"),
        ("/data/attributes/other", ""),
    ],
)
def test_refusal_points_at_the_field(pointer: str, field: str) -> None:
    body = error_body(detail="No.", source={"pointer": pointer})

    assert OUTREACH.explain(ProviderAnswer(422, {}, body)).field == field


@pytest.mark.parametrize("body", HOSTILE_BODIES)
def test_refusal_of_any_body_is_one_short_line(body: bytes) -> None:
    refusal = OUTREACH.explain(ProviderAnswer(422, {}, body))

    assert len(refusal.sentence) <= 300
    assert refusal.sentence.isprintable()
    assert refusal.field == ""
    assert not OUTREACH.is_maintenance(ProviderAnswer(503, {}, body))


@given(st.binary())
def test_refusal_of_random_bytes_is_one_short_line(body: bytes) -> None:
    assert len(OUTREACH.explain(ProviderAnswer(422, {}, body)).sentence) <= 300


def test_maintenance_is_told_from_other_outages() -> None:
    maintenance = error_body(id="scheduledServerMaintenance", title="Maintenance")
    outage = error_body(id="serviceUnavailable", title="Maintenance")

    assert OUTREACH.is_maintenance(ProviderAnswer(503, {}, maintenance))
    assert not OUTREACH.is_maintenance(ProviderAnswer(503, {}, outage))


def test_headers() -> None:
    connection = Connection(
        ConnectionKey("acme", ProviderName("outreach")), ConnectionKind.OAUTH, Secret("token")
    )

    assert OUTREACH.headers(connection) == {
        "authorization": "Bearer token",
        "accept": "application/vnd.api+json",
        "content-type": "application/vnd.api+json",
    }


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/sequences/4711", "sequences.read"),
        ("GET", "/sequenceSteps", "sequenceSteps.read"),
        ("POST", "/sequenceSteps", "sequenceSteps.write"),
        ("POST", "/sequenceTemplates", "sequenceTemplates.write"),
        ("DELETE", "/templates/77", "templates.delete"),
    ],
)
def test_forbidden_names_the_scope_that_is_needed(method: str, path: str, scope: str) -> None:
    assert scope in OUTREACH.permission(method, path)
