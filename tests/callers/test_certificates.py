"""The server's certificate files: renewed while it serves, and refused where they are no use."""

import asyncio
from collections.abc import Callable

import grpc
import pytest
from cryptography.hazmat.primitives import serialization

from service.transport.tls_files import TlsFiles, TlsFilesUnusable
from tests.callers.authority import Authority, Identity, uri
from tests.callers.stage import SPIFFE, Files, Server
from tests.transport.health_probe import SERVING, check
from tests.transport.stand_in import step_request


async def is_served(server: Server, client: Identity | None, server_ca: Authority) -> bool:
    """Whether a new connection of the client is made."""
    async with server.api(client, server_ca=server_ca.certificate) as api:
        try:
            return await check(api.channel) == SERVING
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            return False


async def test_a_renewed_certificate_is_used_for_the_next_connection(
    server: Server, files: Files, authority: Authority
) -> None:
    client, new = authority.client(uri(SPIFFE)), Authority("A new one")
    async with server.api(client) as standing:
        await standing.create(step_request())

        files.write_server(new.server())

        assert await is_served(server, client, new)
        assert not await is_served(server, client, authority)
        await standing.create(step_request())
    assert [line["path"] for line in server.events("certificates_loaded")] == [
        str(files.certificate)
    ]


async def test_a_renewal_in_two_steps_is_used_after_the_second(
    server: Server, files: Files, authority: Authority
) -> None:
    """Between them the certificate and the key do not fit."""
    client, new = authority.client(uri(SPIFFE)), Authority("A new one")
    identity = new.server()
    files.replace(files.certificate, identity.certificate)
    for _ in range(3):
        assert await is_served(server, client, authority)

    (kept,) = server.events("certificates_kept")
    assert kept["log_level"] == "error"
    assert kept["problem"] == (
        f"{files.certificate} and {files.key} must be a certificate chain and its key without a "
        "password, in PEM: key values mismatch."
    )
    files.replace(files.key, identity.key)

    assert await is_served(server, client, new)


@pytest.mark.parametrize("name", ["certificate", "key", "client_ca"])
async def test_files_that_are_gone_or_garbage_change_nothing(
    server: Server, files: Files, authority: Authority, name: str
) -> None:
    client = authority.client(uri(SPIFFE))
    for content in (b"", b"garbage", b"\xff\xfe", None):
        files.replace(getattr(files, name), content)
        assert await is_served(server, client, authority)
        assert not await is_served(server, None, authority)

    assert len(server.events("certificates_kept")) == 4
    assert server.events("certificates_loaded") == []


async def test_another_authority_of_clients_is_used_for_the_next_connection(
    server: Server, files: Files, authority: Authority
) -> None:
    old, other = authority.client(uri(SPIFFE)), Authority("A new one")
    new = other.client(uri(SPIFFE))
    assert (await is_served(server, old, authority), await is_served(server, new, authority)) == (
        True,
        False,
    )

    files.replace(files.client_ca, authority.certificate + other.certificate)
    assert await is_served(server, old, authority)
    assert await is_served(server, new, authority)

    files.replace(files.client_ca, other.certificate)
    assert (await is_served(server, old, authority), await is_served(server, new, authority)) == (
        False,
        True,
    )


async def test_many_new_connections_meet_a_renewal(
    server: Server, files: Files, authority: Authority
) -> None:
    client = authority.client(uri(SPIFFE))
    for _ in range(3):
        files.write_server(authority.server())
        served = await asyncio.gather(*(is_served(server, client, authority) for _ in range(20)))
        assert served == [True] * 20

    assert 1 <= len(server.events("certificates_loaded")) <= 3
    assert server.events("certificates_kept") == []


def encrypted(key: bytes) -> bytes:
    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"hush"),
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda f: f.certificate.unlink(), "server.crt cannot be read: No such file"),
        (lambda f: f.key.unlink(), "server.key cannot be read: No such file"),
        (lambda f: f.client_ca.unlink(), "clients.crt cannot be read: No such file"),
        (lambda f: f.certificate.write_bytes(b""), "must be a certificate chain and its key"),
        (lambda f: f.key.write_bytes(b"x"), "must be a certificate chain and its key"),
        (lambda f: f.key.write_bytes(Authority().server().key), "in PEM: key values mismatch."),
        (lambda f: f.key.write_bytes(encrypted(f.key.read_bytes())), "key without a password"),
        (lambda f: f.client_ca.write_bytes(b""), "must have the certificates of the clients'"),
        (lambda f: f.client_ca.write_bytes(b"\xff"), "must have the certificates of the clients'"),
        (
            lambda f: f.client_ca.write_bytes(f.key.read_bytes()),
            "must have the certificates of the clients'",
        ),
    ],
)
def test_a_server_does_not_start_with_files_of_no_use(
    files: Files, change: Callable[[Files], None], problem: str
) -> None:
    change(files)

    with pytest.raises(TlsFilesUnusable) as unusable:
        TlsFiles(files.certificate, files.key, files.client_ca)

    assert problem in str(unusable.value)
    assert "PRIVATE" not in str(unusable.value)
