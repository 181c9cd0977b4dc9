"""A database of the service that is backed up, lost and restored with the page's commands."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import psycopg

from service.stores.postgres_migrations import migrate
from tests.operations.page import run_block
from tests.postgres_server import PostgresServer


class Database(Protocol):
    """What a service has its connections and its journal in."""

    @property
    def folder(self) -> Path:
        """Where the page's commands are run."""

    @property
    def url(self) -> str:
        """What `ENGAGEMENT_DATABASE` says; another one once it is restored."""

    async def back_up(self, environment: Mapping[str, str]) -> None:
        """Make a copy, while a service with this environment serves from it."""

    async def lose_and_restore(self) -> None:
        """Remove it, and make it anew from the copy."""


class SqliteDatabase:
    """A file in a folder of its own, at the default path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "var" / "engagement.db"

    @property
    def url(self) -> str:
        return str(self._path)

    async def back_up(self, environment: Mapping[str, str]) -> None:
        await run_block("source.backup", self.folder, {})
        read = await run_block("=engagement.backup", self.folder, environment)
        assert "unreadable" not in read
        assert {"outreach", "RUNNING", "SUCCEEDED"} <= set(read.split())

    async def lose_and_restore(self) -> None:
        """The page's commands move what is left of the old file away."""
        await run_block("cp engagement.backup", self.folder, {})


class PostgresDatabase:
    """A database of a server, which is found as libpq's variables say."""

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        self._server = server
        self.folder = folder
        self._name = "engagement"

    @property
    def url(self) -> str:
        return urlsplit(self._server.url)._replace(path=f"/{self._name}").geturl()

    async def create(self) -> None:
        """Make it, with all tables."""
        self._execute(b"CREATE DATABASE engagement")
        await migrate(self.url)

    async def back_up(self, environment: Mapping[str, str]) -> None:
        await run_block("pg_dump", self.folder, {**environment, **self._libpq})

    async def lose_and_restore(self) -> None:
        self._execute(b"DROP DATABASE engagement WITH (FORCE)")
        await run_block("pg_restore", self.folder, self._libpq)
        self._name = "engagement_restored"

    @property
    def _libpq(self) -> dict[str, str]:
        at = urlsplit(self._server.url)
        return {
            "PGHOST": at.hostname or "",
            "PGPORT": str(at.port),
            "PGUSER": at.username or "",
            "PGPASSWORD": at.password or "",
            "PGDATABASE": self._name,
        }

    def _execute(self, statement: bytes) -> None:
        with psycopg.connect(self._server.url, autocommit=True) as connection:
            connection.execute(statement)
