"""The command line's `keys`: makes the keys that secrets are encrypted with, and changes them.

`rotate` works on the server's own database, also while the server runs. No command prints a secret
but `new`, which is asked for one.
"""

import asyncio
from typing import TYPE_CHECKING

from service.bootstrap import opened_stores
from service.commands.output import (
    EXIT_DONE,
    EXIT_NOT_DONE,
    failed,
    print_line,
    why_failed,
    without_log,
)
from service.domain.errors import ServiceError
from service.settings import Settings
from service.stores import key_rotation
from service.stores.key_ring import new_entry
from service.stores.key_rotation import TableRotation
from service.stores.store_failure import DatabaseUnusable

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction


def add_parser(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Add `keys new|rotate`."""
    keys = subparsers.add_parser("keys", help="make a key for ENGAGEMENT_KEYS, and change keys")
    actions = keys.add_subparsers(dest="action", required=True)
    actions.add_parser(
        "new",
        help="print a fresh entry for ENGAGEMENT_KEYS",
        description="Print a fresh random key as an entry `id:base64` for ENGAGEMENT_KEYS. The "
        "entries stand there with commas between them; the first one encrypts and all decrypt. "
        "docs/operations.md says how to change keys while the service serves.",
    )
    actions.add_parser(
        "rotate",
        help="encrypt all that is stored with the first key of ENGAGEMENT_KEYS",
        description="Encrypt anew, with the first key of ENGAGEMENT_KEYS, every stored secret that "
        "is under another key, while the service serves. It may be interrupted and run again. "
        "docs/operations.md says what has to come before it. Status 1: some row still needs "
        "another key, or the database failed.",
    )


def print_new() -> int:
    """Print a fresh entry; return the exit status. It needs no settings: it makes one of them."""
    print_line(new_entry())
    return EXIT_DONE


def rotate(settings: Settings) -> int:
    """Encrypt all that is stored with the first key; return the exit status.

    0: no row needs another key. 1: some do, or it failed; standard error says which, and why.
    """
    try:
        with without_log():
            return asyncio.run(_rotate(settings))
    except DatabaseUnusable as error:
        return failed(EXIT_NOT_DONE, error)
    except ServiceError as error:
        return failed(EXIT_NOT_DONE, why_failed(error))
    except KeyboardInterrupt:
        return failed(EXIT_NOT_DONE, "interrupted: run it again for the rest")


async def _rotate(settings: Settings) -> int:
    async with opened_stores(settings) as stores:
        rotations = await key_rotation.rotate(stores.sealed_rows, stores.key_ring)
    for rotation in rotations:
        print_line(f"{rotation.table.name}: {rotation.replaced} re-encrypted")
    for rotation in rotations:
        _print_what_is_left(rotation)
    if not all(rotation.is_complete for rotation in rotations):
        return EXIT_NOT_DONE
    first, *others = [key.id for key in settings.keys]
    print_line(f"no row needs another key than {first}")
    if others:
        print_line(f"may be removed from ENGAGEMENT_KEYS: {', '.join(others)}")
    return EXIT_DONE


def _print_what_is_left(rotation: TableRotation) -> None:
    for sentence in rotation.unreadable_named:
        failed(EXIT_NOT_DONE, sentence)
    unnamed = rotation.unreadable - len(rotation.unreadable_named)
    if unnamed:
        failed(EXIT_NOT_DONE, f"{unnamed} more rows of {rotation.table.name} do not decrypt")
    if not rotation.is_done:
        failed(
            EXIT_NOT_DONE,
            f"{rotation.table.name}: rows are still written under another key; every process that "
            "serves needs the first key first",
        )
