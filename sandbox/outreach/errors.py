"""Outreach's error answers.

[doc, spec] the form, and the ids `validationError`, `resourceNotFound`, `unsupportedMediaType`,
`unauthorizedOauthScope`, `rateLimitExceeded`. [unknown] the ids of 400, 401 and 409: chosen here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.messages import Answer, RefusedError, json_answer

if TYPE_CHECKING:
    from collections.abc import Iterable

MEDIA_TYPE = "application/vnd.api+json"

_ID_AND_TITLE = {
    400: ("badRequest", "Bad Request"),
    401: ("unauthorized", "Unauthorized"),
    403: ("unauthorizedOauthScope", "Unauthorized OAuth Scope"),
    404: ("resourceNotFound", "Resource Not Found"),
    409: ("conflict", "Conflict"),
    415: ("unsupportedMediaType", "Unsupported Media Type"),
    422: ("validationError", "Validation Error"),
    429: ("rateLimitExceeded", "Rate Limit Exceeded"),
    503: ("scheduledServerMaintenance", "Scheduled Server Maintenance"),
}


def error_answer(status: int, detail: str) -> Answer:
    """An answer with one error, which points at no member of the request."""
    return _errors(status, [(None, detail)])


def refused(status: int, detail: str) -> RefusedError:
    """The same, to be raised."""
    return RefusedError(error_answer(status, detail))


def invalid(violations: Iterable[tuple[str, str]], status: int = 422) -> RefusedError:
    """One error for each (pointer, detail), to be raised."""
    return RefusedError(_errors(status, violations))


def _errors(status: int, violations: Iterable[tuple[str | None, str]]) -> Answer:
    error_id, title = _ID_AND_TITLE[status]
    errors = [
        {"id": error_id, "title": title, "detail": detail}
        | ({} if pointer is None else {"source": {"pointer": pointer}})
        for pointer, detail in violations
    ]
    return json_answer(status, {"errors": errors}, MEDIA_TYPE)
