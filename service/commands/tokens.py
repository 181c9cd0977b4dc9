"""The command line's `tokens`: makes the bearer tokens that callers prove themselves with."""

import secrets
from typing import TYPE_CHECKING

from service.commands.output import EXIT_DONE, print_line, print_note
from service.domain.caller_policy import TOKEN_BYTES, token_digest

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction


def add_parser(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Add `tokens new`. It needs no settings, and stores nothing."""
    tokens = subparsers.add_parser("tokens", help="make a bearer token for a caller")
    actions = tokens.add_subparsers(dest="action", required=True)
    actions.add_parser(
        "new",
        help="print a fresh token, and its line for the policy",
        description="Print a fresh random token on the first line, and on the second the entry for "
        "its caller in the policy, which holds its SHA-256 alone. The token is stored nowhere.",
    )


def run() -> int:
    """Print a fresh token and its entry; return the exit status."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    print_line(token)
    print_line(f'token_sha256 = ["{token_digest(token).hex()}"]')
    print_note(
        "the first line is the caller's secret, and is shown only now; the second belongs into the "
        "caller's table in the policy"
    )
    return EXIT_DONE
