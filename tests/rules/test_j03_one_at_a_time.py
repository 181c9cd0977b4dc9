"""J3: one operation at a time holds a customer's sequence, in whichever process it runs."""

import asyncio

import pytest

from service.domain.operation import OperationState
from tests.application import plans
from tests.application.virtual_time import on_virtual_time
from tests.rules.stage import REQUEST, Stage
from tests.simulation.fate import Exchange

STEP, LINK = "POST /sequenceSteps", "POST /sequenceTemplates"


@on_virtual_time
async def test_j3_two_replicas_write_to_one_sequence_one_after_the_other() -> None:
    async with Stage(plans.OUTREACH_LINK) as stage:
        stage.script.exchanges[STEP] = [Exchange(takes_seconds=5)] * 2
        outcomes = await asyncio.gather(
            stage.ask("one", at=stage.one), stage.ask("two", at=stage.two)
        )
        makers = [sender.key.request_id for sender in stage.senders]
        assert [outcome.says for outcome in outcomes] == ["OK", "OK"]
        assert makers in (["one", "one", "two", "two"], ["two", "two", "one", "one"])
        assert {outcome.step_id for outcome in outcomes} == set(stage.vendor.steps)


@pytest.mark.parametrize(
    "plan",
    [plans.OUTREACH_LINK, plans.SALESLOFT_EMAIL, plans.APOLLO_MESSAGE],
    ids=lambda plan: plan.name,
)
@on_virtual_time
async def test_j3_the_sequence_is_claimed_before_it_is_read(plan: plans.PlanKind) -> None:
    states = []
    async with Stage(plan) as stage:
        stage.script.at_read = lambda _: states.append(stage.state())
        await stage.ask()
    assert len(states) > 1
    assert {OperationState.RUNNING} == set(states)


@on_virtual_time
async def test_j3_a_request_that_runs_elsewhere_is_waited_for() -> None:
    async with Stage(plans.OUTREACH_CALL) as stage:
        stage.script.exchanges[STEP] = [Exchange(takes_seconds=20)]
        first = stage.start()
        await asyncio.sleep(1)
        second = await stage.ask(at=stage.two)
        assert (await first).step_id == second.step_id
        assert (stage.writes, second.answer.is_replay) == ([STEP], True)


@on_virtual_time
async def test_j3_who_cannot_wait_for_it_is_told_that_it_runs() -> None:
    async with Stage(plans.OUTREACH_CALL) as stage:
        stage.script.exchanges[STEP] = [Exchange(takes_seconds=20)]
        first = stage.start()
        await asyncio.sleep(1)
        same = await stage.ask(at=stage.two, deadline_seconds=10)
        other = await stage.ask("another request", at=stage.two, deadline_seconds=5)
        assert [same.says, other.says] == ["REQUEST_IN_PROGRESS", "SEQUENCE_BUSY"]
        assert same.error.retry_after_seconds == other.error.retry_after_seconds == 1
        assert (await first).says == "OK"
        assert {REQUEST} == {sender.key.request_id for sender in stage.senders}
