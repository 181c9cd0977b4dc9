"""What lies on the disk of a store of connections."""

import base64
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path

from service.stores.connections_postgres import PostgresConnections
from service.stores.connections_sqlite import SqliteConnections
from service.stores.postgres_database import PostgresDatabase
from tests.connections.manual_clock import ManualClock
from tests.connections.samples import RING, oauth
from tests.postgres_server import shared_server

SECRETS = [b"canary-access-token-0123456789", b"canary-refresh-token-987654321"]


async def _put_and_replace(store: SqliteConnections | PostgresConnections) -> None:
    first = oauth(credential=SECRETS[0].decode(), refresh_token=SECRETS[1].decode())
    await store.put(first)
    second = oauth(credential=SECRETS[1].decode(), refresh_token=SECRETS[0].decode())
    assert await store.replace(first, second)


def _assert_secrets_in_none(files: Mapping[str, bytes]) -> None:
    """Look for them as they are and in an encoding."""
    everything = b"".join(files.values())
    assert b"acme" in everything
    for secret in SECRETS:
        forms = [secret, secret[::-1], secret.hex().encode(), secret.decode().encode("utf-16-le")]
        # Base64 depends on what stands before: all three alignments, without their ragged ends.
        forms += [base64.b64encode(secret[start:])[:-4] for start in range(3)]
        assert not [form for form in forms if form in everything]


async def test_secrets_are_in_no_file_of_sqlite(path: Path, store: SqliteConnections) -> None:
    await _put_and_replace(store)
    files = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    assert files.keys() == {"engagement.db", "engagement.db-wal", "engagement.db-shm"}
    _assert_secrets_in_none(files)


async def test_secrets_are_in_no_file_of_postgres(postgres_url: str, clock: ManualClock) -> None:
    """Its log and its write-ahead log included."""
    async with aclosing(await PostgresDatabase.open(postgres_url)) as database:
        await _put_and_replace(PostgresConnections(database, RING, clock))
    _assert_secrets_in_none(shared_server().files())
