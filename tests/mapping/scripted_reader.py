"""A `Reader` that answers from a script and records what was asked."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from service.domain.errors import ServiceError
from service.domain.json_value import JsonObject

Answer: TypeAlias = JsonObject | ServiceError | None
"""A JSON object, None for 404, or the error of a read that failed."""


class ScriptedReader:
    """Answers reads by path; a path without an answer fails the test.

    A list of answers is used up one read after another, for instance page by page.
    """

    def __init__(self, answers: Mapping[str, Answer | Sequence[Answer]]) -> None:
        self.calls: list[tuple[str, dict[str, str]]] = []
        """The path and query of each read, in order."""
        self._answers = {
            path: list(answer) if isinstance(answer, Sequence) else answer
            for path, answer in answers.items()
        }

    @property
    def paths(self) -> list[str]:
        """The path of each read, in order."""
        return [path for path, _ in self.calls]

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> JsonObject | None:
        """See `Reader.get`."""
        self.calls.append((path, dict(query or {})))
        answer = self._answers[path]
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, ServiceError):
            raise answer
        return answer
