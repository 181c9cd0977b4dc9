"""Apollo: each neutral step as exact requests, and what Apollo's answers mean."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from service.domain.plan import Call, Plan, Target, Write, bind, shown
from service.domain.provider_call import ProviderAnswer
from service.domain.step import (
    ConnectionKey,
    ProviderName,
    SequenceStep,
    StepDate,
    StepRequest,
    StepType,
    TemplateContent,
)
from service.domain.survey import SequenceKind, Survey
from service.domain.warnings import ProblemType
from service.providers.apollo import mapping
from service.providers.apollo.adapter import Apollo
from tests.mapping.damaged import HOSTILE_BODIES, every_damage
from tests.mapping.one_field import fate, pair
from tests.mapping.scripted_reader import Answer, ScriptedReader

APOLLO: Provider = Apollo("https://apollo.test/api/v1")

SEQUENCE = "65334c9c2722cd008bde87c3"
LIBRARY_TEMPLATE = "65340d43bd9e6900a3054740"
STEP = "75340d42bd9e6900a305473f"
TOUCH = "75340d43bd9e6900a3054741"
OWN_TEMPLATE = "75340d43bd9e6900a3054742"

CAMPAIGN_PATH = f"/emailer_campaigns/{SEQUENCE}"
TEMPLATE_PATH = f"/emailer_templates/{LIBRARY_TEMPLATE}"
LIBRARY: JsonObject = {
    "emailer_template": {"id": LIBRARY_TEMPLATE, "subject": "Hello", "body_html": "<p>Hi</p>"}
}

AUTO_EMAIL = StepType.AUTO_EMAIL
MANUAL_EMAIL = StepType.MANUAL_EMAIL
CALL = StepType.CALL
TASK = StepType.TASK
LINKEDIN = StepType.LINKEDIN_SEND_MESSAGE


def existing_step(position: int) -> dict[str, JsonValue]:
    return {"id": f"{position:024x}", "type": "call", "position": position}


def campaign(
    *steps: JsonValue,
    by_date: JsonValue = None,
    touches: Sequence[JsonValue] = (),
    templates: Sequence[JsonValue] = (),
) -> dict[str, JsonValue]:
    return {
        "emailer_campaign": {"id": SEQUENCE, "sequence_by_exact_daytime": by_date},
        "emailer_steps": list(steps),
        "emailer_touches": list(touches),
        "emailer_templates": list(templates),
    }


def request(step: SequenceStep, sequence_id: str = SEQUENCE) -> StepRequest:
    return StepRequest(sequence_id, step)


def step_of(step_type: StepType, **fields: Any) -> SequenceStep:
    return SequenceStep(step_type, **fields)


async def planned(step: SequenceStep, read: Answer) -> Plan:
    """Check, survey and plan, with the warnings of all three."""
    reader = ScriptedReader({CAMPAIGN_PATH: read, TEMPLATE_PATH: LIBRARY})
    warnings = APOLLO.check(request(step))
    survey = await APOLLO.survey(reader, request(step))
    plan = APOLLO.plan(request(step), survey)
    return Plan(plan.writes, (*warnings, *plan.warnings))


def sent(plan: Plan) -> list[tuple[str, str, JsonObject | None]]:
    return [(write.method, write.path, shown(write)) for write in plan.writes]


def warned(plan: Plan) -> list[tuple[str, str]]:
    return [(warning.problem_type.name, warning.field) for warning in plan.warnings]


def plan_now(step: SequenceStep, survey: Survey | None = None) -> Plan:
    return APOLLO.plan(request(step), survey or Survey(SequenceKind.INTERVAL, {}))


def step_body(step: SequenceStep, survey: Survey | None = None) -> Mapping[str, object]:
    body = plan_now(step, survey).writes[0].body
    assert body is not None
    return body


def new_step(**body: JsonValue) -> tuple[str, str, JsonObject]:
    return ("POST", "/emailer_steps", {"emailer_campaign_id": SEQUENCE, **body})


def message(subject: str, *, thread: str = "new_thread") -> tuple[str, str, JsonObject]:
    template: JsonObject = {
        "id": "{touch_template_id}",
        "subject": subject,
        "body_html": "<p>Hi</p>",
    }
    body: JsonObject = {
        "id": "{touch_id}",
        "emailer_step_id": "{step_id}",
        "type": thread,
        "emailer_template": template,
    }
    return ("PUT", "/emailer_touches/{touch_id}", body)


COPIED = ("TEMPLATE_COPIED", "step.template.id")
ROUNDED = ("INTERVAL_ROUNDED", "step.interval_seconds")
SUBJECT_DROPPED = ("FIELD_NOT_SUPPORTED", "step.template.content.subject")


@pytest.mark.parametrize(
    ("step", "step_count", "calls", "warnings"),
    [
        pytest.param(
            step_of(AUTO_EMAIL, interval_seconds=259_200, order=2, template_id=LIBRARY_TEMPLATE),
            1,
            [
                new_step(type="auto_email", position=2, wait_time=3, wait_mode="day"),
                message("Hello"),
            ],
            [COPIED],
            id="28 e-mail with a template",
        ),
        pytest.param(
            step_of(
                AUTO_EMAIL,
                interval_seconds=259_200,
                order=2,
                template_id=LIBRARY_TEMPLATE,
                is_reply=True,
            ),
            1,
            [
                new_step(type="auto_email", position=2, wait_time=3, wait_mode="day"),
                message("", thread="reply_to_thread"),
            ],
            [COPIED],
            id="29 reply",
        ),
        pytest.param(
            step_of(MANUAL_EMAIL, interval_seconds=5400),
            0,
            [new_step(type="manual_email", position=1, wait_time=90, wait_mode="minute")],
            [("TEMPLATE_MISSING", "step.template")],
            id="30 e-mail without a message",
        ),
        pytest.param(
            step_of(CALL, interval_seconds=90_000, task_note="Ask", order=3),
            2,
            [new_step(type="call", position=3, wait_time=25, wait_mode="hour", note="Ask")],
            [],
            id="31 call",
        ),
        pytest.param(
            step_of(TASK, interval_seconds=0, task_note="Blog", order=4),
            3,
            [
                new_step(
                    type="action_item", position=4, wait_time=0, wait_mode="minute", note="Blog"
                )
            ],
            [],
            id="32 task",
        ),
        pytest.param(
            step_of(LINKEDIN, template_id=LIBRARY_TEMPLATE, order=5),
            4,
            [
                new_step(type="linkedin_step_message", position=5, wait_time=0, wait_mode="minute"),
                message(""),
            ],
            [COPIED],
            id="33 LinkedIn message",
        ),
        pytest.param(
            step_of(CALL, interval_seconds=90),
            0,
            [new_step(type="call", position=1, wait_time=2, wait_mode="minute")],
            [ROUNDED],
            id="34 seconds are rounded up",
        ),
        pytest.param(
            step_of(CALL, name="Intro", template_id=LIBRARY_TEMPLATE),
            0,
            [new_step(type="call", position=1, wait_time=0, wait_mode="minute")],
            [
                ("FIELD_NOT_SUPPORTED", "step.name"),
                ("FIELD_NOT_SUPPORTED", "step.template.id"),
            ],
            id="35 call with name and template",
        ),
        pytest.param(
            step_of(CALL),
            3,
            [new_step(type="call", position=4, wait_time=0, wait_mode="minute")],
            [],
            id="39 no order",
        ),
        pytest.param(
            step_of(AUTO_EMAIL, template_content=TemplateContent("Hello", "<p>Hi</p>")),
            0,
            [
                new_step(type="auto_email", position=1, wait_time=0, wait_mode="minute"),
                message("Hello"),
            ],
            [],
            id="inline content",
        ),
        pytest.param(
            step_of(AUTO_EMAIL, custom_fields={"priority": "high", "max_emails_per_day": 5}),
            0,
            [
                new_step(
                    priority="high",
                    max_emails_per_day=5,
                    type="auto_email",
                    position=1,
                    wait_time=0,
                    wait_mode="minute",
                )
            ],
            [("TEMPLATE_MISSING", "step.template")],
            id="custom fields",
        ),
    ],
)
async def test_step_becomes_these_calls(
    step: SequenceStep,
    step_count: int,
    calls: list[tuple[str, str, JsonObject]],
    warnings: list[tuple[str, str]],
) -> None:
    plan = await planned(step, campaign(*map(existing_step, range(1, step_count + 1))))

    assert sent(plan) == calls
    assert warned(plan) == warnings


async def test_36_date_on_a_sequence_that_waits_is_refused() -> None:
    step = step_of(AUTO_EMAIL, date=StepDate(dt.date(2027, 1, 15)))

    with pytest.raises(ServiceError) as refusal:
        await planned(step, campaign())

    assert refusal.value.reason is Reason.SEQUENCE_KIND_MISMATCH
    assert [violation.field for violation in refusal.value.violations] == ["step.date"]


@pytest.mark.parametrize(
    ("step", "field"),
    [
        (step_of(CALL, interval_seconds=60), "step.interval_seconds"),
        (step_of(CALL), "step.date"),
    ],
    ids=["interval", "neither"],
)
async def test_wait_on_a_sequence_of_dates_is_refused(step: SequenceStep, field: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        await planned(step, campaign(by_date=True))

    assert refusal.value.reason is Reason.SEQUENCE_KIND_MISMATCH
    assert [violation.field for violation in refusal.value.violations] == [field]


BERLIN = dt.timezone(dt.timedelta(hours=1))
NEPAL = dt.timezone(dt.timedelta(hours=5, minutes=45))


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (dt.datetime(2027, 1, 15, 9, 30, tzinfo=dt.UTC), "2027-01-15T09:30:00.000+00:00"),
        (dt.datetime(2027, 1, 15, 9, 30, tzinfo=BERLIN), "2027-01-15T08:30:00.000+00:00"),
        (dt.datetime(2027, 1, 15, 1, 0, tzinfo=NEPAL), "2027-01-14T19:15:00.000+00:00"),
        (
            dt.datetime(2027, 1, 15, 9, 30, 1, 250_000, tzinfo=dt.UTC),
            "2027-01-15T09:30:01.250+00:00",
        ),
    ],
)
async def test_date_time_is_sent_in_utc(moment: dt.datetime, written: str) -> None:
    plan = await planned(
        step_of(CALL, date=StepDate(moment.date(), moment)), campaign(by_date=True)
    )

    body = new_step(
        type="call", position=1, wait_time=0, wait_mode="minute", exact_datetime=written
    )
    assert sent(plan) == [body]
    assert plan.warnings == ()


async def test_date_alone_becomes_midnight_utc() -> None:
    plan = await planned(step_of(CALL, date=StepDate(dt.date(2027, 1, 15))), campaign(by_date=True))

    body = new_step(
        type="call",
        position=1,
        wait_time=0,
        wait_mode="minute",
        exact_datetime="2027-01-15T00:00:00.000+00:00",
    )
    assert sent(plan) == [body]
    assert warned(plan) == [("TIME_CHOSEN", "step.date")]


@pytest.mark.parametrize(
    ("flag", "kind"),
    [
        (True, SequenceKind.DATE),
        (False, SequenceKind.INTERVAL),
        (None, SequenceKind.INTERVAL),
        ("sometimes", None),
    ],
)
async def test_kind_of_the_sequence(flag: JsonValue, kind: SequenceKind | None) -> None:
    reader = ScriptedReader({CAMPAIGN_PATH: campaign(existing_step(1), by_date=flag)})

    survey = await APOLLO.survey(reader, request(step_of(CALL)))

    assert survey == Survey(kind, {f"{1:024x}": 1})


@pytest.mark.parametrize(
    ("seconds", "wait", "warnings"),
    [
        (0, (0, "minute"), []),
        (1, (1, "minute"), [ROUNDED]),
        (59, (1, "minute"), [ROUNDED]),
        (60, (1, "minute"), []),
        (61, (2, "minute"), [ROUNDED]),
        (3540, (59, "minute"), []),
        (3541, (1, "hour"), [ROUNDED]),
        (3600, (1, "hour"), []),
        (3660, (61, "minute"), []),
        (86_399, (1, "day"), [ROUNDED]),
        (86_400, (1, "day"), []),
        (90_000, (25, "hour"), []),
        (157_680_000, (1825, "day"), []),
    ],
)
def test_wait_is_the_largest_whole_unit(
    seconds: int, wait: tuple[int, str], warnings: list[tuple[str, str]]
) -> None:
    plan = plan_now(step_of(CALL, interval_seconds=seconds))

    body = plan.writes[0].body
    assert body is not None
    assert (body["wait_time"], body["wait_mode"]) == wait
    assert warned(plan) == warnings


@given(st.integers(0, 157_680_000))
def test_wait_is_never_shorter_and_less_than_a_minute_longer(seconds: int) -> None:
    body = step_body(step_of(CALL, interval_seconds=seconds))

    unit_seconds = {"minute": 60, "hour": 3600, "day": 86_400}[str(body["wait_mode"])]
    assert isinstance(body["wait_time"], int)
    assert seconds <= body["wait_time"] * unit_seconds < seconds + 60


@pytest.mark.parametrize(
    ("taken", "order", "position", "warnings"),
    [
        ([], None, 1, []),
        ([], 1, 1, []),
        ([1, 2, 3], 4, 4, []),
        ([1, 3], 2, 2, []),
        ([1, 3], None, 4, []),
        ([1, 2], 4, 3, [("POSITION_CHOSEN", "step.order")]),
        ([], 1000, 1, [("POSITION_CHOSEN", "step.order")]),
        ([None], None, 1, []),
    ],
)
def test_position(
    taken: list[int | None], order: int | None, position: int, warnings: list[tuple[str, str]]
) -> None:
    survey = Survey(SequenceKind.INTERVAL, {str(index): each for index, each in enumerate(taken)})

    plan = plan_now(step_of(CALL, order=order), survey)

    assert plan.writes[0].body is not None
    assert plan.writes[0].body["position"] == position
    assert warned(plan) == warnings


def test_taken_position_is_refused_with_the_next_free_one() -> None:
    survey = Survey(SequenceKind.INTERVAL, {"a": 1, "b": 2})

    with pytest.raises(ServiceError) as refusal:
        plan_now(step_of(CALL, order=1), survey)

    assert refusal.value.reason is Reason.POSITION_TAKEN
    assert refusal.value.metadata == {"freePosition": "3"}
    assert [violation.field for violation in refusal.value.violations] == ["step.order"]
    assert "3" in refusal.value.message


DROPPED = "left out FIELD_NOT_SUPPORTED"
COPY = "sent TEMPLATE_COPIED"
UNDOCUMENTED = "sent UNDOCUMENTED_FIELD"
FATES = {
    # Columns: automatic e-mail, manual e-mail, call, task, LinkedIn message.
    StepField.NAME: (DROPPED, DROPPED, DROPPED, DROPPED, DROPPED),
    StepField.INTERVAL_SECONDS: ("sent", "sent", "sent", "sent", "sent"),
    StepField.DATE: ("sent TIME_CHOSEN",) * 5,
    StepField.TEMPLATE_ID: (COPY, COPY, DROPPED, DROPPED, COPY),
    StepField.TEMPLATE_CONTENT: ("sent", "sent", DROPPED, DROPPED, "sent"),
    StepField.TEMPLATE_NAME: (DROPPED, DROPPED, "left out", "left out", DROPPED),
    StepField.TEMPLATE_TO: (DROPPED, DROPPED, "left out", "left out", DROPPED),
    StepField.TEMPLATE_CC: (DROPPED, DROPPED, "left out", "left out", DROPPED),
    StepField.TEMPLATE_BCC: (DROPPED, DROPPED, "left out", "left out", DROPPED),
    StepField.TEMPLATE_CUSTOM_FIELDS: (DROPPED, DROPPED, "left out", "left out", DROPPED),
    StepField.IS_REPLY: ("sent", "sent", DROPPED, DROPPED, DROPPED),
    StepField.ORDER: ("sent", "sent", "sent", "sent", "sent"),
    StepField.TASK_NOTE: (UNDOCUMENTED, UNDOCUMENTED, "sent", "sent", "sent"),
    StepField.CUSTOM_FIELDS: ("sent", "sent", "sent", "sent", "sent"),
}


@pytest.mark.parametrize("step_type", StepType)
@pytest.mark.parametrize("field", [field for field in StepField if field is not StepField.TYPE])
async def test_what_becomes_of_each_field(field: StepField, step_type: StepType) -> None:
    without, with_it = pair(step_type, field, LIBRARY_TEMPLATE)
    plans = [
        await planned(step, campaign(existing_step(8), by_date=step.date is not None))
        for step in (without, with_it)
    ]

    assert fate(plans[0], plans[1], field) == FATES[field][list(StepType).index(step_type)]


def test_field_table_covers_every_type_and_field() -> None:
    assert set(mapping.FIELDS) == set(StepType)
    assert all(set(rules) == set(StepField) for rules in mapping.FIELDS.values())


@pytest.mark.parametrize(
    ("step_type", "type_sent"),
    [
        (AUTO_EMAIL, "auto_email"),
        (MANUAL_EMAIL, "manual_email"),
        (CALL, "call"),
        (TASK, "action_item"),
        (LINKEDIN, "linkedin_step_message"),
    ],
)
def test_type(step_type: StepType, type_sent: str) -> None:
    assert step_body(step_of(step_type))["type"] == type_sent
    assert all(each.field != "step.type" for each in APOLLO.check(request(step_of(step_type))))


@pytest.mark.parametrize(
    ("step_type", "thread", "subject", "warnings"),
    [
        (AUTO_EMAIL, "new_thread", "Hello", []),
        (AUTO_EMAIL, "reply_to_thread", "", [SUBJECT_DROPPED]),
        (LINKEDIN, "new_thread", "", [SUBJECT_DROPPED]),
    ],
)
async def test_subject_of_replies_and_linkedin_messages_is_dropped(
    step_type: StepType, thread: str, subject: str, warnings: list[tuple[str, str]]
) -> None:
    step = step_of(
        step_type,
        template_content=TemplateContent("Hello", "<p>Hi</p>"),
        is_reply=thread == "reply_to_thread",
    )
    plan = await planned(step, campaign())

    assert sent(plan)[1] == message(subject, thread=thread)
    assert warned(plan) == warnings


async def test_empty_subject_of_a_reply_is_not_warned_of() -> None:
    content = TemplateContent("", "<p>Hi</p>")
    plan = await planned(step_of(AUTO_EMAIL, template_content=content, is_reply=True), campaign())

    assert plan.warnings == ()


async def test_reply_without_a_message_cannot_be_written() -> None:
    plan = await planned(step_of(AUTO_EMAIL, is_reply=True), campaign())

    assert len(plan.writes) == 1
    assert warned(plan) == [
        ("TEMPLATE_MISSING", "step.template"),
        ("FIELD_NOT_SUPPORTED", "step.is_reply"),
    ]


@pytest.mark.parametrize(
    "sequence_id",
    [
        "",
        "4711",
        SEQUENCE[:-1],
        SEQUENCE + "0",
        SEQUENCE.upper(),
        SEQUENCE + "\n",
        "../" + SEQUENCE,
    ],
)
def test_sequence_id_of_another_form_is_refused(sequence_id: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        APOLLO.check(request(step_of(CALL), sequence_id))

    assert refusal.value.reason is Reason.INVALID_FIELD
    assert [violation.field for violation in refusal.value.violations] == ["sequence_id"]


def test_both_bad_ids_are_named() -> None:
    with pytest.raises(ServiceError) as refusal:
        APOLLO.check(request(step_of(AUTO_EMAIL, template_id="55"), "4711"))

    assert [violation.field for violation in refusal.value.violations] == [
        "sequence_id",
        "step.template.id",
    ]


def test_id_of_a_template_that_is_dropped_is_not_checked() -> None:
    warnings = APOLLO.check(request(step_of(CALL, template_id="55")))

    assert [warning.field for warning in warnings] == ["step.template.id"]


@pytest.mark.parametrize(
    "key",
    [
        *("emailer_campaign_id", "type", "position", "wait_time", "wait_mode", "exact_datetime"),
        *("note", "id", "data", "relationships", "api_key", "emailer_step", "emailer_touch"),
        *("emailer_touches", "emailer_template", "emailer_templates", "emailer_template_id"),
    ],
)
def test_custom_field_that_the_mapping_writes_is_refused(key: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        APOLLO.check(request(step_of(CALL, custom_fields={key: 1, "priority": "high"})))

    assert refusal.value.reason is Reason.INVALID_FIELD
    assert [violation.field for violation in refusal.value.violations] == [
        f"step.custom_fields.{key}"
    ]


async def test_survey_reads_sequence_and_template_once_each() -> None:
    reader = ScriptedReader(
        {CAMPAIGN_PATH: campaign(existing_step(1), existing_step(2)), TEMPLATE_PATH: LIBRARY}
    )

    survey = await APOLLO.survey(reader, request(step_of(AUTO_EMAIL, template_id=LIBRARY_TEMPLATE)))

    assert sorted(reader.calls) == [(CAMPAIGN_PATH, {}), (TEMPLATE_PATH, {})]
    assert survey.positions == {f"{1:024x}": 1, f"{2:024x}": 2}
    assert survey.template == TemplateContent("Hello", "<p>Hi</p>")


async def test_survey_does_not_read_a_template_that_is_dropped() -> None:
    reader = ScriptedReader({CAMPAIGN_PATH: campaign()})

    await APOLLO.survey(reader, request(step_of(CALL, template_id=LIBRARY_TEMPLATE)))

    assert reader.paths == [CAMPAIGN_PATH]


NOT_READ = ServiceError(Reason.PROVIDER_FORBIDDEN, "no")


@pytest.mark.parametrize(
    ("campaign_read", "template_read", "reason"),
    [
        (None, LIBRARY, Reason.SEQUENCE_NOT_FOUND),
        (campaign(), None, Reason.TEMPLATE_NOT_FOUND),
        (NOT_READ, LIBRARY, Reason.PROVIDER_FORBIDDEN),
        (campaign(), NOT_READ, Reason.PROVIDER_FORBIDDEN),
        ({}, LIBRARY, Reason.PROVIDER_UNAVAILABLE),
        (campaign(), {}, Reason.PROVIDER_UNAVAILABLE),
        (campaign({"type": "call"}), LIBRARY, Reason.PROVIDER_UNAVAILABLE),
        (campaign({"id": "../../x"}), LIBRARY, Reason.PROVIDER_UNAVAILABLE),
        ({"emailer_campaign": {"num_steps": 3}}, LIBRARY, Reason.PROVIDER_UNAVAILABLE),
    ],
)
async def test_survey_that_cannot_be_made(
    campaign_read: Answer, template_read: Answer, reason: Reason
) -> None:
    reader = ScriptedReader({CAMPAIGN_PATH: campaign_read, TEMPLATE_PATH: template_read})

    with pytest.raises(ServiceError) as failure:
        await APOLLO.survey(reader, request(step_of(AUTO_EMAIL, template_id=LIBRARY_TEMPLATE)))

    assert failure.value.reason is reason


@pytest.mark.parametrize("steps", [None, []])
async def test_sequence_without_steps(steps: JsonValue) -> None:
    about: JsonObject = {"id": SEQUENCE, "num_steps": 0}
    read: JsonObject = {"emailer_campaign": about, "emailer_steps": steps}

    plan = await planned(step_of(CALL), read)

    assert plan.writes[0].body is not None
    assert plan.writes[0].body["position"] == 1


EMAIL_STEP = step_of(
    AUTO_EMAIL, interval_seconds=259_200, template_content=TemplateContent("Hello", "<p>Hi</p>")
)
STEP_ANSWER: dict[str, JsonValue] = {
    "emailer_step": {"id": STEP, "emailer_campaign_id": SEQUENCE, "position": 1},
    "emailer_touch": {
        "id": TOUCH,
        "emailer_step_id": STEP,
        "emailer_template_id": OWN_TEMPLATE,
        "status": "to_be_reviewed",
    },
    "emailer_template": {"id": OWN_TEMPLATE, "subject": None, "body_html": ""},
}
ALL_IDS = {
    "step_id": STEP,
    "sequence_id": SEQUENCE,
    "touch_id": TOUCH,
    "touch_template_id": OWN_TEMPLATE,
}


def test_new_step_answers_with_all_that_the_message_needs() -> None:
    create, write_message = plan_now(EMAIL_STEP).writes

    result = APOLLO.read_result(create, STEP_ANSWER)
    call = bind(write_message, result.ids)

    assert result.ids == ALL_IDS
    assert set(create.yields) == set(result.ids)
    assert result.warnings == ()
    assert call.path == f"/emailer_touches/{TOUCH}"
    assert call.body == {
        "id": TOUCH,
        "emailer_step_id": STEP,
        "type": "new_thread",
        "emailer_template": {"id": OWN_TEMPLATE, "subject": "Hello", "body_html": "<p>Hi</p>"},
    }


@pytest.mark.parametrize(
    ("answer", "ids"),
    [
        ({"emailer_step": {"id": STEP}}, {"step_id": STEP, "sequence_id": SEQUENCE}),
        (
            {**STEP_ANSWER, "emailer_touch": None, "emailer_template": None},
            {"step_id": STEP, "sequence_id": SEQUENCE},
        ),
        ({**STEP_ANSWER, "emailer_touch": {"id": TOUCH}}, ALL_IDS),
        ({}, {}),
        ({**STEP_ANSWER, "emailer_step": {"id": "12"}}, {}),
        ({**STEP_ANSWER, "emailer_step": {"id": f"{STEP}/../.."}}, {}),
        ({**STEP_ANSWER, "emailer_step": {"id": 12}}, {}),
        ({**STEP_ANSWER, "emailer_step": [STEP]}, {}),
    ],
    ids=["bare", "null", "template aside", "empty", "short", "path", "number", "list"],
)
def test_ids_that_an_answer_does_not_hold_are_left_out(
    answer: JsonObject, ids: dict[str, str]
) -> None:
    assert APOLLO.read_result(plan_now(EMAIL_STEP).writes[0], answer).ids == ids


def test_step_without_a_message_yields_its_id_alone() -> None:
    write = plan_now(step_of(MANUAL_EMAIL)).writes[0]

    result = APOLLO.read_result(write, STEP_ANSWER)

    assert write.yields == ("step_id",)
    assert result.ids == {"step_id": STEP}
    assert result.warnings == ()


def test_only_the_step_creates() -> None:
    create, write_message = plan_now(EMAIL_STEP).writes

    assert (create.target, create.repeatable) == (Target.STEP, False)
    assert (write_message.target, write_message.repeatable) == (Target.CONTENT, True)


NEEDS_APPROVAL = [ProblemType.NEEDS_APPROVAL]


@pytest.mark.parametrize(
    ("answer", "warnings"),
    [
        ({"emailer_touch": {"id": TOUCH, "status": "to_be_reviewed"}}, NEEDS_APPROVAL),
        ({"emailer_touch": {"id": TOUCH, "status": "approved"}}, []),
        ({"emailer_touch": {"id": TOUCH}}, NEEDS_APPROVAL),
        ({}, NEEDS_APPROVAL),
    ],
)
def test_message_that_is_not_shown_as_approved_is_warned_of(
    answer: JsonObject, warnings: list[ProblemType]
) -> None:
    result = APOLLO.read_result(plan_now(EMAIL_STEP).writes[1], answer)

    assert [warning.problem_type for warning in result.warnings] == warnings


def found_step(**changes: JsonValue) -> dict[str, JsonValue]:
    """Return the step that EMAIL_STEP makes, as a read of the campaign shows it."""
    return {
        "id": STEP,
        "type": "auto_email",
        "position": 1,
        "wait_time": 3,
        "wait_mode": "day",
        "note": None,
        "exact_datetime": None,
        **changes,
    }


FOUND_TOUCH: JsonObject = {
    "id": TOUCH,
    "emailer_step_id": STEP,
    "emailer_template_id": OWN_TEMPLATE,
}
EMPTY_TEMPLATE: JsonObject = {"id": OWN_TEMPLATE, "subject": None, "body_html": ""}


def shown_campaign(
    *steps: JsonValue,
    touches: Sequence[JsonValue] = (FOUND_TOUCH,),
    templates: Sequence[JsonValue] = (EMPTY_TEMPLATE,),
) -> JsonObject:
    return campaign(existing_step(1), *steps, touches=touches, templates=templates)


BEFORE = Survey(SequenceKind.INTERVAL, {f"{1:024x}": 1})


async def look(
    read: Answer, step: SequenceStep = EMAIL_STEP, survey: Survey = BEFORE, **ids: str
) -> tuple[Candidate, ...]:
    call = bind(plan_now(step, replace(survey, kind=None)).writes[0], {})
    reader = ScriptedReader({CAMPAIGN_PATH: read})
    return await APOLLO.look(reader, call, frozenset(survey.positions), ids)


async def test_38_lost_step_is_found_with_its_touch() -> None:
    assert await look(shown_campaign(found_step())) == (Candidate(Fit.FITS, ALL_IDS),)


async def test_step_whose_touch_is_not_shown_yet_is_found_without_it() -> None:
    candidates = await look(shown_campaign(found_step(), touches=(), templates=()))

    assert candidates == (Candidate(Fit.FITS, {"step_id": STEP, "sequence_id": SEQUENCE}),)


@pytest.mark.parametrize(
    ("found", "fit"),
    [
        (found_step(position=9), Fit.FITS),
        (found_step(wait_time=72, wait_mode="hour"), Fit.FITS),
        (found_step(note=""), Fit.FITS),
        (found_step(wait_time=4), Fit.PERHAPS),
        (found_step(wait_mode="week"), Fit.PERHAPS),
        (found_step(wait_mode=["day"]), Fit.PERHAPS),
        (found_step(wait_time="3"), Fit.PERHAPS),
        (found_step(note="Somebody else's"), Fit.PERHAPS),
        (found_step(exact_datetime="2027-01-15T00:00:00.000+00:00"), Fit.PERHAPS),
        (found_step(type="manual_email"), None),
        (found_step(type=None), None),
        (found_step(id=f"{1:024x}"), None),
    ],
)
async def test_new_step_is_compared_with_the_lost_one(
    found: dict[str, JsonValue], fit: Fit | None
) -> None:
    read = campaign(found, touches=[FOUND_TOUCH], templates=[EMPTY_TEMPLATE])

    assert [candidate.fit for candidate in await look(read)] == ([] if fit is None else [fit])


@pytest.mark.parametrize(
    ("touches", "templates"),
    [
        ([FOUND_TOUCH], [{**EMPTY_TEMPLATE, "body_html": "<p>Written</p>"}]),
        ([FOUND_TOUCH], [{**EMPTY_TEMPLATE, "body_html": '<img src="https://x.test">'}]),
        ([FOUND_TOUCH], [{**EMPTY_TEMPLATE, "subject": "Written"}]),
        ([FOUND_TOUCH], []),
        ([{**FOUND_TOUCH, "emailer_template_id": None}], [EMPTY_TEMPLATE]),
        ([FOUND_TOUCH, {**FOUND_TOUCH, "id": "9" * 24}], [EMPTY_TEMPLATE]),
    ],
    ids=["body", "picture", "subject", "template not listed", "no template", "two touches"],
)
async def test_step_that_somebody_may_have_written_is_not_adopted(
    touches: list[JsonValue], templates: list[JsonValue]
) -> None:
    candidates = await look(shown_campaign(found_step(), touches=touches, templates=templates))

    assert [candidate.fit for candidate in candidates] == [Fit.PERHAPS]


async def test_touches_of_other_steps_do_not_count() -> None:
    other = {"id": "9" * 24, "emailer_step_id": f"{1:024x}", "emailer_template_id": "8" * 24}
    read = shown_campaign(found_step(), touches=[other, FOUND_TOUCH])

    assert await look(read) == (Candidate(Fit.FITS, ALL_IDS),)


@pytest.mark.parametrize(
    ("note", "found_note"),
    [("Ask", "<div>Ask</div>"), ("a & b", "a &amp; b"), ("Ask\nthem", " Ask <br>them ")],
)
async def test_note_is_compared_without_markup(note: str, found_note: str) -> None:
    step = step_of(CALL, task_note=note)
    found = found_step(type="call", wait_time=0, wait_mode="minute", note=found_note)

    candidates = await look(campaign(found), step)

    assert [candidate.fit for candidate in candidates] == [Fit.FITS]


async def test_no_wait_may_come_back_in_another_unit() -> None:
    found = found_step(type="call", wait_time=0, wait_mode="second")

    candidates = await look(campaign(found), step_of(CALL))

    assert [candidate.fit for candidate in candidates] == [Fit.FITS]


@pytest.mark.parametrize(
    ("found_moment", "fit"),
    [
        ("2027-01-15T08:30:00.000+00:00", Fit.FITS),
        ("2027-01-15T08:30:00Z", Fit.FITS),
        ("2027-01-15T10:30:00+02:00", Fit.FITS),
        ("2027-01-15T09:30:00Z", Fit.PERHAPS),
        ("2027-01-15T08:30:00", Fit.PERHAPS),
        ("in January", Fit.PERHAPS),
        (None, Fit.PERHAPS),
        (1_800_000_000, Fit.PERHAPS),
    ],
)
async def test_date_is_compared_as_a_moment(found_moment: JsonValue, fit: Fit) -> None:
    moment = dt.datetime(2027, 1, 15, 9, 30, tzinfo=BERLIN)
    step = step_of(CALL, date=StepDate(moment.date(), moment))
    found = found_step(type="call", wait_time=0, wait_mode="minute", exact_datetime=found_moment)

    candidates = await look(campaign(found), step)

    assert [candidate.fit for candidate in candidates] == [fit]


async def test_every_new_step_is_a_candidate() -> None:
    second = found_step(id="8" * 24, wait_time=5)

    candidates = await look(shown_campaign(found_step(), second))

    assert [(each.fit, each.ids["step_id"]) for each in candidates] == [
        (Fit.FITS, STEP),
        (Fit.PERHAPS, "8" * 24),
    ]


async def test_own_step_is_looked_for_alone_whatever_it_looks_like() -> None:
    changed = found_step(wait_time=9, type="call")
    read = shown_campaign(changed, found_step(id="8" * 24))

    assert await look(read, step_id=STEP) == (Candidate(Fit.FITS, ALL_IDS),)


async def test_which_of_two_touches_is_ours_is_not_guessed() -> None:
    read = shown_campaign(found_step(), touches=[FOUND_TOUCH, {**FOUND_TOUCH, "id": "9" * 24}])

    candidates = await look(read, step_id=STEP)

    assert candidates == (Candidate(Fit.FITS, {"step_id": STEP, "sequence_id": SEQUENCE}),)


async def test_own_step_that_is_gone() -> None:
    assert await look(shown_campaign(found_step(id="8" * 24)), step_id=STEP) == ()


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        (None, Reason.SEQUENCE_NOT_FOUND),
        ({}, Reason.PROVIDER_UNAVAILABLE),
        (campaign({"id": 5}), Reason.PROVIDER_UNAVAILABLE),
        (NOT_READ, Reason.PROVIDER_FORBIDDEN),
    ],
)
async def test_look_that_shows_nothing_proves_nothing(read: Answer, reason: Reason) -> None:
    with pytest.raises(ServiceError) as failure:
        await look(read)

    assert failure.value.reason is reason


def undo_write() -> Write:
    write = APOLLO.undo(ALL_IDS)
    assert write is not None
    return write


def test_37_refused_message_is_undone_by_removing_the_step() -> None:
    write = undo_write()

    assert (write.target, write.repeatable, write.yields) == (Target.STEP, True, ())
    assert bind(write, ALL_IDS) == Call(write, f"/emailer_steps/{STEP}", None)
    assert APOLLO.read_result(write, {"emailer_step": {"id": STEP, "deleted": True}}).ids == {}


def test_nothing_is_undone_before_the_step_is_there() -> None:
    assert APOLLO.undo({}) is None


@pytest.mark.parametrize(
    ("steps", "candidates"),
    [([found_step()], (Candidate(Fit.FITS, ALL_IDS),)), ([], ())],
    ids=["still there", "gone"],
)
async def test_undo_is_looked_for_in_the_sequence(
    steps: list[JsonValue], candidates: tuple[Candidate, ...]
) -> None:
    """The write holds no sequence id; it comes with the ids of the step's own answer."""
    reader = ScriptedReader({CAMPAIGN_PATH: shown_campaign(*steps)})
    call = bind(undo_write(), ALL_IDS)

    assert await APOLLO.look(reader, call, frozenset(BEFORE.positions), ALL_IDS) == candidates


async def ids_that_come_out_of(read: JsonObject) -> set[int | str]:
    """Return every id of a survey and a look that read this; none when they refuse it."""
    reader = ScriptedReader({CAMPAIGN_PATH: read})
    try:
        survey = await APOLLO.survey(reader, request(step_of(CALL)))
        candidates = await look(read)
    except ServiceError:
        return set()
    APOLLO.plan(request(step_of(CALL)), replace(survey, kind=None))
    return {*survey.positions, *(id_ for each in candidates for id_ in each.ids.values())}


async def test_damaged_answers_are_read_or_refused() -> None:
    """No damage breaks a read, and no id of another form gets out of one."""
    whole = shown_campaign(found_step())
    known = {STEP, SEQUENCE, TOUCH, OWN_TEMPLATE, f"{1:024x}"}

    assert await ids_that_come_out_of(whole) == known
    for damaged in every_damage(whole):
        assert await ids_that_come_out_of(damaged) <= known


def test_damaged_results_are_read_without_foreign_ids() -> None:
    create, write_message = plan_now(EMAIL_STEP).writes
    for answer in every_damage(STEP_ANSWER):
        ids = APOLLO.read_result(create, answer).ids
        assert set(ids.items()) <= set(ALL_IDS.items())
        assert APOLLO.read_result(write_message, answer).ids == {}


@pytest.mark.parametrize(
    ("content_type", "body", "sentence"),
    [
        (
            "application/json",
            b'{"error":"This API key is not authorized.","error_code":"API_INACCESSIBLE"}',
            "This API key is not authorized. (API_INACCESSIBLE)",
        ),
        (
            "application/json",
            b'{"message":"This endpoint is only available to Apollo users on paid plans."}',
            "This endpoint is only available to Apollo users on paid plans.",
        ),
        (
            "application/json; charset=utf-8",
            b'{"message":"The maximum is 400 times per hour. See <a href=\\"x\\">plans</a>"}',
            "The maximum is 400 times per hour. See plans",
        ),
        ("text/plain", b"Invalid API key.\r\nAsk your admin.", "Invalid API key. Ask your admin."),
        ("", b"Invalid API key.", "Invalid API key."),
        ("text/html; charset=utf-8", b"<html><title>404</title></html>", ""),
        ("application/json", b"{}", ""),
    ],
    ids=["40 error", "message", "41 limit", "text", "no type", "html", "empty"],
)
def test_refusal_in_the_vendors_words(content_type: str, body: bytes, sentence: str) -> None:
    headers = {"content-type": content_type} if content_type else {}

    refusal = APOLLO.explain(ProviderAnswer(403, headers, body))

    assert (refusal.sentence, refusal.field) == (sentence, "")


@pytest.mark.parametrize("body", HOSTILE_BODIES)
def test_refusal_of_any_body_is_one_short_line(body: bytes) -> None:
    refusal = APOLLO.explain(ProviderAnswer(422, {}, body))

    assert len(refusal.sentence) <= 300
    assert refusal.sentence.isprintable()
    assert refusal.field == ""
    assert not APOLLO.is_maintenance(ProviderAnswer(503, {}, body))


@given(st.binary())
def test_refusal_of_random_bytes_is_one_short_line(body: bytes) -> None:
    sentence = APOLLO.explain(ProviderAnswer(422, {}, body)).sentence

    assert len(sentence) <= 300
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("kind", "credential_header"),
    [
        (ConnectionKind.API_KEY, {"x-api-key": "secret"}),
        (ConnectionKind.BEARER, {"authorization": "Bearer secret"}),
    ],
)
def test_headers(kind: ConnectionKind, credential_header: dict[str, str]) -> None:
    connection = Connection(
        ConnectionKey("acme", ProviderName("apollo")), kind, credential=Secret("secret")
    )

    assert APOLLO.headers(connection) == {
        **credential_header,
        "accept": "application/json",
        "content-type": "application/json",
        "cache-control": "no-cache",
    }


def test_forbidden_names_the_key_that_is_needed() -> None:
    assert "master API key" in APOLLO.permission("POST", "/emailer_steps")
