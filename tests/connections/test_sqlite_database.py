"""The database file: how it is made, shared, and what is said when it cannot be used."""

import asyncio
import sqlite3
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.domain.errors import Reason, ServiceError
from service.stores import sqlite_database, store_failure
from service.stores.sql_files import migrations
from service.stores.sqlite_database import ServingLock, SqliteDatabase
from service.stores.store_failure import DatabaseUnusable


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _content(path: Path) -> bytes:
    return path.read_bytes()


def _put_in_its_place(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


async def _opened(path: Path) -> None:
    database = await SqliteDatabase.open(path)
    await database.aclose()


async def test_file_and_folder_are_for_their_owner_alone(path: Path) -> None:
    database = await SqliteDatabase.open(path)
    await database.run(lambda connection: connection.execute("DELETE FROM connections"))
    modes = {file.name: _mode(file) for file in path.parent.iterdir()}
    await database.aclose()
    assert modes == {"engagement.db": 0o600, "engagement.db-wal": 0o600, "engagement.db-shm": 0o600}
    assert _mode(path.parent) == 0o700


async def test_a_folder_that_is_there_keeps_its_mode(path: Path) -> None:
    path.parent.mkdir(mode=0o750)
    await _opened(path)
    assert _mode(path.parent) == 0o750


async def test_what_is_written_is_on_the_disk_first(database: SqliteDatabase) -> None:
    def pragma(name: str) -> Any:
        return database.run(lambda connection: connection.execute(f"PRAGMA {name}").fetchone()[0])

    assert await pragma("journal_mode") == "wal"
    assert await pragma("synchronous") == 2  # FULL


async def test_nothing_waits_for_a_lock_on_the_loop(database: SqliteDatabase) -> None:
    (timeout_ms,) = await database.run(
        lambda connection: connection.execute("PRAGMA busy_timeout").fetchone()
    )
    assert timeout_ms == 0


async def test_opening_again_changes_nothing(path: Path) -> None:
    await _opened(path)
    before = _content(path)
    await _opened(path)
    assert _content(path) == before


async def test_a_file_of_an_older_version_is_brought_up_to_date(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO connections "
            "VALUES ('acme', 'apollo', 'bearer', 'usable', '', '', '', 0, 0)"
        )

    def contents(connection: sqlite3.Connection) -> tuple[list[Any], list[Any]]:
        return (
            connection.execute("PRAGMA user_version").fetchall(),
            connection.execute("SELECT customer_id FROM connections").fetchall(),
        )

    known = migrations("sqlite")
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_database, "migrations", lambda _: known[:1])
        database = await SqliteDatabase.open(path)
        await database.run(put)
        assert await database.run(contents) == ([(1,)], [("acme",)])
        await database.aclose()
    database = await SqliteDatabase.open(path)
    assert await database.run(contents) == ([(len(known),)], [("acme",)])
    await database.aclose()


async def test_many_may_open_a_file_that_is_not_there_yet(path: Path) -> None:
    databases = await asyncio.gather(*(SqliteDatabase.open(path) for _ in range(8)))
    await asyncio.gather(*(database.aclose() for database in databases))


async def test_opening_waits_for_another_process_that_makes_the_file(path: Path) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE other (id)")
    other.execute("BEGIN IMMEDIATE")
    opening = asyncio.create_task(SqliteDatabase.open(path))
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert not opening.done()
    other.execute("COMMIT")
    other.close()
    await (await opening).aclose()


async def test_a_write_that_fails_leaves_nothing(database: SqliteDatabase) -> None:
    def half(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half (id)")
        raise LookupError

    with pytest.raises(LookupError):
        await database.run(half)
    tables = await database.run(
        lambda connection: connection.execute("SELECT name FROM sqlite_master").fetchall()
    )
    assert ("half",) not in tables
    await database.run(lambda connection: connection.execute("CREATE TABLE whole (id)"))


async def test_closing_finishes_what_was_asked_for(path: Path) -> None:
    database = await SqliteDatabase.open(path)
    writes = [
        asyncio.create_task(
            database.run(lambda connection: connection.execute("PRAGMA user_version").fetchone())
        )
        for _ in range(20)
    ]
    await asyncio.sleep(0)
    await database.aclose()
    assert len(await asyncio.gather(*writes)) == 20


async def test_closing_ends_the_thread(path: Path) -> None:
    before = threading.enumerate()
    database = await SqliteDatabase.open(path)
    assert len(threading.enumerate()) == len(before) + 1
    await database.aclose()
    assert threading.enumerate() == before


async def test_what_waits_for_the_disk_is_not_on_the_loops_thread(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: dict[str, set[int]] = {"execute": set(), "commit": set(), "close": set()}

    class Watched(sqlite3.Connection):
        def execute(self, *arguments: Any) -> sqlite3.Cursor:
            threads["execute"].add(threading.get_ident())
            return super().execute(*arguments)

        def commit(self) -> None:
            threads["commit"].add(threading.get_ident())
            super().commit()

        def close(self) -> None:
            threads["close"].add(threading.get_ident())
            super().close()

    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3,
        "connect",
        lambda *arguments, **options: connect(*arguments, factory=Watched, **options),
    )
    database = await SqliteDatabase.open(path)
    (opening,) = threads.pop("execute")
    threads["execute"] = set()
    await database.run(lambda connection: connection.execute("DELETE FROM connections"))
    await database.run(lambda connection: connection.execute("SELECT 1"))
    await database.aclose()
    assert threads == {"execute": {threading.get_ident()}, "commit": {opening}, "close": {opening}}
    assert opening != threading.get_ident()


async def test_the_loop_runs_on_while_another_process_holds_the_file(
    path: Path, database: SqliteDatabase
) -> None:
    """The other one is told to let go by the loop itself, which is the proof."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    write = asyncio.create_task(
        database.run(lambda connection: connection.execute("DELETE FROM connections").rowcount)
    )
    for _ in range(10):
        await asyncio.sleep(0.001)
    assert not write.done()
    other.execute("COMMIT")
    other.close()
    assert await write == 0


async def test_a_file_that_stays_locked_is_said_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_database, "BUSY_SECONDS_MAX", 0.01)
    database = await SqliteDatabase.open(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with capture_logs() as events, pytest.raises(ServiceError) as caught:
        await database.run(lambda connection: connection.execute("DELETE FROM connections"))
    other.close()
    await database.aclose()
    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert caught.value.retry_after_seconds == store_failure.RETRY_AFTER_SECONDS
    assert str(caught.value.__cause__) == "database is locked"
    assert events == [
        {
            "event": "store_failed",
            "log_level": "error",
            "code": "SQLITE_BUSY",
            "error": "database is locked",
        }
    ]


@pytest.mark.parametrize(
    ("pragma", "code"),
    [("query_only = ON", "SQLITE_READONLY"), ("max_page_count = 1", "SQLITE_FULL")],
)
async def test_a_file_that_cannot_be_written_is_said_so(
    database: SqliteDatabase, pragma: str, code: str
) -> None:
    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE filling (bytes BLOB)")
        connection.execute("INSERT INTO filling VALUES (zeroblob(1000000))")

    await database.run(lambda connection: connection.execute(f"PRAGMA {pragma}").fetchall())
    with capture_logs() as events, pytest.raises(ServiceError) as caught:
        await database.run(fill)
    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert [event["code"] for event in events] == [code]


async def test_a_file_that_broke_under_way_is_said_so(path: Path) -> None:
    database = await SqliteDatabase.open(path)
    await database.run(
        lambda connection: connection.executemany(
            "INSERT INTO connections VALUES (?, 'apollo', 'bearer', 'usable', 'k', '', '', 0, 0)",
            [(f"customer-{number}" * 9,) for number in range(1000)],
        )
    )
    await database.aclose()
    content = _content(path)
    _put_in_its_place(path, content[:8192] + b"\xff" * len(content[8192:]))
    database = await SqliteDatabase.open(path)
    with pytest.raises(ServiceError) as caught:
        await database.run(
            lambda connection: connection.execute("SELECT * FROM connections").fetchall()
        )
    await database.aclose()
    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert "malformed" in str(caught.value.__cause__)


async def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    _put_in_its_place(path, b"something else" * 100)
    with pytest.raises(DatabaseUnusable, match=r"engagement\.db: file is not a database"):
        await SqliteDatabase.open(path)
    assert _content(path) == b"something else" * 100


async def test_a_folder_in_the_files_place_is_refused(path: Path) -> None:
    _put_in_its_place(path / "in it", b"")
    with pytest.raises(DatabaseUnusable, match="unable to open database file"):
        await SqliteDatabase.open(path)


async def test_a_path_that_cannot_be_made_is_refused(path: Path) -> None:
    _put_in_its_place(path.parent, b"a file where the folder should be")
    with pytest.raises(DatabaseUnusable, match=r"cannot open .*engagement\.db: "):
        await SqliteDatabase.open(path)
    with pytest.raises(DatabaseUnusable, match=r"cannot open .*engagement\.db\.serving: "):
        ServingLock(path)


async def test_a_file_of_a_newer_version_is_refused(path: Path) -> None:
    database = await SqliteDatabase.open(path)
    await database.run(lambda connection: connection.execute("PRAGMA user_version = 9000"))
    await database.aclose()
    with pytest.raises(DatabaseUnusable, match="it has version 9000, and this program knows"):
        await SqliteDatabase.open(path)


def test_one_process_serves_from_a_file(path: Path) -> None:
    first = ServingLock(path)
    with pytest.raises(DatabaseUnusable, match=r"another process serves from .*engagement\.db"):
        ServingLock(path)
    assert _mode(path.with_name("engagement.db.serving")) == 0o600
    first.close()
    ServingLock(path).close()
