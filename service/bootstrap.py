"""Composition root: builds the service from its settings; the only module that sees all others."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, closing, contextmanager
from typing import TYPE_CHECKING

from opentelemetry.trace import TracerProvider

from service.application.admission import Admission
from service.application.claims import Claims
from service.application.clock import SystemClock
from service.application.create_sequence_step import CreateSequenceStep
from service.application.customer_connections import CustomerConnections
from service.application.operation_tasks import OperationTasks
from service.application.owned_operations import OwnedOperations
from service.application.ports import Provider
from service.application.provider_session import Surroundings
from service.application.rate_limits import RateLimits
from service.application.recovery import Recovery
from service.domain.connection import Secret
from service.domain.fingerprint import Fingerprints
from service.domain.step import ProviderName
from service.domain.value_class import value_class
from service.providers.oauth import OAuthApplication, OAuthTokenEndpoint
from service.providers.observed_http import ObservedHttp
from service.providers.parallel_reads import READS_AT_ONCE_MAX
from service.providers.provider_http import ProviderHttp
from service.settings import PostgresUrl, Settings, SqliteFile
from service.stores.connections_sqlite import SqliteConnections
from service.stores.fingerprint_key import fingerprint_key
from service.stores.journal_sqlite import SqliteJournal
from service.stores.key_ring import KeyRing
from service.stores.postgres_driver import require_driver
from service.stores.sealed_rows import SealedRows
from service.stores.sealed_rows_sqlite import SqliteSealedRows
from service.stores.sqlite_database import ServingLock, SqliteDatabase
from service.telemetry.metrics import begin_counters
from service.telemetry.trace_export import exported_traces
from service.telemetry.tracing import NO_TRACES
from service.transport.caller_identity import local_caller, proven_caller
from service.transport.metrics_server import metrics_served
from service.transport.policy_file import PolicyFile
from service.transport.sequence_step_servicer import SequenceStepServicer
from service.transport.server import GrpcServer
from service.transport.tls_files import TlsFiles

if TYPE_CHECKING:
    from service.stores.connections_postgres import PostgresConnections
    from service.stores.journal_postgres import PostgresJournal


@value_class
class RunningService:
    """A service that answers; whoever made it stops `server` before the rest is closed."""

    server: GrpcServer
    port: int
    metrics_port: int | None
    """None where no metrics are served."""

    tasks: OperationTasks


@value_class
class Stores:
    """What is kept in the database, whichever it is."""

    connections: "SqliteConnections | PostgresConnections"
    journal: "SqliteJournal | PostgresJournal"
    sealed_rows: SealedRows
    key_ring: KeyRing


@asynccontextmanager
async def running_service(
    settings: Settings, tracer_provider: TracerProvider = NO_TRACES
) -> AsyncIterator[RunningService]:
    """Build everything inside the running loop and serve; close it all in the reverse order.

    `tracer_provider` takes the traces where the settings do not have them sent.

    Raises:
        DatabaseUnusable: the database cannot be opened, or another process serves from it.
        ListenError: the address cannot be had.
        PolicyUnusable: the policy of callers cannot be read, or does not make sense.
        TlsFilesUnusable: a certificate or key cannot be read, or does not fit.
        TracesUnusable: what sends traces is not installed, or is set up wrongly.
    """
    clock = SystemClock()
    tls, policy = tls_files(settings), policy_file(settings)
    async with AsyncExitStack() as stack:
        if settings.traces:
            tracer_provider = await stack.enter_async_context(exported_traces())
        stack.enter_context(serving_alone(settings))
        stores = await stack.enter_async_context(opened_stores(settings))
        if isinstance(stores.journal, SqliteJournal):
            await stores.journal.expire_leases()  # Whoever served before is gone.
        fingerprints = Fingerprints(await fingerprint_key(stores.sealed_rows, stores.key_ring))
        client = await stack.enter_async_context(
            aclosing(ProviderHttp(connections_per_host_max(settings)))
        )
        http = ObservedHttp(client, tracer_provider)
        endpoint = OAuthTokenEndpoint(http, oauth_applications(settings), clock)
        connections = await stack.enter_async_context(
            aclosing(CustomerConnections(stores.connections, endpoint, clock))
        )
        surroundings = Surroundings(http, connections, RateLimits(clock), clock)
        owned = OwnedOperations(stores.journal, settle_seconds(settings), clock)
        recovery = Recovery(providers(settings), stores.journal, owned, surroundings)
        tasks = OperationTasks()
        create_sequence_step = CreateSequenceStep(
            providers(settings),
            Admission(
                settings.requests_in_flight_max,
                settings.requests_in_flight_per_provider_max,
                settings.requests_in_flight_per_connection_max,
            ),
            tasks,
            Claims(stores.journal, recovery, owned, clock, fingerprints),
            surroundings,
        )
        server = GrpcServer(
            SequenceStepServicer(
                create_sequence_step,
                [each.registration.capabilities for each in settings.providers.values()],
                requires_request_id=settings.require_request_id,
            ),
            local_caller if policy is None else proven_caller(lambda: policy.current),
            requests_in_flight_max=settings.requests_in_flight_max,
            reflects=settings.reflection,
            tracer_provider=tracer_provider,
        )
        loops = [owned.run(), recovery.run(), *([policy.follow()] if policy else [])]
        await stack.enter_async_context(_running(*loops))
        metrics_port = None
        if settings.metrics_listen is not None:
            begin_counters(settings.providers)
            metrics = metrics_served(settings.metrics_listen, stores.journal.unsettled)
            metrics_port = stack.enter_context(metrics)
        port = await server.start(settings.listen, None if tls is None else tls.credentials())
        yield RunningService(server, port, metrics_port, tasks)


@asynccontextmanager
async def opened_stores(settings: Settings) -> AsyncIterator[Stores]:
    """Open the database; the command line works on it while a server runs.

    Raises:
        DatabaseUnusable: it cannot be opened.
    """
    key_ring = KeyRing({key.id: key.key for key in settings.keys})
    clock = SystemClock()
    match settings.database:
        case SqliteFile(path):
            async with aclosing(await SqliteDatabase.open(path)) as file:
                yield Stores(
                    SqliteConnections(file, key_ring, clock),
                    SqliteJournal(file, key_ring, clock),
                    SqliteSealedRows(file),
                    key_ring,
                )
        case PostgresUrl(url):
            async with _postgres_stores(url, key_ring) as stores:
                yield stores


@asynccontextmanager
async def _postgres_stores(url: Secret, key_ring: KeyRing) -> AsyncIterator[Stores]:
    require_driver()
    # Not imported where SQLite is used: see `require_driver`.
    from service.stores.connections_postgres import PostgresConnections  # noqa: PLC0415
    from service.stores.journal_postgres import PostgresJournal  # noqa: PLC0415
    from service.stores.postgres_database import PostgresDatabase  # noqa: PLC0415
    from service.stores.sealed_rows_postgres import PostgresSealedRows  # noqa: PLC0415

    async with aclosing(await PostgresDatabase.open(url.reveal())) as database:
        yield Stores(
            PostgresConnections(database, key_ring, SystemClock()),
            PostgresJournal(database, key_ring),
            PostgresSealedRows(database),
            key_ring,
        )


@contextmanager
def serving_alone(settings: Settings) -> Iterator[None]:
    """Keep other processes from serving from the same SQLite file; PostgreSQL has locks instead.

    Raises:
        DatabaseUnusable: another process serves from it.
    """
    if isinstance(settings.database, SqliteFile):
        with closing(ServingLock(settings.database.path)):
            yield
    else:
        yield


@asynccontextmanager
async def _running(*loops: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run loops beside the block, and end them with it."""
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def policy_file(settings: Settings) -> PolicyFile | None:
    """Return who may call, where that is set."""
    if settings.policy is None:
        return None
    return PolicyFile(settings.policy, demands_certificates=settings.tls_client_ca is not None)


def tls_files(settings: Settings) -> TlsFiles | None:
    """Return the server's certificate and key, where they are set."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return TlsFiles(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)


def connections_per_host_max(settings: Settings) -> int:
    """Return as many as the requests that are worked on can use at once."""
    return READS_AT_ONCE_MAX * settings.requests_in_flight_per_provider_max


def settle_seconds(settings: Settings) -> Mapping[ProviderName, float]:
    """Return within how long each provider applies a write or drops it, and shows it."""
    return {name: each.settle_seconds for name, each in settings.providers.items()}


def providers(settings: Settings) -> Mapping[ProviderName, Provider]:
    """Return the adapter of each provider."""
    return {
        name: each.registration.adapter(each.api_url) for name, each in settings.providers.items()
    }


def oauth_applications(settings: Settings) -> Mapping[ProviderName, OAuthApplication]:
    """Return this service's applications at the providers that refresh tokens."""
    return {
        name: OAuthApplication(each.token_url, each.client_id, each.client_secret)
        for name, each in settings.providers.items()
        if each.token_url and each.client_id and each.client_secret
    }
