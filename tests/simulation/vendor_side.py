"""The vendor's side of a simulation: what it received, applied and shows, and who made what.

It knows the truth that the service can only find out.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from service.application.ports import Clock
from service.domain.operation import Operation, OperationKey
from service.domain.provider_call import ProviderAnswer, ProviderRequest
from tests.application.apollo_model import ApolloModel
from tests.application.plans import LIST_OF_STEPS
from tests.application.scripted_http import Vendor, answer, resource_of
from tests.simulation.fate import Exchange
from tests.simulation.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends a request: a replica, for the operation that it owns then."""

    replica: str
    key: OperationKey
    epoch: int
    is_recovery: bool = False
    """Whether nobody's call sends it."""


@dataclass(eq=False, slots=True)
class Arrived:
    """One write that reached the vendor."""

    sender: Sender | None
    """None for a person at the vendor."""

    resource: str
    request: ProviderRequest
    row: Operation | None
    """The operation as it was committed when the first byte came."""

    at_seconds: float
    says_yes: bool = False
    """Whether its sender has read an answer with 2xx."""

    says_no: bool = False
    """Whether its sender has read that nothing was done."""

    is_yes_committed: bool = False
    """Whether the sender has committed something since."""

    applied_at_seconds: float | None = None
    """When it is applied; later than now while it is pending, None for never."""

    shown_at_seconds: float = 0.0
    made: tuple[str, ...] = ()
    """The steps that it made."""

    removed: tuple[str, ...] = ()
    """The steps that it removed."""


@dataclass(slots=True)
class VendorSide:
    """One vendor, behind lists that may lag."""

    vendor: Vendor
    tokens: Tokens
    committed: Callable[[OperationKey], Operation | None]
    """Reads an operation's row at this instant."""

    clock: Clock
    arrived: list[Arrived] = field(default_factory=list)
    made_by: dict[str, Arrived] = field(default_factory=dict)
    """Which write made which step, also of steps that are gone."""

    removed_by_person: set[str] = field(default_factory=set)
    altered_by_person: set[str] = field(default_factory=set)
    read_at_seconds: dict[tuple[OperationKey, int], float] = field(default_factory=dict)
    """When the owner of an operation, by its epoch, last read a sequence's steps."""

    latest_epoch: dict[OperationKey, int] = field(default_factory=dict)
    """Of those in which anything was asked for an operation."""

    on_arrived: Callable[[Arrived], object] = lambda _: None
    on_applied: Callable[[Arrived], object] = lambda _: None
    _hidden_until_seconds: dict[str, float] = field(default_factory=dict)

    @property
    def is_anything_pending(self) -> bool:
        """Whether a write that arrived is still to be applied or shown."""
        now_seconds = self.clock.monotonic_seconds()
        return any(arrived.shown_at_seconds > now_seconds for arrived in self.arrived)

    def receive(
        self, request: ProviderRequest, sender: Sender | None, exchange: Exchange
    ) -> ProviderAnswer | None:
        """Take a request; return the own answer, if it is applied now."""
        now_seconds = self.clock.monotonic_seconds()
        if sender is not None:
            latest_epoch = self.latest_epoch.get(sender.key, 0)
            self.latest_epoch[sender.key] = max(sender.epoch, latest_epoch)
        is_authenticated = self.tokens.accepts(request)
        refusal = None if is_authenticated else answer(401, {"error": "the token has expired"})
        if request.method == "GET":
            if sender is not None and resource_of(request) in LIST_OF_STEPS.values():
                self.read_at_seconds[sender.key, sender.epoch] = now_seconds
            return refusal or self._read(request)
        row = None if sender is None else self.committed(sender.key)
        arrived = Arrived(sender, resource_of(request), request, row, now_seconds)
        self.arrived.append(arrived)
        self.on_arrived(arrived)
        if refusal is not None:
            return refusal
        delay_seconds = exchange.applied_after_seconds
        if delay_seconds is None:
            return None
        arrived.applied_at_seconds = now_seconds + delay_seconds
        arrived.shown_at_seconds = arrived.applied_at_seconds + exchange.shown_after_seconds
        if delay_seconds == 0:
            return self._apply(arrived)
        asyncio.get_running_loop().call_later(delay_seconds, self._apply, arrived)
        return None

    def answered(self, request: ProviderRequest, given: ProviderAnswer) -> None:
        """Note that the sender of a request reads its answer."""
        for arrived in self.arrived:
            if arrived.request is request:
                arrived.says_yes = 200 <= given.status <= 299
                arrived.says_no = 300 <= given.status <= 499 and given.status != 408

    def step_of(self, message: ProviderRequest) -> str:
        """Return the step whose message a request writes; empty where there is none."""
        touches: dict[str, dict[str, str]] = getattr(self.vendor, "touches", {})
        touch = touches.get(message.url.rpartition("/")[2])
        return "" if touch is None else touch["emailer_step_id"]

    def person_repeats(self, request: ProviderRequest) -> None:
        """Let a person make what equals that which a request makes."""
        now_seconds = self.clock.monotonic_seconds()
        arrived = Arrived(None, resource_of(request), request, None, now_seconds)
        arrived.applied_at_seconds = arrived.shown_at_seconds = now_seconds
        self.arrived.append(arrived)
        self._apply(arrived)

    def person_alters(self, step_id: str) -> None:
        """Let a person give a step other values."""
        self.altered_by_person.add(step_id)
        self.vendor.alter(step_id)

    def person_removes(self, step_id: str) -> None:
        """Let a person remove a step."""
        self.removed_by_person.add(step_id)
        if isinstance(self.vendor, ApolloModel):
            self.vendor._delete_step(step_id)
        else:
            del self.vendor.steps[step_id]

    def _apply(self, arrived: Arrived) -> ProviderAnswer:
        before = self._listed_ids()
        steps_before = [*self.vendor.steps]
        given = self.vendor.handle(arrived.request)
        new = [id_ for id_ in self._listed_ids() if id_ not in before]
        arrived.made = tuple(id_ for id_ in new if id_ in self.vendor.steps)
        arrived.removed = tuple(id_ for id_ in steps_before if id_ not in self.vendor.steps)
        self.made_by |= dict.fromkeys(arrived.made, arrived)
        self._hidden_until_seconds |= dict.fromkeys(new, arrived.shown_at_seconds)
        self.on_applied(arrived)
        return given

    def _read(self, request: ProviderRequest) -> ProviderAnswer:
        """Answer a read without what lists do not show yet."""
        now_seconds = self.clock.monotonic_seconds()
        kept = [(records, dict(records)) for records in self._lists()]
        for records, _ in kept:
            for id_ in [*records]:
                if self._hidden_until_seconds.get(id_, 0.0) > now_seconds:
                    del records[id_]
        given = self.vendor.handle(request)
        for records, all_records in kept:
            records.clear()
            records.update(all_records)
        return given

    def _listed_ids(self) -> dict[str, None]:
        return dict.fromkeys(id_ for records in self._lists() for id_ in records)

    def _lists(self) -> list[dict[str, dict[str, Any]]]:
        return [self.vendor.steps, getattr(self.vendor, "links", {})]
