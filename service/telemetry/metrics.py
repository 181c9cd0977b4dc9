"""Every metric that the process exposes, and the words that their labels may have.

Those of RPCs have the names and buckets of gRFC A66, as Prometheus writes them. A66's two sizes are
missing: Python's gRPC does not tell how large a compressed message is. No label has what a caller
or a vendor said, so the number of series is bounded.
"""

from collections.abc import Iterable
from functools import cache
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from service.domain.distribution import installed_version
from service.domain.errors import Reason
from service.domain.operation import OperationState
from service.domain.warnings import ProblemType

REGISTRY: Final = CollectorRegistry()
"""Of this process; `/metrics` shows it."""

# A second series for each counter, which its rate does not need. The function has no types.
disable_created_metrics()  # type: ignore[no-untyped-call]
ProcessCollector(registry=REGISTRY)

_RPC_SECONDS: Final = (
    *(0.00001, 0.00005, 0.0001, 0.0003, 0.0006, 0.0008, 0.001, 0.002, 0.003, 0.004, 0.005, 0.006),
    *(0.008, 0.01, 0.013, 0.016, 0.02, 0.025, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.13, 0.16, 0.2),
    *(0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0),
)
_PROVIDER_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0)

CALL_OUTCOMES: Final = ("2xx", "3xx", "4xx", "429", "5xx", "other", "not_sent", "lost")
FINDINGS: Final = ("found", "absent", "ambiguous", "nothing_yet", "removed")
REFRESH_OUTCOMES: Final = ("refreshed", "expired", "failed")
END_STATES: Final = tuple(state for state in OperationState if state is not OperationState.RUNNING)

_BUILD: Final = Gauge(
    "engagement_build_info", "Always 1; its label has the version.", ["version"], registry=REGISTRY
)
_BUILD.labels(installed_version()).set(1)

RPCS_STARTED: Final = Counter(
    "grpc_server_call_started", "RPCs that began.", ["grpc_method"], registry=REGISTRY
)
RPC_SECONDS: Final = Histogram(
    "grpc_server_call_duration_seconds",
    "Seconds from an RPC's message to its end.",
    ["grpc_method", "grpc_status"],
    buckets=_RPC_SECONDS,
    registry=REGISTRY,
)
ERRORS: Final = Counter(
    "engagement_errors",
    "RPCs that ended with an error, by its reason; provider is empty while it is not known.",
    ["provider", "reason"],
    registry=REGISTRY,
)
REPLAYS: Final = Counter(
    "engagement_replays",
    "RPCs that were answered with the step that an earlier one had made.",
    ["provider"],
    registry=REGISTRY,
)
WARNINGS: Final = Counter(
    "engagement_warnings",
    "Warnings in answers, by their type.",
    ["provider", "problem_type"],
    registry=REGISTRY,
)
PROVIDER_CALL_SECONDS: Final = Histogram(
    "engagement_provider_call_duration_seconds",
    "Seconds of HTTP requests to providers. kind: read, write or refresh (of a token). outcome: "
    "2xx, 3xx, 4xx (without 429), 429, 5xx, other (higher); not_sent: nothing reached the "
    "provider; lost: perhaps it acted.",
    ["provider", "kind", "outcome"],
    buckets=_PROVIDER_SECONDS,
    registry=REGISTRY,
)
OPERATIONS_ENDED: Final = Counter(
    "engagement_operations_ended",
    "Requests that came to rest after a write was sent, by the state that was committed; one that "
    "is taken up again is counted again.",
    ["provider", "state"],
    registry=REGISTRY,
)
RECONCILIATIONS: Final = Counter(
    "engagement_reconciliations",
    "Looks for what became of a write. finding: found; absent: proven not made; ambiguous: several "
    "may be it; nothing_yet: a later look may see more; removed: it was there and is gone.",
    ["provider", "finding"],
    registry=REGISTRY,
)
TOKEN_REFRESHES: Final = Counter(
    "engagement_token_refreshes",
    "Refreshes of access tokens. outcome: refreshed; expired: the connection has to be put again; "
    "failed: for now.",
    ["provider", "outcome"],
    registry=REGISTRY,
)
DUPLICATES_SUSPECTED: Final = Counter(
    "engagement_duplicates_suspected",
    "Requests beside whose step an equal one turned up.",
    ["provider"],
    registry=REGISTRY,
)

# Looking a child up costs more than counting: each is looked up once.
rpcs_started = cache(RPCS_STARTED.labels)
rpc_seconds = cache(RPC_SECONDS.labels)
provider_call_seconds = cache(PROVIDER_CALL_SECONDS.labels)
operations_ended = cache(OPERATIONS_ENDED.labels)


def begin_counters(providers: Iterable[str]) -> None:
    """Show the counters of these providers at 0, before anything happens.

    The increase of a counter that is first seen at 1 is 0: the first event would be missed, and of
    some of these the first one matters. Histograms have too many series for it.
    """
    for provider in providers:
        _begin_errors(provider)
        REPLAYS.labels(provider)
        DUPLICATES_SUSPECTED.labels(provider)
        for problem_type in ProblemType:
            WARNINGS.labels(provider, problem_type.name)
        for state in END_STATES:
            operations_ended(provider, state)
        for finding in FINDINGS:
            RECONCILIATIONS.labels(provider, finding)
        for outcome in REFRESH_OUTCOMES:
            TOKEN_REFRESHES.labels(provider, outcome)
    _begin_errors(provider="")


def _begin_errors(provider: str) -> None:
    for reason in Reason:
        ERRORS.labels(provider, reason.value)
