"""Salesloft's error answers, in their two shapes [doc], and the page for unknown paths [code]."""

from __future__ import annotations

from sandbox.messages import Answer, RefusedError, json_answer, text_answer


def error_answer(status: int, text: str) -> Answer:
    """The shape of 401, 403 and 404; also chosen for 400, 415 and 429, which are [unknown]."""
    return json_answer(status, {"error": text})


def refused(status: int, text: str) -> RefusedError:
    """The same, to be raised."""
    return RefusedError(error_answer(status, text))


def invalid(errors: dict[str, list[str]]) -> RefusedError:
    """The shape of 422, all failures at once, to be raised."""
    return RefusedError(json_answer(422, {"errors": errors}))


def unknown_path() -> RefusedError:
    """404 with a page for people, to be raised."""
    page = "<!DOCTYPE html><html><body><h1>The page was not found.</h1></body></html>"
    return RefusedError(text_answer(404, page, "text/html; charset=utf-8"))
