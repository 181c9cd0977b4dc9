"""Finding a customer's connection: what is remembered, and what is refreshed ahead of time."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.application import connection_cache
from service.application.connection_ports import ConnectionState, StoredConnection
from service.application.customer_connections import CustomerConnections
from service.domain.connection import Connection, ConnectionKind, Secret
from service.domain.errors import Reason, ServiceError
from service.domain.provider_call import AnswerLost
from service.domain.step import ConnectionKey, ProviderName
from service.providers.oauth import OAuthTokenEndpoint
from service.stores.connections_sqlite import SqliteConnections
from service.stores.sqlite_database import SqliteDatabase
from tests.connections.manual_clock import EPOCH_SECONDS, ManualClock
from tests.connections.samples import ACME_OUTREACH, APPLICATIONS, RING, api_key, oauth
from tests.connections.scripted_http import Happening, ScriptedHttp, refusal, tokens

RENEWED = oauth(credential="access-2", refresh_token="refresh-2")


class CountingStore(SqliteConnections):
    """The real store; it counts reads, and can hold one back after it was made."""

    reads = 0
    holds_next = False

    def hold_next(self) -> None:
        self.holds_next = True
        self.is_held, self.may_end = asyncio.Event(), asyncio.Event()

    async def read(self, key: ConnectionKey) -> StoredConnection | None:
        self.reads += 1
        stored = await super().read(key)
        if self.holds_next:
            self.holds_next = False
            self.is_held.set()
            await self.may_end.wait()
        return stored


@pytest.fixture
def store(database: SqliteDatabase, clock: ManualClock) -> CountingStore:
    return CountingStore(database, RING, clock)


@pytest.fixture
def http() -> ScriptedHttp:
    return ScriptedHttp()


@pytest.fixture
async def connections(
    store: CountingStore, http: ScriptedHttp, clock: ManualClock
) -> AsyncIterator[CustomerConnections]:
    made = CustomerConnections(store, OAuthTokenEndpoint(http, APPLICATIONS, clock), clock)
    yield made
    await made.aclose()


async def test_what_is_not_there_is_said_with_whose_it_is(
    connections: CustomerConnections, store: CountingStore
) -> None:
    """Absence is not remembered: what is put next is found at once."""
    with pytest.raises(ServiceError) as caught:
        await connections.find(ACME_OUTREACH)
    assert caught.value.reason is Reason.CONNECTION_MISSING
    assert caught.value.message == (
        "Customer acme has no connection at Outreach; "
        "an operator stores one with `connections put`."
    )
    await store.put(oauth())
    assert await connections.find(ACME_OUTREACH) == oauth()


async def test_a_connection_is_read_once_in_a_few_seconds(
    connections: CustomerConnections, store: CountingStore, clock: ManualClock
) -> None:
    await store.put(oauth())
    for _ in range(50):
        assert await connections.find(ACME_OUTREACH) == oauth()
        clock.passed_seconds += 0.1
    assert store.reads == 1
    clock.passed_seconds += 0.2
    await connections.find(ACME_OUTREACH)
    assert store.reads == 2


async def test_another_process_is_seen_within_seconds(
    path: Path, connections: CustomerConnections, store: CountingStore, clock: ManualClock
) -> None:
    await store.put(oauth())
    await connections.find(ACME_OUTREACH)
    other = await SqliteDatabase.open(path)
    await SqliteConnections(other, RING, clock).put(RENEWED)
    clock.passed_seconds += 5.1
    assert await connections.find(ACME_OUTREACH) == RENEWED
    await SqliteConnections(other, RING, clock).remove(ACME_OUTREACH)
    await other.aclose()
    clock.passed_seconds += 5.1
    with pytest.raises(ServiceError, match="CONNECTION_MISSING"):
        await connections.find(ACME_OUTREACH)


async def test_what_this_process_changes_is_seen_at_once(
    connections: CustomerConnections, store: CountingStore, http: ScriptedHttp
) -> None:
    await store.put(oauth())
    http.add(tokens(), refusal(400, "invalid_grant"))
    assert await connections.find(ACME_OUTREACH) == oauth()
    await connections.refresh(oauth())
    assert await connections.find(ACME_OUTREACH) == RENEWED
    with pytest.raises(ServiceError, match="CONNECTION_EXPIRED"):
        await connections.refresh(RENEWED)
    with pytest.raises(ServiceError, match="CONNECTION_EXPIRED"):
        await connections.find(ACME_OUTREACH)


async def test_a_read_that_a_refresh_overtook_is_not_remembered(
    connections: CustomerConnections, store: CountingStore, http: ScriptedHttp
) -> None:
    await store.put(oauth())
    http.add(tokens())
    store.hold_next()
    find = asyncio.create_task(connections.find(ACME_OUTREACH))
    await store.is_held.wait()
    await connections.refresh(oauth())
    store.may_end.set()
    assert await find == oauth()
    assert await connections.find(ACME_OUTREACH) == RENEWED


async def test_so_many_are_remembered_and_no_more(
    connections: CustomerConnections, store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_cache, "CACHE_ENTRIES_MAX", 2)
    keys = [ConnectionKey(name, ProviderName("apollo")) for name in ("a", "b", "c")]
    for key in keys:
        await store.put(api_key(key))
        await connections.find(key)
    for key in (keys[2], keys[1]):
        await connections.find(key)
    assert store.reads == 3
    await connections.find(keys[0])
    assert store.reads == 4


@pytest.mark.parametrize(
    ("left_seconds", "is_refreshed"),
    [(None, False), (61.0, False), (60.0, True), (1.0, True), (0.0, True), (-9000.0, True)],
)
async def test_a_token_that_ends_soon_is_replaced_first(
    connections: CustomerConnections,
    store: CountingStore,
    http: ScriptedHttp,
    left_seconds: float | None,
    is_refreshed: bool,  # noqa: FBT001 - a column of the table
) -> None:
    connection = oauth(left_seconds=left_seconds)
    await store.put(connection)
    http.add(tokens())
    assert await connections.find(ACME_OUTREACH) == (RENEWED if is_refreshed else connection)
    assert len(http.requests) == is_refreshed


async def test_a_token_gets_old_while_it_is_remembered(
    connections: CustomerConnections, store: CountingStore, http: ScriptedHttp, clock: ManualClock
) -> None:
    await store.put(oauth(left_seconds=62.0))
    http.add(tokens())
    await connections.find(ACME_OUTREACH)
    clock.passed_seconds += 3
    assert (await connections.find(ACME_OUTREACH)).credential == Secret("access-2")


async def test_many_that_find_an_old_token_refresh_it_once(
    connections: CustomerConnections, store: CountingStore, http: ScriptedHttp
) -> None:
    await store.put(oauth(left_seconds=-1.0))
    http.add(tokens())
    found = await asyncio.gather(*(connections.find(ACME_OUTREACH) for _ in range(50)))
    assert found == [RENEWED] * 50
    assert len(http.requests) == 1


@pytest.mark.parametrize(
    "happening",
    [
        refusal(500),
        refusal(429),
        refusal(401, "invalid_client"),
        AnswerLost("no answer in time"),
    ],
)
async def test_a_refresh_ahead_of_time_may_fail(
    connections: CustomerConnections,
    store: CountingStore,
    http: ScriptedHttp,
    clock: ManualClock,
    happening: Happening,
) -> None:
    """Until the token has ended; and it does not cost each request another attempt."""
    connection = oauth(left_seconds=4.0)
    await store.put(connection)
    http.add(happening)
    for _ in range(3):
        assert await connections.find(ACME_OUTREACH) == connection
    clock.passed_seconds += 4
    with pytest.raises(ServiceError):
        await connections.find(ACME_OUTREACH)
    assert len(http.requests) == 1


async def test_a_token_that_ended_during_its_refresh_is_not_used(
    connections: CustomerConnections, store: CountingStore, http: ScriptedHttp, clock: ManualClock
) -> None:
    await store.put(oauth(left_seconds=10.0))
    http.add(AnswerLost("no answer in time"))
    http.open.clear()
    find = asyncio.create_task(connections.find(ACME_OUTREACH))
    await http.arrived.wait()
    clock.passed_seconds += 20
    http.open.set()
    with pytest.raises(ServiceError, match="PROVIDER_UNAVAILABLE"):
        await find


async def test_a_refresh_ahead_of_time_may_show_that_the_connection_has_ended(
    connections: CustomerConnections, store: CountingStore, http: ScriptedHttp
) -> None:
    await store.put(oauth(left_seconds=30.0))
    http.add(refusal(400, "invalid_grant"))
    with pytest.raises(ServiceError, match="CONNECTION_EXPIRED"):
        await connections.find(ACME_OUTREACH)
    stored = await store.read(ACME_OUTREACH)
    assert stored is not None
    assert stored.state is ConnectionState.EXPIRED


async def test_a_bearer_token_is_used_to_its_end_and_beyond(
    connections: CustomerConnections, store: CountingStore
) -> None:
    """Whether it still works is for the provider to say, since nobody here can replace it."""
    bearer = Connection(
        ACME_OUTREACH, ConnectionKind.BEARER, Secret("b"), expires_at_epoch_seconds=EPOCH_SECONDS
    )
    await store.put(bearer)
    assert await connections.find(ACME_OUTREACH) == bearer
