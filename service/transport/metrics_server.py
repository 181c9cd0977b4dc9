"""Serves the metrics over HTTP, and whether the process is alive, in threads of their own.

Nobody has to prove who they are there, so what a client can take is limited: one that is slow, or
one of too many, is disconnected, and none gets a line of the log.
"""

import asyncio
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from threading import Event, Thread
from typing import Any, Final, TypeAlias

import structlog
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.application.journal_port import UnsettledCount
from service.domain.operation import OperationState
from service.telemetry.metrics import REGISTRY
from service.transport.server import ListenError

JOURNAL_SECONDS_MAX: Final = 3.0
"""For the journal's counts; without them the other metrics are answered all the same."""

REQUEST_SECONDS_MAX: Final = 10.0
"""From a connection to the end of its answer."""

ALIVE_SECONDS_MAX: Final = 3.0
"""For the event loop to come to one more thing; an alive one is never so busy."""

CONNECTIONS_MAX: Final = 50
"""At once; each has a thread. More are closed as they come."""

POLL_SECONDS: Final = 0.1
"""Between looks for connections that take too long, and for the end."""

CountUnsettled: TypeAlias = Callable[[], Coroutine[Any, Any, tuple[UnsettledCount, ...]]]

UNSETTLED_STATES: Final = (
    OperationState.RUNNING,
    OperationState.INCOMPLETE,
    OperationState.IN_DOUBT,
)

_log = structlog.get_logger()


class JournalGauges(Collector):
    """Asks the journal at each scrape; it is the same for all processes with one database."""

    def __init__(self, count: CountUnsettled, loop: asyncio.AbstractEventLoop) -> None:
        self._count = count
        self._loop = loop

    def describe(self) -> Iterator[Metric]:
        """Return the metrics without values."""
        yield from journal_families()

    def collect(self) -> Iterator[Metric]:
        """Return the metrics; none when the journal does not answer."""
        asked = asyncio.run_coroutine_threadsafe(self._count(), self._loop)
        try:
            counts = asked.result(JOURNAL_SECONDS_MAX)
        except Exception as error:  # noqa: BLE001 - the other metrics are answered whatever it is
            asked.cancel()
            _log.warning("metrics_incomplete", exc_info=error)
            return
        yield from journal_families(counts)


def journal_families(
    counts: tuple[UnsettledCount, ...] = (),
) -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    """Return the journal's gauges with these counts; a state that has none is 0."""
    labels = ("state", "next_look")
    operations = GaugeMetricFamily(
        "engagement_unsettled_operations",
        "Requests in the journal that are not settled. next_look: scheduled; none, where only the "
        "caller or a person can go on.",
        labels=labels,
    )
    oldest = GaugeMetricFamily(
        "engagement_oldest_unsettled_operation_timestamp_seconds",
        "When the oldest of them arrived, in seconds since 1970; missing where there is none.",
        labels=labels,
    )
    found = {(each.state, each.is_looked_after): each for each in counts}
    for state in UNSETTLED_STATES:
        for is_looked_after, next_look in ((True, "scheduled"), (False, "none")):
            values = (state.value, next_look)
            each = found.get((state, is_looked_after))
            operations.add_metric(values, each.count if each else 0)
            if each:
                oldest.add_metric(values, each.oldest_created_at_epoch_ms / 1000)
    return operations, oldest


class _Scrape(BaseHTTPRequestHandler):
    """Answers one request."""

    server: "_Server"

    def do_GET(self) -> None:
        """Answer with all metrics, in the form that every Prometheus reads, or for a probe."""
        match self.path.partition("?")[0]:
            case "/metrics":
                self._answer(CONTENT_TYPE_PLAIN_0_0_4, generate_latest(REGISTRY))
            case "/live" if self.server.is_alive():
                self._answer("text/plain", b"alive\n")
            case "/live":
                self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
            case _:
                self.send_error(HTTPStatus.NOT_FOUND)

    def _answer(self, content_type: str, body: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing: it would be a client's own words."""


class _Server(ThreadingMixIn, TCPServer):
    """Has a thread for each connection, and ends those that take too long."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = CONNECTIONS_MAX

    def __init__(self, host: str, port: int, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._since: dict[socket.socket, float] = {}
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family = found[0][0]
        super().__init__((host, port), _Scrape)

    def is_alive(self) -> bool:
        """Whether the event loop, which serves the calls, goes on."""
        goes_on = Event()
        self._loop.call_soon_threadsafe(goes_on.set)
        return goes_on.wait(ALIVE_SECONDS_MAX)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, unless there are too many."""
        if len(self._since) >= CONNECTIONS_MAX:
            self.shutdown_request(request)
            return
        self._since[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End a connection."""
        self._since.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cut what takes too long; its thread meets the end of the connection."""
        for request, since_seconds in tuple(self._since.items()):
            if time.monotonic() - since_seconds > REQUEST_SECONDS_MAX:
                with suppress(OSError):  # Its thread may have closed it.
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a bug; that a client left is none."""
        del request, client_address
        error = sys.exception()
        if not isinstance(error, OSError):
            _log.critical("uncaught", origin="metrics", exc_info=error)


@contextmanager
def metrics_served(address: str, count_unsettled: CountUnsettled) -> Iterator[int]:
    """Serve `/metrics` and `/live` at `host:port`, and give the port; made in the running loop.

    Raises:
        ListenError: the address cannot be had.
    """
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    try:
        server = _Server(host.strip("[]"), int(port), loop)
    except OSError as error:
        raise ListenError(f"Cannot serve metrics at {address}: {error.strerror}.") from error
    except UnicodeError:
        raise ListenError(f"Cannot serve metrics at {address}: there is no such host.") from None
    gauges = JournalGauges(count_unsettled, loop)
    REGISTRY.register(gauges)
    thread = Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        REGISTRY.unregister(gauges)
