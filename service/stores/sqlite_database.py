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
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeAlias, TypeVar

import structlog

from service.domain.errors import Reason, ServiceError
from service.stores.sql_files import migrations

BUSY_SECONDS_MAX: Final = 5.0
"""How long a transaction waits for that of another process."""

BUSY_PAUSE_SECONDS: Final = 0.003
"""Between two tries to begin one."""

COMPANY_SECONDS: Final = 0.001
"""How long a group waits for more members, when the last one had more than one."""

GROUP_WORKS_MAX: Final = 64
"""More members wait for the next group, so that others have their turn on the event loop."""

RETRY_AFTER_SECONDS: Final = 5.0
"""What a caller is told to wait when the store failed."""

_DIALECT: Final = "sqlite"
_SWITCH_PAUSE_SECONDS: Final = 0.01

_T = TypeVar("_T")
_log = structlog.get_logger()

Commit: TypeAlias = Callable[[Callable[[], None]], Awaitable[None]]
"""Calls a function that waits for the disk, where that holds nobody up; what it raises is raised
here too."""


class DatabaseUnusable(Exception):  # noqa: N818 - the class's name reads as the sentence it stands for
    """The file cannot be opened; the message tells an operator which one and why."""


@dataclass(slots=True)
class _Member:
    """One piece of work of a group."""

    work: Callable[[sqlite3.Connection], Any]
    answer: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None

    def tell(self) -> None:
        """Wake who waits, unless it has left."""
        if self.answer.done():
            return
        if self.error is None:
            self.answer.set_result(self.result)
        else:
            self.answer.set_exception(self.error)


class SqliteDatabase:
    """A database file with one connection; all that is done there is done in groups.

    The members of a group share a transaction, in the order they came. Each is undone alone when it
    fails. What one of them wrote the next one reads, and none is answered before the COMMIT: not
    even who only reads, since what it read might not last.
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
        self._waiting: deque[_Member] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._has_company = False

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

        It is durable then. `work` may only use the connection it is given, before it returns. Who
        is cancelled while waiting does not know whether it was done.

        Raises:
            ServiceError: STORE_UNAVAILABLE, with SQLite's error as its cause; when a COMMIT failed,
                it may have been done.
            Exception: What `work` raised; nothing of it was done.
        """
        answer: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Member(work, answer))
        if self._writer is None:
            self._writer = asyncio.create_task(self._run_groups())
        return await answer

    async def aclose(self) -> None:
        """Finish what was asked for, then close the file."""
        while self._writer is not None:
            await asyncio.wait({self._writer})
        await self._commit(self._connection.close)
        self._end_commits()

    async def _run_groups(self) -> None:
        try:
            while self._waiting:
                await self._run_group()
        finally:
            self._writer = None

    async def _run_group(self) -> None:
        if self._has_company or len(self._waiting) > 1:
            await asyncio.sleep(COMPANY_SECONDS)
        try:
            await self._begin()
        except sqlite3.Error as error:
            _fail(self._taken(len(self._waiting)), error)
            return
        members = self._taken(GROUP_WORKS_MAX)
        self._has_company = len(members) > 1
        try:
            for member in members:
                self._run_member(member)
            await self._commit(self._connection.commit)
        except Exception as error:  # noqa: BLE001 - whatever it is, no member counts as done
            self._connection.rollback()  # Of nothing, where SQLite has done so by itself.
            _fail(members, error)
            return
        for member in members:
            member.tell()

    async def _begin(self) -> None:
        """Begin a transaction; while another process has one, the event loop goes on."""
        loop = asyncio.get_running_loop()
        give_up_at_seconds = loop.time() + BUSY_SECONDS_MAX
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or loop.time() > give_up_at_seconds:
                    raise
                await asyncio.sleep(BUSY_PAUSE_SECONDS)
            else:
                return

    def _taken(self, count_max: int) -> tuple[_Member, ...]:
        """Take the next members off the queue; for those who left meanwhile nothing is done."""
        count = min(len(self._waiting), count_max)
        taken = [self._waiting.popleft() for _ in range(count)]
        return tuple(member for member in taken if not member.answer.done())

    def _run_member(self, member: _Member) -> None:
        """Do one member's work; when it fails, undo it alone.

        Raises:
            Exception: what it failed with, when SQLite has undone the whole transaction, as it may
                when the disk is full.
        """
        self._connection.execute("SAVEPOINT member")
        try:
            member.result = member.work(self._connection)
        except Exception as error:
            if not self._connection.in_transaction:
                raise
            self._connection.execute("ROLLBACK TO member")
            member.error = error
            if isinstance(error, sqlite3.Error):
                _log_failure(error)
                member.error = _store_unavailable(error)
        self._connection.execute("RELEASE member")


def _fail(members: Sequence[_Member], cause: Exception) -> None:
    """Tell all of a group that what they did is not known to be kept."""
    _log_failure(cause)
    for member in members:
        member.error = member.error or _store_unavailable(cause)
        member.tell()


def _log_failure(error: Exception) -> None:
    code = getattr(error, "sqlite_errorname", type(error).__name__)
    _log.error("store_failed", code=code, error=str(error))


def _store_unavailable(cause: Exception) -> ServiceError:
    """Return what a caller is told; each is told by an exception of its own."""
    failure = ServiceError(
        Reason.STORE_UNAVAILABLE,
        "The service cannot reach its store at the moment.",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )
    failure.__cause__ = cause
    return failure


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
