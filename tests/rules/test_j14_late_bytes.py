"""J14: a write that does not begin within 2 s of its commit does not begin at all."""

import asyncio

import pytest

from service.application.provider_session import START_WITHIN_SECONDS
from service.domain.operation import OperationState
from tests.application import plans
from tests.application.virtual_time import on_virtual_time
from tests.rules.stage import Stage
from tests.simulation.fate import Exchange, StoreHappening

STEP = "POST /sequenceSteps"
TOO_LATE_SECONDS = START_WITHIN_SECONDS + 1
ATTEMPT = [f"commit {STEP}", f"send {STEP}"]


@on_virtual_time
async def test_j14_a_frozen_process_whose_row_was_taken_over_sends_nothing() -> None:
    """It froze between the commit and the first byte, and wakes when another owns the row."""
    async with Stage(plans.OUTREACH_CALL) as stage:
        stage.script.at_sent = lambda replica: replica.freeze(45)
        outcome = await stage.ask()
        assert (stage.writes, outcome.says) == ([], "OUTCOME_UNKNOWN")


@pytest.mark.parametrize("with_machine", [False, True], ids=["process", "machine"])
@on_virtual_time
async def test_j14_a_short_freeze_costs_an_attempt(*, with_machine: bool) -> None:
    """A suspended machine's monotonic clock stood still; the one that counts did not."""
    async with Stage(plans.OUTREACH_CALL) as stage:
        stage.script.at_sent = lambda replica: replica.freeze(
            TOO_LATE_SECONDS, with_machine=with_machine
        )
        outcome = await stage.ask()
        (arrived,) = stage.vendor_side.arrived
        assert ("OK", [*ATTEMPT, *ATTEMPT, "SUCCEEDED"]) == (outcome.says, stage.script.log)
        assert arrived.at_seconds > TOO_LATE_SECONDS


@pytest.mark.parametrize(
    "first",
    [
        StoreHappening(before_seconds=TOO_LATE_SECONDS),
        StoreHappening(after_seconds=TOO_LATE_SECONDS),
    ],
    ids=["before it is done", "after it"],
)
@on_virtual_time
async def test_j14_the_time_counts_from_before_the_commit(first: StoreHappening) -> None:
    async with Stage(plans.OUTREACH_CALL) as stage:
        stage.script.sent_commits = [first]
        outcome = await stage.ask()
        assert ("OK", [*ATTEMPT, *ATTEMPT, "SUCCEEDED"]) == (outcome.says, stage.script.log)
        assert stage.writes == [STEP]


@on_virtual_time
async def test_j14_a_store_that_is_always_slow_lets_nothing_out() -> None:
    async with Stage(plans.OUTREACH_CALL) as stage:
        stage.script.sent_commits = [StoreHappening(after_seconds=TOO_LATE_SECONDS)] * 9
        outcome = await stage.ask()
        assert (outcome.says, stage.writes) == ("PROVIDER_UNAVAILABLE", [])
        assert OperationState.NO_EFFECT is stage.state()


@on_virtual_time
async def test_j14_a_connection_that_comes_too_late_is_not_used() -> None:
    async with Stage(plans.OUTREACH_CALL) as stage:
        stage.script.exchanges[STEP] = [Exchange(connect_seconds=TOO_LATE_SECONDS)]
        outcome = await stage.ask()
        (arrived,) = stage.vendor_side.arrived
        assert ("OK", [*ATTEMPT, *ATTEMPT, "SUCCEEDED"]) == (outcome.says, stage.script.log)
        assert arrived.at_seconds > TOO_LATE_SECONDS


@on_virtual_time
async def test_j14_reads_may_begin_late() -> None:
    async with Stage(plans.OUTREACH_CALL) as stage:
        stage.script.exchanges["GET /sequences"] = [Exchange(connect_seconds=TOO_LATE_SECONDS)]
        first = stage.start()
        await asyncio.sleep(TOO_LATE_SECONDS + 1)
        assert first.done()
        assert (await first).says == "OK"
