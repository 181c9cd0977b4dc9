"""One Outreach account: its records, who may call its endpoints and how often.

[doc, code] scopes that do not include each other (`.all` does), 10,000 requests per hour with their
headers on every answer, one token a minute (off by default). [unknown], chosen: a refresh that
brings a new refresh token ends the old one; X-RateLimit-Reset has the form of Retry-After, of
which it is said to be an alias (seconds, when that is off).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sandbox import oauth, strict_json
from sandbox.accounts import Account, Seed, SequenceSeed, Setup, TemplateSeed, World
from sandbox.clock import RetryAfter, RetryAfterForm, utc_milliseconds
from sandbox.messages import Answer, RefusedError, Request, numeric_id
from sandbox.outreach.bodies import STEP_COUNTS
from sandbox.outreach.endpoints import ENDPOINTS
from sandbox.outreach.errors import error_answer, refused
from sandbox.outreach.records import Record, display_name, new_record, render
from sandbox.rate_limits import RateLimit, Window

if TYPE_CHECKING:
    from collections.abc import Iterable

CLIENT = oauth.Client("outreach-client", "outreach-secret")
TOKEN_PATH = "/oauth/token"  # noqa: S105  (a path)
SCOPES = ("sequences.all", "sequenceSteps.all", "sequenceTemplates.all", "templates.all")

USER = {"type": "user", "id": 12}
COLLEAGUE = {"type": "user", "id": 13}
REQUESTS_PER_HOUR = 10_000
HOUR_SECONDS = 3600.0

FIRST_IDS = {"sequence": 5001, "sequenceStep": 90210, "sequenceTemplate": 31337, "template": 7001}
"""Of what requests make; what a seed leaves without an id counts up from 1."""


@dataclass(frozen=True, slots=True)
class Options:
    """What can be set per account.

    scopes: what its tokens may do.
    rate_limit: enforce one.
    retry_after: the form of Retry-After [unknown].
    refresh_answer: whether a refresh brings a new refresh token, or `none`: the old one lives on.
    mint_throttle_seconds: at most one refresh in this time; the vendor's is 60 [doc].
    kind_mismatch: an interval on a date sequence, or a date on an interval one, is refused (422) or
        dropped silently [unknown].
    unknown_sequence_status: answer to a step for a sequence that does not exist [unknown].
    link_enabled: whether a new link starts enabled [unknown].
    """

    scopes: tuple[str, ...] = SCOPES
    rate_limit: RateLimit | None = None
    retry_after: RetryAfterForm = "seconds"
    refresh_answer: Literal["new", "none"] = "new"
    mint_throttle_seconds: float = 0.0
    kind_mismatch: Literal["refuse", "drop"] = "refuse"
    unknown_sequence_status: Literal[404, 422] = 422
    link_enabled: bool = True


class OutreachAccount(Account):
    """A customer of Outreach: one user, and a colleague of theirs with a token of their own."""

    vendor = "outreach"
    demo_seed = Seed(
        sequences=(
            SequenceSeed(id=4711, name="Interval sequence", kind="interval"),
            SequenceSeed(id=4712, name="Date sequence", kind="date"),
        ),
        templates=(TemplateSeed(id=55),),
    )

    def __init__(self, setup: Setup, world: World) -> None:
        super().__init__(setup, world)
        self.options = strict_json.read(Options, setup.options, "options")
        self.records: dict[str, dict[int, Record]] = {kind: {} for kind in FIRST_IDS}
        self._next_ids = {kind: itertools.count(1) for kind in FIRST_IDS}
        self._plant(setup.seed or self.demo_seed)
        self._next_ids = {kind: itertools.count(first) for kind, first in FIRST_IDS.items()}
        self._hour = Window.of(self.options.rate_limit, REQUESTS_PER_HOUR, HOUR_SECONDS)
        self._colleague_token = f"{self.name}-colleague"
        self.register(self._colleague_token)
        self._tokens = oauth.OAuthTokens(
            self.name,
            self.clock,
            self.register,
            oauth.Rules(
                " ".join(self.options.scopes),
                self.options.refresh_answer,
                self.options.mint_throttle_seconds,
            ),
        )

    @staticmethod
    def credential_of(request: Request) -> str | None:
        """The bearer token, or the refresh token in a grant."""
        return oauth.credential_of(request, TOKEN_PATH)

    @staticmethod
    def answer_stranger(request: Request) -> Answer:
        """401, or a refused grant."""
        if request.path == TOKEN_PATH:
            return oauth.refuse_grant(request, CLIENT)
        return error_answer(401, "The access token is missing, expired or revoked.")

    @staticmethod
    def rate_limited(request: Request, retry_after: RetryAfter) -> Answer:
        """429 `rateLimitExceeded`, whose detail names the limit and the time to retry."""
        del request  # Other vendors name the endpoint.
        answer = error_answer(
            429,
            f"You have exceeded the rate limit of {REQUESTS_PER_HOUR} requests per hour. "
            f"Retry after {utc_milliseconds(retry_after.now + retry_after.seconds)}.",
        )
        answer.headers |= retry_after.headers
        return answer

    def answer(self, request: Request) -> Answer:
        """Applies a request; rate-limit headers are on every answer but the token endpoint's."""
        try:
            if request.path == TOKEN_PATH:
                return self._refresh(request)
        except RefusedError as refusal:
            return refusal.answer
        try:
            answer = self._answer_within_limit(request)
        except RefusedError as refusal:
            answer = refusal.answer
        answer.headers |= self._limit_headers()
        return answer

    def credentials(self) -> dict[str, Any]:
        """Tokens as they are now, and the client that refreshes them."""
        return {
            "client_id": CLIENT.client_id,
            "client_secret": CLIENT.client_secret,
            "access_token": self._tokens.access_token,
            "refresh_token": self._tokens.refresh_token,
            "colleague_access_token": self._colleague_token,
        }

    def state(self) -> dict[str, Any]:
        """All records, each as a JSON:API resource."""
        names = {
            "sequences": "sequence",
            "steps": "sequenceStep",
            "links": "sequenceTemplate",
            "templates": "template",
        }
        return {
            name: [render(record, "", lambda _: True) for record in self.records[kind].values()]
            for name, kind in names.items()
        }

    def delete_step(self, step_id: str) -> bool:
        """Removes a step and its links."""
        step = self.find("sequenceStep", step_id)
        if step is None:
            return False
        for link in list(step.children):
            self.remove(link)
        self.remove(step)
        return True

    def expire_access_tokens(self) -> None:
        """All of the user's; the colleague's stays."""
        self._tokens.expire_access_tokens()

    def revoke_refresh_token(self) -> None:
        """The next refresh is answered `invalid_grant`."""
        self._tokens.revoke_refresh_token()

    def _refresh(self, request: Request) -> Answer:
        if request.method != "POST":
            raise refused(404, "Not found.")
        refresh_token = oauth.read_grant(request, CLIENT)
        wait_seconds = self._tokens.throttled_for()
        if wait_seconds > 0:
            return self.rate_limited(request, self._retry_after(wait_seconds))
        return self._tokens.exchange(refresh_token)

    def _answer_within_limit(self, request: Request) -> Answer:
        token = self.credential_of(request) or ""
        if token != self._colleague_token and not self._tokens.is_live(token):
            return self.answer_stranger(request)
        now = self.clock()
        if not self._hour.admit(now):
            return self.rate_limited(request, self._retry_after(self._hour.resets_in(now)))
        self._hour.spend(now)
        found = ENDPOINTS.find(request.method, request.path)
        if found is None:
            raise refused(404, "Not found.")
        endpoint, ids = found
        resource = endpoint.scope.partition(".")[0]
        if not {endpoint.scope, f"{resource}.all"} & set(self.options.scopes):
            raise refused(403, f"Your authorization is missing the scope {endpoint.scope}.")
        if request.query and not endpoint.is_list:
            raise refused(400, f"Unsupported parameter: {request.query[0][0]}")
        return endpoint.handle(self, request, *ids)

    def _retry_after(self, wait_seconds: float) -> RetryAfter:
        return RetryAfter(self.options.retry_after, self.clock(), wait_seconds)

    def _limit_headers(self) -> dict[str, str]:
        reset = self._retry_after(self._hour.resets_in(self.clock()))
        return {
            "x-ratelimit-limit": str(self._hour.limit),
            "x-ratelimit-remaining": str(self._hour.left()),
            "x-ratelimit-reset": reset.value or str(int(reset.seconds)),
        }

    def _plant(self, seed: Seed) -> None:
        for sequence in seed.sequences:
            for record_id in self._seed_ids("sequence", sequence.id, sequence.count):
                self._plant_sequence(record_id, sequence)
        for template in seed.templates:
            content = {
                "name": template.name,
                "subject": template.subject,
                "bodyHtml": template.body,
            }
            for record_id in self._seed_ids("template", template.id, template.count):
                self.add(new_record("template", record_id, content, self.clock()))

    def _seed_ids(self, kind: str, first: int | str | None, count: int) -> Iterable[int]:
        if first is None:
            return itertools.islice(self._next_ids[kind], count)
        if not isinstance(first, int):
            raise strict_json.JsonMismatchError("seed: ids at outreach are integers")
        return range(first, first + count)

    def _plant_sequence(self, record_id: int, seed: SequenceSeed) -> None:
        kind = seed.kind or "interval"
        if kind not in ("interval", "date") or seed.archived:
            raise strict_json.JsonMismatchError("seed: a sequence is of kind interval or date")
        given = {"name": seed.name or f"Sequence {record_id}", "sequenceType": kind}
        sequence = self.add(new_record("sequence", record_id, given, self.clock()))
        for order in range(1, seed.steps + 1):
            when = {"interval": 86_400} if kind == "interval" else {"date": "2030-01-01"}
            self.add_step(sequence, {"stepType": "call", "order": order, **when}, {"creator": USER})

    def find(self, kind: str, record_id: str) -> Record | None:
        """The record with an id as it stands in a path, if there is one."""
        return self.records[kind].get(numeric_id(record_id))

    def exists(self, kind: str, record_id: int) -> bool:
        """Whether there is such a record."""
        return record_id in self.records[kind]

    def sees(self, request: Request, record: Record) -> bool:
        """Whether a read may show the record already."""
        return record.hidden is None or not record.hidden.covers(request, self.clock())

    def user_of(self, request: Request) -> dict[str, Any]:
        """Whose token it is."""
        return COLLEAGUE if self.credential_of(request) == self._colleague_token else USER

    def next_id(self, kind: str) -> int:
        """The id of the next record that a request makes."""
        return next(self._next_ids[kind])

    def add(self, record: Record) -> Record:
        """Puts a record in its place, and under its parent if it has one."""
        self.records[record.kind][record.id] = record
        parent = record.parent
        if parent is not None:
            parent.children.append(record)
            if parent.kind == "sequence":
                parent.attributes["sequenceStepCount"] += 1
        return record

    def remove(self, record: Record) -> None:
        """Takes a record away; what names it stays."""
        del self.records[record.kind][record.id]
        parent = record.parent
        if parent is not None:
            parent.children.remove(record)
            if parent.kind == "sequence":
                parent.attributes["sequenceStepCount"] -= 1

    def add_step(
        self, sequence: Record, given: dict[str, Any], relationships: dict[str, Any]
    ) -> Record:
        """Makes a step of attributes that fit; without `order` it goes behind the last one."""
        if "order" not in given:
            last = max((step.attributes["order"] for step in sequence.children), default=0)
            given = given | {"order": last + 1}
        step_id = self.next_id("sequenceStep")
        counts = dict.fromkeys(STEP_COUNTS, 0)
        attributes = given | {"displayName": display_name(given)} | counts
        step = new_record("sequenceStep", step_id, attributes, self.clock())
        step.relationships = {
            "sequence": sequence,
            "callPurpose": None,
            "taskPriority": None,
            **relationships,
        }
        return self.add(step)
