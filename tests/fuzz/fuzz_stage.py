"""The service from its bytes on, in this process and on virtual time, with a hostile vendor.

A call enters where gRPC hands over: the boundary's handler, with raw bytes, metadata and a context.
Everything behind it is the real thing but for the vendor and the clock; the database is in memory.
"""

import asyncio
import json
import random
import re
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import structlog
from google.rpc import error_details_pb2, status_pb2
from structlog.typing import EventDict

from engagement.v1 import sequence_step_service_pb2 as service_pb2
from service.application.admission import Admission
from service.application.claims import Claims
from service.application.connection_ports import ConnectionState, StoredConnection
from service.application.create_sequence_step import CreateSequenceStep
from service.application.customer_connections import CustomerConnections
from service.application.operation_tasks import OperationTasks
from service.application.owned_operations import OwnedOperations
from service.application.provider_session import Surroundings
from service.application.rate_limits import RateLimits
from service.application.recovery import Recovery
from service.domain.connection import Connection, ConnectionKind, Secret
from service.domain.step import ConnectionKey, ProviderName
from service.providers.oauth import OAuthTokenEndpoint
from service.providers.registration import capabilities_of
from service.providers.registry import PROVIDERS as REGISTRY
from service.telemetry.tracing import NO_TRACES
from service.transport.caller_identity import local_caller
from service.transport.sequence_step_servicer import SequenceStepServicer
from service.transport.status import STATUS_BYTES_MAX
from service.transport.status_boundary import StatusBoundary
from tests.application.memory_journal import memory_journal
from tests.application.virtual_time import VirtualClock, VirtualTimeLoop
from tests.application.world import FINGERPRINTS, PROVIDERS, SETTLE_SECONDS
from tests.connections.samples import APPLICATIONS
from tests.fuzz.fuzz_input import CUSTOMER, FuzzInput, Kind, Metadata
from tests.fuzz.hostile_http import CANARY, HostileHttp
from tests.fuzz.messages import good_messages

SERVICE: Final = "engagement.v1.SequenceStepService"
METHOD: Final = "CreateSequenceStep"
PATH: Final = f"/{SERVICE}/{METHOD}"
VIRTUAL_SECONDS_MAX: Final = 900.0
"""From the call to the end of what it started; the longest budgets add up to less."""

_STEP_ID: Final = re.compile(r"[1-9][0-9]{0,17}|[0-9a-f]{24}|")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an input."""

    code: str
    reason: str
    requests: int = 0
    writes: int = 0


class _Context:
    """What the handler needs of gRPC's context."""

    def __init__(self, metadata: Metadata, seconds: float | None) -> None:
        self._metadata = metadata
        self._seconds = seconds
        self.status: tuple[grpc.StatusCode, str, dict[str, Any]] | None = None

    def invocation_metadata(self) -> Metadata:
        return self._metadata

    def time_remaining(self) -> float | None:
        return self._seconds

    async def send_initial_metadata(self, metadata: object) -> None:
        del metadata
        await asyncio.sleep(0)

    def set_trailing_metadata(self, metadata: object) -> None:
        del metadata

    async def abort(
        self, code: grpc.StatusCode, message: str, trailing: tuple[tuple[str, Any], ...]
    ) -> None:
        self.status = code, message, dict(trailing)
        raise grpc.aio.AbortError


class _Connections:
    """Implements `ConnectionStore`: every customer has one, which may need a new token."""

    def __init__(self) -> None:
        self.has_expired = False
        self._replaced: dict[ConnectionKey, StoredConnection] = {}

    def forget(self) -> None:
        self._replaced.clear()

    async def read(self, key: ConnectionKey) -> StoredConnection | None:
        if key in self._replaced:
            return self._replaced[key]
        if key.provider == ProviderName("apollo"):
            connection = Connection(key, ConnectionKind.API_KEY, Secret(f"{CANARY}-1"))
        else:
            connection = Connection(
                key,
                ConnectionKind.OAUTH,
                Secret(f"{CANARY}-1"),
                Secret(f"{CANARY}-0"),
                1.0 if self.has_expired else None,
            )
        return StoredConnection(connection, ConnectionState.USABLE)

    async def replace(self, old: Connection, new: Connection) -> bool:
        for secret in (new.credential, new.refresh_token):
            assert secret is not None
            assert re.fullmatch(r"[!-~]{1,8192}", secret.reveal()), "a token for a header"
        self._replaced[old.key] = StoredConnection(new, ConnectionState.USABLE)
        return True

    async def mark_expired(self, refused: Connection) -> bool:
        self._replaced[refused.key] = StoredConnection(refused, ConnectionState.EXPIRED)
        return True

    @asynccontextmanager
    async def exclusive(self, key: ConnectionKey) -> AsyncIterator[None]:
        del key
        yield


@dataclass(slots=True)
class FuzzStage:
    """One process of the service; make it inside its loop."""

    loop: VirtualTimeLoop
    http: HostileHttp = field(default_factory=HostileHttp)
    log: list[EventDict] = field(default_factory=list)
    _customers: int = 0
    _connections: _Connections = field(default_factory=_Connections)
    _tasks: OperationTasks = field(default_factory=OperationTasks)
    _refreshing: CustomerConnections = field(init=False)
    _handler: Any = field(init=False)

    def __post_init__(self) -> None:
        clock = VirtualClock()
        endpoint = OAuthTokenEndpoint(self.http, APPLICATIONS, clock)
        self._refreshing = CustomerConnections(self._connections, endpoint, clock)
        surroundings = Surroundings(self.http, self._refreshing, RateLimits(clock), clock)
        journal = memory_journal(clock)
        owned = OwnedOperations(journal, dict.fromkeys(PROVIDERS, SETTLE_SECONDS), clock)
        recovery = Recovery(PROVIDERS, journal, owned, surroundings)
        claims = Claims(journal, recovery, owned, clock, FINGERPRINTS)
        admission = Admission(100, 100, 100)
        use_case = CreateSequenceStep(PROVIDERS, admission, self._tasks, claims, surroundings)
        servicer = SequenceStepServicer(
            use_case, capabilities_of(REGISTRY), requires_request_id=False
        )
        handler = grpc.unary_unary_rpc_method_handler(
            servicer.CreateSequenceStep,
            service_pb2.CreateSequenceStepRequest.FromString,
            service_pb2.CreateSequenceStepResponse.SerializeToString,
        )
        boundary = StatusBoundary(local_caller, open_services=(), tracer_provider=NO_TRACES)
        self._handler = boundary.guarded(SERVICE, {METHOD: handler})[METHOD]

    def run(self, given: FuzzInput) -> Outcome:
        """Carry an input out to the end of all that it starts, and check what must hold."""
        random.seed(0)  # The pauses before repeats are spread at random.
        del self.log[:], self.loop.complaints[:]
        self._connections.forget()
        self._connections.has_expired = given.token_damage is not None
        self.http.begin(given.damage, given.token_damage)
        outcome = self.loop.run_until_complete(self._run(given))
        assert self.loop.complaints == []
        assert CANARY not in repr(self.log), "a secret in the log"
        bugs = [line.get("exc_info") for line in self.log if line["log_level"] == "error"]
        assert not bugs, "".join(map(_told, bugs))
        return outcome

    def serves(self) -> bool:
        """Whether a good request is answered as ever."""
        provider = ProviderName("outreach")
        metadata = (("x-customer-id", CUSTOMER), ("x-provider-name", provider))
        good = FuzzInput(Kind.BYTES, provider, good_messages(provider)[0], metadata)
        return self.run(good) == Outcome("OK", "", 3, 1)

    async def _run(self, given: FuzzInput) -> Outcome:
        self._customers += 1
        metadata = tuple(
            (name, f"customer-{self._customers}" if value == CUSTOMER else value)
            for name, value in given.metadata
        )
        context = _Context(metadata, given.deadline_seconds)
        call = asyncio.create_task(self._call(given.raw, context))
        async with asyncio.timeout(VIRTUAL_SECONDS_MAX):
            outcome = await self._answer(call, context, given.deadline_seconds)
            await self._tasks.drain(VIRTUAL_SECONDS_MAX)
            await self._refreshing.aclose()  # It waits for refreshes, and closes nothing.
        await asyncio.sleep(0)
        left_behind = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left_behind, left_behind
        return outcome

    async def _answer(
        self, call: "asyncio.Task[bytes]", context: _Context, deadline_seconds: float | None
    ) -> Outcome:
        """Wait for the answer; at the deadline the call is cancelled, as gRPC does."""
        await asyncio.wait([call], timeout=deadline_seconds)
        if not call.done():
            call.cancel()
        try:
            raw = await call
        except grpc.aio.AbortError:
            assert context.status is not None
            reason = check_status(*context.status)
            return self._outcome(context.status[0].name, reason)
        except asyncio.CancelledError:
            return self._outcome("left", "")
        answer = service_pb2.CreateSequenceStepResponse.FromString(raw)
        assert _STEP_ID.fullmatch(answer.id), answer.id
        assert CANARY not in repr(answer)
        return self._outcome("OK", "")

    def _outcome(self, code: str, reason: str) -> Outcome:
        return Outcome(code, reason, self.http.requests, self.http.writes)

    async def _call(self, raw: bytes, context: _Context) -> bytes:
        answer: bytes = await self._handler.unary_unary(raw, context)
        return answer


def _told(bug: object) -> str:
    return "".join(traceback.format_exception(bug)) if isinstance(bug, BaseException) else repr(bug)


def check_status(code: grpc.StatusCode, message: str, trailing: dict[str, Any]) -> str:
    """Check what is true of every status of ours; return its reason."""
    raw = trailing["grpc-status-details-bin"]
    assert len(raw) <= STATUS_BYTES_MAX
    status = status_pb2.Status.FromString(raw)
    assert (status.code, status.message) == (code.value[0], message)
    info = error_details_pb2.ErrorInfo()
    assert sum(detail.Unpack(info) for detail in status.details) == 1
    assert info.domain == "engagement.v1"
    assert message.isprintable(), json.dumps(message)
    assert "Traceback" not in message
    assert CANARY not in f"{status}{trailing}"
    int(trailing.get("grpc-retry-pushback-ms", "0"))
    return info.reason


def captured_log() -> list[EventDict]:
    """Let every line of the process go to a list from now on, and return it."""
    log: list[EventDict] = []

    def keep(_: object, level: str, event: EventDict) -> EventDict:
        log.append({**event, "log_level": level})
        raise structlog.DropEvent

    structlog.configure(processors=[keep], cache_logger_on_first_use=False)
    return log
