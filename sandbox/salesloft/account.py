"""One Salesloft account: its records, who may call its endpoints and how often.

[doc, code] bearer tokens and `ak` keys, rotating refresh tokens of which the older die, 600 cost
points a minute with their headers. [unknown], chosen: the words of a 403 and a 429; the names of
the scopes for templates.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sandbox import oauth, strict_json
from sandbox.accounts import Account, Seed, SequenceSeed, Setup, TemplateSeed, World
from sandbox.clock import RetryAfter, RetryAfterForm
from sandbox.messages import Answer, RefusedError, Request, numeric_id
from sandbox.rate_limits import RateLimit, Window
from sandbox.salesloft import lists
from sandbox.salesloft.endpoints import ENDPOINTS
from sandbox.salesloft.errors import error_answer, refused, unknown_path
from sandbox.salesloft.records import (
    Cadence,
    Step,
    Template,
    show_cadence,
    show_step,
    show_template,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.messages import Hidden

CLIENT = oauth.Client("salesloft-client", "salesloft-secret")
TOKEN_PATH = "/oauth/token"  # noqa: S105  (a path)
SCOPES = ("cadences:read", "cadences:write", "email_templates:read", "team_templates:read")
POINTS_PER_MINUTE = 600
MINUTE_SECONDS = 60.0

FIRST_IDS = {"cadence": 5001, "step": 987, "details": 55, "template": 7001}
"""Of what requests make; what a seed leaves without an id counts up from 1."""


@dataclass(frozen=True, slots=True)
class Options:
    """What can be set per account.

    scopes: what its tokens may do.
    rate_limit: enforce one, in cost points.
    retry_after: the form of Retry-After on a 429; none is documented.
    unknown_sequence_status: answer to an import into a cadence that does not exist [unknown].
    show_current_state: whether a cadence has `current_state`, which only one schema has.
    """

    scopes: tuple[str, ...] = SCOPES
    rate_limit: RateLimit | None = None
    retry_after: RetryAfterForm = "none"
    unknown_sequence_status: Literal[404, 422] = 404
    show_current_state: bool = True


class SalesloftAccount(Account):
    """A team at Salesloft."""

    vendor = "salesloft"
    demo_seed = Seed(
        sequences=(
            SequenceSeed(id=123, count=17),
            SequenceSeed(id=140, archived=True),
            SequenceSeed(id=141, steps=1),
        ),
        templates=(TemplateSeed(id=5),),
        team_templates=(TemplateSeed(id=6, name="Team intro"),),
    )

    def __init__(self, setup: Setup, world: World) -> None:
        super().__init__(setup, world)
        self.options = strict_json.read(Options, setup.options, "options")
        self.cadences: dict[int, Cadence] = {}
        self.steps: dict[int, Step] = {}
        self.email_templates: dict[int, Template] = {}
        self.team_templates: dict[int, Template] = {}
        self._next_ids = {kind: itertools.count(1) for kind in FIRST_IDS}
        self._plant(setup.seed or self.demo_seed)
        self._next_ids = {kind: itertools.count(first) for kind, first in FIRST_IDS.items()}
        self._minute = Window.of(self.options.rate_limit, POINTS_PER_MINUTE, MINUTE_SECONDS)
        self._api_key = f"ak{hashlib.sha256(self.name.encode()).hexdigest()}"
        self._api_key_is_live = True
        self.register(self._api_key)
        rules = oauth.Rules(" ".join(self.options.scopes))
        self._tokens = oauth.OAuthTokens(self.name, self.clock, self.register, rules)

    @staticmethod
    def credential_of(request: Request) -> str | None:
        """The bearer token or API key, or the refresh token in a grant."""
        return oauth.credential_of(request, TOKEN_PATH)

    @staticmethod
    def answer_stranger(request: Request) -> Answer:
        """401, or a refused grant."""
        if request.path == TOKEN_PATH:
            return oauth.refuse_grant(request, CLIENT)
        if "authorization" in request.headers:
            return error_answer(401, "Invalid Bearer token")
        return error_answer(
            401,
            "No Bearer Token attached to request, "
            "please see documentation at developers.salesloft.com",
        )

    @staticmethod
    def rate_limited(request: Request, retry_after: RetryAfter) -> Answer:
        """429; its body is [unknown]."""
        del request  # Other vendors name the endpoint.
        answer = error_answer(429, "Rate limit exceeded")
        answer.headers |= retry_after.headers
        return answer

    def answer(self, request: Request) -> Answer:
        """Applies a request; rate-limit headers are on every answer but the token endpoint's."""
        try:
            if request.path == TOKEN_PATH:
                return self._refresh(request)
        except RefusedError as refusal:
            return refusal.answer
        cost = lists.page_cost(request)
        try:
            answer = self._answer_within_limit(request, cost)
        except RefusedError as refusal:
            answer = refusal.answer
        answer.headers["x-ratelimit-endpoint-cost"] = str(cost)
        answer.headers["x-ratelimit-remaining-minute"] = str(self._minute.left())
        return answer

    def credentials(self) -> dict[str, Any]:
        """Tokens as they are now, the client that refreshes them, and an API key."""
        return {
            "client_id": CLIENT.client_id,
            "client_secret": CLIENT.client_secret,
            "access_token": self._tokens.access_token,
            "refresh_token": self._tokens.refresh_token,
            "api_key": self._api_key,
        }

    def state(self) -> dict[str, Any]:
        """All records as the API shows them, and each cadence's groups in import form."""
        return {
            "sequences": [
                show_cadence(cadence, "", with_state=True) | {"step_groups": cadence.groups}
                for cadence in self.cadences.values()
            ],
            "steps": [show_step(step, "") for step in self.steps.values()],
            "templates": [show_template(item) for item in self.email_templates.values()],
            "team_templates": [show_template(item) for item in self.team_templates.values()],
        }

    def delete_step(self, step_id: str) -> bool:
        """Removes a step; its group stays in the export if it has other steps."""
        step = self.steps.pop(numeric_id(step_id), None)
        if step is None:
            return False
        cadence = step.cadence
        cadence.steps.remove(step)
        for group in cadence.groups:
            group["steps"] = [item for item in group["steps"] if item is not step.settings]
        cadence.groups = [group for group in cadence.groups if group["steps"]]
        return True

    def expire_access_tokens(self) -> None:
        """All access tokens, and the API key."""
        self._tokens.expire_access_tokens()
        self._api_key_is_live = False

    def revoke_refresh_token(self) -> None:
        """The next refresh is answered `invalid_grant`."""
        self._tokens.revoke_refresh_token()

    def _refresh(self, request: Request) -> Answer:
        if request.method != "POST":
            raise unknown_path()
        return self._tokens.exchange(oauth.read_grant(request, CLIENT))

    def _answer_within_limit(self, request: Request, cost: int) -> Answer:
        credential = self.credential_of(request) or ""
        is_live_key = credential == self._api_key and self._api_key_is_live
        if not is_live_key and not self._tokens.is_live(credential):
            return self.answer_stranger(request)
        now = self.clock()
        if not self._minute.admit(now, cost):
            wait_seconds = self._minute.resets_in(now)
            return self.rate_limited(
                request, RetryAfter(self.options.retry_after, now, wait_seconds)
            )
        self._minute.spend(now, cost)
        found = ENDPOINTS.find(request.method, request.path.removesuffix(".json"))
        if found is None:
            raise unknown_path()
        endpoint, ids = found
        if endpoint.scope not in self.options.scopes:
            raise refused(403, f"The token does not have the scope {endpoint.scope}")
        return endpoint.handle(self, request, *(numeric_id(text) for text in ids))

    def _plant(self, seed: Seed) -> None:
        for seeds, templates in (
            (seed.templates, self.email_templates),
            (seed.team_templates, self.team_templates),
        ):
            for item in seeds:
                for record_id in self._seed_ids("template", item.id, item.count):
                    templates[record_id] = Template(
                        record_id, item.name, item.subject, item.body, self.clock()
                    )
        for sequence in seed.sequences:
            for record_id in self._seed_ids("cadence", sequence.id, sequence.count):
                self._plant_cadence(record_id, sequence)

    def _seed_ids(self, kind: str, first: int | str | None, count: int) -> Iterable[int]:
        if first is None:
            return itertools.islice(self._next_ids[kind], count)
        if not isinstance(first, int):
            raise strict_json.JsonMismatchError("seed: ids at salesloft are integers")
        return range(first, first + count)

    def _plant_cadence(self, record_id: int, seed: SequenceSeed) -> None:
        if seed.kind is not None:
            raise strict_json.JsonMismatchError("seed: a sequence at salesloft has no kind")
        now = self.clock()
        name = seed.name or f"Cadence {record_id}"
        cadence = Cadence(record_id, name, now if seed.archived else None, now)
        self.cadences[record_id] = cadence
        for day in range(1, seed.steps + 1):
            step = {
                "enabled": True,
                "name": f"Call {day}",
                "type": "Phone",
                "type_settings": {"instructions": ""},
            }
            group = {"day": day, "automated": False, "due_immediately": False, "steps": [step]}
            self.add_group(cadence, group, None)

    def sees(self, request: Request, step: Step) -> bool:
        """Whether a read may show the step already."""
        return step.hidden is None or not step.hidden.covers(request, self.clock())

    def add_group(self, cadence: Cadence, group: dict[str, Any], hidden: Hidden | None) -> None:
        """Makes the steps of a group that fits."""
        cadence.groups.append(group)
        for settings in group["steps"]:
            content = settings["type_settings"].get("email_template")
            step = Step(
                id=next(self._next_ids["step"]),
                cadence=cadence,
                day=group["day"],
                number=len(cadence.steps) + 1,
                settings=settings,
                details_id=next(self._next_ids["details"]),
                template_id=None if content is None else self._add_content(content),
                created_at=self.clock(),
                hidden=hidden,
            )
            cadence.steps.append(step)
            self.steps[step.id] = step

    def _add_content(self, content: dict[str, Any]) -> int:
        template_id = next(self._next_ids["template"])
        self.email_templates[template_id] = Template(
            template_id,
            content["title"],
            content["subject"],
            content["body"],
            self.clock(),
            open_tracking=content.get("open_tracking", True),
            click_tracking=content.get("click_tracking", True),
        )
        return template_id
