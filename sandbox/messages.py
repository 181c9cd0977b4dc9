"""What passes between the wire and a vendor's rules: one request in, one answer out.

Vendors are plain synchronous code: `Account.answer(Request) -> Answer`. Nothing in there waits, so
a request is applied whole or not at all, whatever happens on the wire before or after it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, NoReturn

ID_DIGITS_MOST = 18


@dataclass(slots=True, eq=False)
class Request:
    """One HTTP request to a vendor.

    `path` is the vendor's own (below the sandbox's prefix), `base_url` is scheme, host and prefix,
    header names are in lower case. `hidden` is set by a fault: objects that this request makes
    stay out of reads for a while.
    """

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes
    base_url: str
    hidden: Hidden | None = None

    def json(self) -> Any:
        """Parses the body.

        Raises:
            ValueError: it is not JSON that can be sent back (NaN, infinities and halves of
                surrogate pairs cannot).
            RecursionError: it is too deep.
        """
        value = json.loads(self.body, parse_constant=_refuse_constant)
        if b"\\u" in self.body:
            json.dumps(value, ensure_ascii=False).encode()
        return value

    @property
    def content_type(self) -> str:
        """The media type without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def numeric_id(text: str) -> int:
    """Reads an id as it stands in a path or a relationship; 0, which nobody has, for no number."""
    is_number = len(text) <= ID_DIGITS_MOST and text.isascii() and text.isdigit()
    return int(text) if is_number else 0


@dataclass(slots=True)
class Answer:
    """One HTTP answer. The content type is a header like any other."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def json_answer(status: int, value: Any, content_type: str = "application/json") -> Answer:
    """An answer with a JSON body."""
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    return Answer(status, body, {"content-type": content_type})


def text_answer(status: int, text: str, content_type: str = "text/plain; charset=utf-8") -> Answer:
    """An answer with a body of text or HTML."""
    return Answer(status, text.encode(), {"content-type": content_type})


class RefusedError(Exception):
    """Raised inside a vendor's rules to end the request with this answer; nothing was applied."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Hidden:
    """Keeps objects just made out of reads until a time and for a number of reads."""

    __slots__ = ("_last_request", "_reads_left", "_until")

    def __init__(self, until: float, reads: int) -> None:
        self._until = until
        self._reads_left = reads
        self._last_request: Request | None = None

    def covers(self, request: Request, now: float) -> bool:
        """Whether this read must not see the object; a request counts once, however often asked."""
        if request is self._last_request or now < self._until:
            return True
        if self._reads_left == 0:
            return False
        self._reads_left -= 1
        self._last_request = request
        return True
