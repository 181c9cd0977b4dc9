"""The command line's `keys`: makes the keys that connections are encrypted with."""

from typing import TYPE_CHECKING

from service.stores.key_ring import new_entry

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction


def add_parser(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Add `keys new`. It needs no settings, since it makes one of them."""
    keys = subparsers.add_parser("keys", help="make a key for ENGAGEMENT_KEYS")
    actions = keys.add_subparsers(dest="action", required=True)
    actions.add_parser(
        "new",
        help="print a fresh entry for ENGAGEMENT_KEYS",
        description="Print a fresh random key as an entry `id:base64` for ENGAGEMENT_KEYS. The "
        "entries stand there with commas between them; the first one encrypts and all decrypt, so "
        "a new one is put before the others, which stay.",
    )


def run() -> int:
    """Print a fresh entry; return the exit status."""
    print(new_entry())  # noqa: T201 - this is what was asked for
    return 0
