"""An `Http` in front of a vendor model: what goes wrong with which request is scripted."""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from service.domain.provider_call import AnswerLost, NotSent, ProviderAnswer, ProviderRequest
from tests.application.virtual_time import BOOT_SECONDS_AT_START

CALLER: ContextVar[str] = ContextVar("CALLER", default="")
"""The request id of the operation that a request is sent for; empty for a preview."""


class Vendor(Protocol):
    """A tiny model of one vendor: its sequences, their steps and the messages of these."""

    sequence_id: str
    """The sequence that a request is for unless it says otherwise."""

    steps: dict[str, dict[str, Any]]
    """The steps of all sequences by id."""

    def handle(self, request: ProviderRequest) -> ProviderAnswer:
        """Do what the request asks for."""

    def step_ids(self, sequence_id: str) -> set[str]:
        """Return the steps of a sequence."""

    def messages(self, step_id: str) -> int:
        """Return how many messages a step has."""

    def alter(self, step_id: str) -> None:
        """Give a step other values than were asked for."""


@dataclass(frozen=True, slots=True)
class Happening:
    """What comes of one request."""

    outcome: ProviderAnswer | NotSent | AnswerLost | None = None
    """What the client gets; None for the vendor's own answer, which needs the request applied."""

    applied_after_seconds: float | None = None
    """When the vendor does what is asked; None for never."""

    takes_seconds: float | None = 0.05
    """None for as long as the client lets it."""

    meanwhile: Callable[[ProviderRequest], object] = lambda _: None
    """What somebody else does at the vendor when the request arrives."""


WORKS = Happening(applied_after_seconds=0)


@dataclass(frozen=True, slots=True)
class Sent:
    """One request that was given to the client."""

    caller: str
    resource: str
    """Method and first part of the path, such as `POST /sequenceSteps`."""

    request: ProviderRequest
    timeout_seconds: float
    start_within_seconds: float | None
    at_seconds: float
    happening: Happening

    @property
    def is_write(self) -> bool:
        return self.request.method != "GET"

    @property
    def is_provably_not_done(self) -> bool:
        """Whether the client was told, in a way that counts, that the vendor did nothing."""
        outcome = self.happening.outcome
        if isinstance(outcome, ProviderAnswer):
            return outcome.status in {401, 429} or b"Maintenance" in outcome.body
        return isinstance(outcome, NotSent)


def resource_of(request: ProviderRequest) -> str:
    """Return method and resource, whatever the base URL and the ids."""
    parts = urlsplit(request.url).path.split("/")
    return f"{request.method} /{parts[2]}"


@dataclass(slots=True)
class ScriptedHttp:
    """Implements `Http`: one happening of the script per request, then everything works."""

    vendor: Vendor
    sent: list[Sent] = field(default_factory=list)
    made_by: dict[str, str] = field(default_factory=dict)
    """Whose request made which step."""

    script: dict[str, list[Happening]] = field(default_factory=dict)
    """By resource: used up one request after another."""

    always: dict[str, Happening] = field(default_factory=dict)
    """By resource: for every request beyond the script."""

    choose: Callable[[ProviderRequest], Happening] | None = None
    """Decides about a request that nothing else decides about."""

    @property
    def writes(self) -> list[str]:
        """The resources of all writes, in order."""
        return [sent.resource for sent in self.sent if sent.is_write]

    async def send(
        self,
        request: ProviderRequest,
        *,
        timeout_seconds: float,
        start_by_seconds: float | None = None,
    ) -> ProviderAnswer:
        loop = asyncio.get_running_loop()
        resource = resource_of(request)
        happening = self._next(resource, request)
        boot_seconds = BOOT_SECONDS_AT_START + loop.time()
        start_within_seconds = None if start_by_seconds is None else start_by_seconds - boot_seconds
        self.sent.append(
            Sent(
                CALLER.get(),
                resource,
                request,
                timeout_seconds,
                start_within_seconds,
                loop.time(),
                happening,
            )
        )
        happening.meanwhile(request)
        answer = self._applied(request, happening)
        takes_seconds = happening.takes_seconds
        if takes_seconds is None or takes_seconds > timeout_seconds:
            await asyncio.sleep(timeout_seconds)
            raise AnswerLost("timed out")
        await asyncio.sleep(takes_seconds)
        match happening.outcome:
            case None:
                assert answer is not None
                return answer
            case ProviderAnswer() as given:
                return given
            case fact:
                raise type(fact)(fact.why)

    def _next(self, resource: str, request: ProviderRequest) -> Happening:
        script = self.script.get(resource)
        if script:
            return script.pop(0)
        if resource in self.always:
            return self.always[resource]
        return self.choose(request) if self.choose is not None else WORKS

    def _applied(self, request: ProviderRequest, happening: Happening) -> ProviderAnswer | None:
        if happening.applied_after_seconds is None:
            return None
        if happening.applied_after_seconds == 0:
            return self._handle(request, CALLER.get())
        loop = asyncio.get_running_loop()
        loop.call_later(happening.applied_after_seconds, self._handle, request, CALLER.get())
        return None

    def _handle(self, request: ProviderRequest, caller: str) -> ProviderAnswer:
        before = set(self.vendor.steps)
        answer = self.vendor.handle(request)
        self.made_by |= dict.fromkeys(set(self.vendor.steps) - before, caller)
        return answer


def answer(
    status: int, body: object = None, headers: Mapping[str, str] | None = None, flaw: str = ""
) -> ProviderAnswer:
    """Return an answer with a JSON body; none without `body`."""
    content = b"" if body is None else json.dumps(body).encode()
    return ProviderAnswer(status, dict(headers or {}), content, flaw)
