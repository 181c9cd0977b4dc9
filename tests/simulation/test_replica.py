"""The replicas of the simulation do what it says of them: crash, freeze, and miss their store."""

import asyncio

import pytest

from service.application.arrival import Arrival
from service.application.call_record import CallRecord
from service.application.journal_port import LEASE_SECONDS
from service.domain.errors import ServiceError
from service.domain.operation import CallState, OperationKey, OperationState
from service.domain.provider_call import AnswerLost, ProviderRequest
from service.domain.step import StepRequest
from tests.application import plans
from tests.application.virtual_time import on_virtual_time
from tests.simulation.cluster import Cluster
from tests.simulation.fate import Exchange, Fate, JournalCall, StoreHappening
from tests.simulation.replica import ProcessGone, Replica

FOREVER_SECONDS = 3_600.0


def _arrival(cluster: Cluster) -> Arrival:
    key = OperationKey("caller", cluster.connection_key, "the request")
    request = StepRequest(cluster.vendor.sequence_id, plans.OUTREACH_CALL.step)
    return Arrival(key, request, None, CallRecord())


class _AtFirstSent(Fate):
    """Something happens when the first SENT is durable, and its process does not know it yet."""

    def __init__(self) -> None:
        self.is_over = False

    def after_journal(self, replica: Replica, call: JournalCall) -> None:
        if call.is_sending and not self.is_over:
            self.is_over = True
            self.happens(replica)

    def happens(self, replica: Replica) -> None: ...


@on_virtual_time
async def test_a_crashed_process_does_nothing_more_and_the_row_is_taken_over() -> None:
    class Crash(_AtFirstSent):
        def happens(self, replica: Replica) -> None:
            replica.crash()

    cluster = Cluster(plans.OUTREACH, Crash())
    arrival = _arrival(cluster)
    with pytest.raises(ProcessGone):
        await cluster.replicas[0].create(arrival)
    await asyncio.sleep(LEASE_SECONDS / 2)
    row = cluster.committed(arrival.key)
    assert row is not None
    assert (row.state, row.calls[0].state) == (OperationState.RUNNING, CallState.SENT)
    await asyncio.sleep(FOREVER_SECONDS)
    row = cluster.committed(arrival.key)
    assert row is not None
    assert (row.state, cluster.vendor_side.arrived) == (OperationState.NO_EFFECT, [])
    await cluster.stop()


@on_virtual_time
async def test_a_crashed_replica_can_start_again() -> None:
    cluster = Cluster(plans.OUTREACH, Fate())
    replica = cluster.replicas[0]
    replica.crash()
    with pytest.raises(ProcessGone):
        await replica.create(_arrival(cluster))
    replica.start()
    assert [(await replica.create(_arrival(cluster))).step_id] == [*cluster.vendor.steps]
    await cluster.stop()


@pytest.mark.parametrize("with_machine", [False, True], ids=["process", "machine"])
@on_virtual_time
async def test_a_frozen_process_sends_no_late_byte(*, with_machine: bool) -> None:
    class Freeze(_AtFirstSent):
        def happens(self, replica: Replica) -> None:
            replica.freeze(LEASE_SECONDS + 30, with_machine=with_machine)

    cluster = Cluster(plans.OUTREACH, Freeze())
    arrival = _arrival(cluster)
    with pytest.raises(ServiceError, match="OUTCOME_UNKNOWN"):
        await cluster.replicas[0].create(arrival)
    await asyncio.sleep(FOREVER_SECONDS)
    row = cluster.committed(arrival.key)
    assert row is not None
    assert (row.state, cluster.vendor_side.arrived) == (OperationState.NO_EFFECT, [])
    await cluster.stop()


@on_virtual_time
async def test_what_the_vendor_has_received_is_applied_after_a_crash() -> None:
    class Crash(Fate):
        def before_send(self, replica: Replica, request: ProviderRequest) -> Exchange:
            if request.method == "GET":
                return super().before_send(replica, request)
            return Exchange(applied_after_seconds=50, answer=AnswerLost("reset"))

        def received(self, replica: Replica, request: ProviderRequest) -> None:
            if request.method != "GET":
                replica.crash()

    cluster = Cluster(plans.OUTREACH, Crash())
    arrival = _arrival(cluster)
    with pytest.raises(ProcessGone):
        await cluster.replicas[0].create(arrival)
    assert cluster.vendor.steps == {}
    await asyncio.sleep(FOREVER_SECONDS)
    row = cluster.committed(arrival.key)
    assert row is not None
    assert (OperationState.SUCCEEDED, [row.step_id]) == (row.state, [*cluster.vendor.steps])
    await cluster.stop()


@pytest.mark.parametrize("is_done", [False, True], ids=["not done", "done"])
@on_virtual_time
async def test_a_store_that_fails_at_the_first_sent_lets_nothing_out(*, is_done: bool) -> None:
    class Outage(Fate):
        def before_journal(self, replica: Replica, call: JournalCall) -> StoreHappening:
            if call.is_sending:
                return StoreHappening(is_done=is_done, fails=True)
            return super().before_journal(replica, call)

    cluster = Cluster(plans.OUTREACH, Outage())
    arrival = _arrival(cluster)
    with pytest.raises(ServiceError, match="OUTCOME_UNKNOWN"):
        await cluster.replicas[0].create(arrival)
    row = cluster.committed(arrival.key)
    assert row is not None
    assert ([], [CallState.SENT] if is_done else []) == (
        cluster.vendor_side.arrived,
        [call.state for call in row.calls],
    )
    await cluster.stop()


@on_virtual_time
async def test_an_expired_token_is_renewed_once() -> None:
    cluster = Cluster(plans.OUTREACH, Fate())
    cluster.tokens.expire(cluster.connection_key)
    answer = await cluster.replicas[0].create(_arrival(cluster))
    assert ([answer.step_id], 1) == ([*cluster.vendor.steps], cluster.tokens.refreshes)
    await cluster.stop()
