"""The two databases, as something that can be held up, damaged, and searched through."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import psycopg

from tests.postgres_server import shared_server

TABLES: Final = ("connections", "operations")

_DAMAGE = "UPDATE connections SET credential = refresh_token WHERE customer_id = "


class Database(Protocol):
    """One of them."""

    @property
    def setting(self) -> str:
        """How the service is told of it."""

    def held(self) -> "Any":
        """Keep the service from writing, as long as the block runs."""

    def damage(self, customer_id: str) -> None:
        """Put another value where a customer's credential is."""

    def copies(self) -> list[bytes]:
        """Return all that is kept, in every form in which it can be read without the service."""


class Sqlite:
    """A file, and those beside it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "data" / "engagement.db"

    @property
    def setting(self) -> str:
        return str(self._path)

    @contextmanager
    def held(self) -> Iterator[None]:
        with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield

    def damage(self, customer_id: str) -> None:
        with closing(sqlite3.connect(self._path, timeout=30)) as connection, connection:
            connection.execute(f"{_DAMAGE} ?", (customer_id,))

    def copies(self) -> list[bytes]:
        return [path.read_bytes() for path in self._path.parent.iterdir()]


class Postgres:
    """A schema of the server that tests share, and all files of that server."""

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def setting(self) -> str:
        return self._url

    @contextmanager
    def held(self) -> Iterator[None]:
        with psycopg.connect(self._url) as connection:
            for table in TABLES:
                connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
            yield

    def damage(self, customer_id: str) -> None:
        with psycopg.connect(self._url) as connection:
            connection.execute(f"{_DAMAGE} %s".encode(), (customer_id,))

    def copies(self) -> list[bytes]:
        with psycopg.connect(self._url, autocommit=True) as connection:
            dumps = [
                self._dump(connection, f"COPY {table} TO STDOUT {options}")
                for table in TABLES
                for options in ("", "(FORMAT binary)")
            ]
            connection.execute("CHECKPOINT")
        return [*dumps, *shared_server().files().values()]

    def _dump(self, connection: "psycopg.Connection[Any]", statement: str) -> bytes:
        with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            return b"".join(bytes(block) for block in copy)
