"""How commands answer: lines on standard output, errors on standard error, an exit status."""

import datetime as dt
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, NoReturn

import structlog

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
    """Print an error, and return the status to exit with."""
    print(f"error: {why}", file=sys.stderr)  # noqa: T201 - the command line's answer
    return status


def time_shown(epoch_seconds: float | None) -> str | None:
    """Write a time as ISO 8601 in UTC."""
    if epoch_seconds is None:
        return None
    moment = dt.datetime.fromtimestamp(epoch_seconds, dt.UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


@contextmanager
def without_log() -> Iterator[None]:
    """Leave out log events: they are for a server's operator, and this one is told the error."""
    before = structlog.get_config()
    structlog.configure(processors=[_drop])
    try:
        yield
    finally:
        structlog.configure(**before)


def _drop(_logger: object, _method: str, _event: structlog.typing.EventDict) -> NoReturn:
    raise structlog.DropEvent
