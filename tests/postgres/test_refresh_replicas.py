"""Two replicas that meet the same expired token: the provider is asked once."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from service.application.connection_ports import ConnectionState, StoredConnection
from service.application.customer_connections import CustomerConnections
from service.domain.connection import Secret
from service.domain.errors import Reason, ServiceError
from service.providers.oauth import OAuthTokenEndpoint
from service.stores import postgres_locks
from service.stores.connections_postgres import PostgresConnections
from service.stores.postgres_database import PostgresDatabase
from tests.connections.manual_clock import ManualClock
from tests.connections.samples import ACME_OUTREACH, APPLICATIONS, GLOBEX_OUTREACH, RING, oauth
from tests.connections.scripted_http import ScriptedHttp, refusal, tokens

RENEWED = oauth(credential="access-2", refresh_token="refresh-2")
END_HOLDERS = b"""
    SELECT pg_terminate_backend(pid, 2000) FROM pg_locks WHERE locktype = 'advisory' AND granted
"""


class Replica:
    """One process's connections, with its way to the token endpoint."""

    def __init__(self, database: PostgresDatabase) -> None:
        clock = ManualClock()
        self.http = ScriptedHttp()
        self.store = PostgresConnections(database, RING, clock)
        endpoint = OAuthTokenEndpoint(self.http, APPLICATIONS, clock)
        self.connections = CustomerConnections(self.store, endpoint, clock)


@pytest.fixture
async def one(database: PostgresDatabase) -> AsyncIterator[Replica]:
    made = Replica(database)
    await made.store.put(oauth())
    yield made
    await made.connections.aclose()


@pytest.fixture
async def another(other: PostgresDatabase) -> AsyncIterator[Replica]:
    made = Replica(other)
    yield made
    await made.connections.aclose()


async def test_the_endpoint_is_asked_once(one: Replica, another: Replica) -> None:
    """While one refreshes, the other waits, and then finds the token replaced."""
    one.http.add(tokens())
    one.http.open.clear()
    first = asyncio.create_task(one.connections.refresh(oauth()))
    await one.http.arrived.wait()
    second = asyncio.create_task(another.connections.refresh(oauth()))
    await another.store.read(ACME_OUTREACH)
    assert not second.done()
    one.http.open.set()
    assert await first == RENEWED
    assert await second == RENEWED
    assert (len(one.http.requests), len(another.http.requests)) == (1, 0)


async def test_whoever_comes_first_of_many(one: Replica, another: Replica) -> None:
    for replica in (one, another):
        replica.http.add(tokens())
    replicas = (one, another) * 10
    renewed = await asyncio.gather(*(each.connections.refresh(oauth()) for each in replicas))
    assert renewed == [RENEWED] * 20
    assert len(one.http.requests) + len(another.http.requests) == 1


async def test_other_connections_are_not_waited_for(one: Replica, another: Replica) -> None:
    await one.store.put(oauth(GLOBEX_OUTREACH))
    one.http.add(tokens())
    another.http.add(tokens())
    one.http.open.clear()
    first = asyncio.create_task(one.connections.refresh(oauth()))
    await one.http.arrived.wait()
    renewed = await another.connections.refresh(oauth(GLOBEX_OUTREACH))
    assert renewed.credential == Secret("access-2")
    one.http.open.set()
    assert await first == RENEWED


async def test_a_refused_token_ends_the_connection_for_both(one: Replica, another: Replica) -> None:
    one.http.add(refusal(400, "invalid_grant"))
    one.http.open.clear()
    first = asyncio.create_task(one.connections.refresh(oauth()))
    await one.http.arrived.wait()
    second = asyncio.create_task(another.connections.refresh(oauth()))
    one.http.open.set()
    with capture_logs():
        errors = await asyncio.gather(first, second, return_exceptions=True)
    reasons = [error.reason for error in errors if isinstance(error, ServiceError)]
    assert reasons == [Reason.CONNECTION_EXPIRED] * 2
    assert another.http.requests == []


async def test_who_dies_refreshing_is_not_waited_for(one: Replica, another: Replica) -> None:
    """What it got for the old tokens is lost with it."""
    one.http.add(refusal(500))
    another.http.add(tokens())
    one.http.open.clear()
    dying = asyncio.create_task(one.connections.refresh(oauth()))
    await one.http.arrived.wait()
    survivor = asyncio.create_task(another.connections.refresh(oauth()))
    await another.store._database.fetch(END_HOLDERS)
    assert await survivor == RENEWED
    one.http.open.set()
    with capture_logs(), pytest.raises(ServiceError):
        await dying
    stored = await another.store.read(ACME_OUTREACH)
    assert stored == StoredConnection(RENEWED, ConnectionState.USABLE)


async def test_a_refresh_that_does_not_end_elsewhere_is_not_waited_for_long(
    one: Replica, another: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_locks, "WAIT_SECONDS_MAX", 0.1)
    one.http.add(tokens())
    one.http.open.clear()
    first = asyncio.create_task(one.connections.refresh(oauth()))
    await one.http.arrived.wait()
    with pytest.raises(ServiceError) as caught:
        await another.connections.refresh(oauth())
    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    one.http.open.set()
    assert await first == RENEWED
