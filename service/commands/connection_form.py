"""What `connections put` reads from standard input, where no other user of the machine sees it.

A JSON object, such as

    {"credential": "…", "refresh_token": "…", "expires_at": "2026-11-24T12:00:00Z"}

or, at a terminal, an answer to a question for each of these. `credential` is the access token or
the key; `refresh_token` belongs to `oauth` and is required there; `expires_at` says when the access
token of `oauth` or `bearer` ends (RFC 3339, with an offset), and may be left out.
"""

import datetime as dt
import getpass
import re
import sys
from collections.abc import Collection, Mapping
from typing import Final

from service.application.json_text import parse_json_object
from service.domain.connection import Connection, ConnectionKind, Secret
from service.domain.json_value import JsonObject, JsonValue
from service.domain.step import ConnectionKey

INPUT_BYTES_MAX: Final = 64 * 1024
CREDENTIAL_CHARACTERS_MAX: Final = 8192

_FIELDS: Final[Mapping[ConnectionKind, tuple[str, ...]]] = {
    ConnectionKind.OAUTH: ("credential", "refresh_token", "expires_at"),
    ConnectionKind.API_KEY: ("credential",),
    ConnectionKind.BEARER: ("credential", "expires_at"),
}
_YEARS: Final = range(2000, 3000)
"""Beyond these a time is a mistake, and at the ends of the calendar one that cannot be shown."""

_SECRET = re.compile(rf"[\x21-\x7e]{{1,{CREDENTIAL_CHARACTERS_MAX}}}")


class InputInvalid(Exception):  # noqa: N818 - the class's name reads as the sentence it stands for
    """What was typed or piped in cannot be taken; the message never repeats it."""


def read_connection(
    key: ConnectionKey, kind: ConnectionKind, kinds: Collection[ConnectionKind]
) -> Connection:
    """Read the secrets of a new connection from standard input; `kinds` are the provider's.

    Raises:
        InputInvalid: The provider has no such kind, or the input is not of the form above.
    """
    if kind not in kinds:
        raise InputInvalid(f"{key.provider} takes a connection of kind {' or '.join(kinds)}")
    names = _FIELDS[kind]
    fields = (
        _ask(names) if sys.stdin.isatty() else _parse(sys.stdin.buffer.read(INPUT_BYTES_MAX + 1))
    )
    if not fields.keys() <= set(names):
        raise InputInvalid(f"a connection of kind {kind} has {' and '.join(names)}, nothing else")
    return Connection(
        key=key,
        kind=kind,
        credential=_secret(fields, "credential"),
        refresh_token=_secret(fields, "refresh_token") if "refresh_token" in names else None,
        expires_at_epoch_seconds=_moment(fields.get("expires_at")),
    )


def _parse(raw: bytes) -> JsonObject:
    fields = parse_json_object(raw) if len(raw) <= INPUT_BYTES_MAX else None
    if fields is None:
        raise InputInvalid(
            f"standard input is not a JSON object of at most {INPUT_BYTES_MAX} bytes"
        )
    return fields


def _ask(names: tuple[str, ...]) -> JsonObject:
    """Ask for the fields one by one, without an echo; one that is left empty is not given."""
    answers = {name: getpass.getpass(f"{name}: ").strip() for name in names}
    return {name: answer for name, answer in answers.items() if answer}


def _secret(fields: JsonObject, name: str) -> Secret:
    value = fields.get(name)
    if not isinstance(value, str) or not _SECRET.fullmatch(value):
        raise InputInvalid(
            f"{name} has to be a text of 1 to {CREDENTIAL_CHARACTERS_MAX} printable ASCII "
            "characters without spaces"
        )
    return Secret(value)


def _moment(value: JsonValue) -> float | None:
    """Read a time into seconds since 1970."""
    if value is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or moment.year not in _YEARS:
        raise InputInvalid("expires_at has to be a time such as 2026-11-24T12:00:00Z")
    return moment.timestamp()
