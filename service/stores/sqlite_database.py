"""One SQLite file: how it is opened, brought up to date, shared and used from asyncio.

The server and the command line open the same file at once. Nothing is answered before it is on the
disk (WAL, `synchronous=FULL`), and every transaction is short.

Statements run on the event loop, where SQLite works in memory; what waits for the disk runs in a
thread: a COMMIT. Whatever is asked for meanwhile shares the next one.
"""

import asyncio
import fcntl
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self, TypeAlias, TypeVar

import structlog

from service.stores.groups import Groups, Member
from service.stores.sql_files import migrations
from service.stores.store_failure import DatabaseUnusable, store_unavailable

BUSY_SECONDS_MAX: Final = 5.0
"""How long a transaction waits for that of another process."""

BUSY_PAUSE_SECONDS: Final = 0.003
"""Between two tries to begin one."""

_DIALECT: Final = "sqlite"
_SWITCH_PAUSE_SECONDS: Final = 0.01

_T = TypeVar("_T")
_Work: TypeAlias = Callable[[sqlite3.Connection], Any]
_log = structlog.get_logger()

Commit: TypeAlias = Callable[[Callable[[], None]], Awaitable[None]]
"""Calls a function that waits for the disk, where that holds nobody up; what it raises is raised
here too."""


class SqliteDatabase:
    """A database file with one connection; all that is done there is done in groups.

    The members of a group share a transaction, in the order they came: what one of them wrote the
    next one reads. None is answered before the COMMIT, not even who only reads, since what it read
    might not last. When one of them fails, all is undone, and each is done alone.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        commit: Commit,
        end_commits: Callable[[], None] = lambda: None,
    ) -> None:
        """Take a connection that `open_connection` made, and what runs a COMMIT.

        `end_commits` is called when the connection is closed.
        """
        self._connection = connection
        self._commit = commit
        self._end_commits = end_commits
        self._loop = asyncio.get_running_loop()
        self._groups: Groups[_Work] = Groups(self._do_group)

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open the file, which is made when it is not there, with all migrations applied.

        Raises:
            DatabaseUnusable: It cannot be opened, is no database, or is of a newer version.
        """
        thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        loop = asyncio.get_running_loop()

        async def commit(work: Callable[[], None]) -> None:
            await loop.run_in_executor(thread, work)

        try:
            connection = await loop.run_in_executor(thread, open_connection, path)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(connection, commit, thread.shutdown)

    async def run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run `work` on the event loop, as a member of the next group; return what it returned.

        It is durable then. `work` may only use the connection it is given, before it returns; it
        is run again when another member of its group failed. Who is cancelled while waiting does
        not know whether it was done.

        Raises:
            ServiceError: STORE_UNAVAILABLE, with SQLite's error as its cause; when a COMMIT failed,
                it may have been done.
            Exception: What `work` raised; nothing of it was done.
        """
        try:
            result: _T = await self._groups.do(work)
        except sqlite3.Error as error:
            raise store_unavailable() from error
        return result

    async def aclose(self) -> None:
        """Finish what was asked for, then close the file."""
        await self._groups.aclose()
        await self._commit(self._connection.close)
        self._end_commits()

    async def _do_group(self, members: Sequence[Member[_Work]]) -> None:
        await self._begin()
        try:
            results = [member.work(self._connection) for member in members]
        except Exception as error:  # noqa: BLE001 - whatever it is, who asked for it is told
            self._connection.rollback()  # Of nothing, where SQLite has done so by itself.
            if len(members) == 1:
                _log_failure(error)
                members[0].tell_failure(error)
                return
            for member in members:
                await self._do_group((member,))
            return
        await self._committed()
        for member, result in zip(members, results, strict=True):
            member.tell(result)

    async def _committed(self) -> None:
        try:
            await self._commit(self._connection.commit)
        except BaseException as error:
            _log_failure(error)
            self._connection.rollback()
            raise

    async def _begin(self) -> None:
        """Begin a transaction; while another process has one, the event loop goes on."""
        give_up_at_seconds = self._loop.time() + BUSY_SECONDS_MAX
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or self._loop.time() > give_up_at_seconds:
                    _log_failure(error)
                    raise
                await asyncio.sleep(BUSY_PAUSE_SECONDS)
            else:
                return


def _log_failure(error: BaseException) -> None:
    if isinstance(error, sqlite3.Error):  # Else it is an answer, such as that a row is another's.
        code = getattr(error, "sqlite_errorname", type(error).__name__)
        _log.error("store_failed", code=code, error=str(error))


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
    """Open a file, which is made when it is not there, with all migrations applied.

    Raises:
        DatabaseUnusable: See `SqliteDatabase.open`.
    """
    try:
        _make_file(path)
        connection = sqlite3.connect(
            path, timeout=BUSY_SECONDS_MAX, isolation_level=None, check_same_thread=False
        )
    except (OSError, sqlite3.Error) as error:
        raise DatabaseUnusable(f"cannot open {path}: {error}") from error
    try:
        _switch_to_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        migrate(connection)
        connection.execute("PRAGMA busy_timeout = 0")  # `SqliteDatabase` waits without blocking.
    except sqlite3.Error as error:
        connection.close()
        raise DatabaseUnusable(f"cannot use {path}: {error}") from error
    except DatabaseUnusable as error:
        connection.close()
        raise DatabaseUnusable(f"cannot use {path}: {error}") from None
    return connection


def migrate(connection: sqlite3.Connection) -> None:
    """Apply the migrations that a database has not seen, all in one transaction.

    Raises:
        DatabaseUnusable: It is of a newer version.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        _apply_migrations(connection)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


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
            if not _is_busy(error) or time.monotonic() > give_up_at_seconds:
                raise
            time.sleep(_SWITCH_PAUSE_SECONDS)
        else:
            return


def _apply_migrations(connection: sqlite3.Connection) -> None:
    """Apply what comes after its `user_version`, which is the last it has seen."""
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


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode == sqlite3.SQLITE_BUSY
