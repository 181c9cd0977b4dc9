"""Statements that come at once share a trip to PostgreSQL, a transaction and a write to the disk.

Measured with 16 callers at once, a request's three statements cost this process a third of the CPU
that they cost one by one.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeAlias

import psycopg

from service.domain.value_class import value_class
from service.stores.groups import Groups, Member
from service.stores.postgres_connection import Parameters, PostgresConnection, Row, fetch

LOCK_WAIT_MS: Final = 50
"""How long a group waits for a row that somebody else changes. It keeps its own rows locked all the
while, which two groups may do to each other; alone a statement may wait for longer."""

_LIMIT_WAIT: Final = f"SELECT set_config('lock_timeout', '{LOCK_WAIT_MS}ms', true)".encode()

Connecting: TypeAlias = Callable[[], AbstractAsyncContextManager[PostgresConnection]]
_Member: TypeAlias = "Member[_Statement]"


@value_class
class _Statement:
    """One short statement."""

    text: bytes
    parameters: Parameters


class StatementGroups:
    """Runs statements in groups, one group at a time.

    If one of them fails, PostgreSQL undoes its whole group; then each is run alone, so that one
    fails and the others do not.
    """

    def __init__(self, connecting: Connecting) -> None:
        self._connecting = connecting
        self._groups: Groups[_Statement] = Groups(self._run_group)

    async def fetch(self, statement: bytes, parameters: Parameters) -> list[Row]:
        """Run one short statement, and return its rows when they are durable.

        Who is cancelled while waiting does not know whether it was done.

        Raises:
            psycopg.Error: it failed, or the connection did and it may have been done.
        """
        rows: list[Row] = await self._groups.do(_Statement(statement, parameters))
        return rows

    async def aclose(self) -> None:
        """Finish what was asked for."""
        await self._groups.aclose()

    async def _run_group(self, members: Sequence[_Member]) -> None:
        async with self._connecting() as connection:
            is_done = await _run(connection, members)
        if not is_done:
            await asyncio.gather(*(self._run_alone(member) for member in members))

    async def _run_alone(self, member: _Member) -> None:
        try:
            async with self._connecting() as connection:
                await _run_one(connection, member)
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits has to be told
            member.tell_failure(error)


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
                await connection.execute(member.work.text, member.work.parameters, binary=True)
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
        member.tell(await fetch(connection, member.work.text, member.work.parameters))
    except psycopg.Error as error:
        if connection.closed:
            raise
        member.tell_failure(error)
