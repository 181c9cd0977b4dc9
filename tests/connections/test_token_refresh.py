"""Refreshes on the real stores: how often the provider is asked, and what survives what."""

import asyncio
from collections.abc import AsyncIterator, Awaitable

import pytest
from structlog.testing import capture_logs

from service.application.connection_ports import ConnectionState, StoredConnection
from service.application.customer_connections import CustomerConnections
from service.domain.connection import Connection, ConnectionKind, Secret
from service.domain.errors import Reason, ServiceError
from service.domain.provider_call import AnswerLost, NotSent
from service.providers.oauth import OAuthTokenEndpoint
from tests.connections.kept_rows import FullConnectionStore, KeptRows
from tests.connections.manual_clock import ManualClock
from tests.connections.samples import (
    ACME_OUTREACH,
    ACME_SALESLOFT,
    APPLICATIONS,
    GLOBEX_OUTREACH,
    RING,
    api_key,
    oauth,
)
from tests.connections.scripted_http import Happening, ScriptedHttp, refusal, tokens

RENEWED = oauth(credential="access-2", refresh_token="refresh-2")
PUT_MEANWHILE = oauth(credential="put-access", refresh_token="put-refresh")
INVALID_GRANT = refusal(400, "invalid_grant")


@pytest.fixture
def store(kept_rows: KeptRows, clock: ManualClock) -> FullConnectionStore:
    return kept_rows.connections(RING, clock)


@pytest.fixture
def http() -> ScriptedHttp:
    return ScriptedHttp()


@pytest.fixture
async def connections(
    store: FullConnectionStore, http: ScriptedHttp, clock: ManualClock
) -> AsyncIterator[CustomerConnections]:
    made = CustomerConnections(store, OAuthTokenEndpoint(http, APPLICATIONS, clock), clock)
    yield made
    await made.aclose()


async def _error(failing: Awaitable[Connection]) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        await failing
    return caught.value


async def test_a_refused_token_is_replaced_and_stored(
    connections: CustomerConnections, store: FullConnectionStore, http: ScriptedHttp
) -> None:
    await store.put(oauth())
    http.add(tokens())
    with capture_logs() as events:
        assert await connections.refresh(oauth()) == RENEWED
    assert await store.read(ACME_OUTREACH) == StoredConnection(RENEWED, ConnectionState.USABLE)
    assert events == [
        {
            "event": "connection_refreshed",
            "log_level": "info",
            "customer": "acme",
            "provider": "outreach",
        }
    ]


async def test_a_second_refusal_is_another_refresh(
    connections: CustomerConnections, store: FullConnectionStore, http: ScriptedHttp
) -> None:
    await store.put(oauth())
    http.add(tokens(), tokens("access-3", None), tokens("access-4", "refresh-4"))
    renewed = oauth()
    for _ in range(3):
        renewed = await connections.refresh(renewed)
    assert renewed.credential == Secret("access-4")
    assert http.sent_refresh_tokens == ["refresh-1", "refresh-2", "refresh-2"]


@pytest.mark.parametrize("callers", [2, 50])
async def test_many_at_once_ask_once(
    connections: CustomerConnections, store: FullConnectionStore, http: ScriptedHttp, callers: int
) -> None:
    await store.put(oauth())
    http.add(tokens())
    http.open.clear()
    refreshes = [asyncio.create_task(connections.refresh(oauth())) for _ in range(callers)]
    await http.arrived.wait()
    http.open.set()
    assert await asyncio.gather(*refreshes) == [RENEWED] * callers
    assert len(http.requests) == 1


async def test_who_comes_with_an_older_token_asks_nobody(
    connections: CustomerConnections, store: FullConnectionStore, http: ScriptedHttp
) -> None:
    """Neither after the refresh nor while it runs, when it has to be waited for."""
    await store.put(oauth())
    http.add(tokens())
    http.open.clear()
    refresh = asyncio.create_task(connections.refresh(oauth()))
    await http.arrived.wait()
    late = asyncio.create_task(connections.refresh(oauth(credential="access-0")))
    for _ in range(10):
        await asyncio.sleep(0.001)
    assert not late.done()
    http.open.set()
    assert await refresh == RENEWED
    assert await late == RENEWED
    assert await connections.refresh(oauth(credential="access-0")) == RENEWED
    assert len(http.requests) == 1


async def test_connections_do_not_wait_for_each_other(
    connections: CustomerConnections, store: FullConnectionStore, http: ScriptedHttp
) -> None:
    await store.put(oauth())
    await store.put(oauth(GLOBEX_OUTREACH))
    http.add(tokens(), tokens())
    http.open.clear()
    first = asyncio.create_task(connections.refresh(oauth()))
    await http.arrived.wait()
    http.arrived.clear()
    second = asyncio.create_task(connections.refresh(oauth(GLOBEX_OUTREACH)))
    await http.arrived.wait()
    http.open.set()
    assert [renewed.key for renewed in await asyncio.gather(first, second)] == [
        ACME_OUTREACH,
        GLOBEX_OUTREACH,
    ]


async def test_a_caller_that_leaves_takes_nobody_with_it(
    connections: CustomerConnections, store: FullConnectionStore, http: ScriptedHttp
) -> None:
    await store.put(oauth())
    http.add(tokens())
    http.open.clear()
    first = asyncio.create_task(connections.refresh(oauth()))
    await http.arrived.wait()
    second = asyncio.create_task(connections.refresh(oauth()))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    http.open.set()
    assert await second == RENEWED
    assert len(http.requests) == 1


@pytest.mark.parametrize(
    ("happening", "stored"),
    [
        (tokens(), StoredConnection(RENEWED, ConnectionState.USABLE)),
        (INVALID_GRANT, StoredConnection(oauth(), ConnectionState.EXPIRED)),
        (refusal(500), StoredConnection(oauth(), ConnectionState.USABLE)),
    ],
)
async def test_closing_waits_for_a_refresh_that_nobody_waits_for(
    connections: CustomerConnections,
    store: FullConnectionStore,
    http: ScriptedHttp,
    happening: Happening,
    stored: StoredConnection,
) -> None:
    await store.put(oauth())
    http.add(happening)
    http.open.clear()
    refresh = asyncio.create_task(connections.refresh(oauth()))
    await http.arrived.wait()
    refresh.cancel()
    closing = asyncio.create_task(connections.aclose())
    for _ in range(10):
        await asyncio.sleep(0.001)
    assert refresh.cancelled()
    assert not closing.done()
    http.open.set()
    await closing
    assert await store.read(ACME_OUTREACH) == stored


async def test_nobody_gets_a_token_before_it_is_stored(
    kept_rows: KeptRows,
    connections: CustomerConnections,
    store: FullConnectionStore,
    http: ScriptedHttp,
    clock: ManualClock,
) -> None:
    """A store that fails then: the tokens are kept, and stored in place of another refresh."""
    await store.put(oauth())
    http.add(tokens())
    await kept_rows.refuse_writes()
    assert (await _error(connections.refresh(oauth()))).reason is Reason.STORE_UNAVAILABLE
    assert await connections.find(ACME_OUTREACH) == oauth()
    clock.passed_seconds += 5.1
    assert (await _error(connections.refresh(oauth()))).reason is Reason.STORE_UNAVAILABLE
    await kept_rows.accept_writes()
    clock.passed_seconds += 5.1
    assert await connections.refresh(oauth()) == RENEWED
    assert await store.read(ACME_OUTREACH) == StoredConnection(RENEWED, ConnectionState.USABLE)
    assert len(http.requests) == 1


async def test_closing_stores_what_could_not_be_stored(
    kept_rows: KeptRows,
    connections: CustomerConnections,
    store: FullConnectionStore,
    http: ScriptedHttp,
) -> None:
    await store.put(oauth())
    http.add(tokens())
    await kept_rows.refuse_writes()
    await _error(connections.refresh(oauth()))
    await kept_rows.accept_writes()
    await connections.aclose()
    assert await store.read(ACME_OUTREACH) == StoredConnection(RENEWED, ConnectionState.USABLE)


async def test_closing_ends_though_the_store_still_fails(
    kept_rows: KeptRows,
    connections: CustomerConnections,
    store: FullConnectionStore,
    http: ScriptedHttp,
) -> None:
    await store.put(oauth())
    http.add(tokens())
    await kept_rows.refuse_writes()
    await _error(connections.refresh(oauth()))
    with capture_logs() as events:
        await connections.aclose()
    assert [(event["event"], event.get("reason")) for event in events] == [
        ("store_failed", None),
        ("refresh_failed", "STORE_UNAVAILABLE"),
    ]


async def test_tokens_that_could_not_be_stored_do_not_replace_what_was_put_since(
    kept_rows: KeptRows,
    connections: CustomerConnections,
    store: FullConnectionStore,
    http: ScriptedHttp,
) -> None:
    await store.put(oauth())
    http.add(tokens(), tokens("access-3", "refresh-3"))
    await kept_rows.refuse_writes()
    await _error(connections.refresh(oauth()))
    await kept_rows.accept_writes()
    await store.put(PUT_MEANWHILE)
    renewed = await connections.refresh(PUT_MEANWHILE)
    assert renewed.credential == Secret("access-3")
    assert http.sent_refresh_tokens == ["refresh-1", "put-refresh"]
    await connections.aclose()
    assert await store.read(ACME_OUTREACH) == StoredConnection(renewed, ConnectionState.USABLE)


@pytest.mark.parametrize("happening", [tokens(), INVALID_GRANT])
async def test_what_a_person_puts_meanwhile_counts_more(
    connections: CustomerConnections,
    store: FullConnectionStore,
    http: ScriptedHttp,
    happening: Happening,
) -> None:
    await store.put(oauth())
    http.add(happening)
    http.open.clear()
    refresh = asyncio.create_task(connections.refresh(oauth()))
    await http.arrived.wait()
    await store.put(PUT_MEANWHILE)
    http.open.set()
    assert await refresh == PUT_MEANWHILE
    assert await store.read(ACME_OUTREACH) == StoredConnection(
        PUT_MEANWHILE, ConnectionState.USABLE
    )


@pytest.mark.parametrize("happening", [tokens(), INVALID_GRANT])
async def test_what_a_person_removes_meanwhile_stays_removed(
    connections: CustomerConnections,
    store: FullConnectionStore,
    http: ScriptedHttp,
    happening: Happening,
) -> None:
    await store.put(oauth())
    http.add(happening)
    http.open.clear()
    refresh = asyncio.create_task(connections.refresh(oauth()))
    await http.arrived.wait()
    await store.remove(ACME_OUTREACH)
    http.open.set()
    assert (await _error(refresh)).reason is Reason.CONNECTION_MISSING
    assert await store.read(ACME_OUTREACH) is None


async def test_a_refused_refresh_token_ends_the_connection_until_it_is_put_again(
    connections: CustomerConnections,
    store: FullConnectionStore,
    http: ScriptedHttp,
    clock: ManualClock,
) -> None:
    await store.put(oauth())
    http.add(INVALID_GRANT)
    with capture_logs() as events:
        error = await _error(connections.refresh(oauth()))
    assert error.reason is Reason.CONNECTION_EXPIRED
    assert error.message == (
        "Outreach refuses the oauth connection of customer acme; "
        "an operator stores a new one with `connections put`."
    )
    assert [event["event"] for event in events] == ["connection_expired"]
    for failing in (connections.find(ACME_OUTREACH), connections.refresh(oauth())):
        assert (await _error(failing)).reason is Reason.CONNECTION_EXPIRED
    assert len(http.requests) == 1
    await store.put(PUT_MEANWHILE)
    clock.passed_seconds += 5.1
    assert await connections.find(ACME_OUTREACH) == PUT_MEANWHILE


@pytest.mark.parametrize(
    ("happening", "reason", "retry_after_seconds"),
    [
        (NotSent("could not connect"), Reason.PROVIDER_UNAVAILABLE, 5.0),
        (AnswerLost("no answer in time"), Reason.PROVIDER_UNAVAILABLE, 5.0),
        (refusal(500, "invalid_grant"), Reason.PROVIDER_UNAVAILABLE, 5.0),
        (refusal(503, retry_after="30"), Reason.PROVIDER_UNAVAILABLE, 30.0),
        (tokens("not a token"), Reason.PROVIDER_UNAVAILABLE, 5.0),
        (refusal(429), Reason.PROVIDER_RATE_LIMITED, 60.0),
        (refusal(401, "invalid_client"), Reason.PROVIDER_REJECTED, None),
    ],
)
async def test_nothing_else_ends_a_connection(
    *,
    connections: CustomerConnections,
    store: FullConnectionStore,
    http: ScriptedHttp,
    clock: ManualClock,
    happening: Happening,
    reason: Reason,
    retry_after_seconds: float | None,
) -> None:
    """The provider is not asked again before the pause is over, and then with the stored token."""
    await store.put(oauth())
    http.add(happening, tokens())
    with capture_logs() as events:
        error = await _error(connections.refresh(oauth()))
    assert (error.reason, error.retry_after_seconds) == (reason, retry_after_seconds)
    assert [(event["event"], event["reason"]) for event in events] == [("refresh_failed", reason)]
    assert await store.read(ACME_OUTREACH) == StoredConnection(oauth(), ConnectionState.USABLE)

    pause_seconds = retry_after_seconds or 5.0
    clock.passed_seconds += pause_seconds - 1
    again = await _error(connections.refresh(oauth()))
    assert (again.reason, again.message) == (error.reason, error.message)
    assert again.retry_after_seconds == (None if retry_after_seconds is None else 1.0)
    assert len(http.requests) == 1

    clock.passed_seconds += 1
    assert (await connections.refresh(oauth())).credential == Secret("access-2")
    assert http.sent_refresh_tokens == ["refresh-1", "refresh-1"]


async def test_a_long_wait_is_told_but_asked_about_again_after_a_minute(
    connections: CustomerConnections,
    store: FullConnectionStore,
    http: ScriptedHttp,
    clock: ManualClock,
) -> None:
    await store.put(oauth())
    http.add(refusal(429, retry_after="3600"), tokens())
    assert (await _error(connections.refresh(oauth()))).retry_after_seconds == 3600.0
    clock.passed_seconds += 60
    assert (await connections.refresh(oauth())).credential == Secret("access-2")


async def test_a_pause_is_of_one_token_alone(
    connections: CustomerConnections, store: FullConnectionStore, http: ScriptedHttp
) -> None:
    await store.put(oauth())
    await store.put(oauth(GLOBEX_OUTREACH))
    http.add(refusal(500), tokens(), tokens())
    await _error(connections.refresh(oauth()))
    assert (await connections.refresh(oauth(GLOBEX_OUTREACH))).credential == Secret("access-2")
    await store.put(PUT_MEANWHILE)
    assert (await connections.refresh(PUT_MEANWHILE)).credential == Secret("access-2")


async def test_an_answer_that_was_lost_may_have_cost_the_refresh_token(
    connections: CustomerConnections,
    store: FullConnectionStore,
    http: ScriptedHttp,
    clock: ManualClock,
) -> None:
    await store.put(oauth())
    http.add(AnswerLost("no answer in time"), INVALID_GRANT)
    assert (await _error(connections.refresh(oauth()))).reason is Reason.PROVIDER_UNAVAILABLE
    clock.passed_seconds += 5
    assert (await _error(connections.refresh(oauth()))).reason is Reason.CONNECTION_EXPIRED
    assert http.sent_refresh_tokens == ["refresh-1", "refresh-1"]


@pytest.mark.parametrize(
    "connection",
    [api_key(), Connection(ACME_SALESLOFT, ConnectionKind.BEARER, Secret("bearer-1"))],
)
async def test_what_cannot_be_refreshed_has_expired_but_for_who_put_another(
    connections: CustomerConnections,
    store: FullConnectionStore,
    http: ScriptedHttp,
    connection: Connection,
) -> None:
    await store.put(connection)
    error = await _error(connections.refresh(connection))
    assert error.reason is Reason.CONNECTION_EXPIRED
    assert connection.kind in error.message
    assert await connections.find(ACME_SALESLOFT) == connection
    await store.put(api_key(credential="ak-2"))
    assert await connections.refresh(connection) == api_key(credential="ak-2")
    assert http.requests == []


async def test_refreshing_what_is_not_there(connections: CustomerConnections) -> None:
    assert (await _error(connections.refresh(oauth()))).reason is Reason.CONNECTION_MISSING


async def test_no_secret_is_in_a_log_or_an_error(
    connections: CustomerConnections,
    kept_rows: KeptRows,
    store: FullConnectionStore,
    http: ScriptedHttp,
    clock: ManualClock,
) -> None:
    http.add(refusal(500), refusal(429), refusal(401, "invalid_client"), tokens("canary new"))
    http.add(tokens("canary-new", "canary-newer"), INVALID_GRANT)
    connection = oauth(credential="canary-access", refresh_token="canary-refresh")
    await store.put(connection)
    said: list[object] = []
    with capture_logs() as events:
        for _ in range(6):
            clock.passed_seconds += 61
            try:
                connection = await connections.refresh(connection)
            except ServiceError as error:
                said += [error, repr(error), error.__cause__, error.__context__]
        await store.put(connection)
        await kept_rows.execute("UPDATE connections SET key_id = 'gone'")
        clock.passed_seconds += 61
        said += [repr(await _error(connections.find(ACME_OUTREACH)))]
    assert [event["event"] for event in events] == [
        *["refresh_failed"] * 4,
        "connection_refreshed",
        "connection_expired",
        "connection_unreadable",
    ]
    assert "canary" not in f"{events}{said}"
    assert "client-secret" not in f"{events}{said}"
