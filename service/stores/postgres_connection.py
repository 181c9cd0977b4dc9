"""One connection to PostgreSQL: how it is made, its time limits, and what its failures mean.

A server that is gone or silent is noticed within seconds. It has to be PostgreSQL 14 or newer, and
give a session of its own to each connection, which some poolers do not.
"""

import asyncio
import os
import select
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeAlias

import psycopg
import structlog
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from service.stores.store_failure import DatabaseUnusable, store_unavailable

CONNECT_SECONDS_MAX: Final = 2
"""How long making a connection may take; the driver takes no less."""

STATEMENT_SECONDS_MAX: Final = 2.0
"""How long the server works at one statement."""

LOCK_SECONDS_MAX: Final = 1.0
"""How long a statement waits for a row that another one changes."""

ANSWER_SECONDS_MAX: Final = 3.0
"""How long the server may be silent; more than it may take for a statement."""

IDLE_TRANSACTION_SECONDS_MAX: Final = 5.0
"""How long the locks last of a process that was frozen in the middle of a transaction."""

KEEPALIVE_SECONDS: Final = 10
"""After how much silence a peer is asked whether it is still there, and how often then."""

KEEPALIVES_MAX: Final = 3

URL_UNREADABLE: Final = (
    "the URL of the PostgreSQL database cannot be read; in its user and password every character "
    "but letters, digits and -._~ has to be written as % and its code"
)

_MS_PER_SECOND: Final = 1000

Row: TypeAlias = tuple[Any, ...]
Parameters: TypeAlias = Mapping[str, object]
PostgresConnection: TypeAlias = psycopg.AsyncConnection[Row]

_log = structlog.get_logger()


async def connect(text: str) -> PostgresConnection:
    """Make one connection from what `connection_text` returns.

    Raises:
        psycopg.Error: the database cannot be reached.
    """
    return await psycopg.AsyncConnection.connect(text, **DRIVER_OPTIONS)


async def fetch(
    connection: PostgresConnection, statement: bytes, parameters: Parameters | None = None
) -> list[Row]:
    """Run one statement, and return its rows."""
    cursor = await connection.execute(statement, parameters, binary=True)
    return await cursor.fetchall() if cursor.description else []


@contextmanager
def hanging_up_on_silence(connection: PostgresConnection) -> Iterator[None]:
    """Close the connection under whoever waits for its answer for `ANSWER_SECONDS_MAX`.

    To cancel the waiting instead would ask the silent server to cancel, and wait for that.
    """
    timer = asyncio.get_running_loop().call_later(ANSWER_SECONDS_MAX, _hang_up, connection)
    try:
        yield
    finally:
        timer.cancel()


def is_closing(connection: PostgresConnection) -> bool:
    """Whether the server said something unasked, which in nearly every case is that it closes."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


@contextmanager
def failures_reported() -> Iterator[None]:
    """Tell the operator in the log what the database said, and the caller when to come back.

    A unique index in the way is no failure: who sent the statement knows what it means.
    """
    try:
        yield
    except psycopg.errors.UniqueViolation:
        raise
    except psycopg.Error as error:
        code = error.sqlstate or type(error).__name__
        _log.error("store_failed", code=code, error=_sentence(error))
        raise store_unavailable() from error


@contextmanager
def unusable_reported() -> Iterator[None]:
    """Tell an operator who starts a program what is wrong; the message has no password."""
    try:
        yield
    except psycopg.Error as error:
        raise DatabaseUnusable(f"cannot use the PostgreSQL database: {_sentence(error)}") from error


def connection_text(url: str, **server_settings: object) -> str:
    """Return a `postgresql://` URL in the driver's form, with all that it does not say itself.

    The settings of the server are added to those of each connection, or replace them.

    Raises:
        DatabaseUnusable: it is no such URL.
    """
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # The cause stays out of the chain: it may quote the password.
        raise DatabaseUnusable(URL_UNREADABLE) from None
    if "@" in f"{given.get('host', '')}{given.get('dbname', '')}":
        # The rest of a password: it would be looked up as a host, and told in the error.
        raise DatabaseUnusable(URL_UNREADABLE)
    settings = _SERVER_SETTINGS | server_settings
    ours = " ".join(f"-c {name}={value}" for name, value in settings.items())
    options = f"{given.pop('options', '')} {ours}"  # The last one of a name counts.
    return make_conninfo(**(_DEFAULTS | given), options=options)


def _sentence(error: psycopg.Error) -> str:
    """Return what went wrong in one line, without the row it went wrong with."""
    return error.diag.message_primary or " ".join(str(error).split())


def _hang_up(connection: PostgresConnection) -> None:
    if connection.closed:
        return
    with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as peer:
        peer.shutdown(socket.SHUT_RDWR)


def _milliseconds(seconds: float) -> int:
    return round(seconds * _MS_PER_SECOND)


DRIVER_OPTIONS: Final[dict[str, Any]] = {
    "autocommit": True,
    "prepare_threshold": 0,  # Every statement is used again and again.
}

_SERVER_SETTINGS: Final[dict[str, object]] = {
    "statement_timeout": _milliseconds(STATEMENT_SECONDS_MAX),
    "lock_timeout": _milliseconds(LOCK_SECONDS_MAX),
    "idle_in_transaction_session_timeout": _milliseconds(IDLE_TRANSACTION_SECONDS_MAX),
    "default_transaction_isolation": "read\\ committed",
    "synchronous_commit": "on",
    "tcp_keepalives_idle": KEEPALIVE_SECONDS,
    "tcp_keepalives_interval": KEEPALIVE_SECONDS,
    "tcp_keepalives_count": KEEPALIVES_MAX,
}

_DEFAULTS: Final[dict[str, Any]] = {
    "application_name": "sequence-step-service",
    "connect_timeout": CONNECT_SECONDS_MAX,
    "target_session_attrs": "read-write",  # After a failover, not the old server.
    "keepalives_idle": KEEPALIVE_SECONDS,
    "keepalives_interval": KEEPALIVE_SECONDS,
    "keepalives_count": KEEPALIVES_MAX,
    "tcp_user_timeout": _milliseconds(ANSWER_SECONDS_MAX),
}
