"""Salesloft: a step becomes one import into an empty cadence, or is refused before it."""

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.application.ports import Provider
from service.domain.connection import Connection, ConnectionKind, Secret
from service.domain.errors import Reason, ServiceError
from service.domain.field_table import StepField, Support
from service.domain.json_value import JsonObject, JsonValue
from service.domain.outcome import Fit, Refusal, Result
from service.domain.plan import Call, Plan, Target, bind
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
from service.domain.survey import Survey
from service.domain.warnings import StepWarning
from service.providers.salesloft.adapter import PAGES_MAX, Salesloft
from service.providers.salesloft.mapping import FIELDS
from tests.mapping.scripted_reader import Answer, ScriptedReader

SALESLOFT: Provider = Salesloft("https://api.salesloft.com/v2")

CADENCE: JsonObject = {"data": {"id": 123, "archived_at": None, "current_state": "active"}}
NO_STEPS: JsonObject = {"metadata": {"paging": {"next_page": None}}, "data": []}
TEMPLATE: JsonObject = {
    "data": {"id": 5, "title": "Intro", "subject": "Hello", "body": "<p>Hi</p>"}
}
TEAM_TEMPLATE: JsonObject = {
    "data": {"id": 5, "title": "Team", "subject": "Dear", "body": "<p>Team</p>"}
}
READS: Mapping[str, Answer] = {
    "/cadences/123": CADENCE,
    "/steps": NO_STEPS,
    "/email_templates/5": TEMPLATE,
    "/team_templates/5": None,
}
EMPTY = Survey(None, {})

EMAIL_TEMPLATE = {"title": "Intro", "subject": "Hello", "body": "<p>Hi</p>"}
CONTENT = TemplateContent("Hello", "<p>Hi</p>", "Intro")
INTEGRATION: JsonObject = {"integration_id": 31, "integration_step_type_guid": "guid-1"}

AUTO, MANUAL = StepType.AUTO_EMAIL, StepType.MANUAL_EMAIL
CALL, TASK, LINKEDIN = StepType.CALL, StepType.TASK, StepType.LINKEDIN_SEND_MESSAGE
DAY = 86_400


def request(step: SequenceStep, sequence_id: str = "123") -> StepRequest:
    return StepRequest(sequence_id, step)


def a_step(type_: StepType, **fields: Any) -> SequenceStep:
    """Return a step that is taken as it is: with what its type needs, unless given otherwise."""
    if type_.is_email and "template_id" not in fields:
        fields.setdefault("template_content", CONTENT)
    if type_ is LINKEDIN:
        fields["custom_fields"] = {**INTEGRATION, **fields.get("custom_fields", {})}
    return SequenceStep(type_, **fields)


async def adopted(
    step: SequenceStep, reads: Mapping[str, Answer] = READS
) -> tuple[Plan, list[tuple[str, str]], ScriptedReader]:
    """Take a request through check, survey and plan: plan, warnings and reads."""
    reader = ScriptedReader(reads)
    checked = SALESLOFT.check(request(step))
    plan = SALESLOFT.plan(request(step), await SALESLOFT.survey(reader, request(step)))
    return plan, named((*checked, *plan.warnings)), reader


def named(warnings: tuple[StepWarning, ...]) -> list[tuple[str, str]]:
    return [(warning.problem_type.name, warning.field) for warning in warnings]


def body_of(plan: Plan) -> Any:
    (write,) = plan.writes
    return bind(write, {}).body


def group_of(step: SequenceStep) -> Any:
    (group,) = body_of(SALESLOFT.plan(request(step), EMPTY))["cadence_content"]["step_groups"]
    return group


def refusal(step: SequenceStep, sequence_id: str = "123") -> tuple[Reason, list[str]]:
    with pytest.raises(ServiceError) as caught:
        SALESLOFT.check(request(step, sequence_id))
    return caught.value.reason, [violation.field for violation in caught.value.violations]


# The vendor's facts as calls: the rows of the table of test vectors.


def email_group(day: int, **group: Any) -> JsonObject:
    step: JsonObject = {
        "enabled": True,
        "name": "Intro",
        "type": "Email",
        "type_settings": {"email_template": EMAIL_TEMPLATE},
    }
    return {"day": day, "due_immediately": False, "reference_id": 1, "steps": [step], **group}


def automated(day: int, delay_time: int) -> JsonObject:
    timing = {"send_type": "after_time_delay", "delay_time": delay_time}
    return email_group(day, automated=True, automated_settings=timing)


def manual(day: int, type_: str, name: str, instructions: str) -> JsonObject:
    step: JsonObject = {
        "enabled": True,
        "name": name,
        "type": type_,
        "type_settings": {"instructions": instructions},
    }
    return {"day": day, "due_immediately": False, "automated": False, "steps": [step]}


COPIED = ("TEMPLATE_COPIED", "step.template.id")
ROUNDED = ("INTERVAL_ROUNDED", "step.interval_seconds")
VECTORS: Mapping[str, tuple[SequenceStep, JsonObject, list[tuple[str, str]]]] = {
    "17 automatic e-mail": (
        SequenceStep(AUTO, name="Intro", interval_seconds=0, template_id="5"),
        automated(1, 0),
        [COPIED],
    ),
    "18 with a rest of a day": (
        SequenceStep(AUTO, interval_seconds=259_200 + 1_800, template_id="5"),
        automated(4, 30),
        [COPIED],
    ),
    "19 manual e-mail": (
        SequenceStep(MANUAL, interval_seconds=DAY, template_id="5"),
        email_group(2, automated=False),
        [COPIED],
    ),
    "20 manual e-mail, rounded": (
        SequenceStep(MANUAL, interval_seconds=90_000, template_id="5"),
        email_group(3, automated=False),
        [COPIED, ROUNDED],
    ),
    "21 call": (
        SequenceStep(CALL, interval_seconds=172_800, task_note="Ask", name="Call 1"),
        manual(3, "Phone", "Call 1", "Ask"),
        [],
    ),
    "22 task with an order": (
        SequenceStep(TASK, task_note="Blog", order=2),
        manual(1, "Other", "Task", "Blog"),
        [("FIELD_NOT_SUPPORTED", "step.order")],
    ),
    "25 reply": (
        SequenceStep(AUTO, is_reply=True, template_id="5"),
        automated(1, 0),
        [COPIED, ("FIELD_NOT_SUPPORTED", "step.is_reply")],
    ),
}


@pytest.mark.parametrize("row", VECTORS)
async def test_a_step_is_one_import(row: str) -> None:
    step, group, warnings = VECTORS[row]

    plan, given_warnings, reader = await adopted(step)

    (write,) = plan.writes
    assert (write.method, write.path) == ("POST", "/cadence_imports")
    assert (write.target, write.yields, write.repeatable) == (Target.STEP, ("step_id",), False)
    assert body_of(plan) == {"cadence_content": {"cadence_id": 123, "step_groups": [group]}}
    assert given_warnings == warnings
    templates = ["/email_templates/5", "/team_templates/5"] if step.template_id else []
    assert sorted(reader.paths) == sorted(["/cadences/123", "/steps", *templates])
    assert ("/steps", {"cadence_id": "123", "per_page": "100", "page": "1"}) in reader.calls


def test_23_linkedin_without_the_ids_of_an_integration_is_refused() -> None:
    paths = [
        "step.custom_fields.integration_id",
        "step.custom_fields.integration_step_type_guid",
    ]
    assert refusal(SequenceStep(LINKEDIN)) == (Reason.UNSUPPORTED_BY_PROVIDER, paths)


def test_24_a_date_is_refused() -> None:
    step = SequenceStep(CALL, date=StepDate(dt.date(2027, 1, 15)))
    assert refusal(step) == (Reason.UNSUPPORTED_BY_PROVIDER, ["step.date"])


async def test_26_a_cadence_with_a_step_is_refused() -> None:
    one_step: JsonObject = {"data": [{"id": 986, "type": "phone"}]}
    reads = {**READS, "/steps": one_step}

    with pytest.raises(ServiceError) as caught:
        await adopted(SequenceStep(CALL), reads)

    assert caught.value.reason is Reason.SEQUENCE_NOT_EMPTY
    assert "nothing was written" in caught.value.message
    assert caught.value.metadata == {"sequenceId": "123"}


async def test_27_the_step_of_a_lost_import_is_found() -> None:
    plan, _, _ = await adopted(SequenceStep(CALL, interval_seconds=172_800, name="Call 1"))
    found: JsonObject = {"data": [{"id": 987, "type": "phone", "day": 3, "name": "Call 1"}]}
    reader = ScriptedReader({"/steps": found})

    (candidate,) = await SALESLOFT.look(reader, bind(plan.writes[0], {}), frozenset(), {})

    assert (candidate.fit, candidate.ids) == (Fit.FITS, {"step_id": 987})


# Every field of every type of step.

KEPT, LEFT_OUT, REFUSED, COPY = "kept", "left out", "refused", "copied"
FATES: Mapping[StepField, tuple[str, str, str, str, str]] = {
    # In the order of the types: automatic e-mail, manual e-mail, call, task, LinkedIn message.
    StepField.TYPE: (KEPT, KEPT, KEPT, KEPT, KEPT),
    StepField.NAME: (KEPT, KEPT, KEPT, KEPT, KEPT),
    StepField.INTERVAL_SECONDS: (KEPT, KEPT, KEPT, KEPT, KEPT),
    StepField.DATE: (REFUSED, REFUSED, REFUSED, REFUSED, REFUSED),
    StepField.TEMPLATE_ID: (COPY, COPY, LEFT_OUT, LEFT_OUT, LEFT_OUT),
    StepField.TEMPLATE_CONTENT: (KEPT, KEPT, LEFT_OUT, LEFT_OUT, LEFT_OUT),
    StepField.TEMPLATE_NAME: (KEPT, KEPT, LEFT_OUT, LEFT_OUT, LEFT_OUT),
    StepField.TEMPLATE_TO: (LEFT_OUT,) * 5,
    StepField.TEMPLATE_CC: (LEFT_OUT,) * 5,
    StepField.TEMPLATE_BCC: (LEFT_OUT,) * 5,
    StepField.TEMPLATE_CUSTOM_FIELDS: (KEPT, KEPT, LEFT_OUT, LEFT_OUT, LEFT_OUT),
    StepField.IS_REPLY: (LEFT_OUT,) * 5,
    StepField.ORDER: (LEFT_OUT,) * 5,
    StepField.TASK_NOTE: (LEFT_OUT, LEFT_OUT, KEPT, KEPT, KEPT),
    StepField.CUSTOM_FIELDS: (KEPT, KEPT, KEPT, KEPT, KEPT),
}
CASES = [
    (type_, field, fate)
    for field, fates in FATES.items()
    for type_, fate in zip(StepType, fates, strict=True)
]


def content(**more: Any) -> Mapping[str, Any]:
    return {"template_content": TemplateContent("Subject", "<p>Body</p>", **more)}


ADDRESS = "marker@example.com"
GIVEN: Mapping[StepField, tuple[Mapping[str, Any], str]] = {
    # What is given, and the text by which the body shows that it has it.
    StepField.TYPE: ({}, '"type": '),
    StepField.NAME: ({"name": "Marker"}, '"name": "Marker"'),
    StepField.INTERVAL_SECONDS: ({"interval_seconds": 6 * DAY}, '"day": 7'),
    StepField.DATE: ({"date": StepDate(dt.date(2027, 1, 15))}, "2027"),
    StepField.TEMPLATE_ID: ({"template_id": "5"}, '"body": "<p>Hi</p>"'),
    StepField.TEMPLATE_CONTENT: (content(), '"subject": "Subject", "body": "<p>Body</p>"'),
    StepField.TEMPLATE_NAME: (content(name="Marker"), '"title": "Marker"'),
    StepField.TEMPLATE_TO: (content(to=(ADDRESS,)), ADDRESS),
    StepField.TEMPLATE_CC: (content(cc=(ADDRESS,)), ADDRESS),
    StepField.TEMPLATE_BCC: (content(bcc=(ADDRESS,)), ADDRESS),
    StepField.TEMPLATE_CUSTOM_FIELDS: (content(custom_fields={"marker": 1}), '"marker": 1'),
    StepField.IS_REPLY: ({"is_reply": True}, "previous_email"),
    StepField.ORDER: ({"order": 7}, "7"),
    StepField.TASK_NOTE: ({"task_note": "Marker"}, '"instructions": "Marker"'),
    StepField.CUSTOM_FIELDS: ({"custom_fields": {"marker": 1}}, '"marker": 1'),
}


@pytest.mark.parametrize(("type_", "field", "fate"), CASES)
async def test_each_field_of_each_type_has_its_fate(
    type_: StepType, field: StepField, fate: str
) -> None:
    fields, marker = GIVEN[field]
    step = a_step(type_, **fields)
    support = FIELDS[type_][field].support
    if fate == REFUSED:
        assert refusal(step) == (Reason.UNSUPPORTED_BY_PROVIDER, [field])
        assert support is Support.REFUSED
        return

    plan, warnings, _ = await adopted(step)

    assert (marker in json.dumps(body_of(plan))) == (fate != LEFT_OUT)
    template_is_dropped = fate == LEFT_OUT and not type_.is_email
    if field.startswith("step.template.content.") and template_is_dropped:
        # One warning about the template as a whole.
        assert warnings == [("FIELD_NOT_SUPPORTED", "step.template.content")]
    else:
        problem = {LEFT_OUT: "FIELD_NOT_SUPPORTED", COPY: "TEMPLATE_COPIED"}.get(fate)
        assert warnings == ([(problem, field)] if problem else [])
    assert (support is Support.DROPPED) == (fate == LEFT_OUT)


def test_every_field_of_every_type_is_in_the_table() -> None:
    assert {type_: set(rules) for type_, rules in FIELDS.items()} == {
        type_: set(StepField) for type_ in StepType
    }
    assert set(FATES) == set(StepField)


def test_all_refused_and_dropped_fields_are_told_at_once() -> None:
    step = a_step(
        AUTO,
        is_reply=True,
        order=1,
        task_note="Note",
        template_content=dataclasses.replace(CONTENT, to=("a@example.com",), bcc=("b@x.org",)),
    )
    assert named(SALESLOFT.check(request(step))) == [
        ("FIELD_NOT_SUPPORTED", "step.template.content.to"),
        ("FIELD_NOT_SUPPORTED", "step.template.content.bcc"),
        ("FIELD_NOT_SUPPORTED", "step.is_reply"),
        ("FIELD_NOT_SUPPORTED", "step.order"),
        ("FIELD_NOT_SUPPORTED", "step.task_note"),
    ]


# Ids.


@pytest.mark.parametrize(
    "bad_id", ["", "0", "007", "-1", "12abc", "1.5", " 1", "1\n", "१२", "../1", "9" * 19, "1e3"]
)
def test_ids_are_positive_whole_numbers(bad_id: str) -> None:
    assert refusal(SequenceStep(CALL), bad_id) == (Reason.INVALID_FIELD, ["sequence_id"])
    if bad_id:
        assert refusal(SequenceStep(AUTO, template_id=bad_id), bad_id) == (
            Reason.INVALID_FIELD,
            ["sequence_id", "step.template.id"],
        )


async def test_the_id_of_a_template_that_is_left_out_is_not_looked_at() -> None:
    _, warnings, reader = await adopted(SequenceStep(CALL, template_id="no id"))

    assert warnings == [("FIELD_NOT_SUPPORTED", "step.template.id")]
    assert sorted(reader.paths) == ["/cadences/123", "/steps"]


# The template.


def test_an_email_without_a_template_is_refused() -> None:
    for type_ in (AUTO, MANUAL):
        assert refusal(SequenceStep(type_)) == (Reason.TEMPLATE_REQUIRED, ["step.template"])


def test_a_reply_without_a_subject_is_refused_since_it_would_start_a_thread() -> None:
    step = SequenceStep(AUTO, is_reply=True, template_content=TemplateContent("", "<p>Hi</p>"))
    assert refusal(step) == (
        Reason.UNSUPPORTED_BY_PROVIDER,
        ["step.template.content.subject"],
    )


@pytest.mark.parametrize(
    ("personal", "team", "body", "is_guessed"),
    [
        (TEMPLATE, None, "<p>Hi</p>", False),
        (None, TEAM_TEMPLATE, "<p>Team</p>", False),
        (TEMPLATE, TEAM_TEMPLATE, "<p>Hi</p>", True),
        (TEMPLATE, ServiceError(Reason.PROVIDER_FORBIDDEN, "no"), "<p>Hi</p>", False),
        (ServiceError(Reason.PROVIDER_FORBIDDEN, "no"), TEAM_TEMPLATE, "<p>Team</p>", False),
    ],
)
async def test_a_template_is_personal_or_of_the_team(
    personal: Answer, team: Answer, body: str, *, is_guessed: bool
) -> None:
    reads = {**READS, "/email_templates/5": personal, "/team_templates/5": team}

    plan, warnings, _ = await adopted(SequenceStep(AUTO, template_id="5"), reads)

    (step,) = body_of(plan)["cadence_content"]["step_groups"][0]["steps"]
    assert step["type_settings"]["email_template"]["body"] == body
    guessed = [("TEMPLATE_KIND_GUESSED", "step.template.id")] if is_guessed else []
    assert warnings == [COPIED, *guessed]


FORBIDDEN = ServiceError(Reason.PROVIDER_FORBIDDEN, "No scope.")
NO_BODY: JsonObject = {"data": {"title": "Intro", "subject": "Hello", "body": None}}
UNREADABLE: list[Answer] = [
    {"data": None},
    {"data": {}},
    {"data": "none"},
    {"data": {"0": 1}},
    {},
    None,
]
SURVEYS: list[tuple[Mapping[str, Answer], Reason]] = [
    ({"/cadences/123": None}, Reason.SEQUENCE_NOT_FOUND),
    ({"/cadences/123": None, "/steps": None}, Reason.SEQUENCE_NOT_FOUND),
    ({"/cadences/123": {"data": {"archived_at": "2026-01-01"}}}, Reason.SEQUENCE_ARCHIVED),
    ({"/cadences/123": {"data": {"current_state": "archived"}}}, Reason.SEQUENCE_ARCHIVED),
    ({"/cadences/123": {"data": {"current_state": "Expired"}}}, Reason.SEQUENCE_ARCHIVED),
    ({"/cadences/123": {"data": {"current_state": "deleted"}}}, Reason.SEQUENCE_ARCHIVED),
    ({"/steps": {"data": [None]}}, Reason.SEQUENCE_NOT_EMPTY),
    *[({"/steps": unreadable}, Reason.PROVIDER_UNAVAILABLE) for unreadable in UNREADABLE],
    ({"/email_templates/5": None}, Reason.TEMPLATE_NOT_FOUND),
    ({"/email_templates/5": FORBIDDEN}, Reason.PROVIDER_FORBIDDEN),
    (
        {"/email_templates/5": FORBIDDEN, "/team_templates/5": FORBIDDEN},
        Reason.PROVIDER_FORBIDDEN,
    ),
    (
        {"/team_templates/5": ServiceError(Reason.PROVIDER_RATE_LIMITED, "Wait.")},
        Reason.PROVIDER_RATE_LIMITED,
    ),
    ({"/email_templates/5": NO_BODY}, Reason.TEMPLATE_REQUIRED),
    ({"/email_templates/5": {"data": [[]]}}, Reason.TEMPLATE_REQUIRED),
]


@pytest.mark.parametrize(("reads", "reason"), SURVEYS)
async def test_what_the_reads_show_can_refuse_the_step(
    reads: Mapping[str, Answer], reason: Reason
) -> None:
    with pytest.raises(ServiceError) as caught:
        await adopted(SequenceStep(AUTO, template_id="5"), {**READS, **reads})

    assert caught.value.reason is reason


@pytest.mark.parametrize(
    "cadence",
    [{"data": {"id": 123}}, {"data": {"current_state": "draft"}}, {"data": {"current_state": 5}}],
)
async def test_a_cadence_that_does_not_say_its_state_is_taken(cadence: JsonObject) -> None:
    plan, _, _ = await adopted(SequenceStep(CALL), {**READS, "/cadences/123": cadence})

    assert len(plan.writes) == 1


# The name that Salesloft requires.


@pytest.mark.parametrize(
    ("step", "name", "title"),
    [
        (a_step(AUTO, name="Mine"), "Mine", "Intro"),
        (a_step(AUTO), "Intro", "Intro"),
        (a_step(AUTO, template_content=TemplateContent("Hello", "Hi")), "Hello", "Hello"),
        (a_step(AUTO, name="Mine", template_content=TemplateContent("S", "Hi")), "Mine", "Mine"),
        (
            a_step(MANUAL, template_content=TemplateContent("s" * 998, "Hi")),
            "s" * 255,
            "s" * 255,
        ),
        (a_step(CALL), "Call", None),
        (a_step(CALL, template_content=CONTENT), "Call", None),
        (a_step(TASK), "Task", None),
        (a_step(LINKEDIN), "LinkedIn message", None),
    ],
)
def test_a_step_has_a_name(step: SequenceStep, name: str, title: str | None) -> None:
    (sent,) = group_of(step)["steps"]

    assert sent["name"] == name
    assert sent["type_settings"].get("email_template", {}).get("title") == title


async def test_an_email_whose_template_has_no_texts_but_a_body_is_called_email() -> None:
    reads = {**READS, "/email_templates/5": {"data": {"title": None, "body": "Hi"}}}

    plan, _, _ = await adopted(SequenceStep(AUTO, template_id="5"), reads)

    (sent,) = body_of(plan)["cadence_content"]["step_groups"][0]["steps"]
    assert sent["name"] == "Email"
    assert sent["type_settings"]["email_template"] == {
        "title": "Email",
        "subject": "",
        "body": "Hi",
    }


# Waits.

FIVE_YEARS = 1_825 * DAY
WAITS = [
    # asked seconds, (day, minutes) of an automatic e-mail, day of every other step
    (None, (1, 0), 1),
    (0, (1, 0), 1),
    (1, (1, 1), 2),
    (59, (1, 1), 2),
    (60, (1, 1), 2),
    (61, (1, 2), 2),
    (43_140, (1, 719), 2),
    (43_141, (1, 720), 2),
    (43_200, (1, 720), 2),
    (43_201, (2, 0), 2),
    (86_399, (2, 0), 2),
    (86_400, (2, 0), 2),
    (86_401, (2, 1), 3),
    (FIVE_YEARS - 1, (1_826, 0), 1_826),
    (FIVE_YEARS, (1_826, 0), 1_826),
]


@pytest.mark.parametrize(("asked", "automatic", "other"), WAITS)
def test_a_wait_is_a_day_and_for_automatic_email_minutes(
    asked: int | None, automatic: tuple[int, int], other: int
) -> None:
    group = group_of(a_step(AUTO, interval_seconds=asked))
    assert (group["day"], group["automated_settings"]["delay_time"]) == automatic
    for type_ in (MANUAL, CALL, TASK, LINKEDIN):
        group = group_of(a_step(type_, interval_seconds=asked))
        assert (group["day"], group["automated"]) == (other, False)
        assert "automated_settings" not in group


@pytest.mark.parametrize("type_", StepType)
@given(asked=st.integers(0, FIVE_YEARS))
@settings(deadline=None)
def test_a_step_is_never_early_and_late_only_by_what_cannot_be_expressed(
    type_: StepType, asked: int
) -> None:
    step = a_step(type_, interval_seconds=asked)
    group = group_of(step)
    minutes = group.get("automated_settings", {}).get("delay_time", 0)
    expressed = (group["day"] - 1) * DAY + minutes * 60

    assert asked <= expressed
    if type_ is not AUTO:
        granularity = DAY
    elif asked % DAY <= 720 * 60:
        granularity = 60
    else:
        granularity = DAY // 2
    assert expressed - asked < granularity
    assert 0 <= minutes <= 720
    warnings = SALESLOFT.plan(request(step), EMPTY).warnings
    assert named(warnings) == ([ROUNDED] if expressed != asked else [])
    assert all(f"waits {expressed} seconds instead of {asked}:" in w.detail for w in warnings)


# Custom fields.


def test_custom_fields_go_where_the_import_has_them() -> None:
    step = a_step(
        AUTO,
        interval_seconds=1_800,
        template_content=dataclasses.replace(CONTENT, custom_fields={"click_tracking": False}),
        custom_fields={
            "automated_settings": {"allow_send_on_weekends": True},
            "due_immediately": True,
            "reference_id": 77,
            "enabled": False,
            "type_settings": {"previous_email_step_group_reference_id": 76},
            "other": {"kept": [1]},
        },
    )
    assert body_of(SALESLOFT.plan(request(step), EMPTY)) == {
        "cadence_content": {
            "other": {"kept": [1]},
            "cadence_id": 123,
            "step_groups": [
                {
                    "day": 1,
                    "automated": True,
                    "automated_settings": {
                        "allow_send_on_weekends": True,
                        "send_type": "after_time_delay",
                        "delay_time": 30,
                    },
                    "due_immediately": True,
                    "reference_id": 77,
                    "steps": [
                        {
                            "enabled": False,
                            "name": "Intro",
                            "type": "Email",
                            "type_settings": {
                                "previous_email_step_group_reference_id": 76,
                                "email_template": {**EMAIL_TEMPLATE, "click_tracking": False},
                            },
                        }
                    ],
                }
            ],
        }
    }
    assert SALESLOFT.check(request(step)) == ()


def test_a_time_of_day_replaces_the_delay() -> None:
    at_nine = {"send_type": "at_time", "time_of_day": "09:00", "timezone_mode": "person"}
    step = a_step(AUTO, interval_seconds=DAY, custom_fields={"automated_settings": at_nine})

    assert SALESLOFT.check(request(step)) == ()
    assert group_of(step)["day"] == 2
    assert group_of(step)["automated_settings"] == at_nine


def test_linkedin_is_a_step_of_the_integration_that_custom_fields_name() -> None:
    step = SequenceStep(LINKEDIN, task_note="Say hi", custom_fields=INTEGRATION)

    assert SALESLOFT.check(request(step)) == ()
    assert group_of(step) == {
        "day": 1,
        "due_immediately": False,
        "automated": False,
        "steps": [
            {
                "enabled": True,
                "name": "LinkedIn message",
                "type": "Integration",
                "type_settings": {
                    "integration_id": 31,
                    "integration_step_type_guid": "guid-1",
                    "instructions": "Say hi",
                },
            }
        ],
    }


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"integration_id": 31}, ["integration_step_type_guid"]),
        ({"integration_step_type_guid": "guid-1"}, ["integration_id"]),
        ({"integration_id": "31", "integration_step_type_guid": "guid-1"}, ["integration_id"]),
        ({"integration_id": True, "integration_step_type_guid": "guid-1"}, ["integration_id"]),
        ({"integration_id": 31, "integration_step_type_guid": ""}, ["integration_step_type_guid"]),
        (
            {"integration_id": 3.5, "integration_step_type_guid": 7},
            ["integration_id", "integration_step_type_guid"],
        ),
    ],
)
def test_linkedin_needs_both_ids_in_their_types(given: JsonObject, missing: list[str]) -> None:
    step = SequenceStep(LINKEDIN, custom_fields=given)
    paths = [f"step.custom_fields.{key}" for key in missing]
    assert refusal(step) == (Reason.UNSUPPORTED_BY_PROVIDER, paths)


def test_linkedin_ids_have_one_place() -> None:
    step = SequenceStep(LINKEDIN, custom_fields={**INTEGRATION, "type_settings": INTEGRATION})
    paths = [
        "step.custom_fields.type_settings.integration_id",
        "step.custom_fields.type_settings.integration_step_type_guid",
    ]
    assert refusal(step) == (Reason.INVALID_FIELD, paths)


@pytest.mark.parametrize(
    "key",
    [
        *("cadence_id", "step_groups", "day", "automated", "steps", "name"),
        *("email_template", "instructions", "settings", "sharing_settings"),
        *("id", "type", "data", "relationships", "api_key"),
    ],
)
@pytest.mark.parametrize("type_", StepType)
def test_keys_of_the_mapping_are_refused(type_: StepType, key: str) -> None:
    step = a_step(type_, custom_fields={key: 1, "other": 1})
    assert refusal(step) == (Reason.INVALID_FIELD, [f"step.custom_fields.{key}"])


TIMING = "automated_settings"
CUSTOM_FIELD_REFUSALS: list[tuple[SequenceStep, list[str]]] = [
    (a_step(AUTO, custom_fields={"type_settings": 5}), ["type_settings"]),
    (a_step(CALL, custom_fields={"type_settings": None}), ["type_settings"]),
    (
        a_step(AUTO, custom_fields={"type_settings": {"email_template": {}, "instructions": ""}}),
        ["type_settings.email_template", "type_settings.instructions"],
    ),
    (
        a_step(AUTO, custom_fields={"day": 2, TIMING: {"delay_time": 5}}),
        ["day", f"{TIMING}.delay_time"],
    ),
    (a_step(AUTO, custom_fields={TIMING: []}), [TIMING]),
    (a_step(AUTO, custom_fields={TIMING: {"send_type": "soon"}}), [f"{TIMING}.send_type"]),
    (a_step(AUTO, custom_fields={TIMING: {"send_type": []}}), [f"{TIMING}.send_type"]),
    (a_step(AUTO, custom_fields={TIMING: {"time_of_day": "09:00"}}), [f"{TIMING}.send_type"]),
    (
        a_step(AUTO, interval_seconds=1, custom_fields={TIMING: {"send_type": "at_time"}}),
        [f"{TIMING}.send_type"],
    ),
    *[
        (a_step(type_, custom_fields={TIMING: {"send_type": "at_time"}}), [TIMING])
        for type_ in (MANUAL, CALL, TASK, LINKEDIN)
    ],
    (
        a_step(CALL, custom_fields={"settings": {}, "type_settings": [], TIMING: {}}),
        ["settings", "type_settings", TIMING],
    ),
]


@pytest.mark.parametrize(("step", "keys"), CUSTOM_FIELD_REFUSALS)
def test_custom_fields_that_cannot_be_taken_are_refused(
    step: SequenceStep, keys: list[str]
) -> None:
    assert refusal(step) == (Reason.INVALID_FIELD, [f"step.custom_fields.{key}" for key in keys])


@pytest.mark.parametrize(
    "key", ["title", "subject", "body", "id", "type", "data", "relationships", "api_key"]
)
def test_keys_of_the_template_are_refused(key: str) -> None:
    content = dataclasses.replace(CONTENT, custom_fields={key: "x", "open_tracking": True})
    assert refusal(a_step(AUTO, template_content=content)) == (
        Reason.INVALID_FIELD,
        [f"step.template.content.custom_fields.{key}"],
    )


# Answers of the import.


def test_the_answer_of_an_import_has_no_id_of_a_step() -> None:
    (write,) = SALESLOFT.plan(request(SequenceStep(CALL)), EMPTY).writes
    for answer in ({"data": {"cadence": {"id": 123}}}, {"data": {"id": 987}}, {}):
        assert SALESLOFT.read_result(write, answer) == Result({})


REFUSALS: list[tuple[bytes, Refusal]] = [
    (b'{"error":"No Bearer Token attached"}', Refusal("No Bearer Token attached")),
    (b'{"errors":{"first_name":["is required"]}}', Refusal("first_name is required")),
    (
        b'{"errors":{"cadence_id":["is unknown","is <b>odd</b>"],"other":["is bad"]}}',
        Refusal("cadence_id is unknown; cadence_id is odd ; other is bad", "sequence_id"),
    ),
    (
        b'{"errors":{"cadence_content.step_groups[0].day":["is too large"]}}',
        Refusal("cadence_content.step_groups[0].day is too large", "step.interval_seconds"),
    ),
    (b'{"errors":{"subject":["is too long"]}}', Refusal("subject is too long", "step.template")),
    (b'{"errors":{"name":"is no list"}}', Refusal("", "step.name")),
    (b'{"errors":{"type":[5,null,{"a":[]}]}}', Refusal("", "step.type")),
    (b'{"errors":{"":["is odd"],"9":["is odd"]}}', Refusal("is odd; 9 is odd")),
    (b"<html><body>Not here</body></html>", Refusal("")),
    (b'{"errors":["a",{"b":1}],"error":{"c":2}}', Refusal("")),
    (b'{"error":' + b"[" * 100_000, Refusal("")),
    (b"null", Refusal("")),
    (b"[]", Refusal("")),
    (b"\xff\x00", Refusal("")),
    (b"", Refusal("")),
]


@pytest.mark.parametrize(("body", "expected"), REFUSALS)
def test_a_refusal_is_explained_in_the_vendors_words(body: bytes, expected: Refusal) -> None:
    assert SALESLOFT.explain(ProviderAnswer(422, {}, body)) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["data"]), inner),
)


@given(
    st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | JSON.map(lambda value: json.dumps({"errors": value, "error": value}).encode())
)
@settings(deadline=None)
def test_any_refusal_is_survived(body: bytes) -> None:
    refused = SALESLOFT.explain(ProviderAnswer(422, {}, body))

    assert len(refused.sentence) <= 300
    assert not any(character < " " for character in refused.sentence)


# Looking for the step of a lost or silent import.

IMPORTED = a_step(AUTO, name="Intro <1> &  more", interval_seconds=259_200)
FOUND: JsonObject = {
    "id": 987,
    "name": "Intro <1> &  more",
    "type": "email",
    "day": 4,
    "cadence": {"id": 123},
}


def imported() -> Call:
    return bind(SALESLOFT.plan(request(IMPORTED), EMPTY).writes[0], {})


async def looked(*records: Any, survey: Survey = EMPTY) -> list[tuple[Fit, Any]]:
    reader = ScriptedReader({"/steps": {"data": list(records)}})
    candidates = await SALESLOFT.look(reader, imported(), frozenset(survey.positions), {})
    return [(candidate.fit, candidate.ids["step_id"]) for candidate in candidates]


@pytest.mark.parametrize(
    ("difference", "fit"),
    [
        ({}, Fit.FITS),
        ({"id": "987"}, Fit.FITS),
        ({"type": "Email"}, Fit.FITS),
        ({"name": " Intro &amp; more"}, Fit.FITS),
        ({"cadence": None}, Fit.FITS),
        ({"cadence": "?"}, Fit.FITS),
        ({"name": "Other"}, Fit.PERHAPS),
        ({"name": None}, Fit.PERHAPS),
        ({"day": 5}, Fit.PERHAPS),
        ({"day": "4"}, Fit.PERHAPS),
        ({"day": None}, Fit.PERHAPS),
        ({"type": None}, Fit.PERHAPS),
        ({"type": "unheard_of"}, Fit.PERHAPS),
        ({"type": "phone"}, None),
        ({"type": "other"}, None),
        ({"type": "integration"}, None),
        ({"cadence": {"id": 124}}, None),
    ],
)
async def test_only_another_type_or_cadence_rules_a_new_step_out(
    difference: JsonObject, fit: Fit | None
) -> None:
    assert await looked({**FOUND, **difference}) == ([(fit, 987)] if fit else [])


async def test_every_new_step_is_compared_and_none_of_the_survey() -> None:
    known = {**FOUND, "id": 900}
    other = {**FOUND, "id": 988, "name": "By hand"}
    survey = Survey(None, {"900": None})

    assert await looked(survey=survey) == []
    assert await looked(known, FOUND, other, survey=survey) == [
        (Fit.FITS, 987),
        (Fit.PERHAPS, 988),
    ]


async def test_all_pages_are_read_and_a_step_on_two_of_them_is_one() -> None:
    more: JsonObject = {"metadata": {"paging": {"next_page": 2}}, "data": [FOUND]}
    last: JsonObject = {
        "metadata": {"paging": {"next_page": None}},
        "data": [FOUND, {**FOUND, "id": 988}],
    }
    reader = ScriptedReader({"/steps": [more, last]})

    candidates = await SALESLOFT.look(reader, imported(), frozenset(), {})

    assert [candidate.ids for candidate in candidates] == [{"step_id": 987}, {"step_id": 988}]
    assert reader.calls == [
        ("/steps", {"cadence_id": "123", "per_page": "100", "page": "1"}),
        ("/steps", {"cadence_id": "123", "per_page": "100", "page": "2"}),
    ]


async def test_a_list_without_end_is_given_up() -> None:
    endless: JsonObject = {"metadata": {"paging": {"next_page": 2}}, "data": []}
    reader = ScriptedReader({"/steps": endless})

    with pytest.raises(ServiceError) as caught:
        await SALESLOFT.look(reader, imported(), frozenset(), {})

    assert caught.value.reason is Reason.PROVIDER_REJECTED
    assert len(reader.calls) == PAGES_MAX


UNREADABLE_RECORDS: list[JsonValue] = [
    *(None, 5, [], {}, {"id": True}),
    *({**FOUND, "id": id_} for id_ in (0, -1, 1.5, "x", "9" * 5_000, 10**30)),
]


@pytest.mark.parametrize(
    "page", [*UNREADABLE, *({"data": [FOUND, record]} for record in UNREADABLE_RECORDS)]
)
async def test_a_list_that_cannot_be_read_is_not_taken_for_an_empty_one(page: Answer) -> None:
    reader = ScriptedReader({"/steps": page})

    with pytest.raises(ServiceError) as caught:
        await SALESLOFT.look(reader, imported(), frozenset(), {})

    assert caught.value.reason is Reason.PROVIDER_UNAVAILABLE
    assert caught.value.retry_after_seconds is not None


# The rest of the port.


@pytest.mark.parametrize("kind", ConnectionKind)
def test_every_credential_is_a_bearer_token(kind: ConnectionKind) -> None:
    key = ConnectionKey("customer", ProviderName("salesloft"))
    assert SALESLOFT.headers(Connection(key, kind, Secret("ak12"))) == {
        "authorization": "Bearer ak12",
        "accept": "application/json",
        "content-type": "application/json",
    }


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("POST", "/cadence_imports", "cadences:write"),
        ("GET", "/cadences/123", "cadences:read"),
        ("GET", "/steps", "cadences:read"),
        ("GET", "/email_templates/5", "email_templates:read"),
        ("GET", "/team_templates/5", "team_templates:read"),
        ("GET", "/unheard_of", ""),
    ],
)
def test_each_call_names_the_scope_that_it_needs(method: str, path: str, needed: str) -> None:
    permission = SALESLOFT.permission(method, path)

    assert permission.endswith(needed)
    assert bool(permission) == bool(needed)


def test_nothing_can_be_undone_and_no_answer_means_maintenance() -> None:
    assert SALESLOFT.undo({"step_id": 987}) is None
    assert not SALESLOFT.is_maintenance(ProviderAnswer(503, {}, b'{"error":"maintenance"}'))
