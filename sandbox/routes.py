"""Finds the endpoint for a method and path; all patterns are taken apart once, at import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

Endpoint = TypeVar("Endpoint")

PLACEHOLDER = "{id}"


class Routes(Generic[Endpoint]):
    """A table of endpoints, written as `{"GET /steps/{id}": endpoint}`.

    A path without placeholders goes before one with them (`/templates/search`, `/templates/{id}`).
    """

    def __init__(self, table: Mapping[str, Endpoint]) -> None:
        self._literal: dict[tuple[str, str], Endpoint] = {}
        self._patterns: dict[tuple[str, int], list[tuple[list[str], Endpoint]]] = {}
        for pattern, endpoint in table.items():
            method, path = pattern.split(" ")
            if PLACEHOLDER in path:
                segments = path.split("/")
                shape = (method, len(segments))
                self._patterns.setdefault(shape, []).append((segments, endpoint))
            else:
                self._literal[method, path] = endpoint

    def find(self, method: str, path: str) -> tuple[Endpoint, list[str]] | None:
        """Returns the endpoint and what stands at its placeholders, or None."""
        endpoint = self._literal.get((method, path))
        if endpoint is not None:
            return endpoint, []
        segments = path.split("/")
        for pattern, candidate in self._patterns.get((method, len(segments)), ()):
            pairs = list(zip(pattern, segments, strict=True))
            if all(want in (PLACEHOLDER, have) for want, have in pairs):
                return candidate, [have for want, have in pairs if want == PLACEHOLDER]
        return None
