"""Outreach in a few lines: sequences, steps, templates and the links between them."""

import itertools
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from service.domain.provider_call import ProviderAnswer, ProviderRequest
from tests.application.scripted_http import answer

PAGE_SIZE = 50


class OutreachModel:
    """Implements `Vendor`."""

    base_url = "https://outreach.test/v2"
    sequence_id = "4711"
    template_id = "55"

    def __init__(self) -> None:
        self.steps: dict[str, dict[str, Any]] = {}
        self.links: dict[str, dict[str, Any]] = {}
        self.templates: dict[str, dict[str, Any]] = {self.template_id: {"name": "Intro"}}
        self._new_ids = itertools.count(90_210)

    def handle(self, request: ProviderRequest) -> ProviderAnswer:
        url = urlsplit(request.url)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        resource, _, id_ = url.path.removeprefix("/v2/").partition("/")
        match request.method, resource:
            case "GET", "sequences":
                return answer(200, {"data": {"attributes": {"sequenceType": "interval"}}})
            case "GET", "templates":
                found = self.templates.get(id_)
                return answer(200, {"data": {"id": int(id_)}}) if found else answer(404)
            case "GET", "sequenceSteps":
                return self._list_steps(query)
            case "GET", "sequenceTemplates":
                links = self._links_of(query["filter[sequenceStep][id]"])
                return answer(200, {"data": links})
            case "DELETE", "templates":
                return answer(204 if self.templates.pop(id_, None) else 404)
            case "POST", _:
                return self._create(resource, json.loads(request.body or b"")["data"])
        raise AssertionError(f"unknown to the model: {request.method} {request.url}")

    def step_ids(self, sequence_id: str) -> set[str]:
        return {
            step_id
            for step_id, step in self.steps.items()
            if step["relationships"]["sequence"]["data"]["id"] == int(sequence_id)
        }

    def messages(self, step_id: str) -> int:
        return len(self._links_of(step_id))

    def alter(self, step_id: str) -> None:
        self.steps[step_id]["attributes"]["interval"] += 60

    def _create(self, resource: str, data: dict[str, Any]) -> ProviderAnswer:
        new_id = next(self._new_ids)
        made = {**data, "id": new_id}
        if resource == "templates":
            self.templates[str(new_id)] = made
        elif resource == "sequenceSteps":
            self.steps[str(new_id)] = made
        else:
            related = data["relationships"]
            if str(related["template"]["data"]["id"]) not in self.templates:
                return answer(422, {"errors": [{"detail": "Template must exist."}]})
            self.links[str(new_id)] = made
        return answer(201, {"data": made})

    def _list_steps(self, query: dict[str, str]) -> ProviderAnswer:
        ids = sorted(self.step_ids(query["filter[sequence][id]"]), key=int)
        first = int(query.get("page[after]", "0"))
        page = ids[first : first + PAGE_SIZE]
        body: dict[str, Any] = {"data": [self._shown(step_id) for step_id in page]}
        if first + PAGE_SIZE < len(ids):
            link = f"{self.base_url}/sequenceSteps?page%5Bafter%5D={first + PAGE_SIZE}"
            body["links"] = {"next": link}
        return answer(200, body)

    def _shown(self, step_id: str) -> dict[str, Any]:
        step = self.steps[step_id]
        links = [{"type": "sequenceTemplate", "id": link["id"]} for link in self._links_of(step_id)]
        related = {**step["relationships"], "sequenceTemplates": {"data": links}}
        return {**step, "relationships": related}

    def _links_of(self, step_id: str) -> list[dict[str, Any]]:
        return [
            link
            for link in self.links.values()
            if link["relationships"]["sequenceStep"]["data"]["id"] == int(step_id)
        ]
