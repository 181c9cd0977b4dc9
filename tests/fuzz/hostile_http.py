"""An `Http` with models of the vendors behind it, which damages the answers that an input names.

It also checks what it is asked: nothing that anybody says gets into a URL or a header.
"""

import asyncio
import json
import re
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from service.domain.plan import bind
from service.domain.provider_call import (
    AnswerLost,
    CallKind,
    NotSent,
    ProviderAnswer,
    ProviderRequest,
)
from service.domain.step import ProviderName, SequenceStep, StepRequest, StepType
from service.domain.survey import SequenceKind, Survey
from tests.application.scripted_http import Vendor, answer
from tests.application.world import MODELS, PROVIDERS
from tests.connections.samples import APPLICATIONS
from tests.fuzz import mutations
from tests.fuzz.fuzz_input import EVERY_ANSWER

_TOKEN_URLS: Final = {application.token_url for application in APPLICATIONS.values()}

CANARY: Final = "canary-of-a-secret"
REQUESTS_MAX: Final = 250
URL_CHARACTERS_MAX: Final = 2_000
INTEGER_LIMIT: Final = 2**53
ANSWER_SECONDS: Final = 0.05

_STATUSES: Final = (
    *(200, 200, 201, 204, 299, 300, 301, 302, 303, 304, 307, 308, 400, 400, 401, 403, 404, 408),
    *(409, 415, 422, 422, 429, 429, 500, 502, 503, 503, 504, 599, 600, 999),
)
_RETRY_AFTERS: Final = ("-5", "0", "3", "1e309", "nan", "315360000", "soon", "2030-01-01", "9" * 99)
_FLAWS: Final = ("larger than 1 MiB", "broke off", "timed out", "content encoding is broken")
_TARGET: Final = re.compile(r"/[A-Za-z_]+(/[0-9a-f]+)?(\?[A-Za-z0-9_.~%&=-]*)?")


@dataclass(slots=True)
class HostileHttp:
    """Serves one input at a time."""

    requests: int = 0
    writes: int = 0
    _vendors: dict[ProviderName, Vendor] = field(default_factory=dict)
    _damage: dict[int, int] = field(default_factory=dict)
    _token_damage: int | None = None

    def begin(
        self, damage: tuple[tuple[int, int], ...] = (), token_damage: int | None = None
    ) -> None:
        """Make ready for an input, with vendors that have a step where they may."""
        self._vendors = {provider: model() for provider, model in MODELS.items()}
        for provider in (ProviderName("outreach"), ProviderName("apollo")):
            _add_step(provider, self._vendors[provider])
        self.requests = self.writes = 0
        self._damage, self._token_damage = dict(damage), token_damage

    async def send(
        self,
        request: ProviderRequest,
        *,
        timeout_seconds: float,
        start_by_seconds: float | None = None,
    ) -> ProviderAnswer:
        del start_by_seconds
        number = self.requests
        self.requests += 1
        assert self.requests <= REQUESTS_MAX, "requests without end"
        vendor = self._asked(request)
        self.writes += request.method != "GET" and vendor is not None
        damage = self._token_damage if vendor is None else self._damage_of(number)
        await asyncio.sleep(min(ANSWER_SECONDS, timeout_seconds))
        if damage is None:
            return _good(request, vendor)
        random = Random(damage)  # noqa: S311 - it has to be the same again
        return await _damaged(random, request, vendor, timeout_seconds)

    def _damage_of(self, number: int) -> int | None:
        return self._damage.get(number, self._damage.get(EVERY_ANSWER))

    def _asked(self, request: ProviderRequest) -> Vendor | None:
        """Check that nothing foreign is in it; return who is asked, None for a token endpoint."""
        assert all(value.isascii() and value.isprintable() for value in request.headers.values())
        assert len(request.url) <= URL_CHARACTERS_MAX
        if request.body is not None:
            json.loads(request.body, parse_int=_checked_int, parse_constant=_refused)
        if request.url in _TOKEN_URLS:
            return None
        (provider,) = (each for each in PROVIDERS.values() if request.url.startswith(each.base_url))
        assert _TARGET.fullmatch(request.url.removeprefix(provider.base_url)), request.url
        return self._vendors[provider.name]


def _checked_int(digits: str) -> int:
    number = int(digits)
    assert abs(number) < max(INTEGER_LIMIT, 10**18), "a number that somebody made up"
    return number


def _refused(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def _add_step(provider: ProviderName, vendor: Vendor) -> None:
    """Let somebody else have added a step before."""
    adapter, step = PROVIDERS[provider], SequenceStep(StepType.CALL)
    plan = adapter.plan(StepRequest(vendor.sequence_id, step), Survey(SequenceKind.INTERVAL, {}))
    call = bind(plan.writes[0], {})
    url, body = f"{adapter.base_url}{call.path}", json.dumps(call.body).encode()
    vendor.handle(ProviderRequest("outreach", CallKind.WRITE, "POST", url, {}, body))


def _good(request: ProviderRequest, vendor: Vendor | None) -> ProviderAnswer:
    if vendor is not None:
        try:
            return vendor.handle(request)
        except (KeyError, ValueError):  # How a model says that it has no such thing.
            return answer(404)
    tokens = {"access_token": f"{CANARY}-2", "refresh_token": f"{CANARY}-3", "expires_in": 7200}
    return answer(200, tokens)


async def _damaged(
    random: Random, request: ProviderRequest, vendor: Vendor | None, timeout_seconds: float
) -> ProviderAnswer:
    if vendor is None and random.random() < 0.2:
        return answer(random.choice(_STATUSES), {"error": "invalid_grant"}, _headers(random))
    is_applied = random.random() < 0.7
    good = _good(request, vendor) if is_applied else answer(200, {"data": {}})
    match random.randrange(12):
        case 0:
            raise AnswerLost("broke") if is_applied else NotSent("could not connect")
        case 1:
            await asyncio.sleep(timeout_seconds)
            raise AnswerLost("no answer in time")
        case 2:
            return ProviderAnswer(good.status, {}, b"", random.choice(_FLAWS))
        case 3:
            body = mutations.changed_bytes(random, good.body, [good.body, b'{"id":"../x"}'])
            return ProviderAnswer(good.status, _headers(random), body)
        case 4:
            return _echo(random, request)
        case 5:
            status = random.choice(_STATUSES)
            return ProviderAnswer(status, _headers(random), good.body)
        case _:
            return _with_changed_json(random, good)


def _with_changed_json(random: Random, good: ProviderAnswer) -> ProviderAnswer:
    value: Any = json.loads(good.body or b"{}")
    for _ in range(random.choice((1, 1, 2, 5))):
        value = mutations.changed_json(random, value)
    status = good.status if random.random() < 0.8 else random.choice(_STATUSES)
    return ProviderAnswer(status, _headers(random), json.dumps(value).encode())


def _echo(random: Random, request: ProviderRequest) -> ProviderAnswer:
    """Repeat everything that came, where a vendor's sentence is read from."""
    before = random.choice((mutations.text(random), "x" * random.randrange(400), "x " * 140))
    came = f"{before} {' '.join(request.headers.values())} {request.body!r}"
    error = {"detail": came, "id": came, "source": {"pointer": mutations.text(random)}}
    body = {"errors": [error], "error": came, "message": came, "error_description": came}
    text = json.dumps(body)
    if random.random() < 0.5:
        text = text.replace("-", r"\u002d")  # As vendors do whose JSON is safe to have in HTML.
    return ProviderAnswer(random.choice(_STATUSES), _headers(random), text.encode())


def _headers(random: Random) -> dict[str, str]:
    headers = {}
    if random.random() < 0.5:
        headers["retry-after"] = random.choice(_RETRY_AFTERS)
    if random.random() < 0.3:
        headers["content-type"] = random.choice(("text/html", "application/json", "\x00"))
    return headers
