"""The command line's `connections`: puts, lists, checks and removes customers' connections.

It works on the server's own database, also while the server runs, which sees a change within
seconds. No command prints a secret.
"""

import argparse
import asyncio
import datetime as dt
import json
import sys
from collections.abc import Iterator
from contextlib import aclosing, closing, contextmanager
from typing import TYPE_CHECKING, Final, NoReturn

import structlog

from service.application.clock import SystemClock
from service.application.customer_connections import CustomerConnections
from service.application.usable_connection import usable
from service.bootstrap import connection_store, oauth_applications
from service.commands import connection_form
from service.commands.connection_form import InputInvalid
from service.domain.connection import Connection, ConnectionKind
from service.domain.errors import ServiceError
from service.domain.step import CUSTOMER_ID, CUSTOMER_ID_RULE, ConnectionKey, ProviderName
from service.providers.oauth import OAuthTokenEndpoint
from service.providers.provider_http import ProviderHttp
from service.settings import Settings
from service.stores.connections_sqlite import ConnectionSummary, SqliteConnections
from service.stores.sqlite_database import DatabaseUnusable, ServingLock

if TYPE_CHECKING:
    from argparse import _SubParsersAction

EXIT_DONE: Final = 0
EXIT_NOT_DONE: Final = 1
EXIT_INPUT_INVALID: Final = 2


def add_parser(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `connections put|list|check|remove`."""
    connections = subparsers.add_parser(
        "connections", help="put, list, check and remove customers' connections"
    )
    actions = connections.add_subparsers(dest="action", required=True)

    put = actions.add_parser(
        "put",
        help="store a connection; its secrets come from standard input",
        description=connection_form.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_key(put)
    put.add_argument("--kind", required=True, choices=[kind.value for kind in ConnectionKind])

    list_ = actions.add_parser("list", help="list all connections, without their secrets")
    list_.add_argument("--json", action="store_true", help="as a JSON array")

    check = actions.add_parser(
        "check",
        help="say whether a connection can be read and used",
        description="Say whether a connection is there, decrypts, and is not known to have "
        "expired. The provider is not asked; with --refresh its token endpoint is.",
    )
    _add_key(check)
    check.add_argument(
        "--refresh",
        action="store_true",
        help="get a new access token (oauth alone); not while a server runs, which does it itself",
    )

    remove = actions.add_parser("remove", help="forget a connection")
    _add_key(remove)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do what the arguments say; return the exit status.

    0: done. 1: not done, since it is not there, cannot be used, or something failed. 2: what was
    given cannot be taken. Errors are one line on standard error.
    """
    try:
        with _without_log():
            return _run(args, settings)
    except InputInvalid as error:
        return _failed(EXIT_INPUT_INVALID, error)
    except DatabaseUnusable as error:
        return _failed(EXIT_NOT_DONE, error)
    except ServiceError as error:
        return _failed(EXIT_NOT_DONE, error.__cause__ or error.message)
    except (EOFError, KeyboardInterrupt):
        return _failed(EXIT_NOT_DONE, "interrupted")


def _run(args: argparse.Namespace, settings: Settings) -> int:
    if args.action == "list":
        return asyncio.run(_list(settings, as_json=args.json))
    key = ConnectionKey(args.customer, ProviderName(args.provider))
    if args.action == "put":
        connection = connection_form.read_connection(key, ConnectionKind(args.kind))
        return asyncio.run(_put(settings, connection))
    if args.action == "remove":
        return asyncio.run(_remove(settings, key))
    return asyncio.run(_check(settings, key, refresh=args.refresh))


async def _put(settings: Settings, connection: Connection) -> int:
    async with connection_store(settings) as store:
        await store.put(connection)
    return EXIT_DONE


async def _list(settings: Settings, *, as_json: bool) -> int:
    async with connection_store(settings) as store:
        rows = [_shown(summary) for summary in await store.summaries()]
    if as_json:
        _print(json.dumps(rows, indent=2))
    elif rows:
        lines = [list(rows[0]), *([value or "-" for value in row.values()] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            _print("  ".join(map(str.ljust, line, widths)).rstrip())
    return EXIT_DONE


async def _check(settings: Settings, key: ConnectionKey, *, refresh: bool) -> int:
    async with connection_store(settings) as store:
        connection = usable(key, await store.read(key))
        if refresh:
            connection = await _refreshed(settings, store, connection)
    done = "its token was refreshed" if refresh else "it decrypts; the provider was not asked"
    end = _time(connection.expires_at_epoch_seconds)
    _print(f"{connection.kind}: {done}; " + (f"the token ends {end}" if end else "no known end"))
    return EXIT_DONE


async def _refreshed(
    settings: Settings, store: SqliteConnections, connection: Connection
) -> Connection:
    if connection.kind is not ConnectionKind.OAUTH:
        raise InputInvalid(f"a connection of kind {connection.kind} has no token to refresh")
    clock = SystemClock()
    with closing(ServingLock(settings.database)):
        async with aclosing(ProviderHttp()) as http:
            endpoint = OAuthTokenEndpoint(http, oauth_applications(settings), clock)
            async with aclosing(CustomerConnections(store, endpoint, clock)) as connections:
                return await connections.refresh(connection)


async def _remove(settings: Settings, key: ConnectionKey) -> int:
    async with connection_store(settings) as store:
        if await store.remove(key):
            return EXIT_DONE
    return _failed(EXIT_NOT_DONE, f"there is no connection of {key.customer_id} at {key.provider}")


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("customer", type=_customer_id, help="the customer's id in your system")
    parser.add_argument("provider", choices=[name.value for name in ProviderName])


def _customer_id(text: str) -> str:
    if not CUSTOMER_ID.fullmatch(text):
        raise argparse.ArgumentTypeError(CUSTOMER_ID_RULE)
    return text


def _shown(summary: ConnectionSummary) -> dict[str, str | None]:
    expires_at_epoch_ms = summary.expires_at_epoch_ms
    return {
        "customer": summary.customer_id,
        "provider": summary.provider,
        "kind": summary.kind,
        "state": summary.state,
        "key_id": summary.key_id,
        "expires_at": _time(None if expires_at_epoch_ms is None else expires_at_epoch_ms / 1000),
        "updated_at": _time(summary.updated_at_epoch_ms / 1000),
    }


def _time(epoch_seconds: float | None) -> str | None:
    """Write a time in the form that `put` reads."""
    if epoch_seconds is None:
        return None
    moment = dt.datetime.fromtimestamp(epoch_seconds, dt.UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


@contextmanager
def _without_log() -> Iterator[None]:
    """Leave out log events: they are for a server's operator, and this one is told the error."""
    before = structlog.get_config()
    structlog.configure(processors=[_drop])
    try:
        yield
    finally:
        structlog.configure(**before)


def _drop(_logger: object, _method: str, _event: structlog.typing.EventDict) -> NoReturn:
    raise structlog.DropEvent


def _failed(status: int, why: object) -> int:
    print(f"error: {why}", file=sys.stderr)  # noqa: T201 - the command line's answer
    return status


def _print(line: str) -> None:
    print(line)  # noqa: T201 - the command line's answer
