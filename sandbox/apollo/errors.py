"""Apollo's error answers: one string in `error`, sometimes an `error_code` [spec, doc]."""

from __future__ import annotations

from sandbox.messages import Answer, RefusedError, json_answer


def error_answer(status: int, text: str, code: str | None = None) -> Answer:
    """An answer with this text."""
    body = {"error": text} if code is None else {"error": text, "error_code": code}
    return json_answer(status, body)


def refused(status: int, text: str, code: str | None = None) -> RefusedError:
    """The same, to be raised."""
    return RefusedError(error_answer(status, text, code))
