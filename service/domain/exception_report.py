"""What may be told of an exception: types, lines of code, and no words but our own.

A message may quote anything: what a vendor answered, what a caller wrote, the parameters of a
statement, a URL with its password. So it is told only where a class of ours was given one sentence,
as in `NotSent("TLS failed")`: those are written here, and hold no foreign text. Of a `ServiceError`
the reason is told, since a vendor's words may stand in its message. Of all others their type, and
where they were raised, which is what finds a bug.
"""

import textwrap
import traceback
from collections.abc import Iterator
from typing import Final

from service.domain.errors import ServiceError
from service.domain.shown_text import one_line

FRAMES_MAX: Final = 30
"""Of each exception, the last ones."""

CHAIN_MAX: Final = 8
GROUP_MAX: Final = 5
REPORT_CHARACTERS_MAX: Final = 16_000

_LED_TO: Final = "\n\nwhich led to:\n\n"


def named(error: BaseException) -> str:
    """Return the type of an exception in one line, with its message where that is ours."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else _full_name(kind)
    match error:
        case ServiceError():
            return f"{name}: {error.reason.value}"
        case BaseException(args=(str() as sentence,)) if _is_ours(kind):
            return f"{name}: {one_line(sentence)}"
        case _:
            return name


def report(error: BaseException) -> str:
    """Return the exception, those that led to it first, and where each was raised."""
    blocks = [_block(each) for each in _chain(error)]
    return _LED_TO.join(reversed(blocks))[-REPORT_CHARACTERS_MAX:]


def place(error: BaseException) -> str:
    """Return the file and line where an exception was raised; empty when it was not."""
    frames = traceback.extract_tb(error.__traceback__, limit=-1)
    return f"{frames[0].filename}:{frames[0].lineno}" if frames else ""


def _full_name(kind: type[BaseException]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _is_ours(kind: type[BaseException]) -> bool:
    return kind.__module__.startswith("service.")


def _block(error: BaseException) -> str:
    lines = []
    if error.__traceback__ is not None:
        frames = traceback.extract_tb(error.__traceback__, limit=-FRAMES_MAX)
        lines = ["Traceback (most recent call last):\n", *traceback.format_list(frames)]
    block = "".join(lines) + named(error)
    if isinstance(error, BaseExceptionGroup):
        members = [_block(member) for member in error.exceptions[:GROUP_MAX]]
        block += "".join("\n" + textwrap.indent(member, "  | ") for member in members)
    return block


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception, then what caused it or was handled when it was raised."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen and len(seen) < CHAIN_MAX:
        yield each
        seen.add(id(each))
        context = None if each.__suppress_context__ else each.__context__
        each = each.__cause__ or context
