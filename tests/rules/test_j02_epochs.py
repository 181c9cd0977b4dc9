"""J2: each owner of an operation has its own epoch, and only the last one changes anything."""

import asyncio
from dataclasses import replace

import pytest

from service.application.journal_port import LEASE_SECONDS
from service.application.owned_operations import OWNED_SECONDS_MAX
from service.domain.connection import Connection
from service.domain.operation import OperationState
from service.domain.step import ConnectionKey
from tests.application import plans
from tests.application.scripted_http import answer
from tests.application.virtual_time import on_virtual_time
from tests.rules.stage import Stage
from tests.simulation.fate import Exchange

STEP, LINK = "POST /sequenceSteps", "POST /sequenceTemplates"
TAKEN_OVER_SECONDS = 45.0
"""When the other replica first finds out that the lease of the first one has run out."""

NOT_FOUND = Exchange(answer=answer(404))


@on_virtual_time
async def test_j2_a_frozen_owner_changes_nothing_while_another_is_at_it() -> None:
    """It has the answer to the step, and would make the link that the other one is making."""
    async with Stage(plans.OUTREACH_LINK) as stage:
        stage.script.at_answer = (STEP, lambda replica: replica.freeze(TAKEN_OVER_SECONDS + 2))
        stage.script.exchanges[LINK] = [Exchange(takes_seconds=10)]
        outcome = await stage.ask()
        assert TAKEN_OVER_SECONDS < stage.now_seconds < TAKEN_OVER_SECONDS + 10
        assert (outcome.says, stage.writes) == ("OUTCOME_UNKNOWN", [STEP, LINK])
        again = await stage.ask()
        assert ("OK", {again.step_id}) == (again.says, set(stage.vendor.steps))
        assert (stage.writes, stage.vendor.messages(again.step_id)) == ([STEP, LINK], 1)


@on_virtual_time
async def test_j2_who_lost_a_row_that_is_finished_answers_from_it() -> None:
    async with Stage(plans.OUTREACH_LINK) as stage:
        stage.script.at_answer = (STEP, lambda replica: replica.freeze(TAKEN_OVER_SECONDS + 10))
        outcome = await stage.ask()
        assert stage.writes == [STEP, LINK]
        assert ("OK", {outcome.step_id}) == (outcome.says, set(stage.vendor.steps))
        assert outcome.answer.is_replay


@on_virtual_time
async def test_j2_who_lost_a_row_that_is_not_settled_does_not_know() -> None:
    async with Stage(plans.OUTREACH_CALL) as stage:
        stage.script.at_sent = lambda replica: replica.freeze(TAKEN_OVER_SECONDS + 10)
        outcome = await stage.ask()
        assert (outcome.says, stage.writes) == ("OUTCOME_UNKNOWN", [])
        assert outcome.error.retry_after_seconds is not None
        assert OperationState.IN_DOUBT is stage.state()


@on_virtual_time
async def test_j2_a_frozen_owner_does_not_delete_the_row_of_another() -> None:
    """It is told that there is no sequence, and would leave no trace; the other one reads yet."""
    async with Stage(plans.OUTREACH_CALL) as stage:
        slow_read = Exchange(takes_seconds=19.0)
        stage.script.exchanges["GET /sequences"] = [Exchange(), slow_read, NOT_FOUND]
        stage.script.at_answer = ("GET /sequences", lambda replica: replica.freeze(40.0))
        first = stage.start()
        await asyncio.sleep(1)
        second = await stage.ask(at=stage.two)
        assert 40 < stage.now_seconds < 60
        assert (await first).says == "REQUEST_IN_PROGRESS"
        assert (second.says, {second.step_id}) == ("OK", set(stage.vendor.steps))
        assert stage.state() is OperationState.SUCCEEDED


@on_virtual_time
async def test_j2_an_epoch_is_never_given_twice() -> None:
    """Not even when the row that had it is gone."""
    epochs = []
    async with Stage(plans.OUTREACH_CALL) as stage:

        def note_epoch(_: object) -> None:
            row = stage.row()
            assert row is not None
            epochs.append(row.epoch)

        stage.script.at_read = note_epoch
        stage.script.exchanges["GET /sequences"] = [NOT_FOUND, NOT_FOUND]
        for _ in range(2):
            assert (await stage.ask()).says == "SEQUENCE_NOT_FOUND"
            assert stage.row() is None
        assert (await stage.ask()).says == "OK"
    assert sorted(set(epochs)) == list(dict.fromkeys(epochs))
    assert len(set(epochs)) == 3


@on_virtual_time
async def test_j2_an_operation_that_lives_keeps_its_lease() -> None:
    """It reads for a minute; the other replica looks for what is due all the time."""
    async with Stage(plans.OUTREACH_CALL) as stage:
        slow = Exchange(takes_seconds=19.0)
        lost = replace(slow, answer=plans.LOST)
        stage.script.exchanges["GET /sequences"] = [lost, lost, slow]
        first = asyncio.create_task(stage.ask(deadline_seconds=120))
        await asyncio.sleep(1)
        claimed = stage.row()
        assert (await first).says == "OK"
        ended = stage.row()
        assert claimed is not None
        assert ended is not None
        assert (ended.epoch, stage.now_seconds > 57) == (claimed.epoch, True)


@on_virtual_time
async def test_j2_an_operation_that_hangs_loses_its_lease_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Stage(plans.OUTREACH_CALL) as stage:
        find = stage.cluster.tokens.find
        hanging = [asyncio.Event()]

        async def hang_once(key: ConnectionKey) -> Connection:
            if hanging:
                await hanging.pop().wait()
            return await find(key)

        monkeypatch.setattr(stage.cluster.tokens, "find", hang_once)
        first = stage.start()
        await asyncio.sleep(OWNED_SECONDS_MAX)
        assert OperationState.RUNNING is stage.state()
        await asyncio.sleep(2 * LEASE_SECONDS)
        assert stage.row() is None
        assert (await stage.ask(at=stage.two)).says == "OK"
        stage.one.crash()
        await asyncio.wait([first])
        assert first.exception() is not None
