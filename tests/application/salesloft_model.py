"""Salesloft in a few lines: cadences, and the import that fills them.

It takes an import into a cadence that has steps, which is the worst that the real one could do.
"""

import itertools
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from service.domain.provider_call import ProviderAnswer, ProviderRequest
from tests.application.scripted_http import answer


class SalesloftModel:
    """Implements `Vendor`."""

    base_url = "https://salesloft.test/v2"
    sequence_id = "123"
    template_id = "5"

    def __init__(self) -> None:
        self.steps: dict[str, dict[str, Any]] = {}
        self._new_ids = itertools.count(987)

    def handle(self, request: ProviderRequest) -> ProviderAnswer:
        url = urlsplit(request.url)
        resource, _, id_ = url.path.removeprefix("/v2/").partition("/")
        match request.method, resource:
            case "GET", "cadences":
                return answer(200, {"data": {"id": int(id_), "archived_at": None}})
            case "GET", "steps":
                return self._list_steps(parse_qs(url.query)["cadence_id"][0])
            case "GET", "email_templates":
                return answer(200, {"data": {"title": "Intro", "subject": "Hello", "body": "Hi"}})
            case "GET", "team_templates":
                return answer(404, {"error": "not found"})
            case "POST", "cadence_imports":
                return self._import(json.loads(request.body or b"")["cadence_content"])
        raise AssertionError(f"unknown to the model: {request.method} {request.url}")

    def step_ids(self, sequence_id: str) -> set[str]:
        return {
            step_id
            for step_id, step in self.steps.items()
            if step["cadence"]["id"] == int(sequence_id)
        }

    def messages(self, step_id: str) -> int:
        return 1 if self.steps[step_id]["type"] == "email" else 0

    def alter(self, step_id: str) -> None:
        self.steps[step_id]["day"] += 1

    def _import(self, content: dict[str, Any]) -> ProviderAnswer:
        for group in content["step_groups"]:
            for step in group["steps"]:
                new_id = next(self._new_ids)
                self.steps[str(new_id)] = {
                    "id": new_id,
                    "name": step["name"],
                    "type": step["type"].lower(),
                    "day": group["day"],
                    "cadence": {"id": content["cadence_id"]},
                }
        return answer(200, {"data": {"cadence": {"id": content["cadence_id"]}}})

    def _list_steps(self, cadence_id: str) -> ProviderAnswer:
        steps = [self.steps[step_id] for step_id in sorted(self.step_ids(cadence_id))]
        return answer(200, {"data": steps, "metadata": {"paging": {"next_page": None}}})
