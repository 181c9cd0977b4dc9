"""The whole service with hostile vendors behind it: carries attacks out, one after another.

It also checks what is true after every attack, whatever it is.
"""

import asyncio
import itertools
import json
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from engagement.v1 import sequence_step_service_pb2 as service_pb2
from service.application import execution, provider_session, retry
from service.bootstrap import opened_stores, running_service
from service.domain.connection import Connection, ConnectionKind, Secret
from service.domain.step import ConnectionKey, ProviderName
from service.providers import oauth
from service.settings import Settings
from service.stores.key_ring import new_entry
from service.transport.server import StopTimes
from tests.hostile.attack import OK, Attack, Ends, Metadata
from tests.hostile.hostile_vendor import Account, HostileVendor, Request
from tests.service.grpc_failure import Failure, failure_of

METHOD = "/engagement.v1.SequenceStepService/CreateSequenceStep"
CLIENT_SECRET = "canary-client-secret"
STATUS_BYTES_MAX = 4096
WHOLE_ATTACK_SECONDS_MAX = 30.0
READ_SECONDS = 1.0
WRITE_SECONDS = 1.0
LOOKS_SECONDS = (0.01, 0.02, 0.05)

_TARGET = re.compile(r"/(v1|v2|oauth)/[A-Za-z_]+(/[0-9a-f]+)?(\?[A-Za-z0-9_.~%&=/?-]*)?")
"""Of every request: the path has names of ours and ids, whatever anybody said."""

_HEADERS = {
    *("host", "authorization", "x-api-key", "accept", "content-type", "cache-control"),
    *("content-length", "accept-encoding", "user-agent"),
}


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of an attack."""

    ends: Ends
    message: str
    failure: Failure | None
    account: Account
    step_id: str = ""


@dataclass(slots=True)
class Stage:
    """A running service, its vendors, and its log."""

    vendor: HostileVendor
    settings: Settings
    channel: grpc.aio.Channel
    log: list[EventDict]
    library_log: list[str]
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def carry_out(self, attack: Attack) -> Ended:
        """Let the attack happen, against a customer and an account of its own."""
        account = Account(next(self._numbers), attack.vendor, attack.answers)
        self.vendor.add(account)
        customer = f"hostile-{account.number}"
        await self._connect(customer, account, expired=attack.token_has_expired)
        metadata = tuple(
            (name, value.replace("{customer}", customer) if isinstance(value, str) else value)
            for name, value in (*attack.own_metadata, *attack.more_metadata)
        )
        del self.log[:], self.library_log[:]
        async with asyncio.timeout(WHOLE_ATTACK_SECONDS_MAX):
            return await self._call(attack, account, metadata)

    async def serves(self) -> bool:
        """Whether a good request of a new customer is answered as ever."""
        ended = await self.carry_out(Attack(OK, writes=1))
        return ended.ends == OK and ended.account.writes == 1

    def check_always(self, ended: Ended) -> None:
        """Check what holds after every attack."""
        self._check_nothing_leaks(ended)
        if ended.ends == OK:
            assert ended.step_id in ended.account.model.steps, "a step that the vendor has made"
        failure = ended.failure
        if failure is not None:
            assert ended.ends.code != "UNKNOWN" or failure.domain == "engagement.v1"
            assert ended.ends.code != "INTERNAL"
            assert failure.status_bytes <= STATUS_BYTES_MAX
            assert failure.message.isprintable()
            assert "Traceback" not in failure.message
            assert ".py" not in failure.message
        assert self.vendor.visits_elsewhere == 0
        assert self.vendor.strangers == []
        for sent in ended.account.requests:
            self._check_request(sent)
        assert not [line for line in self.log if line["event"] == "execution_failed"]

    def _check_nothing_leaks(self, ended: Ended) -> None:
        told = repr(ended) + repr(self.log) + repr(self.library_log)
        told = told.replace(repr(ended.account), "")
        assert "canary-" not in told
        assert "xenial" not in told

    def _check_request(self, sent: Request) -> None:
        _, target, _ = sent.line.split(" ")
        assert _TARGET.fullmatch(target), sent.line
        assert sent.headers.keys() <= _HEADERS
        assert sent.headers["host"] == self.vendor.url.removeprefix("http://")
        assert all(value.isprintable() for value in sent.headers.values())
        if sent.body:
            json.loads(sent.body)

    async def _call(self, attack: Attack, account: Account, metadata: Metadata) -> Ended:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(METHOD)
        try:
            raw = await method(
                attack.message,
                metadata=metadata,
                timeout=attack.deadline_seconds,
                compression=attack.compression,
            )
        except grpc.aio.AioRpcError as error:
            failure = failure_of(error)
            fields = tuple(sorted(set(failure.fields))) if attack.ends.fields is not None else None
            ends = Ends(failure.code, failure.reason, fields)
            return Ended(ends, failure.message, failure, account)
        answer = service_pb2.CreateSequenceStepResponse.FromString(raw)
        return Ended(OK, "", None, account, answer.id)

    async def _connect(self, customer: str, account: Account, *, expired: bool) -> None:
        key = ConnectionKey(customer, ProviderName(account.vendor))
        kind = ConnectionKind.API_KEY if account.vendor == "apollo" else ConnectionKind.OAUTH
        connection = Connection(
            key,
            kind,
            Secret(account.access_token),
            Secret(account.refresh_token) if kind is ConnectionKind.OAUTH else None,
            1.0 if expired else None,
        )
        async with opened_stores(self.settings) as stores:
            await stores.connections.put(connection)


def expected_fields(ends: Ends) -> Ends:
    """Return the ends with its fields in order."""
    fields = None if ends.fields is None else tuple(sorted(ends.fields))
    return Ends(ends.code, ends.reason, fields)


class _Kept(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage() + str(record.exc_info or ""))


@asynccontextmanager
async def stage(folder: Path, patch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """Run everything; long waits are short here, and the environment names a proxy."""
    patch.setattr(provider_session, "READ_SECONDS_MAX", READ_SECONDS)
    patch.setattr(provider_session, "WRITE_SECONDS", WRITE_SECONDS)
    patch.setattr(oauth, "TIMEOUT_SECONDS", READ_SECONDS)
    patch.setattr(retry, "PAUSE_SECONDS_MIN", 0.01)
    patch.setattr(execution, "LOOK_AFTER_ACCEPTED_SECONDS", (0.0, *LOOKS_SECONDS))
    patch.setattr(execution, "LOOK_AFTER_LOST_SECONDS", LOOKS_SECONDS)
    library_log: list[str] = []
    handler = _Kept(library_log)
    logging.getLogger().addHandler(handler)
    try:
        async with HostileVendor() as vendor:
            for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
                patch.setenv(name, vendor.elsewhere)
            for name in ("NO_PROXY", "no_proxy"):
                patch.delenv(name, raising=False)
            # gRPC's own client looks at the environment as well.
            patch.setenv("no_grpc_proxy", "127.0.0.1")
            with capture_logs() as log:
                async with _served(vendor, folder, log, library_log) as ready:
                    yield ready
    finally:
        logging.getLogger().removeHandler(handler)


@asynccontextmanager
async def _served(
    vendor: HostileVendor, folder: Path, log: list[EventDict], library_log: list[str]
) -> AsyncIterator[Stage]:
    settings = Settings.from_environment(
        {
            "ENGAGEMENT_LISTEN": "127.0.0.1:0",
            "ENGAGEMENT_DATABASE": str(folder / "engagement.db"),
            "ENGAGEMENT_KEYS": new_entry(),
            "ENGAGEMENT_OUTREACH_API_URL": f"{vendor.url}/v2",
            "ENGAGEMENT_OUTREACH_TOKEN_URL": f"{vendor.url}/oauth/token",
            "ENGAGEMENT_OUTREACH_CLIENT_ID": "outreach-client",
            "ENGAGEMENT_OUTREACH_CLIENT_SECRET": CLIENT_SECRET,
            "ENGAGEMENT_SALESLOFT_API_URL": f"{vendor.url}/v2",
            "ENGAGEMENT_APOLLO_API_URL": f"{vendor.url}/v1",
        }
    )
    async with running_service(settings) as service:
        try:
            options = (
                ("grpc.enable_http_proxy", 0),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_metadata_size", 1024 * 1024),
                ("grpc.enable_retries", 0),
            )
            async with grpc.aio.insecure_channel(f"127.0.0.1:{service.port}", options) as channel:
                yield Stage(vendor, settings, channel, log, library_log)
        finally:
            await service.server.stop(StopTimes(0, 5, 30), service.tasks.drain, asyncio.Event())
