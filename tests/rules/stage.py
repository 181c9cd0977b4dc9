"""Two replicas on one journal with one vendor: for rules about crashes, freezes and new owners."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from service.application.arrival import Arrival
from service.application.call_record import CallRecord
from service.domain.errors import ServiceError
from service.domain.operation import Operation, OperationKey, OperationState
from service.domain.provider_call import ProviderRequest
from service.domain.step import StepRequest
from tests.application.plans import PlanKind
from tests.application.scripted_http import resource_of
from tests.application.world import Outcome
from tests.crash_matrix.crash import resources_sent
from tests.simulation.cluster import Cluster
from tests.simulation.fate import Exchange, Fate, JournalCall, StoreHappening
from tests.simulation.replica import ProcessGone, Replica
from tests.simulation.vendor_side import Sender

REQUEST = "the request"


@dataclass(slots=True)
class Script(Fate):
    """Does once what a rule is about, and keeps the order of commits and writes."""

    exchanges: dict[str, list[Exchange]] = field(default_factory=dict)
    """By method and resource: used up one request after another."""

    always: dict[str, Exchange] = field(default_factory=dict)
    """By method and resource: for every request beyond these."""

    sent_commits: list[StoreHappening] = field(default_factory=list)
    """What comes of commits of SENT, one after another."""

    end_commits: list[StoreHappening] = field(default_factory=list)
    """What comes of commits of an end, one after another."""

    at_sent: Callable[[Replica], object] | None = None
    """Called once, when the first SENT is durable and its process does not know it yet."""

    at_answer: tuple[str, Callable[[Replica], object]] | None = None
    """Called once, when there is an answer to this resource and it is not read yet."""

    at_read: Callable[[Replica], object] = lambda _: None
    log: list[str] = field(default_factory=list)
    """`commit` and `send` with the write that it is for, each end with its state, and `commit`
    alone for every other commit."""

    def before_journal(self, replica: Replica, call: JournalCall) -> StoreHappening:
        is_end = call.name == "save" and not _runs(call)
        happenings = self.sent_commits if call.is_sending else self.end_commits if is_end else []
        return happenings.pop(0) if happenings else Fate.before_journal(self, replica, call)

    def after_journal(self, replica: Replica, call: JournalCall) -> None:
        if call.name != "save":
            return
        assert call.operation is not None
        if not _runs(call):
            self.log.append(call.operation.state.name)
        elif call.is_sending:
            self.log += [f"commit {resource}" for resource in resources_sent(call.operation)]
        else:
            self.log.append("commit")
        if call.is_sending and self.at_sent is not None:
            happens, self.at_sent = self.at_sent, None
            happens(replica)

    def before_send(self, replica: Replica, request: ProviderRequest) -> Exchange:
        resource = resource_of(request)
        if request.method == "GET":
            self.at_read(replica)
        else:
            self.log.append(f"send {resource}")
        script = self.exchanges.get(resource)
        if script:
            return script.pop(0)
        return self.always.get(resource) or Fate.before_send(self, replica, request)

    def answered(self, replica: Replica, request: ProviderRequest) -> None:
        if self.at_answer is not None and resource_of(request) == self.at_answer[0]:
            (_, happens), self.at_answer = self.at_answer, None
            happens(replica)


def _runs(call: JournalCall) -> bool:
    return call.operation is not None and call.operation.state is OperationState.RUNNING


class Stage:
    """Use it as a context: its replicas are stopped at the end."""

    def __init__(self, plan: PlanKind) -> None:
        self.plan = plan
        self.script = Script()

    async def __aenter__(self) -> Self:
        self.cluster = Cluster(self.plan.provider, self.script)
        self.one, self.two = self.cluster.replicas
        self.vendor, self.vendor_side = self.cluster.vendor, self.cluster.vendor_side
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.cluster.stop()
        self.cluster.database.close()

    @property
    def writes(self) -> list[str]:
        """The writes that the vendor received, in order."""
        return [arrived.resource for arrived in self.vendor_side.arrived]

    @property
    def senders(self) -> list[Sender]:
        """Who sent these writes, and in which epoch."""
        return [arrived.sender for arrived in self.vendor_side.arrived if arrived.sender]

    @property
    def now_seconds(self) -> float:
        return self.cluster.clock.monotonic_seconds()

    def row(self, request_id: str = REQUEST) -> Operation | None:
        """Return what is committed of a request."""
        return self.cluster.committed(self._key(request_id))

    def state(self, request_id: str = REQUEST) -> OperationState | None:
        """Return the committed state of a request; None when there is no trace of it."""
        row = self.row(request_id)
        return None if row is None else row.state

    async def ask(
        self,
        request_id: str = REQUEST,
        *,
        at: Replica | None = None,
        deadline_seconds: float | None = None,
    ) -> Outcome:
        """Ask for the step, at the first replica unless said otherwise.

        Raises:
            ProcessGone: the replica died.
        """
        record = CallRecord()
        request = StepRequest(self.vendor.sequence_id, self.plan.step)
        arrival = Arrival(self._key(request_id), request, deadline_seconds, record)
        try:
            return Outcome(await (at or self.one).create(arrival), record)
        except ServiceError as error:
            return Outcome(error, record)

    def start(
        self, request_id: str = REQUEST, *, at: Replica | None = None
    ) -> asyncio.Task[Outcome]:
        """Ask, and do not wait for the answer."""
        return asyncio.create_task(self.ask(request_id, at=at))

    async def ask_in_vain(self) -> None:
        """Ask a replica that dies meanwhile."""
        try:
            outcome = await self.ask()
        except ProcessGone:
            return
        raise AssertionError(f"the process did not die: {outcome.end}")

    def _key(self, request_id: str) -> OperationKey:
        return OperationKey("caller", self.cluster.connection_key, request_id)
