"""How commands answer: lines on standard output, errors on standard error, an exit status."""

import datetime as dt
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, NoReturn

import structlog

from service.domain.errors import ServiceError
from service.domain.exception_report import named, place
from service.domain.shown_text import one_line
from service.stores.key_ring import SecretUnreadable

EXIT_DONE: Final = 0
EXIT_NOT_DONE: Final = 1
EXIT_INPUT_INVALID: Final = 2


def print_line(line: str) -> None:
    """Print a line of the answer."""
    print(line)  # noqa: T201 - the command line's answer


def print_table(rows: Sequence[Mapping[str, str | None]]) -> None:
    """Print rows under their names, in columns; nothing when there are none."""
    if not rows:
        return
    lines = [list(rows[0]), *([value or "-" for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print_line("  ".join(map(str.ljust, line, widths)).rstrip())


def print_note(note: str) -> None:
    """Print on standard error what a person should know beside the answer."""
    print(f"note: {note}", file=sys.stderr)  # noqa: T201 - the command line's answer


def failed(status: int, why: object) -> int:
    """Print an error in one line, and return the status to exit with."""
    print(f"error: {one_line(str(why))}", file=sys.stderr)  # noqa: T201 - likewise
    return status


def why_failed(error: ServiceError) -> str:
    """Return what an operator should know of an error that callers are told less of.

    What a database says in its first line is about itself; a row may follow.
    """
    cause = error.__cause__
    match cause:
        case None:
            return error.message
        case SecretUnreadable():
            return str(cause)
        case _ if type(cause).__module__.partition(".")[0] in {"sqlite3", "psycopg"}:
            return str(cause).partition("\n")[0]
        case _:
            return f"{error.message} The cause: {named(cause)}"


def bug_told(error: Exception) -> str:
    """Return what may be said of an error that nobody foresaw."""
    return f"a bug: {named(error)} at {place(error)}"


def time_shown(epoch_seconds: float | None) -> str | None:
    """Write a time as ISO 8601 in UTC."""
    if epoch_seconds is None:
        return None
    moment = dt.datetime.fromtimestamp(epoch_seconds, dt.UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


@contextmanager
def without_log() -> Iterator[None]:
    """Leave out log events: they are for a server's operator, and this one is told the error.

    Those of libraries too, which may quote what they failed with.
    """
    before = structlog.get_config()
    structlog.configure(processors=[_drop])
    logging.disable()
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        structlog.configure(**before)


def _drop(_logger: object, _method: str, _event: structlog.typing.EventDict) -> NoReturn:
    raise structlog.DropEvent
