"""A server's files of policy and TLS in a folder, and servers that use them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from service.domain.caller_policy import token_digest
from service.transport.caller_identity import proven_caller
from service.transport.policy_file import PolicyFile
from service.transport.server import GrpcServer, StopTimes
from service.transport.tls_files import TlsFiles
from tests.callers.authority import Authority, Identity, channel_credentials
from tests.service.conftest import Client
from tests.transport.stand_in import (
    METADATA,
    Api,
    Failure,
    Metadata,
    StandIn,
    nothing_to_finish,
    read_failure,
    servicer_for,
    step_request,
)

SPIFFE = "spiffe://example.org/billing"
DNS = "billing.internal"
BILLING_TOKEN, CRM_TOKEN, SALES_TOKEN, UNKNOWN_TOKEN = "b" * 43, "c" * 43, "s" * 43, "u" * 43

NAMED = f"""
[callers.billing]
tls_names = ["{SPIFFE}", "{DNS}"]
token_sha256 = ["{token_digest(BILLING_TOKEN).hex()}"]
customers = ["acme", "globex"]

[callers.crm]
tls_names = ["spiffe://example.org/crm", "crm.internal"]
token_sha256 = ["{token_digest(CRM_TOKEN).hex()}"]
customers = ["*"]
"""

TOKENS_ALONE = "\n".join(line for line in NAMED.splitlines() if "tls_names" not in line)

TWO_FOR_ANY_CUSTOMER = f"""{TOKENS_ALONE}
[callers.sales]
token_sha256 = ["{token_digest(SALES_TOKEN).hex()}"]
customers = ["*"]
"""


def bearer(token: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {token}")


@dataclass(frozen=True)
class Files:
    """The files of a server's settings, in a folder of the test's."""

    folder: Path

    @property
    def policy(self) -> Path:
        return self.folder / "policy.toml"

    @property
    def certificate(self) -> Path:
        return self.folder / "server.crt"

    @property
    def key(self) -> Path:
        return self.folder / "server.key"

    @property
    def client_ca(self) -> Path:
        return self.folder / "clients.crt"

    @property
    def settings(self) -> dict[str, str]:
        """The variables that name them."""
        return {
            "ENGAGEMENT_POLICY": str(self.policy),
            "ENGAGEMENT_TLS_CERTIFICATE": str(self.certificate),
            "ENGAGEMENT_TLS_KEY": str(self.key),
            "ENGAGEMENT_TLS_CLIENT_CA": str(self.client_ca),
        }

    def write(self, policy: str, authority: Authority) -> None:
        self.replace(self.policy, policy.encode())
        self.replace(self.client_ca, authority.certificate)
        self.write_server(authority.server())

    def write_server(self, server: Identity) -> None:
        self.replace(self.certificate, server.certificate)
        self.replace(self.key, server.key)

    @staticmethod
    def replace(path: Path, content: bytes | None) -> None:
        """Put a file in another's place at once, as whoever renews one should; None removes it."""
        if content is None:
            path.unlink()
            return
        beside = path.with_suffix(".new")
        beside.write_bytes(content)
        beside.replace(path)


@dataclass(frozen=True)
class Server:
    """A running server, with the application's stand-in behind it."""

    port: int
    application: StandIn
    authority: Authority
    """Who signs the server's certificate, and its clients'."""

    policy: PolicyFile
    log: list[EventDict]

    @asynccontextmanager
    async def api(
        self, client: Identity | None = None, *, server_ca: bytes = b""
    ) -> AsyncIterator[Api]:
        """Connect over TLS, as the holder of a certificate if there is one."""
        credentials = channel_credentials(server_ca or self.authority.certificate, client)
        async with grpc.aio.secure_channel(f"127.0.0.1:{self.port}", credentials) as channel:
            yield Api(channel, self.application, self.log)

    def events(self, name: str) -> list[EventDict]:
        return [line for line in self.log if line["event"] == name]


@asynccontextmanager
async def serving(
    files: Files, authority: Authority, *, asks_clients: bool
) -> AsyncIterator[Server]:
    """Run a server with TLS and the folder's policy; it may ask clients for certificates."""
    with capture_logs() as log:
        policy = PolicyFile(files.policy, demands_certificates=asks_clients)
        tls = TlsFiles(files.certificate, files.key, files.client_ca if asks_clients else None)
        application = StandIn()
        server = GrpcServer(
            servicer_for(application),
            proven_caller(lambda: policy.current),
            requests_in_flight_max=100,
            reflects=True,
        )
        port = await server.start("127.0.0.1:0", tls.credentials())
        try:
            yield Server(port, application, authority, policy, log)
        finally:
            await server.stop(StopTimes(0, 0, 0), nothing_to_finish, asyncio.Event())


async def failure_for(client: Client, metadata: Metadata) -> Failure:
    """Call the whole service, which has to refuse; the request itself is a valid one."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await client.stub.CreateSequenceStep(step_request(), metadata=metadata, timeout=30)
    return read_failure(failed.value)


def with_proof(*proofs: tuple[str, str], customer: str = "acme") -> Metadata:
    """Return a call's metadata with these entries before it."""
    return (*proofs, ("x-customer-id", customer), *METADATA[1:])
