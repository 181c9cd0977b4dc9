"""The whole service on a real port, against the sandbox over real HTTP."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.trace import TracerProvider

from engagement.v1 import sequence_step_pb2 as step_pb2
from engagement.v1 import sequence_step_service_pb2 as service_pb2
from engagement.v1.sequence_step_service_pb2_grpc import SequenceStepServiceStub
from sandbox.server import RunningSandbox, serve_in_thread
from service.bootstrap import opened_stores, running_service
from service.settings import Settings
from service.stores.key_ring import new_entry
from service.telemetry.tracing import NO_TRACES
from service.transport.server import StopTimes
from tests.service.grpc_failure import Failure, failure_of
from tests.service.leaked_credentials import LogWatch
from tests.service.vendor_account import VendorAccount

NewAccount = Callable[..., Awaitable[VendorAccount]]

_account_numbers = itertools.count(1)
"""The service remembers connections and rate limits by customer, so no two tests share a name."""


@dataclass(frozen=True)
class Client:
    """A caller of the service, through the generated client."""

    port: int
    settings: Settings
    stub: Any

    async def create(
        self,
        account: VendorAccount,
        step: step_pb2.SequenceStep,
        *,
        timeout: float | None = 30,  # noqa: ASYNC109 - the call's deadline, as grpc names it
        sequence_id: str | None = None,
        **request: Any,
    ) -> service_pb2.CreateSequenceStepResponse:
        """Call CreateSequenceStep as the account's customer."""
        response: service_pb2.CreateSequenceStepResponse = await self.stub.CreateSequenceStep(
            service_pb2.CreateSequenceStepRequest(
                sequence_id=account.sequence_id if sequence_id is None else sequence_id,
                step=step,
                **request,
            ),
            metadata=(("x-customer-id", account.name), ("x-provider-name", account.vendor)),
            timeout=timeout,
        )
        return response

    async def fail(
        self, account: VendorAccount, step: step_pb2.SequenceStep, **request: Any
    ) -> Failure:
        """Call CreateSequenceStep, which has to fail."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.create(account, step, **request)
        return failure_of(caught.value)


@pytest.fixture(scope="session", autouse=True)
def _no_credential_is_logged() -> Iterator[None]:
    """By the services in this process; those of their own look at the end of each."""
    watch = LogWatch()
    watch.start()
    yield
    assert watch.found == []


@pytest.fixture(scope="session")
def sandbox() -> Iterator[RunningSandbox]:
    """The vendors, in a thread of their own."""
    with serve_in_thread() as running:
        yield running


def environment_for(sandbox_url: str, database: Path, **more: str) -> dict[str, str]:
    """Return the variables of a service that is pointed at the sandbox."""
    return {
        "ENGAGEMENT_LISTEN": "127.0.0.1:0",
        "ENGAGEMENT_DATABASE": str(database),
        "ENGAGEMENT_KEYS": new_entry(),
        "ENGAGEMENT_REFLECTION": "true",
        "ENGAGEMENT_OUTREACH_API_URL": f"{sandbox_url}/outreach/api/v2",
        "ENGAGEMENT_OUTREACH_TOKEN_URL": f"{sandbox_url}/outreach/oauth/token",
        "ENGAGEMENT_OUTREACH_CLIENT_ID": "outreach-client",
        "ENGAGEMENT_OUTREACH_CLIENT_SECRET": "outreach-secret",
        "ENGAGEMENT_SALESLOFT_API_URL": f"{sandbox_url}/salesloft/v2",
        "ENGAGEMENT_SALESLOFT_TOKEN_URL": f"{sandbox_url}/salesloft/oauth/token",
        "ENGAGEMENT_SALESLOFT_CLIENT_ID": "salesloft-client",
        "ENGAGEMENT_SALESLOFT_CLIENT_SECRET": "salesloft-secret",
        "ENGAGEMENT_APOLLO_API_URL": f"{sandbox_url}/apollo/api/v1",
        **more,
    }


def settings_for(sandbox_url: str, database: Path, **more: str) -> Settings:
    """Return settings that point at the sandbox."""
    return Settings.from_environment(environment_for(sandbox_url, database, **more))


@asynccontextmanager
async def client_at(port: int, settings: Settings) -> AsyncIterator[Client]:
    """Make a client of the service at a port."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Client(
            port,
            settings,
            SequenceStepServiceStub(channel),  # type: ignore[no-untyped-call]
        )


@asynccontextmanager
async def client_of(
    settings: Settings, tracer_provider: TracerProvider = NO_TRACES
) -> AsyncIterator[Client]:
    """Run a service with these settings, and a client of it; stop it without any delay."""
    async with running_service(settings, tracer_provider) as service:
        try:
            async with client_at(service.port, settings) as client:
                yield client
        finally:
            await service.server.stop(StopTimes(0, 5, 30), service.tasks.drain, asyncio.Event())


@pytest.fixture(scope="session")
async def client(
    sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Client]:
    """A client of one service that the tests share; each has accounts of its own."""
    database = tmp_path_factory.mktemp("service") / "engagement.db"
    async with client_of(settings_for(sandbox.base_url, database)) as running:
        yield running


@pytest.fixture(scope="session")
async def control(sandbox: RunningSandbox) -> AsyncIterator[httpx.AsyncClient]:
    """The sandbox's control interface."""
    url = f"{sandbox.base_url}/_sandbox"
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as control:
        yield control


@pytest.fixture
async def new_account(control: httpx.AsyncClient, client: Client) -> AsyncIterator[NewAccount]:
    """Make accounts that only this test uses, and their connections in the service's store."""
    made = []

    async def make(vendor: str, *, connected: bool = True, **setup: Any) -> VendorAccount:
        name = f"{vendor}-test-{next(_account_numbers)}"
        answer = await control.post("/accounts", json={"vendor": vendor, "name": name, **setup})
        answer.raise_for_status()
        account = VendorAccount(vendor, name, answer.json()["credentials"], control)
        made.append(account)
        if connected:
            async with opened_stores(client.settings) as stores:
                await stores.connections.put(account.connection())
        return account

    yield make
    for account in made:
        await control.delete(f"/accounts/{account.name}")
