"""Callers of one service, whose customers have accounts with marked credentials."""

import asyncio
import itertools
import uuid
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import httpx

from engagement.v1.sequence_step_service_pb2 import (
    CreateSequenceStepRequest,
    CreateSequenceStepResponse,
)
from service.bootstrap import Stores
from service.domain.connection import Connection, ConnectionKind, Secret
from service.domain.step import ConnectionKey, ProviderName
from tests.canary.marks import Mark, marked
from tests.canary.situations import (
    IN_TIME_SECONDS,
    VENDORS,
    Metadata,
    Situation,
    bad_requests,
    echo_situations,
    marked_call,
    marked_email,
    situations,
)
from tests.service.grpc_failure import failure_of
from tests.service.vendor_account import VendorAccount

CREATE = "/engagement.v1.SequenceStepService/CreateSequenceStep"
CALLER_TOKEN = marked(Mark.SECRET, "caller").ljust(43, "A")


@dataclass(frozen=True)
class Told:
    """All that a caller gets of a call: its code, and every text and byte."""

    code: str
    reason: str
    said: bytes
    is_dry: bool = False
    """Whether it is an answer with planned calls, which show the caller's own fields."""


@dataclass(frozen=True)
class Customer:
    """One customer, and its account at one vendor."""

    id: str
    account: VendorAccount

    @property
    def key(self) -> ConnectionKey:
        return ConnectionKey(self.id, ProviderName(self.account.vendor))


@dataclass
class Traffic:
    """Makes accounts at the sandbox, and calls the service for customers who have them."""

    control: httpx.AsyncClient
    stores: Stores
    """Of the service, to put connections."""

    channel: grpc.aio.Channel
    run: str
    """A name that no other run in the same sandbox has."""

    salesloft_key: str = ""
    """The one credential without a mark: the sandbox makes it as Salesloft does."""

    told: list[Told] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def send_all(self) -> None:
        """Make every call that ends by itself, all at once."""
        asked = [(await self._customer_in(each), each) for each in situations()]
        for vendor in VENDORS:
            count = len(list(echo_situations((await self.customer(vendor)).account)))
            for number in range(count):
                customer = await self.customer(vendor)
                situation = list(echo_situations(customer.account))[number]
                await self._prepare(customer, situation)
                asked.append((customer, situation))
        callers = [await self.customer(vendor) for vendor in VENDORS]
        callers.append(await self._customer_with_key())
        await asyncio.gather(
            *(self.create(*each) for each in asked),
            *(self._create_call(customer) for customer in callers),
            *(self.send(raw, metadata) for raw, metadata in bad_requests()),
            self.send(b"", token=marked(Mark.SECRET, "stranger")),
        )

    async def customer(self, vendor: str, *, sequence_id: str = "") -> Customer:
        """Make an account whose credentials are all marked, for a customer whose id is not."""
        number = next(self._numbers)
        name = marked(Mark.SECRET, f"{self.run}{number}")
        seed = {"seed": {"sequences": [{"id": int(sequence_id)}]}} if sequence_id else {}
        answer = await self.control.post("/accounts", json={"vendor": vendor, "name": name, **seed})
        answer.raise_for_status()
        account = VendorAccount(vendor, name, answer.json()["credentials"], self.control)
        customer = Customer(f"customer-{number}-{sequence_id}".strip("-"), account)
        await self.stores.connections.put(replace(account.connection(), key=customer.key))
        return customer

    async def _customer_with_key(self) -> Customer:
        """Make one who has a key where others have tokens."""
        customer = await self.customer("salesloft")
        self.salesloft_key = customer.account.credentials["api_key"]
        key = Secret(self.salesloft_key)
        await self.stores.connections.put(Connection(customer.key, ConnectionKind.API_KEY, key))
        return customer

    async def create(self, customer: Customer, situation: Situation, request_id: str = "") -> Told:
        """Ask for an e-mail, with an id of its own unless one is given."""
        request = CreateSequenceStepRequest(
            sequence_id=situation.sequence_id or customer.account.sequence_id,
            step=marked_email(situation.vendor),
            request_id=request_id or str(uuid.uuid4()),
        )
        if situation.flag:
            setattr(request, situation.flag, True)
        return await self.send(
            request.SerializeToString(),
            _metadata_of(customer),
            timeout_seconds=situation.timeout_seconds,
            is_dry=situation.flag == "validate_only",
        )

    async def send(
        self,
        raw: bytes,
        metadata: Metadata = (),
        *,
        token: str = CALLER_TOKEN,
        timeout_seconds: float = IN_TIME_SECONDS,
        is_dry: bool = False,
    ) -> Told:
        """Send bytes, and keep whatever comes back."""
        method: Any = self.channel.unary_unary(CREATE)
        call = method(
            raw,
            metadata=(*metadata, ("authorization", f"Bearer {token}")),
            timeout=timeout_seconds,
        )
        try:
            answer = CreateSequenceStepResponse.FromString(await call)
            said = f"{answer} {await call.initial_metadata()} {await call.trailing_metadata()}"
            told = Told("OK", "", said.encode(), is_dry)
        except grpc.aio.AioRpcError as error:
            told = _failure(error)
        self.told.append(told)
        return told

    async def _customer_in(self, situation: Situation) -> Customer:
        customer = await self.customer(situation.vendor, sequence_id=situation.sequence_id)
        await self._prepare(customer, situation)
        return customer

    async def _prepare(self, customer: Customer, situation: Situation) -> None:
        await customer.account.faults(situation.faults)
        if situation.has_expired:
            await customer.account.expire_access_tokens()
        if situation.is_revoked:
            await customer.account.revoke_refresh_token()

    async def _create_call(self, customer: Customer) -> None:
        vendor = customer.account.vendor
        request = CreateSequenceStepRequest(
            sequence_id=customer.account.sequence_id, step=marked_call(vendor)
        )
        await self.send(request.SerializeToString(), _metadata_of(customer))


def _metadata_of(customer: Customer) -> Metadata:
    vendor = customer.account.vendor
    return (("x-customer-id", customer.id), ("x-provider-name", vendor))


def _failure(error: grpc.aio.AioRpcError) -> Told:
    trailing = tuple(error.trailing_metadata() or ())
    initial = tuple(error.initial_metadata() or ())
    said = f"{error.details()} {error.debug_error_string()} {initial!r} {trailing!r}"
    details = b"".join(value for _, value in trailing if isinstance(value, bytes))
    return Told(error.code().name, failure_of(error).reason, said.encode() + details)
