"""One Apollo account: its records, who may call its endpoints and how often.

[spec, doc] keys in `x-api-key`, master keys for sequences, three fixed windows per endpoint with
their headers, which are absent on 401 and 403. [unknown], chosen: a key in query or body is none;
a partner's bearer token counts as a master key; steps, touches and sequences need a master key,
reading templates and searching does not; an unknown route has the same headers as a 401: none.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sandbox import strict_json
from sandbox.accounts import Account, Seed, SequenceSeed, Setup, TemplateSeed, World
from sandbox.apollo.endpoints import ENDPOINTS
from sandbox.apollo.errors import error_answer
from sandbox.apollo.records import (
    EMAIL_TYPES,
    FIRST_COUNTER,
    MESSAGE_TYPES,
    Campaign,
    Step,
    make_id,
    new_step,
    new_template,
    new_touch,
    show_campaign,
)
from sandbox.clock import RetryAfter, RetryAfterForm, utc_milliseconds
from sandbox.messages import Answer, RefusedError, Request, json_answer, text_answer
from sandbox.rate_limits import RateLimit, Window

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.apollo.endpoints import Endpoint

_LIMITS = {"minute": (200, 60.0), "hour": (400, 3600.0), "day": (2000, 86_400.0)}
"""Of each window: the limit of a basic plan, and its seconds."""
_HEADER_WORDS = {"minute": "minute", "hour": "hourly", "day": "24-hour"}

_SEED_ID = re.compile(r"[0-9a-f]{24}")


@dataclass(frozen=True, slots=True)
class Options:
    """What can be set per account.

    rate_limit: enforce one, in the window it names (default minute), for each endpoint.
    retry_after: the form of Retry-After; documented are seconds.
    paid_plan: without one, everything is 403.
    create_answer: `full` has step, touch and template; `step_only` has the step alone.
    taken_position: a new step in a taken position is refused (422), or shifts the others [unknown].
    put_approves: whether an update of a touch approves it [one source says so].
    reply_needs_thread: whether `reply_to_thread` without an earlier email is refused (422) [spec of
        a sibling endpoint].
    unknown_sequence_status: answer to a step for a sequence that does not exist [unknown].
    """

    rate_limit: RateLimit | None = None
    retry_after: RetryAfterForm = "seconds"
    paid_plan: bool = True
    create_answer: Literal["full", "step_only"] = "full"
    taken_position: Literal["refuse", "shift"] = "refuse"
    put_approves: bool = False
    reply_needs_thread: bool = True
    unknown_sequence_status: Literal[404, 422] = 404


class ApolloAccount(Account):
    """A team at Apollo."""

    vendor = "apollo"
    demo_seed = Seed(
        sequences=(
            SequenceSeed(id="65334c9c2722cd008bde87c3", name="Waiting times"),
            SequenceSeed(id="65334c9c2722cd008bde87c4", name="Exact times", kind="exact_time"),
        ),
        templates=(TemplateSeed(id="65340d43bd9e6900a3054740"),),
    )

    def __init__(self, setup: Setup, world: World) -> None:
        super().__init__(setup, world)
        self.options = strict_json.read(Options, setup.options, "options")
        self.campaigns: dict[str, Campaign] = {}
        self.steps: dict[str, Step] = {}
        self.steps_by_touch: dict[str, Step] = {}
        self.templates: dict[str, dict[str, Any]] = {}
        self._counter = itertools.count(1)
        self._plant(setup.seed or self.demo_seed)
        self._counter = itertools.count(FIRST_COUNTER)
        self._windows: dict[str, dict[str, Window]] = {}
        self._master_key = f"{self.name}-master"
        self._plain_key = f"{self.name}-plain"
        self._bearer_token = f"{self.name}-bearer"
        self._live = {self._master_key, self._plain_key, self._bearer_token}
        for credential in self._live:
            self.register(credential)

    @staticmethod
    def credential_of(request: Request) -> str | None:
        """The API key, or else a partner's bearer token."""
        key = request.headers.get("x-api-key")
        if key is not None:
            return key
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return token if scheme.lower() == "bearer" else None

    @staticmethod
    def answer_stranger(request: Request) -> Answer:
        """401: text for a key, JSON for a bearer token."""
        if "x-api-key" not in request.headers and "authorization" in request.headers:
            return error_answer(401, "The access token is invalid.", "INVALID_ACCESS_TOKEN")
        return text_answer(401, "Invalid API key. Check the key in the x-api-key header.")

    @staticmethod
    def rate_limited(request: Request, retry_after: RetryAfter) -> Answer:
        """429 in the words of the hourly limit."""
        return _rate_limited(request, _LIMITS["hour"][0], "hour", retry_after)

    def answer(self, request: Request) -> Answer:
        """Applies a request; the path may start with /api/v1 or /v1."""
        if self.credential_of(request) not in self._live:
            return self.answer_stranger(request)
        found = ENDPOINTS.find(request.method, request.path.removeprefix("/api"))
        if found is None:
            return error_answer(404, "Not found")
        endpoint, ids = found
        refusal = self._refuse_access(request, endpoint)
        if refusal is not None:
            return refusal
        windows = self._windows_of(endpoint)
        answer = self._refuse_rate(request, windows)
        if answer is None:
            try:
                answer = endpoint.handle(self, request, *ids)
            except RefusedError as refused_request:
                answer = refused_request.answer
        answer.headers |= _limit_headers(windows)
        return answer

    def credentials(self) -> dict[str, Any]:
        """A master key, one that is not, and a partner's bearer token."""
        return {
            "api_key": self._master_key,
            "api_key_without_master": self._plain_key,
            "access_token": self._bearer_token,
        }

    def state(self) -> dict[str, Any]:
        """All records, each as the API shows it."""
        steps = self.steps.values()
        return {
            "sequences": [show_campaign(item, len(item.steps)) for item in self.campaigns.values()],
            "steps": [step.fields for step in steps],
            "touches": [step.touch for step in steps if step.touch is not None],
            "templates": list(self.templates.values()),
        }

    def delete_step(self, step_id: str) -> bool:
        """Removes a step with its touch and its template."""
        step = self.steps.pop(step_id, None)
        if step is None:
            return False
        step.campaign.steps.remove(step)
        if step.touch is not None and step.template is not None:
            del self.steps_by_touch[step.touch["id"]]
            del self.templates[step.template["id"]]
        return True

    def expire_access_tokens(self) -> None:
        """All keys and the bearer token."""
        self._live.clear()

    def revoke_refresh_token(self) -> None:
        """There is none."""

    def _refuse_access(self, request: Request, endpoint: Endpoint) -> Answer | None:
        if not self.options.paid_plan:
            text = "This endpoint is only available to Apollo users on paid plans."
            return json_answer(403, {"message": text})
        if endpoint.needs_master_key and self.credential_of(request) == self._plain_key:
            return error_answer(
                403,
                f"This API key is not authorized to access api/v1/{endpoint.name}. "
                "Create a master key to use this endpoint.",
                "API_INACCESSIBLE",
            )
        return None

    def _windows_of(self, endpoint: Endpoint) -> dict[str, Window]:
        windows = self._windows.get(endpoint.name)
        if windows is None:
            enforced = self.options.rate_limit
            limited = (enforced.window or "minute") if enforced is not None else None
            windows = {
                name: Window.of(enforced if name == limited else None, limit, seconds)
                for name, (limit, seconds) in _LIMITS.items()
            }
            self._windows[endpoint.name] = windows
        return windows

    def _refuse_rate(self, request: Request, windows: dict[str, Window]) -> Answer | None:
        now = self.clock()
        for name, window in windows.items():
            if not window.admit(now):
                wait = RetryAfter(self.options.retry_after, now, window.resets_in(now))
                return _rate_limited(request, window.limit, name, wait)
        for window in windows.values():
            window.spend(now)
        return None

    def _plant(self, seed: Seed) -> None:
        for template in seed.templates:
            for record_id in self._seed_ids(template.id, template.count):
                self.templates[record_id] = new_template(record_id, self.clock()) | {
                    "name": template.name,
                    "subject": template.subject,
                    "body_html": template.body,
                }
        for sequence in seed.sequences:
            for record_id in self._seed_ids(sequence.id, sequence.count):
                self._plant_campaign(record_id, sequence)

    def _seed_ids(self, first: int | str | None, count: int) -> Iterable[str]:
        if first is None:
            return [self._new_id() for _ in range(count)]
        if not isinstance(first, str) or not _SEED_ID.fullmatch(first):
            raise strict_json.JsonMismatchError("seed: ids at apollo have 24 hex digits")
        return [f"{int(first, 16) + offset:024x}" for offset in range(count)]

    def _plant_campaign(self, record_id: str, seed: SequenceSeed) -> None:
        if seed.kind not in (None, "waiting_time", "exact_time") or seed.archived:
            raise strict_json.JsonMismatchError(
                "seed: a sequence at apollo is of kind waiting_time or exact_time"
            )
        by_exact_daytime = True if seed.kind == "exact_time" else None
        name = seed.name or f"Sequence {record_id}"
        created_at = utc_milliseconds(self.clock())
        campaign = Campaign(record_id, name, by_exact_daytime, created_at)
        self.campaigns[record_id] = campaign
        for position in range(1, seed.steps + 1):
            given = {"type": "call", "position": position, "wait_time": 1, "wait_mode": "day"}
            if by_exact_daytime:
                given["exact_datetime"] = f"{2029 + position}-01-01T00:00:00Z"
            self.add_step(campaign, given | {"emailer_campaign_id": record_id})

    def sees(self, request: Request, step: Step) -> bool:
        """Whether a read may show the step already."""
        return step.hidden is None or not step.hidden.covers(request, self.clock())

    def add_step(self, campaign: Campaign, given: dict[str, Any]) -> Step:
        """Makes a step of members that fit, with its touch and its template if it has them."""
        step = Step(campaign, new_step(self._new_id(), given))
        if given["type"] in EMAIL_TYPES + MESSAGE_TYPES:
            step.template = new_template(self._new_id(), self.clock())
            step.touch = new_touch(self._new_id(), step.fields, step.template["id"])
            self.templates[step.template["id"]] = step.template
            self.steps_by_touch[step.touch["id"]] = step
        campaign.steps.append(step)
        self.steps[step.fields["id"]] = step
        return step

    def _new_id(self) -> str:
        return make_id(self.clock(), next(self._counter))


def _rate_limited(request: Request, limit: int, window: str, retry_after: RetryAfter) -> Answer:
    collection = request.path.removeprefix("/api").removeprefix("/v1/").partition("/")[0]
    text = (
        f"The maximum number of api calls allowed for api/v1/{collection} is {limit} times per "
        f"{window}. Please upgrade your plan from https://app.apollo.io/#/settings/plans."
    )
    answer = json_answer(429, {"message": text})
    answer.headers |= retry_after.headers
    return answer


def _limit_headers(windows: dict[str, Window]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, window in windows.items():
        word = _HEADER_WORDS[name]
        headers[f"x-rate-limit-{word}"] = str(window.limit)
        headers[f"x-{word}-usage"] = str(window.used())
        headers[f"x-{word}-requests-left"] = str(window.left())
    return headers
