"""`keys rotate`, as a person uses it: beside a service at work, and what it says is left."""

import asyncio
import json
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import pytest

from service.bootstrap import opened_stores
from service.domain.operation import OperationState
from service.settings import Settings
from service.stores import key_rotation
from service.stores.key_ring import new_entry
from service.stores.sealed_rows_sqlite import SqliteSealedRows
from service.stores.store_failure import DatabaseUnusable
from tests.commands.conftest import CommandLine
from tests.connections.samples import oauth
from tests.journal.samples import ended, key
from tests.journal.stores import FullJournal
from tests.service.conftest import Client, NewAccount, client_of
from tests.service.step_messages import CALL, step
from tests.service.whole_call import whole_call

ROTATE = ("keys", "rotate")
BOTH = pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)


class Ring:
    """ENGAGEMENT_KEYS, with one key at first, and another one to change to."""

    def __init__(self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._environment = environment
        self._monkeypatch = monkeypatch
        self.old, self.new = environment["ENGAGEMENT_KEYS"], new_entry()
        self.old_id, self.new_id = (entry.partition(":")[0] for entry in (self.old, self.new))

    def set(self, *entries: str) -> Settings:
        """Set it for the commands and services that start from now on."""
        keys = ",".join(entries)
        self._monkeypatch.setenv("ENGAGEMENT_KEYS", keys)
        return Settings.from_environment({**self._environment, "ENGAGEMENT_KEYS": keys})

    @property
    def nothing_needs_the_old_one(self) -> str:
        return (
            f"no row needs another key than {self.new_id}\n"
            f"may be removed from ENGAGEMENT_KEYS: {self.old_id}\n"
        )


@pytest.fixture
def ring(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Ring:
    return Ring(environment, monkeypatch)


def new_id() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def client(ring: Ring) -> Client:
    """Where connections are put, under the old key; services run within the tests."""
    return Client(0, ring.set(ring.old), None)


@BOTH
async def test_a_key_is_changed_while_requests_are_served(
    command_line: CommandLine, ring: Ring, new_account: NewAccount
) -> None:
    """In the order of docs/operations.md; afterwards everything is known that was known before."""
    account, made_before = await new_account("salesloft"), new_id()
    busy = [await new_account(vendor) for vendor in ("outreach", "outreach", "apollo")]
    async with client_of(ring.set(ring.old, ring.new)) as service:
        first = await service.create(account, step(CALL), request_id=made_before)

    async with client_of(ring.set(ring.new, ring.old)) as service:
        requests = [
            asyncio.create_task(service.create(busy[number % 3], step(CALL), request_id=new_id()))
            for number in range(12)
        ]
        said = await command_line.run(*ROTATE)
        await asyncio.gather(*requests)
    assert said == (
        0,
        _replaced(service_secrets=1, connections=4, operations=1) + ring.nothing_needs_the_old_one,
        "",
    )

    async with client_of(ring.set(ring.new)) as service:
        repeat = await whole_call(service, account, step(CALL), request_id=made_before)
        assert (repeat.step_id, repeat.is_replay) == (first.id, True)
        another = step(CALL, task_note="Another")
        reused = await service.fail(account, another, request_id=made_before)
        assert (reused.reason, reused.fields) == ("REQUEST_ID_REUSED", ("step.task_note",))
        await asyncio.gather(
            *(service.create(each, step(CALL), request_id=new_id()) for each in busy)
        )
    status, out, err = await command_line.run("operations", "list", "--all", "--json")
    assert (status, err, len(json.loads(out))) == (0, "", 16)
    assert "unreadable" not in out


@BOTH
async def test_a_second_time_nothing_is_changed(
    command_line: CommandLine, ring: Ring, journal: FullJournal
) -> None:
    await ended(journal, key(), OperationState.IN_DOUBT)
    ring.set(ring.new, ring.old)
    once, twice = await command_line.run(*ROTATE), await command_line.run(*ROTATE)
    assert once == (0, _replaced(operations=1) + ring.nothing_needs_the_old_one, "")
    assert twice == (0, _replaced() + ring.nothing_needs_the_old_one, "")


async def test_with_one_key_there_is_none_to_remove(command_line: CommandLine, ring: Ring) -> None:
    said = f"{_replaced()}no row needs another key than {ring.old_id}\n"
    assert await command_line.run(*ROTATE) == (0, said, "")


@BOTH
async def test_rows_that_do_not_decrypt_are_named(
    command_line: CommandLine, ring: Ring, journal: FullJournal
) -> None:
    """The old key was removed too early; with it all is done."""
    await ended(journal, key(), OperationState.IN_DOUBT)
    async with opened_stores(ring.set(ring.old)) as stores:
        await stores.connections.put(oauth())
    ring.set(ring.new)
    missing = f"is encrypted with key '{ring.old_id}', which is not among the given keys"
    status, out, err = await command_line.run(*ROTATE)
    assert (status, out) == (1, _replaced())
    assert err.splitlines() == [
        f"error: the credential of customer acme at outreach {missing}",
        f"error: the operation 'r-1' of caller 'crm' of customer acme at outreach {missing}",
    ]
    ring.set(ring.new, ring.old)
    said = _replaced(connections=1, operations=1) + ring.nothing_needs_the_old_one
    assert await command_line.run(*ROTATE) == (0, said, "")


async def test_of_very_many_the_number_is_told(
    command_line: CommandLine,
    ring: Ring,
    journal: FullJournal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(key_rotation, "UNREADABLE_NAMED_MAX", 1)
    for number in range(3):
        await ended(
            journal, key(f"r-{number}"), OperationState.NO_EFFECT, sequence_id=f"s-{number}"
        )
    ring.set(ring.new)
    status, _, err = await command_line.run(*ROTATE)
    assert (status, err.count("\n")) == (1, 2)
    assert err.endswith("error: 2 more rows of operations do not decrypt\n")


async def test_a_process_that_writes_with_the_old_key_is_told_of(
    command_line: CommandLine,
    ring: Ring,
    journal: FullJournal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if between any two passes somebody wrote."""
    await ended(journal, key(), OperationState.IN_DOUBT)
    monkeypatch.setattr(SqliteSealedRows, "replace", _replace_nothing)
    ring.set(ring.new, ring.old)
    status, out, err = await command_line.run(*ROTATE)
    assert (status, out) == (1, _replaced())
    assert err == (
        "error: operations: rows are still written under another key; every process that serves "
        "needs the first key first\n"
    )


async def test_interrupted_it_can_be_run_again(
    command_line: CommandLine,
    ring: Ring,
    journal: FullJournal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await ended(journal, key(), OperationState.IN_DOUBT)
    ring.set(ring.new, ring.old)
    with monkeypatch.context() as patch:
        patch.setattr(SqliteSealedRows, "replace", _interrupt)
        assert await command_line.run(*ROTATE) == (
            1,
            "",
            "error: interrupted: run it again for the rest\n",
        )
    said = _replaced(operations=1) + ring.nothing_needs_the_old_one
    assert await command_line.run(*ROTATE) == (0, said, "")


@pytest.fixture
def letter(database: str) -> str:
    """A file where the database should be."""
    Path(database).write_text("This is a letter, not a database. " * 100)
    return database


async def test_a_database_that_cannot_be_used_is_one_line(
    command_line: CommandLine, letter: str
) -> None:
    status, out, err = await command_line.run(*ROTATE)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"error: cannot use {letter}: ")


@pytest.mark.usefixtures("journal")
async def test_a_database_that_fails_is_one_line(command_line: CommandLine, database: str) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("DROP TABLE operations")
    assert await command_line.run(*ROTATE) == (1, "", "error: no such table: operations\n")


@BOTH
@pytest.mark.parametrize(
    "command", [("serve",), ("connections", "list"), ("operations", "list"), ROTATE]
)
async def test_nothing_starts_without_a_key(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.delenv("ENGAGEMENT_KEYS")
    status, out, err = await command_line.run(*command)
    assert (status, out) == (2, "")
    assert err.startswith("ENGAGEMENT_KEYS is required.")


@BOTH
async def test_no_service_starts_without_the_key_of_its_database(ring: Ring) -> None:
    """It would take every repeat of a request for another request."""
    async with client_of(ring.set(ring.old)):
        pass
    with pytest.raises(DatabaseUnusable, match=f"fingerprint_key .* with key '{ring.old_id}'"):
        async with client_of(ring.set(ring.new)):
            raise AssertionError("it serves")


def _replaced(service_secrets: int = 0, connections: int = 0, operations: int = 0) -> str:
    return (
        f"service_secrets: {service_secrets} re-encrypted\n"
        f"connections: {connections} re-encrypted\noperations: {operations} re-encrypted\n"
    )


async def _replace_nothing(*_: object) -> int:
    return 0


async def _interrupt(*_: object) -> int:
    raise KeyboardInterrupt
