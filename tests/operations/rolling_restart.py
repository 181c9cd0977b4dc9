"""Two replicas are restarted one after the other, while callers are balanced over both.

A replica that ends comes back at its own address, as on machines that stay. Half of the callers
have a library that asks each for its health and turns away from one that says NOT_SERVING; that of
the others learns from the connection's end.
"""

import asyncio
import itertools
import json
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from engagement.v1.sequence_step_service_pb2_grpc import SequenceStepServiceStub
from service.stores.postgres_migrations import migrate
from service.transport.server import SERVICE_NAME
from tests.replicas import promises
from tests.replicas.request import OK, WROTE_NOTHING, Request, counts, marked_request
from tests.replicas.stage import Replica, Stage, connect, operations
from tests.service.conftest import Client
from tests.service.test_concurrency import sequence_ids
from tests.service.vendor_account import VendorAccount
from tests.service.vendor_hold import eventually

CALLERS = 16
SEQUENCES = 1500
"""More than there are requests."""

VENDOR_SECONDS = 0.05
"""How long a vendor takes before it applies a request, and again before it answers."""

DRAIN_DELAY_SECONDS = 1.0
CALLS_BETWEEN = 20
"""So many end at a replica before the next one is restarted."""

ROUND_ROBIN: Mapping[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
ASKS_FOR_HEALTH = {"healthCheckConfig": {"serviceName": SERVICE_NAME}}
RECONNECT_MS = 200
"""So that a new replica is found soon."""

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass(frozen=True)
class Balanced:
    """All replicas, behind one client that is balanced over them."""

    client: Client


async def rolling_restart(stage: Stage, url: str) -> str:
    """Restart both under load, and ask the vendors; return the counts."""
    await migrate(url)
    environment = stage.environment(url, ENGAGEMENT_DRAIN_DELAY_SECONDS=f"{DRAIN_DELAY_SECONDS}")
    accounts = await stage.slow_accounts(SEQUENCES, VENDOR_SECONDS)
    await connect(environment, accounts)
    async with AsyncExitStack() as stack:
        old = [await stack.enter_async_context(stage.replica(environment)) for _ in range(2)]
        balanced = [
            await stack.enter_async_context(_balanced(old, config))
            for config in (ROUND_ROBIN, {**ROUND_ROBIN, **ASKS_FOR_HEALTH})
        ]
        load = _Load(accounts)
        async with asyncio.TaskGroup() as callers:
            for each in itertools.islice(itertools.cycle(balanced), CALLERS):
                callers.create_task(load.call(each))
            for replica in old:
                await _has_served(replica)
                await _drained(replica)
                at = {"ENGAGEMENT_LISTEN": f"127.0.0.1:{replica.client.port}"}
                await _has_served(await stack.enter_async_context(stage.replica(environment | at)))
            load.is_over = True
    assert await operations(environment, only_unsettled=True) == ()
    assert await promises.one_step_each(load.requests) == len(load.requests)
    await promises.nothing_where_nothing_was_promised(load.requests)
    answers = {answer.reason for request in load.requests for answer in request.answers}
    assert answers <= WROTE_NOTHING | {OK}, counts(load.requests)
    return counts(load.requests)


class _Load:
    """Callers that make one request after another, each until it is answered with its step."""

    def __init__(self, accounts: list[VendorAccount]) -> None:
        self.requests: list[Request] = []
        self.is_over = False
        self._coming = (
            marked_request(account, sequence_id)
            for at in zip(*(sequence_ids(each.vendor, SEQUENCES) for each in accounts), strict=True)
            for account, sequence_id in zip(accounts, at, strict=True)
        )

    async def call(self, balanced: Balanced) -> None:
        while not self.is_over:
            request = next(self._coming)
            self.requests.append(request)
            await request.settle(lambda: balanced)


@asynccontextmanager
async def _balanced(replicas: list[Replica], config: Mapping[str, Any]) -> AsyncIterator[Balanced]:
    addresses = ",".join(f"127.0.0.1:{replica.client.port}" for replica in replicas)
    options = (
        ("grpc.service_config", json.dumps(config)),
        ("grpc.initial_reconnect_backoff_ms", RECONNECT_MS),
        ("grpc.min_reconnect_backoff_ms", RECONNECT_MS),
        ("grpc.max_reconnect_backoff_ms", RECONNECT_MS),
    )
    async with grpc.aio.insecure_channel(f"ipv4:{addresses}", options=options) as channel:
        stub: Any = SequenceStepServiceStub(channel)  # type: ignore[no-untyped-call]
        yield Balanced(Client(replicas[0].client.port, replicas[0].client.settings, stub))


async def _has_served(replica: Replica) -> None:
    async def has() -> bool:
        lines = replica.process.log_path.read_text().splitlines()
        return sum('"event":"rpc"' in line for line in lines) >= CALLS_BETWEEN

    await eventually(has)


async def _drained(replica: Replica) -> None:
    """End a replica in order: probes are told first, calls still end, then it is gone."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{replica.client.port}") as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)  # The stubs leave its methods out.
        watch = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE_NAME))
        assert (await watch.read()).status != NOT_SERVING
        replica.process.process.send_signal(signal.SIGTERM)
        assert (await watch.read()).status == NOT_SERVING
        assert replica.process.process.returncode is None
        watch.cancel()
    assert await replica.process.ended() == 0
    events = [line["event"] for line in replica.process.log()]
    assert "rpc" in events[events.index("stopping") :]
    assert events[-1] == "stopped"
    assert "operations_cut_off" not in events
