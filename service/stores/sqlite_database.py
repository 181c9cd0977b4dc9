"""One SQLite file: how it is opened, brought up to date, shared and used from asyncio.

The server and the command line open the same file at once. What is written is on the disk before
it counts as written (WAL, `synchronous=FULL`), and every transaction is short.
"""

import asyncio
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, Self, TypeVar

import structlog

from service.domain.errors import Reason, ServiceError
from service.stores.sql_files import migrations

BUSY_SECONDS_MAX: Final = 5.0
"""How long a transaction waits for that of another process."""

RETRY_AFTER_SECONDS: Final = 5.0
"""What a caller is told to wait when the store failed."""

_DIALECT: Final = "sqlite"
_SWITCH_PAUSE_SECONDS: Final = 0.01

_T = TypeVar("_T")
_log = structlog.get_logger()


class DatabaseUnusable(Exception):  # noqa: N818 - the class's name reads as the sentence it stands for
    """The file cannot be opened; the message tells an operator which one and why."""


class SqliteDatabase:
    """A database file with one connection, used by a single thread of its own.

    The event loop never waits for the disk, and statements run in the order they were asked for.
    """

    def __init__(self, worker: ThreadPoolExecutor, connection: sqlite3.Connection) -> None:
        """Take an open connection and the thread that opened it; see `open`."""
        self._worker = worker
        self._connection = connection

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open the file, which is made when it is not there, with all migrations applied.

        Raises:
            DatabaseUnusable: It cannot be opened, is no database, or is of a newer version.
        """
        worker = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        loop = asyncio.get_running_loop()
        try:
            connection = await loop.run_in_executor(worker, open_connection, path)
        except BaseException:
            worker.shutdown(wait=False)
            raise
        return cls(worker, connection)

    async def read(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run one query in the worker thread.

        Raises:
            ServiceError: STORE_UNAVAILABLE, with SQLite's error as its cause.
        """
        return await self._run(lambda: work(self._connection))

    async def write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run `work` in the worker thread, in a transaction that is durable when this returns.

        Raises:
            ServiceError: STORE_UNAVAILABLE, with SQLite's error as its cause; nothing was written.
        """
        return await self._run(lambda: _in_transaction(self._connection, work))

    async def aclose(self) -> None:
        """Finish what was asked for, then close the file."""
        await asyncio.get_running_loop().run_in_executor(self._worker, self._connection.close)
        self._worker.shutdown()

    async def _run(self, work: Callable[[], _T]) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, work)
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorname", type(error).__name__)
            _log.error("store_failed", code=code, error=str(error))
            raise ServiceError(
                Reason.STORE_UNAVAILABLE,
                "The service cannot reach its store at the moment.",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            ) from error


class ServingLock:
    """Held by the one process that serves from a database file.

    It alone refreshes tokens: two would use up each other's refresh tokens. The system lets go of
    it when the process ends, however it ends.
    """

    def __init__(self, database_path: Path) -> None:
        """Take the lock.

        Raises:
            DatabaseUnusable: Another process has it, or its file cannot be made.
        """
        path = database_path.with_name(f"{database_path.name}.serving")
        try:
            _make_directory(path.parent)
            self._file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise DatabaseUnusable(f"cannot open {path}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            raise DatabaseUnusable(f"another process serves from {database_path}") from error

    def close(self) -> None:
        """Let another process serve; the file stays."""
        os.close(self._file)


def open_connection(path: Path) -> sqlite3.Connection:
    """Open a connection for the calling thread, with all migrations applied.

    Raises:
        DatabaseUnusable: See `SqliteDatabase.open`.
    """
    try:
        _make_file(path)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS_MAX, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise DatabaseUnusable(f"cannot open {path}: {error}") from error
    try:
        _switch_to_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        _in_transaction(connection, _migrate)
    except sqlite3.Error as error:
        connection.close()
        raise DatabaseUnusable(f"cannot use {path}: {error}") from error
    except DatabaseUnusable as error:
        connection.close()
        raise DatabaseUnusable(f"cannot use {path}: {error}") from None
    return connection


def _make_directory(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def _make_file(path: Path) -> None:
    """Make the file readable for its owner alone; SQLite gives those beside it the same mode.

    A file that is there is left alone: to open and close it would drop the locks that SQLite has on
    it for other connections of this process.
    """
    _make_directory(path.parent)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Switch a new file over; SQLite waits for no other process that does the same just then."""
    give_up_at_seconds = time.monotonic() + BUSY_SECONDS_MAX
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > give_up_at_seconds:
                raise
            time.sleep(_SWITCH_PAUSE_SECONDS)
        else:
            return


def _migrate(connection: sqlite3.Connection) -> None:
    """Apply the migrations that the file has not seen; its `user_version` is the last it has."""
    known = migrations(_DIALECT)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > known[-1].number:
        raise DatabaseUnusable(
            f"it has version {version}, and this program knows {known[-1].number}"
        )
    for migration in known:
        if migration.number > version:
            for statement in migration.statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {migration.number}")


def _in_transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], _T]) -> _T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has undone the transaction by itself after some errors, such as a full disk.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result
