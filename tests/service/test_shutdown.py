"""A real process: how it starts, how it does not, and how it ends while it is at work."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from socket import socket
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sandbox.server import RunningSandbox
from service.bootstrap import opened_stores
from service.stores.key_ring import new_entry
from tests.service.conftest import Client, NewAccount, client_at, environment_for
from tests.service.service_process import ServiceProcess, run_to_its_end, service_process
from tests.service.step_messages import CALL, step
from tests.service.test_concurrency import VENDORS, seed, sequence_ids
from tests.service.vendor_account import VendorAccount
from tests.service.vendor_hold import eventually

SERVICE = "engagement.v1.SequenceStepService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
HOLD_SECONDS = 1.5


@asynccontextmanager
async def running(
    sandbox: RunningSandbox, folder: Path, accounts: list[VendorAccount], **settings: str
) -> AsyncIterator[tuple[ServiceProcess, Client]]:
    """Run a process that knows these accounts, and a client of it."""
    environment = environment_for(sandbox.base_url, folder / "engagement.db", **settings)
    async with service_process(environment, folder / "log") as process:
        port = await process.port()
        async with opened_stores(process.settings) as stores:
            for account in accounts:
                await stores.connections.put(account.connection())
        async with client_at(port, process.settings) as client:
            yield process, client


async def held_account(new_account: NewAccount, vendor: str, count: int) -> VendorAccount:
    """Make an account whose vendor takes its time over writes."""
    account = await new_account(vendor, connected=False, seed=seed(vendor, count))
    await account.fault(kind="none", before_seconds=HOLD_SECONDS, method="POST", times=None)
    return account


async def all_held(accounts: list[VendorAccount], count: int) -> None:
    """Wait until each vendor has so many writes."""

    async def have_them() -> bool:
        return min([len(await account.writes()) for account in accounts]) == count

    await eventually(have_them)


async def not_serving(port: int, service: str) -> None:
    """Wait until probes are told."""

    async def is_told() -> bool:
        return await status_of(port, service) == NOT_SERVING

    await eventually(is_told)


async def status_of(port: int, service: str = "") -> int:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)  # The stubs leave its methods out.
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    return int(answer.status)


async def test_sigterm_under_load_loses_nothing(
    sandbox: RunningSandbox, new_account: NewAccount, tmp_path: Path
) -> None:
    count = 10
    accounts = [await held_account(new_account, vendor, count) for vendor in VENDORS]
    async with running(sandbox, tmp_path, accounts, ENGAGEMENT_DRAIN_DELAY_SECONDS="0.3") as (
        process,
        client,
    ):
        assert {await status_of(client.port, name) for name in ("", SERVICE)} == {SERVING}
        calls = [
            asyncio.create_task(client.create(account, step(CALL), sequence_id=sequence_id))
            for account in accounts
            for sequence_id in sequence_ids(account.vendor, count)
        ]
        await all_held(accounts, count)

        process.process.send_signal(signal.SIGTERM)
        await process.line("stopping")
        await not_serving(client.port, SERVICE)
        answers = await asyncio.gather(*calls)
        assert await process.ended() == 0

    made = [step_id for account in accounts for step_id in await account.step_ids()]
    assert sorted(answer.id for answer in answers) == sorted(made)
    events = [line["event"] for line in process.log()]
    assert events[0] == "serving"
    assert events[-1] == "stopped"


async def test_probes_see_it_before_new_calls_are_refused(
    sandbox: RunningSandbox, new_account: NewAccount, tmp_path: Path
) -> None:
    """While load balancers still send calls, they are served; a second signal ends that time."""
    account = await new_account("outreach", connected=False)
    async with running(sandbox, tmp_path, [account], ENGAGEMENT_DRAIN_DELAY_SECONDS="60") as (
        process,
        client,
    ):
        process.process.send_signal(signal.SIGTERM)
        await process.line("stopping")
        await not_serving(client.port, "")
        served = await client.create(account, step(CALL))
        assert process.process.returncode is None

        process.process.send_signal(signal.SIGTERM)
        assert await process.ended() == 0

    assert await account.step_ids() == [served.id]


async def test_ctrl_c_ends_it_as_well(sandbox: RunningSandbox, tmp_path: Path) -> None:
    async with running(sandbox, tmp_path, [], ENGAGEMENT_DRAIN_DELAY_SECONDS="0") as (process, _):
        process.process.send_signal(signal.SIGINT)
        assert await process.ended() == 0

    events = [line["event"] for line in process.log()]
    assert events == ["serving", "callers_not_identified", "stopping", "stopped"]


@pytest.mark.parametrize("signals", [1, 3])
async def test_a_write_outlives_the_grace(
    sandbox: RunningSandbox, new_account: NewAccount, tmp_path: Path, signals: int
) -> None:
    """However often somebody asks for the end."""
    account = await held_account(new_account, "outreach", 1)
    async with running(
        sandbox,
        tmp_path,
        [account],
        ENGAGEMENT_DRAIN_DELAY_SECONDS="0",
        ENGAGEMENT_GRACE_SECONDS="0.1",
        ENGAGEMENT_FINISH_SECONDS="30",
    ) as (process, client):
        call = asyncio.create_task(client.create(account, step(CALL)))
        await all_held([account], 1)
        for _ in range(signals):
            process.process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.aio.AioRpcError):
            await call
        assert await process.ended() == 0

    (unheard,) = (line for line in process.log() if line["event"] == "operation_without_caller")
    assert unheard["outcome"] == "OK"
    assert [unheard["step_id"]] == await account.step_ids()


async def test_settings_that_are_wrong_are_all_named(
    sandbox: RunningSandbox, tmp_path: Path
) -> None:
    wrong = {
        "ENGAGEMENT_LISTEN": "0.0.0.0:50051",
        "ENGAGEMENT_KEYS": "short:AAAA",
        "ENGAGEMENT_APOLLO_API_URL": "http://example.com/api",
        "ENGAGEMENT_GRACE_SECONDS": "soon",
        "ENGAGEMENT_OUTREACH_CLIENT_SECRET": "",
        "ENGAGEMENT_DATABSE": "typo.db",
    }

    status, said = await run_to_its_end(
        environment_for(sandbox.base_url, tmp_path / "engagement.db", **wrong), tmp_path / "log"
    )

    assert status == 2
    assert len(said.splitlines()) == len(wrong)
    for name in wrong:
        assert name in said
    assert "AAAA" not in said, "a key was printed"
    assert "Traceback" not in said
    assert not (tmp_path / "engagement.db").exists()


async def test_a_port_that_is_taken(sandbox: RunningSandbox, tmp_path: Path) -> None:
    with socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        status, said = await run_to_its_end(
            environment_for(
                sandbox.base_url, tmp_path / "engagement.db", ENGAGEMENT_LISTEN=address
            ),
            tmp_path / "log",
        )

    assert status == 1
    # The library says it too, in a form of its own.
    (line,) = (line for line in said.splitlines() if "add_port.cc" not in line)
    assert address in line


async def test_a_database_that_another_process_serves_from(
    sandbox: RunningSandbox, tmp_path: Path
) -> None:
    async with running(sandbox, tmp_path, [], ENGAGEMENT_DRAIN_DELAY_SECONDS="0") as (first, _):
        database = tmp_path / "engagement.db"
        status, said = await run_to_its_end(
            environment_for(sandbox.base_url, database), tmp_path / "second-log"
        )
        first.process.send_signal(signal.SIGTERM)
        assert await first.ended() == 0

    assert status == 1
    (line,) = said.splitlines()
    assert str(database) in line


async def test_a_database_that_is_none(sandbox: RunningSandbox, tmp_path: Path) -> None:
    database = tmp_path / "engagement.db"
    database.write_text("This is a letter, not a database. " * 100)

    status, said = await run_to_its_end(
        environment_for(sandbox.base_url, database, ENGAGEMENT_KEYS=new_entry()), tmp_path / "log"
    )

    assert status == 1
    (line,) = said.splitlines()
    assert str(database) in line
    assert database.read_text().startswith("This is a letter")
