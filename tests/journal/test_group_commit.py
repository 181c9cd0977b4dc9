"""Works that come together share a COMMIT, and nothing else: not a failure, not a wait."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.domain.errors import Reason, ServiceError
from service.stores import groups, sqlite_database, store_failure
from service.stores.sqlite_database import SqliteDatabase, open_connection

Work = Callable[[sqlite3.Connection], int]


class Commits:
    """Runs each COMMIT when a test says so, or fails in its place."""

    def __init__(self) -> None:
        self.count = 0
        self.failure: Exception | None = None
        self.is_made_before_failure = False
        self.may_run = asyncio.Event()
        self.may_run.set()
        self.is_waiting = asyncio.Event()

    async def __call__(self, commit: Callable[[], None]) -> None:
        self.is_waiting.set()
        await self.may_run.wait()
        self.is_waiting.clear()
        self.count += 1
        if self.failure is None or self.is_made_before_failure:
            await asyncio.to_thread(commit)
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def commits() -> Commits:
    return Commits()


@pytest.fixture
async def database(tmp_path: Path, commits: Commits) -> AsyncIterator[SqliteDatabase]:
    connection = await asyncio.to_thread(open_connection, tmp_path / "engagement.db")
    connection.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
    async with aclosing(SqliteDatabase(connection, commits)) as made:
        yield made
        commits.may_run.set()
        commits.failure = None


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[], list[int]]:
    """Return a function that reads, as another process does, what is in the file."""

    def read() -> list[int]:
        connection = sqlite3.connect(tmp_path / "engagement.db")
        rows = connection.execute("SELECT number FROM numbers ORDER BY number").fetchall()
        connection.close()
        return [number for (number,) in rows]

    return read


def _insert(number: int) -> Work:
    def insert(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO numbers VALUES (?)", (number,))
        return number

    return insert


def _insert_and_fail(number: int) -> Work:
    def insert(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO numbers VALUES (?)", (number,))
        raise LookupError(number)

    return insert


def _count(connection: sqlite3.Connection) -> int:
    (count,) = connection.execute("SELECT count(*) FROM numbers").fetchone()
    return int(count)


async def test_a_lone_work_waits_for_no_company(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "COMPANY_SECONDS", 20)
    async with asyncio.timeout(10):
        for number in range(3):
            assert await database.run(_insert(number)) == number


async def test_works_that_come_together_share_a_commit(
    database: SqliteDatabase, commits: Commits, stored: Callable[[], list[int]]
) -> None:
    answers = await asyncio.gather(*(database.run(_insert(number)) for number in range(20)))
    assert answers == list(range(20))
    assert stored() == list(range(20))
    assert commits.count == 1


async def test_who_had_company_waits_for_it_once_more(
    database: SqliteDatabase, commits: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "COMPANY_SECONDS", 0.05)
    await asyncio.gather(database.run(_insert(1)), database.run(_insert(2)))
    alone = asyncio.create_task(database.run(_insert(3)))
    for _ in range(3):
        await asyncio.sleep(0)
    await asyncio.gather(alone, database.run(_insert(4)))
    assert commits.count == 2


async def test_what_comes_during_a_commit_shares_the_next(
    database: SqliteDatabase, commits: Commits, stored: Callable[[], list[int]]
) -> None:
    commits.may_run.clear()
    first = asyncio.create_task(database.run(_insert(1)))
    await commits.is_waiting.wait()
    rest = [asyncio.create_task(database.run(_insert(number))) for number in (2, 3, 4)]
    await asyncio.sleep(0)
    assert stored() == []
    commits.may_run.set()
    await asyncio.gather(first, *rest)
    assert stored() == [1, 2, 3, 4]
    assert commits.count == 2


async def test_a_group_has_a_limit(
    database: SqliteDatabase, commits: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "MEMBERS_MAX", 4)
    await asyncio.gather(*(database.run(_insert(number)) for number in range(10)))
    assert commits.count == 3


async def test_works_are_done_and_answered_in_their_order(database: SqliteDatabase) -> None:
    done: list[int] = []
    answered: list[int] = []

    async def run(number: int) -> None:
        def work(connection: sqlite3.Connection) -> int:
            done.append(number)
            return _count(connection)

        await database.run(work)
        answered.append(number)

    await asyncio.gather(*(run(number) for number in range(100)))
    assert done == list(range(100))
    assert answered == list(range(100))


async def test_each_sees_what_those_before_it_wrote(database: SqliteDatabase) -> None:
    works = (_count, _insert(1), _count, _insert(2), _count)
    assert await asyncio.gather(*map(database.run, works)) == [0, 1, 1, 2, 2]


async def test_nobody_is_told_what_is_not_durable(
    database: SqliteDatabase, commits: Commits
) -> None:
    """Not even who only read it."""
    commits.may_run.clear()
    write, read = (asyncio.create_task(database.run(work)) for work in (_insert(1), _count))
    await commits.is_waiting.wait()
    await asyncio.sleep(0)
    assert not write.done()
    assert not read.done()
    commits.failure = sqlite3.OperationalError("disk I/O error")
    commits.may_run.set()
    for task in (write, read):
        with pytest.raises(ServiceError, match="STORE_UNAVAILABLE"):
            await task


async def test_one_failure_undoes_that_one_alone(
    database: SqliteDatabase, commits: Commits, stored: Callable[[], list[int]]
) -> None:
    works = (_insert(1), _insert_and_fail(2), _insert(3), _insert(1), _insert(4))
    with capture_logs() as events:
        answers = await asyncio.gather(*map(database.run, works), return_exceptions=True)
    first, failed, third, twice, last = answers
    assert (first, third, last) == (1, 3, 4)
    assert isinstance(failed, LookupError)
    assert isinstance(twice, ServiceError)
    assert twice.reason is Reason.STORE_UNAVAILABLE
    assert isinstance(twice.__cause__, sqlite3.IntegrityError)
    assert stored() == [1, 3, 4]
    assert commits.count == 3
    assert [event["code"] for event in events] == ["SQLITE_CONSTRAINT_PRIMARYKEY"]


async def test_a_commit_that_fails_fails_all(
    database: SqliteDatabase, commits: Commits, stored: Callable[[], list[int]]
) -> None:
    """Each by an exception of its own, and told in the log once; the next group is not touched."""
    commits.failure = sqlite3.OperationalError("disk I/O error")
    works = (_insert(1), _insert(2), _count)
    with capture_logs() as events:
        answers = await asyncio.gather(*map(database.run, works), return_exceptions=True)
    one, _, three = answers
    for each in answers:
        assert isinstance(each, ServiceError)
        assert each.reason is Reason.STORE_UNAVAILABLE
        assert each.retry_after_seconds == store_failure.RETRY_AFTER_SECONDS
        assert each.__cause__ is commits.failure
    assert one is not three
    assert [event["event"] for event in events] == ["store_failed"]
    commits.failure = None
    assert await database.run(_insert(1)) == 1
    assert stored() == [1]


async def test_a_commit_that_is_made_and_said_to_have_failed_does_no_harm(
    database: SqliteDatabase, commits: Commits, stored: Callable[[], list[int]]
) -> None:
    """What is there is there, and the next group goes on."""
    commits.failure = sqlite3.OperationalError("disk I/O error")
    commits.is_made_before_failure = True
    with pytest.raises(ServiceError, match="STORE_UNAVAILABLE"):
        await database.run(_insert(1))
    commits.failure = None
    assert await database.run(_insert(2)) == 2
    assert stored() == [1, 2]


async def test_when_the_whole_transaction_is_undone_the_others_are_done_again(
    database: SqliteDatabase, stored: Callable[[], list[int]]
) -> None:
    """As SQLite does after some errors, and whoever was before it in the group with it."""

    def undo_all(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT OR ROLLBACK INTO numbers VALUES (1)")
        return 0

    works = (_insert(1), _insert(2), undo_all, _insert(3))
    with capture_logs() as events:
        answers = await asyncio.gather(*map(database.run, works), return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, int)] == [1, 2, 3]
    assert isinstance(answers[2], ServiceError)
    assert [event["code"] for event in events] == ["SQLITE_CONSTRAINT_PRIMARYKEY"]
    assert stored() == [1, 2, 3]


async def test_who_leaves_before_its_turn_does_nothing(
    database: SqliteDatabase, commits: Commits, stored: Callable[[], list[int]]
) -> None:
    commits.may_run.clear()
    first = asyncio.create_task(database.run(_insert(1)))
    await commits.is_waiting.wait()
    leaves = asyncio.create_task(database.run(_insert(2)))
    stays = asyncio.create_task(database.run(_insert(3)))
    await asyncio.sleep(0)
    leaves.cancel()
    commits.may_run.set()
    await asyncio.wait({first, leaves, stays})
    assert leaves.cancelled()
    assert (await first, await stays) == (1, 3)
    assert stored() == [1, 3]


async def test_who_leaves_during_the_commit_does_not_stop_it(
    database: SqliteDatabase, commits: Commits, stored: Callable[[], list[int]]
) -> None:
    commits.may_run.clear()
    leaves = asyncio.create_task(database.run(_insert(1)))
    stays = asyncio.create_task(database.run(_insert(2)))
    await commits.is_waiting.wait()
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    commits.may_run.set()
    assert await stays == 2
    assert stored() == [1, 2]
    assert await database.run(_insert(3)) == 3


async def test_closing_waits_for_what_was_asked_for(
    database: SqliteDatabase, commits: Commits, stored: Callable[[], list[int]]
) -> None:
    commits.may_run.clear()
    first = asyncio.create_task(database.run(_insert(1)))
    await commits.is_waiting.wait()
    second = asyncio.create_task(database.run(_insert(2)))
    closing = asyncio.create_task(database.aclose())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not closing.done()
    closing.cancel()  # Who is told to hurry does not break what is under way.
    commits.may_run.set()
    assert (await first, await second) == (1, 2)
    assert stored() == [1, 2]


async def test_a_closed_database_says_that_it_cannot_be_used(tmp_path: Path) -> None:
    database = await SqliteDatabase.open(tmp_path / "other.db")
    await database.aclose()
    with pytest.raises(ServiceError, match="STORE_UNAVAILABLE"):
        await database.run(_count)


async def test_the_transaction_of_another_process_is_waited_for(
    database: SqliteDatabase, tmp_path: Path, stored: Callable[[], list[int]]
) -> None:
    """The other one is told to let go by the loop itself: it is not blocked meanwhile."""
    other = sqlite3.connect(tmp_path / "engagement.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    works = [asyncio.create_task(database.run(_insert(number))) for number in (1, 2)]
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert not any(work.done() for work in works)
    other.execute("INSERT INTO numbers VALUES (7)")
    other.execute("COMMIT")
    other.close()
    await asyncio.gather(*works)
    assert stored() == [1, 2, 7]


async def test_a_transaction_of_another_process_that_does_not_end_fails_all_who_wait(
    database: SqliteDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_database, "BUSY_SECONDS_MAX", 0.01)
    monkeypatch.setattr(groups, "MEMBERS_MAX", 2)
    other = sqlite3.connect(tmp_path / "engagement.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with capture_logs() as events:
        answers = await asyncio.gather(
            *(database.run(_insert(number)) for number in range(5)), return_exceptions=True
        )
    other.close()
    assert [type(answer) for answer in answers] == [ServiceError] * 5
    assert [event["code"] for event in events] == ["SQLITE_BUSY"]
    assert await database.run(_insert(1)) == 1
