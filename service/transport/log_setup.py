"""How the process logs: JSON lines on standard error, or readable ones when that is a terminal.

Libraries that use the standard library's logging are heard from level `warning` on, in the same
form. Tracebacks come without the values of local variables, which may be anybody's data.
"""

import json
import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict

LIBRARIES_LEVEL = logging.WARNING


def configure_logging(level: str, stream: TextIO = sys.stderr) -> None:
    """Set up logging for the whole process; `level` is such as `info`."""
    is_terminal = stream.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(_terminal_processors() if is_terminal else _json_processors()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=(
            structlog.PrintLoggerFactory(stream)
            if is_terminal
            else structlog.BytesLoggerFactory(stream.buffer)
        ),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=LIBRARIES_LEVEL, handlers=[_ToStructlog()], force=True)


def _terminal_processors() -> list[structlog.typing.Processor]:
    return [
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]


def _json_processors() -> list[structlog.typing.Processor]:
    return [structlog.processors.format_exc_info, _to_json_bytes]


_encode = json.JSONEncoder(separators=(",", ":"), default=repr).encode


def _to_json_bytes(_logger: object, _method: str, event: EventDict) -> bytes:
    return _encode(event).encode()


class _ToStructlog(logging.Handler):
    """Passes on what libraries log."""

    def __init__(self) -> None:
        super().__init__()
        self._log = structlog.get_logger()

    def emit(self, record: logging.LogRecord) -> None:
        self._log.log(
            record.levelno,
            "library",
            logger=record.name,
            message=record.getMessage(),
            exc_info=record.exc_info,
        )
