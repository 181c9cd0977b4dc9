"""How the process logs: JSON lines on standard error, or readable ones when that is a terminal.

Only the events and fields of `log_events` are let through, each value short and on one line. An
exception is told as `exception_report` has it: without the values of variables, and without a
message that may quote somebody. Whatever Python itself would print of a failure comes here too.

Libraries that use the standard library's logging are heard from level `warning` on, in the same
form, those under the provider client not at all. What a library fills into its message may be
anybody's data, so only numbers are left of it; of one that is not known here, no message at all.
"""

import logging
import re
import sys
import threading
import warnings
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict

from service.application.json_text import json_bytes
from service.domain.exception_report import named, report
from service.domain.shown_text import CHARACTERS_MAX, one_line
from service.telemetry.tracing import current_ids
from service.transport.log_events import EVENTS

LIBRARIES_LEVEL: Final = logging.WARNING

SILENT: Final = ("httpx", "httpcore")
"""Their messages quote addresses, headers and cookies of requests to providers."""

HEARD: Final = ("asyncio", "grpc", "psycopg")
"""They fill data into a fixed sentence while logging, or behind a bracket, a quote or a colon."""

ITEMS_MAX: Final = 20
"""Of a list."""

UNLISTED: Final = "unlisted"
"""Marks a line whose event, or with the count of its fields that, `log_events` does not know."""

_EXCEPTION: Final = "exception"
_FIELDS: Final = {name: frozenset(event.fields) for name, event in EVENTS.items()}
_AS_THEY_ARE: Final = frozenset({int, float, bool, type(None)})

_FILLED_IN: Final = re.compile(r"[^\w .,!?-].*", re.DOTALL)
"""From where a message that is complete already may hold data: a bracket, a quote, a colon."""

_PLACEHOLDER: Final = re.compile(r"%(?:\(\w+\))?[-#0 +]*[\d*]*(?:\.[\d*]+)?([a-zA-Z%])")


def configure_logging(level: str, stream: TextIO = sys.stderr) -> None:
    """Set up logging for the whole process; `level` is such as `info`."""
    is_terminal = stream.isatty()
    structlog.configure(
        processors=[
            listed_alone,
            with_trace_ids,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if is_terminal else _to_json_bytes,
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
    for name in SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    _take_over_what_python_prints()


def listed_alone(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Keep what the table of events has, and nothing else; each value made fit to be shown."""
    name = event.pop("event")
    fields = _FIELDS.get(name)
    if fields is None:
        return {"event": _shown(name), UNLISTED: True}
    kept: EventDict = {"event": name}
    error = event.pop("exc_info", None)
    if error and _EXCEPTION in fields:
        kept[_EXCEPTION] = _told(error)
    dropped = 0
    for field, value in event.items():
        if field not in fields:
            dropped += 1
        elif type(value) in _AS_THEY_ARE:
            kept[field] = value
        else:
            kept[field] = _shown(value)
    if dropped:
        kept[UNLISTED] = dropped
    return kept


def with_trace_ids(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Say to which trace a line belongs, if to any: the caller's, where it has one."""
    ids = current_ids()
    if ids is not None:
        event["trace_id"], event["span_id"] = ids
    return event


def _shown(value: object) -> object:
    """Return a value for a line: of what is neither text nor number, its type alone."""
    if isinstance(value, str):
        # Most values are short and print as they are; `one_line` would say so too, later.
        if len(value) <= CHARACTERS_MAX and value.isprintable():
            return str(value)
        return one_line(value)
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, list | tuple):
        return [_shown(item) for item in value[:ITEMS_MAX]]
    return f"<{type(value).__name__}>"


def _told(error: object) -> str:
    """Return what may be told of a line's exception, in any of the forms that it is given in."""
    match error:
        case BaseException():
            return report(error)
        case (_, BaseException() as raised, _):
            return report(raised)
        case _:
            raised_now = sys.exception()
            return report(raised_now) if raised_now else ""


def _to_json_bytes(_logger: object, _method: str, event: EventDict) -> bytes:
    return json_bytes(event)


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
            message=_message(record),
            exc_info=record.exc_info,
        )


def _message(record: logging.LogRecord) -> str:
    """Return a library's message with only numbers and types of exceptions filled in."""
    message = record.msg
    if record.name.partition(".")[0] not in HEARD or not isinstance(message, str):
        return "…"
    if not record.args:
        return _FILLED_IN.sub("…", message)
    if not isinstance(record.args, tuple):
        return _PLACEHOLDER.sub("…", message)
    arguments = iter(record.args)

    def filled_in(placeholder: "re.Match[str]") -> str:
        if placeholder[1] == "%":
            return "%"
        match next(arguments, None):
            case int() as number:
                return str(number)
            case float() as number:
                return f"{number:.3f}"
            case BaseException() as error:
                return named(error)
            case _:
                return "…"

    return _PLACEHOLDER.sub(filled_in, message)


def _take_over_what_python_prints() -> None:
    """Let the log have what Python prints by itself of uncaught exceptions and warnings."""
    log = structlog.get_logger()

    def uncaught(origin: str, error: BaseException | None) -> None:
        log.critical("uncaught", origin=origin, exc_info=error)

    def warned(  # noqa: PLR0913, PLR0917 - as `warnings` calls it
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        del message, file, line  # A message may quote anything.
        place = f"{category.__name__} at {filename}:{lineno}"
        log.warning("library", logger="warnings", message=place)

    sys.excepthook = lambda _kind, error, _trace: uncaught("main", error)
    threading.excepthook = lambda thread: uncaught("thread", thread.exc_value)
    sys.unraisablehook = lambda raised: uncaught("nowhere to raise", raised.exc_value)
    warnings.showwarning = warned
