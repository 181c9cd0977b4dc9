"""Composition root: builds the service from its settings; the only module that sees all others."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, closing
from dataclasses import dataclass

from service.application.admission import Admission
from service.application.clock import SystemClock
from service.application.create_sequence_step import CreateSequenceStep
from service.application.customer_connections import CustomerConnections
from service.application.operation_tasks import OperationTasks
from service.application.ports import Provider
from service.application.provider_session import Surroundings
from service.application.rate_limits import RateLimits
from service.domain.step import ProviderName
from service.providers.apollo.adapter import Apollo
from service.providers.oauth import OAuthApplication, OAuthTokenEndpoint
from service.providers.outreach.adapter import Outreach
from service.providers.provider_http import ProviderHttp
from service.providers.salesloft.adapter import Salesloft
from service.settings import Settings
from service.stores.connections_sqlite import SqliteConnections
from service.stores.key_ring import KeyRing
from service.stores.sqlite_database import ServingLock, SqliteDatabase
from service.transport.sequence_step_servicer import SequenceStepServicer
from service.transport.server import GrpcServer


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that answers; whoever made it stops `server` before the rest is closed."""

    server: GrpcServer
    port: int
    tasks: OperationTasks


@asynccontextmanager
async def running_service(settings: Settings) -> AsyncIterator[RunningService]:
    """Build everything inside the running loop and serve; close it all in the reverse order.

    Raises:
        DatabaseUnusable: the database cannot be opened, or another process serves from it.
        ListenError: the address cannot be had.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        stack.enter_context(closing(ServingLock(settings.database)))
        store = await stack.enter_async_context(connection_store(settings))
        http = await stack.enter_async_context(aclosing(ProviderHttp()))
        endpoint = OAuthTokenEndpoint(http, oauth_applications(settings), clock)
        connections = await stack.enter_async_context(
            aclosing(CustomerConnections(store, endpoint, clock))
        )
        tasks = OperationTasks()
        create_sequence_step = CreateSequenceStep(
            providers(settings),
            Admission(settings.requests_in_flight_max, clock),
            tasks,
            Surroundings(http, connections, RateLimits(clock), clock),
        )
        server = GrpcServer(
            SequenceStepServicer(create_sequence_step),
            requests_in_flight_max=settings.requests_in_flight_max,
            reflects=settings.reflection,
        )
        yield RunningService(server, await server.start(settings.listen), tasks)


@asynccontextmanager
async def connection_store(settings: Settings) -> AsyncIterator[SqliteConnections]:
    """Open the store of connections; the command line works on it while a server runs.

    Raises:
        DatabaseUnusable: the database cannot be opened.
    """
    key_ring = KeyRing({key.id: key.key for key in settings.keys})
    async with aclosing(await SqliteDatabase.open(settings.database)) as database:
        yield SqliteConnections(database, key_ring, SystemClock())


def providers(settings: Settings) -> Mapping[ProviderName, Provider]:
    """Return the registry of providers: one line each."""
    registered: tuple[Provider, ...] = (
        Outreach(settings.outreach_api_url),
        Salesloft(settings.salesloft_api_url),
        Apollo(settings.apollo_api_url),
    )
    return {provider.name: provider for provider in registered}


def oauth_applications(settings: Settings) -> Mapping[ProviderName, OAuthApplication]:
    """Return this service's applications at the providers that refresh tokens."""
    given = {
        ProviderName.OUTREACH: (
            settings.outreach_token_url,
            settings.outreach_client_id,
            settings.outreach_client_secret,
        ),
        ProviderName.SALESLOFT: (
            settings.salesloft_token_url,
            settings.salesloft_client_id,
            settings.salesloft_client_secret,
        ),
    }
    return {
        provider: OAuthApplication(token_url, client_id, client_secret)
        for provider, (token_url, client_id, client_secret) in given.items()
        if client_id and client_secret
    }
