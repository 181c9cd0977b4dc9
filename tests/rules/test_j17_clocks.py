"""J17: times are the store's; when its clock goes back, a write counts as just sent."""

import asyncio

import pytest

from service.application.journal_port import LEASE_SECONDS
from service.domain.operation import OperationState
from tests.application import plans
from tests.application.virtual_time import VirtualClock, on_virtual_time
from tests.application.world import SETTLE_SECONDS
from tests.rules.stage import Stage
from tests.simulation.fate import Exchange
from tests.simulation.process import ProcessClock

STEP = "POST /sequenceSteps"
HOUR_SECONDS = 3_600.0
LOST = Exchange(applied_after_seconds=None, answer=plans.LOST)


class _StoreClock(VirtualClock):
    """The store's clock, which somebody may set."""

    ahead_seconds = 0.0

    def epoch_seconds(self) -> float:
        return super().epoch_seconds() + self.ahead_seconds


def _own_clock(stage: Stage) -> _StoreClock:
    clock = _StoreClock()
    stage.cluster.journal._clock = clock
    return clock


@on_virtual_time
async def test_j17_a_clock_that_went_back_makes_nothing_older() -> None:
    """Absence is proven when the clock says so again, and not a moment earlier."""
    async with Stage(plans.OUTREACH_CALL) as stage:
        clock = _own_clock(stage)
        stage.script.exchanges[STEP] = [LOST]
        assert (await stage.ask()).says == "OUTCOME_UNKNOWN"
        clock.ahead_seconds = -HOUR_SECONDS
        await asyncio.sleep(2 * SETTLE_SECONDS)
        outcome = await stage.ask()
        assert (outcome.says, stage.writes) == ("OUTCOME_UNKNOWN", [STEP])
        assert pytest.approx(SETTLE_SECONDS, abs=1) == outcome.error.retry_after_seconds
        other = await stage.ask("another request")
        assert other.says == "SEQUENCE_BUSY"
        await asyncio.sleep(HOUR_SECONDS)
        assert (await stage.ask()).says == "OK"


@pytest.mark.parametrize("ahead_seconds", [-HOUR_SECONDS, HOUR_SECONDS])
@on_virtual_time
async def test_j17_the_clock_of_a_process_does_not_count(
    monkeypatch: pytest.MonkeyPatch, ahead_seconds: float
) -> None:
    """A lease runs out, and a write has its time, by the store's clock."""
    monkeypatch.setattr(ProcessClock, "epoch_seconds", lambda _: ahead_seconds)
    async with Stage(plans.OUTREACH_CALL) as stage:
        stage.script.exchanges[STEP] = [Exchange(applied_after_seconds=100, answer=plans.LOST)]
        stage.script.at_answer = (STEP, lambda replica: replica.crash())
        await stage.ask_in_vain()
        await asyncio.sleep(LEASE_SECONDS - 5)
        assert OperationState.RUNNING is stage.state()
        await asyncio.sleep(25)
        assert OperationState.IN_DOUBT is stage.state()
        await asyncio.sleep(SETTLE_SECONDS)
        row = stage.row()
        assert row is not None
        assert (OperationState.SUCCEEDED, {row.step_id}) == (row.state, set(stage.vendor.steps))


@on_virtual_time
async def test_j17_the_time_of_a_write_is_the_stores() -> None:
    async with Stage(plans.OUTREACH_LINK) as stage:
        clock = _own_clock(stage)
        clock.ahead_seconds = 17 * HOUR_SECONDS
        await stage.ask()
        row = stage.row()
        assert row is not None
        assert row.sent_at_epoch_ms is not None
        sent_at_seconds = row.sent_at_epoch_ms / 1000
        assert pytest.approx(clock.epoch_seconds(), abs=1) == sent_at_seconds
        assert row.sent_at_epoch_ms == row.calls[-1].sent_at_epoch_ms
