"""Serves the metrics over HTTP, on a port of their own and in threads of their own."""

import asyncio
import concurrent.futures
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import structlog
from prometheus_client import start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.application.journal_port import UnsettledCount
from service.domain.errors import ServiceError
from service.domain.operation import OperationState
from service.telemetry.metrics import REGISTRY
from service.transport.server import ListenError

JOURNAL_SECONDS_MAX: Final = 3.0
"""For the journal's counts; without them the other metrics are answered all the same."""

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
        except (ServiceError, concurrent.futures.TimeoutError) as error:
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


@contextmanager
def metrics_served(address: str, count_unsettled: CountUnsettled) -> Iterator[int]:
    """Serve `/metrics` at `host:port`, and give the port; made inside the running loop.

    Raises:
        ListenError: the address cannot be had.
    """
    host, _, port = address.rpartition(":")
    gauges = JournalGauges(count_unsettled, asyncio.get_running_loop())
    REGISTRY.register(gauges)
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), REGISTRY)
    except OSError as error:
        REGISTRY.unregister(gauges)
        raise ListenError(f"Cannot serve metrics at {address}: {error.strerror}.") from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        REGISTRY.unregister(gauges)
