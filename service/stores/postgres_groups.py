"""Statements that come at once share a trip to PostgreSQL, a transaction and a write to the disk.

Measured with 16 callers at once, a request's three statements cost this process a third of the CPU
that they cost one by one. Nobody waits for company: while one group is under way, the next gathers.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, TypeAlias

import psycopg

from service.stores.postgres_connection import Parameters, PostgresConnection, Row, fetch

MEMBERS_MAX: Final = 64
"""More members wait for the next group."""

LOCK_WAIT_MS: Final = 50
"""How long a group waits for a row that somebody else changes. It keeps its own rows locked all the
while, which two groups may do to each other; alone a statement may wait for longer."""

_LIMIT_WAIT: Final = f"SELECT set_config('lock_timeout', '{LOCK_WAIT_MS}ms', true)".encode()

Connecting: TypeAlias = Callable[[], AbstractAsyncContextManager[PostgresConnection]]


@dataclass(frozen=True, slots=True)
class _Member:
    """One statement, and who waits for its rows."""

    statement: bytes
    parameters: Parameters
    answer: asyncio.Future[list[Row]]

    def tell(self, outcome: list[Row] | Exception) -> None:
        """Wake who waits, unless it has left."""
        if self.answer.done():
            return
        if isinstance(outcome, Exception):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


class StatementGroups:
    """Runs statements in groups, one group at a time.

    If one of them fails, PostgreSQL undoes its whole group; then each is run alone, so that one
    fails and the others do not.
    """

    def __init__(self, connecting: Connecting) -> None:
        self._connecting = connecting
        self._waiting: deque[_Member] = deque()
        self._running: asyncio.Task[None] | None = None

    async def fetch(self, statement: bytes, parameters: Parameters) -> list[Row]:
        """Run one short statement, and return its rows when they are durable.

        Who is cancelled while waiting does not know whether it was done.

        Raises:
            psycopg.Error: it failed, or the connection did and it may have been done.
        """
        answer: asyncio.Future[list[Row]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Member(statement, parameters, answer))
        if self._running is None:
            self._running = asyncio.create_task(self._run_groups())
        return await answer

    async def aclose(self) -> None:
        """Finish what was asked for."""
        while self._running is not None:
            await asyncio.wait({self._running})

    async def _run_groups(self) -> None:
        try:
            while self._waiting:
                if members := self._taken():
                    await self._run_group(members)
        finally:
            self._running = None

    def _taken(self) -> tuple[_Member, ...]:
        """Take the next members off the queue; for those who left meanwhile nothing is done."""
        count = min(len(self._waiting), MEMBERS_MAX)
        taken = [self._waiting.popleft() for _ in range(count)]
        return tuple(member for member in taken if not member.answer.done())

    async def _run_group(self, members: Sequence[_Member]) -> None:
        try:
            async with self._connecting() as connection:
                is_done = await _run(connection, members)
        except Exception as error:  # noqa: BLE001 - whatever it is, all have to be told
            # Those who came meanwhile have waited too, and would wait again for the same.
            for member in (*members, *self._waiting):
                member.tell(error)
        else:
            if not is_done:
                await asyncio.gather(*(self._run_alone(member) for member in members))

    async def _run_alone(self, member: _Member) -> None:
        try:
            async with self._connecting() as connection:
                await _run_one(connection, member)
        except Exception as error:  # noqa: BLE001 - likewise
            member.tell(error)


async def _run(connection: PostgresConnection, members: Sequence[_Member]) -> bool:
    """Run a group; say whether it was done, or undone as a whole since one failed.

    Raises:
        psycopg.Error: the connection broke, and which of the two it is is not known.
    """
    if len(members) == 1:
        await _run_one(connection, members[0])
        return True
    try:
        async with connection.pipeline():
            await connection.execute(_LIMIT_WAIT)
            cursors = [
                await connection.execute(member.statement, member.parameters, binary=True)
                for member in members
            ]
    except psycopg.Error:
        if connection.closed:
            raise
        return False
    for member, cursor in zip(members, cursors, strict=True):
        member.tell(await cursor.fetchall() if cursor.description else [])
    return True


async def _run_one(connection: PostgresConnection, member: _Member) -> None:
    try:
        member.tell(await fetch(connection, member.statement, member.parameters))
    except psycopg.Error as error:
        if connection.closed:
            raise
        member.tell(error)
