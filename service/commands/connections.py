"""The command line's `connections`: puts, lists, checks and removes customers' connections.

It works on the server's own database, also while the server runs, which sees a change within
seconds. No command prints a secret.
"""

import argparse
import asyncio
import json
from collections.abc import Collection
from contextlib import aclosing
from typing import TYPE_CHECKING

from service.application.clock import SystemClock
from service.application.customer_connections import CustomerConnections
from service.application.usable_connection import usable
from service.bootstrap import Stores, oauth_applications, opened_stores, serving_alone
from service.commands import connection_form
from service.commands.connection_form import InputInvalid
from service.commands.output import (
    EXIT_DONE,
    EXIT_INPUT_INVALID,
    EXIT_NOT_DONE,
    failed,
    print_line,
    print_table,
    time_shown,
    why_failed,
    without_log,
)
from service.domain.connection import Connection, ConnectionKind
from service.domain.errors import ServiceError
from service.domain.step import CUSTOMER_ID, CUSTOMER_ID_RULE, ConnectionKey, ProviderName
from service.providers.oauth import OAuthTokenEndpoint
from service.providers.provider_http import ProviderHttp
from service.settings import Settings
from service.stores.connection_rows import ConnectionSummary
from service.stores.store_failure import DatabaseUnusable

if TYPE_CHECKING:
    from argparse import _SubParsersAction


def add_parser(
    subparsers: "_SubParsersAction[argparse.ArgumentParser]", providers: Collection[ProviderName]
) -> None:
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
    _add_key(put, providers)
    put.add_argument(
        "--kind",
        required=True,
        choices=[kind.value for kind in ConnectionKind],
        help="what the secret is",
    )

    list_ = actions.add_parser(
        "list",
        help="list all connections, without their secrets",
        description="List all connections, without their secrets.",
    )
    list_.add_argument("--json", action="store_true", help="as a JSON array")

    check = actions.add_parser(
        "check",
        help="say whether a connection can be read and used",
        description="Say whether a connection is there, decrypts, and is not known to have "
        "expired. The provider is not asked; with --refresh its token endpoint is. Status 1: it "
        "is not there, or cannot be used.",
    )
    _add_key(check, providers)
    check.add_argument(
        "--refresh",
        action="store_true",
        help="get a new access token (oauth alone); on SQLite not while a server runs",
    )

    remove = actions.add_parser(
        "remove",
        help="forget a connection",
        description="Forget a connection. Status 1: there was none.",
    )
    _add_key(remove, providers)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do what the arguments say; return the exit status.

    0: done. 1: not done, since it is not there, cannot be used, or something failed. 2: what was
    given cannot be taken. Errors are one line on standard error.
    """
    try:
        with without_log():
            return _run(args, settings)
    except InputInvalid as error:
        return failed(EXIT_INPUT_INVALID, error)
    except DatabaseUnusable as error:
        return failed(EXIT_NOT_DONE, error)
    except ServiceError as error:
        return failed(EXIT_NOT_DONE, why_failed(error))
    except (EOFError, KeyboardInterrupt):
        return failed(EXIT_NOT_DONE, "interrupted")


def _run(args: argparse.Namespace, settings: Settings) -> int:
    if args.action == "list":
        return asyncio.run(_list(settings, as_json=args.json))
    key = ConnectionKey(args.customer, ProviderName(args.provider))
    if args.action == "put":
        kinds = settings.providers[key.provider].registration.kinds
        connection = connection_form.read_connection(key, ConnectionKind(args.kind), kinds)
        return asyncio.run(_put(settings, connection))
    if args.action == "remove":
        return asyncio.run(_remove(settings, key))
    return asyncio.run(_check(settings, key, refresh=args.refresh))


async def _put(settings: Settings, connection: Connection) -> int:
    async with opened_stores(settings) as stores:
        await stores.connections.put(connection)
    return EXIT_DONE


async def _list(settings: Settings, *, as_json: bool) -> int:
    async with opened_stores(settings) as stores:
        rows = [_shown(summary) for summary in await stores.connections.summaries()]
    if as_json:
        print_line(json.dumps(rows, indent=2))
    else:
        print_table(rows)
    return EXIT_DONE


async def _check(settings: Settings, key: ConnectionKey, *, refresh: bool) -> int:
    async with opened_stores(settings) as stores:
        connection = usable(key, await stores.connections.read(key))
        if refresh:
            connection = await _refreshed(settings, stores, connection)
    done = "its token was refreshed" if refresh else "it decrypts; the provider was not asked"
    end = time_shown(connection.expires_at_epoch_seconds)
    print_line(
        f"{connection.kind}: {done}; " + (f"the token ends {end}" if end else "no known end")
    )
    return EXIT_DONE


async def _refreshed(settings: Settings, stores: Stores, connection: Connection) -> Connection:
    if connection.kind is not ConnectionKind.OAUTH:
        raise InputInvalid(f"a connection of kind {connection.kind} has no token to refresh")
    clock = SystemClock()
    with serving_alone(settings):
        async with aclosing(ProviderHttp()) as http:
            endpoint = OAuthTokenEndpoint(http, oauth_applications(settings), clock)
            async with aclosing(
                CustomerConnections(stores.connections, endpoint, clock)
            ) as connections:
                return await connections.refresh(connection)


async def _remove(settings: Settings, key: ConnectionKey) -> int:
    async with opened_stores(settings) as stores:
        if await stores.connections.remove(key):
            return EXIT_DONE
    return failed(EXIT_NOT_DONE, f"there is no connection of {key.customer_id} at {key.provider}")


def _add_key(parser: argparse.ArgumentParser, providers: Collection[ProviderName]) -> None:
    parser.add_argument("customer", type=_customer_id, help="the customer's id in your system")
    parser.add_argument("provider", choices=providers, help="where it is")


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
        "expires_at": time_shown(
            None if expires_at_epoch_ms is None else expires_at_epoch_ms / 1000
        ),
        "updated_at": time_shown(summary.updated_at_epoch_ms / 1000),
    }
