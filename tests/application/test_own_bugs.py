"""A bug of ours, or an answer that nobody foresaw: still no wrong word about what was written."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from service.application.ports import Reader
from service.domain.json_value import JsonObject
from service.domain.outcome import Candidate, Refusal, Result
from service.domain.plan import Call, Plan, Reference, Target, Write
from service.domain.provider_call import ProviderAnswer
from service.domain.step import Ids, StepRequest
from service.domain.survey import Survey
from service.providers.outreach.adapter import Outreach
from tests.application import plans
from tests.application.apollo_model import ApolloModel
from tests.application.outreach_model import OutreachModel
from tests.application.plans import PlanKind
from tests.application.salesloft_model import SalesloftModel
from tests.application.scripted_http import Happening, answer
from tests.application.virtual_time import on_virtual_time
from tests.application.world import World

BUG = RuntimeError("a bug of ours")
LOST_DONE = Happening(plans.LOST, applied_after_seconds=0)


class CannotReadResult(Outreach):
    def read_result(self, write: Write, answer: JsonObject) -> Result:
        if write.target is Target.TEMPLATE:
            return super().read_result(write, answer)
        raise BUG


class CannotReadTemplate(Outreach):
    def read_result(self, write: Write, answer: JsonObject) -> Result:  # noqa: ARG002
        raise BUG


class CannotExplain(Outreach):
    def explain(self, answer: ProviderAnswer) -> Refusal:  # noqa: ARG002
        raise BUG


class CannotLook(Outreach):
    async def look(
        self,
        reader: Reader,  # noqa: ARG002
        call: Call,  # noqa: ARG002
        snapshot: frozenset[str],  # noqa: ARG002
        ids: Ids,  # noqa: ARG002
    ) -> tuple[Candidate, ...]:
        raise BUG


class CannotBind(Outreach):
    """Plans a link that needs an id which nothing yields."""

    def plan(self, request: StepRequest, survey: Survey) -> Plan:
        planned = super().plan(request, survey)
        *first, link = planned.writes
        return replace(planned, writes=(*first, replace(link, body={"id": Reference("nothing")})))


@pytest.mark.parametrize(
    ("adapter", "script"),
    [
        (CannotReadResult, []),
        (CannotExplain, [Happening(answer(422))]),
        (CannotLook, [LOST_DONE]),
    ],
    ids=["reading the result", "reading a refusal", "looking"],
)
@on_virtual_time
async def test_a_bug_at_the_steps_write_is_not_known(
    adapter: type[Outreach], script: list[Happening]
) -> None:
    world = World(plans.OUTREACH, adapter=adapter(OutreachModel.base_url))
    world.http.script["POST /sequenceSteps"] = list(script)
    outcome = await world.create(plans.OUTREACH_LINK.step)
    assert (outcome.says, outcome.step_id) == ("OUTCOME_UNKNOWN", "")
    assert world.http.writes == ["POST /sequenceSteps"]


@pytest.mark.parametrize(
    ("adapter", "script"),
    [(CannotExplain, [Happening(answer(422))]), (CannotLook, [LOST_DONE]), (CannotBind, [])],
    ids=["reading a refusal", "looking", "putting in ids"],
)
@on_virtual_time
async def test_a_bug_at_the_link_tells_of_the_step(
    adapter: type[Outreach], script: list[Happening]
) -> None:
    world = World(plans.OUTREACH, adapter=adapter(OutreachModel.base_url))
    world.http.script["POST /sequenceTemplates"] = list(script)
    outcome = await world.create(plans.OUTREACH_LINK.step)
    assert outcome.says in {"OUTCOME_UNKNOWN", "STEP_INCOMPLETE"}
    assert set(world.vendor.steps) == {outcome.step_id}


@on_virtual_time
async def test_a_bug_before_the_step_is_a_bug_and_nothing_more() -> None:
    world = World(plans.OUTREACH, adapter=CannotReadTemplate(OutreachModel.base_url))
    with pytest.raises(RuntimeError):
        await world.create(plans.OUTREACH_CONTENT.step)
    assert (world.vendor.steps, world.http.writes) == ({}, ["POST /templates"])
    assert not world.admission._turns


HALF_A_PAIR = "Hi \ud83d"
"""What is left of an emoji that a vendor cut in two; JSON can carry it, UTF-8 cannot."""


@pytest.mark.parametrize(
    ("plan", "resource", "template"),
    [
        (
            plans.APOLLO_MESSAGE,
            "GET /emailer_templates",
            {"emailer_template": {"id": ApolloModel.template_id, "body_html": HALF_A_PAIR}},
        ),
        (
            plans.SALESLOFT_EMAIL,
            "GET /email_templates",
            {"data": {"id": SalesloftModel.template_id, "subject": "Hello", "body": HALF_A_PAIR}},
        ),
    ],
    ids=["apollo", "salesloft"],
)
@on_virtual_time
async def test_text_that_cannot_be_sent_makes_no_doubt(
    plan: PlanKind, resource: str, template: Mapping[str, object]
) -> None:
    """Copied from a template, it is sent in some form, or refused before the first write."""
    world = World(plan.provider)
    world.http.script[resource] = [Happening(answer(200, template))]
    outcome = await world.create(plan.step)
    if outcome.says != "OK":
        assert (outcome.says, world.http.writes) == ("PROVIDER_REJECTED", [])
