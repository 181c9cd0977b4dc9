"""The command line's `migrate`: brings the database up to date before a new version serves.

Processes of the version before may go on serving meanwhile, and afterwards.
"""

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from service.commands.output import EXIT_DONE, EXIT_NOT_DONE, failed, print_line
from service.domain.connection import Secret
from service.settings import PostgresUrl, Settings, SqliteFile
from service.stores.postgres_driver import require_driver
from service.stores.sqlite_database import SqliteDatabase
from service.stores.store_failure import DatabaseUnusable

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction
    from pathlib import Path


def add_parser(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Add `migrate`."""
    subparsers.add_parser(
        "migrate",
        help="bring the database's schema up to date",
        description="Bring the schema of a PostgreSQL database up to date, before a new version "
        "serves from it. Processes that serve meanwhile go on; it may run twice, also at once. A "
        "SQLite file needs no such step: it is brought up to date whenever it is opened.",
    )


def run(settings: Settings) -> int:
    """Bring the database up to date; return the exit status: 0, or 1 when it was not done."""
    try:
        print_line(asyncio.run(_migrated(settings)))
    except DatabaseUnusable as error:
        return failed(EXIT_NOT_DONE, error)
    except KeyboardInterrupt:
        return failed(EXIT_NOT_DONE, "interrupted")
    return EXIT_DONE


async def _migrated(settings: Settings) -> str:
    """Do it, and return a sentence on what was done."""
    match settings.database:
        case SqliteFile(path):
            return await _migrated_file(path)
        case PostgresUrl(url):
            return await _migrated_schema(url)


async def _migrated_file(path: "Path") -> str:
    async with aclosing(await SqliteDatabase.open(path)):
        return f"{path} is up to date, as it is whenever it is opened"


async def _migrated_schema(url: Secret) -> str:
    require_driver()
    from service.stores.postgres_migrations import migrate  # noqa: PLC0415 - see require_driver

    applied = await migrate(url.reveal())
    if not applied:
        return "the schema is up to date"
    return f"the schema is up to date; applied now: {', '.join(map(str, applied))}"
