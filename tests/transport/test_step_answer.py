"""The application's answer as a caller reads it."""

from google.protobuf.json_format import MessageToDict

from service.application.arrival import Arrival
from service.domain.outcome import StepAnswer
from service.domain.plan import Reference, Target, Write
from service.domain.warnings import ProblemType, StepWarning
from tests.transport.stand_in import Api, step_request


def answer_with(api: Api, answer: StepAnswer) -> None:
    async def behaviour(call: Arrival) -> StepAnswer:
        del call
        return answer

    api.application.behaviour = behaviour


async def test_a_step_with_warnings(api: Api) -> None:
    dropped = StepWarning(ProblemType.FIELD_NOT_SUPPORTED, "No names there.", "step.name")
    waiting = StepWarning(ProblemType.NEEDS_APPROVAL, "Somebody must approve it.")
    answer_with(api, StepAnswer("4711", (dropped, waiting)))

    assert MessageToDict(await api.create(step_request())) == {
        "id": "4711",
        "warnings": [
            {
                "title": "The provider has no place for this field; it was left out",
                "detail": "No names there.",
                "problemType": "FIELD_NOT_SUPPORTED",
                "field": "step.name",
            },
            {
                "title": (
                    "The message waits for approval at the provider and does not send before it"
                ),
                "detail": "Somebody must approve it.",
                "problemType": "NEEDS_APPROVAL",
            },
        ],
    }


async def test_planned_calls_show_ids_that_are_not_known_yet_as_names(api: Api) -> None:
    body = {
        "data": {
            "type": "sequenceTemplate",
            "attributes": {"isReply": False, "interval": 86400, "note": None, "share": 0.5},
            "relationships": [{"id": Reference("step_id")}, [], {}],
        }
    }
    create = Write(Target.CONTENT, "POST", "/sequenceTemplates", body, ("link_id",))
    approve = Write(Target.CONTENT, "PUT", "/touches/{touch_id}", None, (), repeatable=True)
    answer_with(api, StepAnswer("", (), (create, approve)))

    assert MessageToDict(await api.create(step_request())) == {
        "plannedCalls": [
            {
                "method": "POST",
                "path": "/sequenceTemplates",
                "body": {
                    "data": {
                        "type": "sequenceTemplate",
                        "attributes": {
                            "isReply": False,
                            "interval": 86400.0,
                            "note": None,
                            "share": 0.5,
                        },
                        "relationships": [{"id": "{step_id}"}, [], {}],
                    }
                },
            },
            {"method": "PUT", "path": "/touches/{touch_id}"},
        ]
    }


async def test_an_empty_body_is_not_a_missing_one(api: Api) -> None:
    answer_with(api, StepAnswer("", (), (Write(Target.STEP, "POST", "/steps", {}, ()),)))

    (planned,) = (await api.create(step_request())).planned_calls
    assert planned.HasField("body")


async def test_text_that_utf_8_cannot_hold_does_not_lose_the_answer(api: Api) -> None:
    """A vendor's JSON can bring halves of surrogate pairs, and by now the step is written."""
    warning = StepWarning(ProblemType.TEMPLATE_COPIED, "Copied \ud800.", "step.\udfff")
    write = Write(Target.STEP, "POST", "/steps", {"\ud800": ["\udfff"]}, ())
    answer_with(api, StepAnswer("42", (warning,), (write,)))

    answer = MessageToDict(await api.create(step_request()))
    assert answer["id"] == "42"
    assert answer["warnings"][0]["detail"] == "Copied ?."
    assert answer["plannedCalls"][0]["body"] == {"?": ["?"]}
