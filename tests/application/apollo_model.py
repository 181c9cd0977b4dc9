"""Apollo in a few lines: campaigns, their steps, and the touch and template of each message."""

import itertools
import json
from typing import Any
from urllib.parse import urlsplit

from service.domain.provider_call import ProviderAnswer, ProviderRequest
from tests.application.scripted_http import answer

MESSAGE_TYPES = {"auto_email", "manual_email", "linkedin_step_message"}


class ApolloModel:
    """Implements `Vendor`."""

    base_url = "https://apollo.test/v1"
    sequence_id = "65334c9c2722cd008bde87c3"
    template_id = "65340d43bd9e6900a3054740"

    def __init__(self) -> None:
        self.steps: dict[str, dict[str, Any]] = {}
        self.touches: dict[str, dict[str, Any]] = {}
        self.templates: dict[str, dict[str, Any]] = {
            self.template_id: {"id": self.template_id, "subject": "Hello", "body_html": "<p>Hi</p>"}
        }
        self._new_ids = (f"{number:024x}" for number in itertools.count(1))

    def handle(self, request: ProviderRequest) -> ProviderAnswer:
        path = urlsplit(request.url).path
        resource, _, id_ = path.removeprefix("/v1/").partition("/")
        match request.method, resource:
            case "GET", "emailer_campaigns":
                return self._campaign(id_)
            case "GET", "emailer_templates":
                return answer(200, {"emailer_template": self.templates[id_]})
            case "POST", "emailer_steps":
                return self._create_step(json.loads(request.body or b""))
            case "PUT", "emailer_touches":
                return self._write_message(id_, json.loads(request.body or b""))
            case "DELETE", "emailer_steps":
                return self._delete_step(id_)
        raise AssertionError(f"unknown to the model: {request.method} {request.url}")

    def step_ids(self, sequence_id: str) -> set[str]:
        return {
            step_id
            for step_id, step in self.steps.items()
            if step["emailer_campaign_id"] == sequence_id
        }

    def messages(self, step_id: str) -> int:
        return sum(
            bool(self.templates[touch["emailer_template_id"]]["body_html"])
            for touch in self.touches.values()
            if touch["emailer_step_id"] == step_id
        )

    def alter(self, step_id: str) -> None:
        self.steps[step_id]["wait_time"] += 1

    def _campaign(self, id_: str) -> ProviderAnswer:
        step_ids = self.step_ids(id_)
        touches = [each for each in self.touches.values() if each["emailer_step_id"] in step_ids]
        return answer(
            200,
            {
                "emailer_campaign": {"id": id_, "num_steps": len(step_ids)},
                "emailer_steps": [self.steps[step_id] for step_id in sorted(step_ids)],
                "emailer_touches": touches,
                "emailer_templates": [self.templates[t["emailer_template_id"]] for t in touches],
            },
        )

    def _create_step(self, body: dict[str, Any]) -> ProviderAnswer:
        step = {**body, "id": next(self._new_ids)}
        self.steps[step["id"]] = step
        if body["type"] not in MESSAGE_TYPES:
            return answer(200, {"emailer_step": step, "emailer_touch": None})
        template_id, touch_id = next(self._new_ids), next(self._new_ids)
        self.templates[template_id] = {"id": template_id, "subject": None, "body_html": ""}
        self.touches[touch_id] = {
            "id": touch_id,
            "emailer_step_id": step["id"],
            "emailer_template_id": template_id,
            "status": "to_be_reviewed",
        }
        return answer(200, {"emailer_step": step, "emailer_touch": self.touches[touch_id]})

    def _write_message(self, touch_id: str, body: dict[str, Any]) -> ProviderAnswer:
        touch = self.touches.get(touch_id)
        if touch is None:
            return answer(404, {"error": "no such touch"})
        self.templates[touch["emailer_template_id"]].update(body["emailer_template"])
        touch["status"] = "approved"
        return answer(200, {"emailer_touch": touch})

    def _delete_step(self, step_id: str) -> ProviderAnswer:
        if self.steps.pop(step_id, None) is None:
            return answer(404, {"error": "no such step"})
        self.touches = {
            id_: touch for id_, touch in self.touches.items() if touch["emailer_step_id"] != step_id
        }
        return answer(200, {"emailer_step": {"id": step_id, "deleted": True}})
