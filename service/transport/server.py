"""The gRPC server: every limit set on purpose, health, reflection, signals, and an orderly stop."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, cast

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from opentelemetry.trace import TracerProvider

from engagement.v1 import sequence_step_service_pb2
from engagement.v1.sequence_step_service_pb2_grpc import add_SequenceStepServiceServicer_to_server
from service.domain.value_class import value_class
from service.telemetry.tracing import NO_TRACES
from service.transport.caller_identity import Identify
from service.transport.sequence_step_servicer import SequenceStepServicer
from service.transport.status_boundary import StatusBoundary

SERVICE_NAME = sequence_step_service_pb2.DESCRIPTOR.services_by_name[
    "SequenceStepService"
].full_name

MESSAGE_BYTES_MAX = 2 * 1024 * 1024
"""As it travels, and again once it is unpacked. The boundary's own limit is lower, so that its
clear error is what callers meet first."""

ANSWER_BYTES_MAX = 4 * 1024 * 1024
"""What clients take by default; no answer comes near it."""

METADATA_BYTES_MAX = 16 * 1024
"""Names and values together: a token and tracing fit many times. With two limits, as the library
has by default, calls between them would fail at random."""

STREAMS_PER_CONNECTION_MAX = 1000
"""As many as the service has in flight by default: a caller with one connection can use it all."""

CONNECTIONS_MAX = 4000
"""Beyond it new ones are closed at once, before they can use up the process's open files."""

HANDSHAKE_MS_MAX = 10_000
"""For TLS and the connection's first frames; who says nothing for so long is disconnected. The
library's own limit would let it hold the connection for 2 minutes."""

OTHER_CALLS_MAX = 10_000
"""Calls at once beyond the requests that the application admits: probes, and those it refuses with
a clear error. Above it the library refuses without one."""

WAITING_CALLS_MAX = 10_000
"""Calls that the event loop has not come to yet. Above it the library cancels them, without an
error of ours, and with its two limits it would do so at random from 1,000 on."""

KEEPALIVE_MS = 60_000
KEEPALIVE_TIMEOUT_MS = 20_000
"""The server asks a connection that is silent, and gives it up when no answer comes."""

CLIENT_PING_INTERVAL_MS_MIN = 10_000
"""Clients are told 30 seconds; who pings more often than this is disconnected."""

CLIENT_PING_STRIKES_MAX = 2

CONNECTION_IDLE_MS_MAX = 15 * 60_000
CONNECTION_AGE_MS_MAX = 30 * 60_000
"""Connections are renewed so that callers find new replicas."""

CONNECTION_AGE_GRACE_MS = 400_000
"""Longer than the longest request: 300 seconds of the caller's, then 90 of the operation's own."""

OPTIONS = (
    # With it a second process could have the same port, and half of the connections.
    ("grpc.so_reuseport", 0),
    ("grpc.max_allowed_incoming_connections", CONNECTIONS_MAX),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS_MAX),
    ("grpc.http2.settings_timeout", HANDSHAKE_MS_MAX),
    ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", ANSWER_BYTES_MAX),
    ("grpc.server.max_pending_requests", WAITING_CALLS_MAX),
    ("grpc.server.max_pending_requests_hard_limit", WAITING_CALLS_MAX),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    # For the server's own pings alone: it may ask a silent connection as often as it has to.
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", CLIENT_PING_INTERVAL_MS_MIN),
    ("grpc.http2.max_ping_strikes", CLIENT_PING_STRIKES_MAX),
    ("grpc.max_connection_idle_ms", CONNECTION_IDLE_MS_MAX),
    ("grpc.max_connection_age_ms", CONNECTION_AGE_MS_MAX),
    ("grpc.max_connection_age_grace_ms", CONNECTION_AGE_GRACE_MS),
)
"""Not set, since the library's own limits do: 32 new streams for each read, streams that ended but
still hold memory count as open, and reading stops while 10,000 answers to pings, settings and
resets wait to be read by the other side."""

CUT_CALLS_SECONDS = 1.0
"""For calls that were cut at the end of their grace to notice it."""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger()


class ListenError(Exception):
    """The server's address cannot be had; the text is for a person."""


@value_class
class StopTimes:
    """How long each stage of stopping may take, in seconds."""

    drain_delay_seconds: float
    """From telling probes until new calls are refused."""

    grace_seconds: float
    """For running calls to end before they are cut."""

    finish_seconds: float
    """For what the application runs beyond its calls."""


@value_class
class StopSignals:
    """Set by the first signal to stop, and by any after it."""

    first: asyncio.Event
    second: asyncio.Event


class _Health(health.aio.HealthServicer):
    """The health service, which can wait for the watches that a stopping server has cut."""

    def __init__(self) -> None:
        super().__init__()
        self._watches: set[asyncio.Task[Any]] = set()

    async def Watch(  # noqa: N802 - the contract's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._watches.add(task)
        task.add_done_callback(self._watches.discard)
        await super().Watch(request, context)

    async def wait_for_watches(self, seconds: float) -> None:
        """Wait until no watch runs, so long at most: one that the loop's end meets is an error."""
        if self._watches:
            await asyncio.wait(self._watches, timeout=seconds)


class _Registrar:
    """Stands for the server where protoc's functions register handlers, which it guards."""

    def __init__(self, server: grpc.aio.Server, boundary: StatusBoundary) -> None:
        self._server = server
        self._boundary = boundary

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Do nothing: the same handlers come by their methods too."""

    def add_registered_method_handlers(
        self, service: str, handlers: "Mapping[str, grpc.RpcMethodHandler[Any, Any]]"
    ) -> None:
        """Register the handlers of a service."""
        guarded = self._boundary.guarded(service, handlers)
        self._server.add_registered_method_handlers(service, guarded)


class GrpcServer:
    """The server of `SequenceStepService`; to be made inside the running loop."""

    def __init__(
        self,
        servicer: SequenceStepServicer,
        identify: Identify,
        *,
        requests_in_flight_max: int,
        reflects: bool,
        tracer_provider: TracerProvider = NO_TRACES,
    ) -> None:
        """Build the server.

        Health and reflection are open to whoever can connect. An orchestrator's probe has no
        proof of who it is, and learns one word from health; reflection shows the public contract.
        """
        self._boundary = StatusBoundary(
            identify, open_services=(health.SERVICE_NAME,), tracer_provider=tracer_provider
        )
        self._server = grpc.aio.server(
            options=OPTIONS,
            maximum_concurrent_rpcs=requests_in_flight_max + OTHER_CALLS_MAX,
        )
        self._health = _Health()
        registrar = _Registrar(self._server, self._boundary)
        # The functions that protoc makes have no types.
        add_SequenceStepServiceServicer_to_server(servicer, registrar)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, cast("grpc.Server", registrar))
        if reflects:
            names = (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)

    async def start(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """Serve at `address` (`host:port`) and return the port, which may have been given as 0.

        With `credentials` it speaks TLS alone, else no TLS. Health says NOT_SERVING until this is
        done.

        Raises:
            ListenError: the address is taken, or is none of this machine's.
        """
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        try:
            port = (
                self._server.add_insecure_port(address)
                if credentials is None
                else self._server.add_secure_port(address, credentials)
            )
        except RuntimeError as error:
            raise ListenError(
                f"Cannot listen at {address}: another process has that port, or the address is "
                "none of this machine's."
            ) from error
        await self._server.start()
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)
        return port

    async def stop(
        self,
        times: StopTimes,
        finish: Callable[[float], Awaitable[None]],
        hurry: asyncio.Event,
    ) -> None:
        """Stop in the order that loses no call; `hurry` ends the wait for load balancers.

        Probes are told first; then, once load balancers have had time to see it, new calls are
        refused and running ones get their grace; then `finish` waits, for the seconds it is given,
        for what the application runs whoever listens, which gRPC does not wait for.
        """
        await self._health.enter_graceful_shutdown()
        await _wait(hurry, times.drain_delay_seconds)
        await self._server.stop(times.grace_seconds)
        await self._health.wait_for_watches(CUT_CALLS_SECONDS)
        await self._boundary.wait_for_running(CUT_CALLS_SECONDS)
        await finish(times.finish_seconds)

    async def ended(self) -> None:
        """Wait until the server has stopped, by `stop` or by itself.

        Raises:
            Exception: whatever made the library's serving task fail.
        """
        await self._server.wait_for_termination()

    async def _set_health(self, status: int) -> None:
        for name in ("", SERVICE_NAME):
            await self._health.set(name, status)


async def serve_until_stopped(
    server: GrpcServer,
    signals: StopSignals,
    times: StopTimes,
    finish: Callable[[float], Awaitable[None]],
) -> None:
    """Wait for SIGTERM or SIGINT, then stop `server`; a second signal skips the drain delay.

    What the application has open can be closed when this returns.
    """
    # Not to be cancelled: that would break the library's own waiting for its end.
    ended = asyncio.create_task(server.ended())
    stopping = asyncio.create_task(signals.first.wait())
    await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    _log.info("stopping")
    await server.stop(times, finish, signals.second)
    await ended
    _log.info("stopped")


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Catch SIGTERM and SIGINT from before the server starts, so that none ends it halfway."""
    loop = asyncio.get_running_loop()
    signals = StopSignals(asyncio.Event(), asyncio.Event())

    def received() -> None:
        (signals.second if signals.first.is_set() else signals.first).set()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, received)
    try:
        yield signals
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
