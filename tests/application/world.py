"""The application with a modelled vendor behind it, for one scenario."""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from service.application.admission import Admission
from service.application.arrival import Arrival
from service.application.call_record import CallRecord
from service.application.claims import Claims
from service.application.create_sequence_step import CreateSequenceStep
from service.application.journal_entry import JournalEntry
from service.application.journal_port import Claimed
from service.application.operation_tasks import OperationTasks
from service.application.owned_operations import OwnedOperations
from service.application.ports import Provider
from service.application.provider_session import Surroundings
from service.application.rate_limits import RateLimits
from service.application.recovery import Recovery
from service.domain.connection import Connection, ConnectionKind, Secret
from service.domain.errors import ServiceError
from service.domain.fingerprint import Fingerprints
from service.domain.operation import Operation, OperationKey
from service.domain.outcome import StepAnswer
from service.domain.step import ConnectionKey, ProviderName, SequenceStep, StepRequest
from service.providers.apollo.adapter import Apollo
from service.providers.outreach.adapter import Outreach
from service.providers.salesloft.adapter import Salesloft
from tests.application.apollo_model import ApolloModel
from tests.application.memory_journal import memory_journal
from tests.application.outreach_model import OutreachModel
from tests.application.salesloft_model import SalesloftModel
from tests.application.scripted_http import CALLER, ScriptedHttp, Vendor
from tests.application.virtual_time import VirtualClock

PROVIDERS: Mapping[ProviderName, Provider] = {
    ProviderName("outreach"): Outreach(OutreachModel.base_url),
    ProviderName("salesloft"): Salesloft(SalesloftModel.base_url),
    ProviderName("apollo"): Apollo(ApolloModel.base_url),
}
SETTLE_SECONDS = 120.0
FINGERPRINTS = Fingerprints(b"a key of tests")

MODELS: Mapping[ProviderName, type[Vendor]] = {
    ProviderName("outreach"): OutreachModel,
    ProviderName("salesloft"): SalesloftModel,
    ProviderName("apollo"): ApolloModel,
}


@dataclass(slots=True)
class FakeConnections:
    """Implements `Connections`: every customer has one, and a refused token gets a successor."""

    refused: list[str] = field(default_factory=list)
    """The tokens that a refresh was asked for, in order."""

    missing: ServiceError | None = None
    """What a search ends with."""

    failure: ServiceError | None = None
    """What a refresh ends with."""

    refresh_seconds: float = 0.1

    async def find(self, key: ConnectionKey) -> Connection:
        await asyncio.sleep(0.001)
        if self.missing is not None:
            raise self.missing
        return self._connection(key, 1)

    async def refresh(self, connection: Connection) -> Connection:
        token = connection.credential.reveal()
        self.refused.append(token)
        await asyncio.sleep(self.refresh_seconds)
        if self.failure is not None:
            raise self.failure
        return self._connection(connection.key, int(token.removeprefix("token-")) + 1)

    @staticmethod
    def _connection(key: ConnectionKey, number: int) -> Connection:
        return Connection(key, ConnectionKind.OAUTH, Secret(f"token-{number}"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the caller of an operation got."""

    end: StepAnswer | ServiceError
    record: CallRecord

    @property
    def says(self) -> str:
        """`OK`, or the reason of the error."""
        return "OK" if isinstance(self.end, StepAnswer) else self.end.reason.value

    @property
    def error(self) -> ServiceError:
        assert isinstance(self.end, ServiceError)
        return self.end

    @property
    def answer(self) -> StepAnswer:
        assert isinstance(self.end, StepAnswer)
        return self.end

    @property
    def step_id(self) -> str:
        """The id that the caller was told; empty when none."""
        if isinstance(self.end, StepAnswer):
            return self.end.step_id
        return self.end.metadata.get("stepId", "")


class _NamedOperations(OwnedOperations):
    """Names the operation that a task owns, so that what the task sends can be told."""

    @contextmanager
    def owned(self, claimed: Claimed) -> Iterator[JournalEntry]:
        with super().owned(claimed) as entry:
            outer = CALLER.set(claimed.operation.key.request_id)
            try:
                yield entry
            finally:
                CALLER.reset(outer)


class World:
    """One process of the service and one vendor; make it inside the running loop."""

    def __init__(
        self,
        provider: ProviderName,
        requests_in_flight_max: int = 100,
        adapter: Provider | None = None,
        admission: Admission | None = None,
    ) -> None:
        self.provider = provider
        self._numbers = itertools.count()
        self.vendor = MODELS[provider]()
        self.http = ScriptedHttp(self.vendor)
        self.connections = FakeConnections()
        self.clock = VirtualClock()
        self.rate_limits = RateLimits(self.clock)
        self.tasks = OperationTasks()
        self.admission = admission or Admission(requests_in_flight_max, 100, 100)
        providers = PROVIDERS if adapter is None else {provider: adapter}
        surroundings = Surroundings(self.http, self.connections, self.rate_limits, self.clock)
        self.journal = memory_journal(self.clock)
        settle_seconds = dict.fromkeys(PROVIDERS, SETTLE_SECONDS)
        self.owned = _NamedOperations(self.journal, settle_seconds, self.clock)
        self.recovery = Recovery(providers, self.journal, self.owned, surroundings)
        claims = Claims(self.journal, self.recovery, self.owned, self.clock, FINGERPRINTS)
        self.use_case = CreateSequenceStep(
            providers, self.admission, self.tasks, claims, surroundings
        )

    def key(self, customer: str = "acme") -> ConnectionKey:
        return ConnectionKey(customer, self.provider)

    async def row(self, request_id: str) -> Operation | None:
        """Return what the journal knows of a request."""
        return await self.journal.find(OperationKey("caller", self.key(), request_id))

    def request(
        self,
        step: SequenceStep,
        *,
        sequence_id: str = "",
        validate_only: bool = False,
        fail_on_warning: bool = False,
    ) -> StepRequest:
        """Return a request to add `step`, to the vendor's own sequence unless said otherwise."""
        sequence_id = sequence_id or self.vendor.sequence_id
        return StepRequest(sequence_id, step, validate_only, fail_on_warning)

    async def create(
        self,
        request: StepRequest | SequenceStep,
        *,
        customer: str = "acme",
        deadline_seconds: float | None = None,
        request_id: str = "",
        before_first_write: Callable[[], None] = lambda: None,
    ) -> Outcome:
        """Run one operation to its end; without `request_id` it is a request of its own."""
        if isinstance(request, SequenceStep):
            request = self.request(request)
        record = CallRecord()
        key = OperationKey("caller", self.key(customer), request_id or str(next(self._numbers)))
        arrival = Arrival(key, request, deadline_seconds, record, before_first_write)
        try:
            end: StepAnswer | ServiceError = await self.use_case.run(arrival)
        except ServiceError as error:
            end = error
        return Outcome(end, record)

    def start(self, request: StepRequest | SequenceStep, caller: str = "") -> asyncio.Task[Outcome]:
        """Start an operation; `caller` is its request id, and the name of what it sends."""
        return asyncio.create_task(self.create(request, request_id=caller))
