"""One operation's calls at one provider: credential, time, repeats, and what failures mean.

Every HTTP request of an operation goes through here, so a rule about sending is stated once.
"""

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeAlias
from urllib.parse import quote, urlencode

from service.application import provider_failure
from service.application.budget import Budget
from service.application.call_record import CallRecord
from service.application.json_text import json_bytes, parse_json_object
from service.application.ports import Clock, Connections, Http, Provider
from service.application.rate_limits import RateLimits, Wait
from service.application.retry import (
    TURNED_AWAY_WAIT_SECONDS_MAX,
    WITHOUT_EFFECT,
    Meaning,
    meaning_of,
    pause_before_repeat,
)
from service.domain.connection import Connection
from service.domain.errors import ServiceError
from service.domain.json_value import JsonObject
from service.domain.plan import Call
from service.domain.provider_call import (
    AnswerLost,
    CallKind,
    NotSent,
    ProviderAnswer,
    ProviderRequest,
)
from service.domain.retry_after import retry_after_seconds
from service.domain.value_class import value_class

READ_SECONDS_MAX = 20.0
"""A read gets this, or what is left of the operation's time."""

WRITE_SECONDS = 30.0
"""A write always gets all of it: cutting it short would turn a slow success into doubt."""

START_WITHIN_SECONDS = 2.0
"""A write that could not start by then, on a clock that runs through suspend, is not sent."""

RATE_LIMIT_SECONDS_DEFAULT = 60.0
"""For a 429 without a hint: Salesloft documents none, and its window is a minute [doc]."""

ANSWERED_WITH_BODY = frozenset({"GET", "PUT"})
"""Of the methods that may be repeated; a DELETE needs no body to be understood."""

NOT_FOUND = 404
SERVICE_UNAVAILABLE = 503


Intent: TypeAlias = Callable[[bool], Awaitable[None]]
"""Commits that an attempt of a write is about to be sent; called before each of them. It is told
whether an earlier attempt was lost. What it raises ends the call, and nothing is sent."""


@value_class
class Surroundings:
    """What all sessions of the process share."""

    http: Http
    connections: Connections
    rate_limits: RateLimits
    clock: Clock


@value_class
class Exchange:
    """The end of one call: what is known after its last attempt."""

    meaning: Meaning
    status: int | None = None
    body: JsonObject | None = None
    """The body of a 2xx answer; None when it is no JSON object, or cannot be trusted."""

    failure: ServiceError | None = None
    """What to tell the caller; None when the call is done."""

    was_lost: bool = False
    """Whether an attempt was lost, the last one or one before it: it may still be applied."""


@value_class
class _Request:
    """What stays the same over the attempts of one call."""

    method: str
    target: str
    content: bytes | None
    repeatable: bool

    @property
    def is_read(self) -> bool:
        return self.method == "GET"


@value_class
class _Attempt:
    """One HTTP request of a call, and what is known after it."""

    connection: Connection
    meaning: Meaning
    answer: ProviderAnswer | None = None
    body: JsonObject | None = None
    why: str = ""
    """Set where there is no readable answer."""

    wait_seconds: float = 0.0
    """What the provider asks for, where it turned the request away."""


class ProviderSession:
    """Implements `Reader`, and sends an operation's writes."""

    def __init__(
        self,
        provider: Provider,
        connection: Connection,
        budget: Budget,
        record: CallRecord,
        surroundings: Surroundings,
    ) -> None:
        self._provider = provider
        self._use(connection)
        self._refreshed: Connection | None = None
        """What a refresh gave: when it is refused too, another one does not help."""
        self._budget = budget
        self._record = record
        self._surroundings = surroundings

    def _use(self, connection: Connection) -> None:
        self._connection = connection
        self._headers = self._provider.headers(connection)

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> JsonObject | None:
        """See `Reader.get`."""
        self._record.provider_reads += 1
        target = f"{path}?{urlencode(query, quote_via=quote)}" if query else path
        exchange = await self._exchange(_Request("GET", target, None, repeatable=True))
        if exchange.status == NOT_FOUND:
            return None
        if exchange.failure is not None:
            raise exchange.failure
        return exchange.body

    async def write(self, call: Call, intent: Intent, *, despite_limit: bool = False) -> Exchange:
        """Send a write, and again only where that cannot double its effect.

        `despite_limit`: also while the provider limits requests; it may limit others than this.
        """
        self._record.provider_writes += 1
        content = None if call.body is None else json_bytes(call.body)
        write = call.write
        request = _Request(write.method, call.path, content, write.repeatable)
        return await self._exchange(request, intent, despite_limit=despite_limit)

    async def _exchange(
        self, request: _Request, intent: Intent | None = None, *, despite_limit: bool = False
    ) -> Exchange:
        """Make attempts until one settles the call, or sending it again is not allowed."""
        earlier: Counter[Meaning] = Counter()
        was_lost = False
        while True:
            try:
                self._budget.require(0)
                if not despite_limit and (wait := self._rate_limit()):
                    await self._surroundings.clock.sleep(wait.seconds)
                if intent is None:
                    attempt = await self._attempt(request)
                else:
                    attempt = await self._attempt_write(request, partial(intent, was_lost))
                if attempt.meaning is Meaning.DONE:
                    return self._end(request, attempt, was_lost=was_lost)
                was_lost |= attempt.meaning is Meaning.LOST
                pause = self._pause_before_repeat(request, attempt, earlier[attempt.meaning])
                if pause is None:
                    return self._end(request, attempt, was_lost=was_lost)
                if attempt.meaning is Meaning.UNAUTHENTICATED:
                    renewed = await self._surroundings.connections.refresh(attempt.connection)
                    self._refreshed = renewed
                    self._use(renewed)
            except ServiceError as failure:
                return Exchange(Meaning.REFUSED, failure=failure, was_lost=was_lost)
            earlier[attempt.meaning] += 1
            await self._surroundings.clock.sleep(pause)

    async def _attempt_write(
        self, request: _Request, intent: Callable[[], Awaitable[None]]
    ) -> _Attempt:
        """Make an attempt; the first write that may have an effect ends the caller's time.

        The time to start counts from before the commit: a process that was frozen after it, and
        wakes when another one owns the operation, must send nothing.
        """
        is_first_write = self._budget.start_write()
        start_by_seconds = self._surroundings.clock.boot_seconds() + START_WITHIN_SECONDS
        await intent()
        attempt = await self._attempt(request, start_by_seconds)
        if is_first_write and attempt.meaning in WITHOUT_EFFECT:
            self._budget.take_back_first_write()
        return attempt

    async def _attempt(self, request: _Request, start_by_seconds: float | None = None) -> _Attempt:
        connection = self._connection
        self._record.provider_requests += 1
        try:
            answer = await self._send(request, start_by_seconds)
        except NotSent as fact:
            return _Attempt(connection, Meaning.NOT_SENT, why=fact.why)
        except AnswerLost as fact:
            return _Attempt(connection, Meaning.LOST, why=fact.why)
        is_maintenance = answer.status == SERVICE_UNAVAILABLE and self._provider.is_maintenance(
            answer
        )
        meaning = meaning_of(answer, is_maintenance=is_maintenance)
        if meaning is Meaning.TURNED_AWAY:
            return self._turned_away(connection, answer)
        if meaning is not Meaning.DONE:
            return _Attempt(connection, meaning, answer, why=f"HTTP status {answer.status}")
        body = parse_json_object(answer.body)
        if body is None and request.method in ANSWERED_WITH_BODY:
            # These may be repeated, so an answer that cannot be read is like none.
            why = answer.flaw or "its answer is no JSON object"
            return _Attempt(connection, Meaning.LOST, why=why)
        return _Attempt(connection, meaning, answer, body)

    async def _send(self, request: _Request, start_by_seconds: float | None) -> ProviderAnswer:
        left_seconds = max(self._budget.left_seconds, 0.0)
        return await self._surroundings.http.send(
            ProviderRequest(
                self._provider.name,
                CallKind.READ if request.is_read else CallKind.WRITE,
                request.method,
                self._provider.base_url + request.target,
                self._headers,
                request.content,
            ),
            timeout_seconds=min(READ_SECONDS_MAX, left_seconds)
            if request.is_read
            else WRITE_SECONDS,
            start_by_seconds=start_by_seconds,
        )

    def _turned_away(self, connection: Connection, answer: ProviderAnswer) -> _Attempt:
        """Remember how long the provider takes no request from this connection."""
        now_epoch_seconds = self._surroundings.clock.epoch_seconds()
        wait_seconds = retry_after_seconds(answer.headers, now_epoch_seconds)
        if wait_seconds is None:
            wait_seconds = RATE_LIMIT_SECONDS_DEFAULT
        self._surroundings.rate_limits.turned_away(
            connection.key, wait_seconds, is_maintenance=answer.status == SERVICE_UNAVAILABLE
        )
        return _Attempt(connection, Meaning.TURNED_AWAY, answer, wait_seconds=wait_seconds)

    def _rate_limit(self) -> Wait | None:
        """Return how long the connection should wait, or refuse to wait for so long."""
        wait = self._surroundings.rate_limits.wait(self._connection.key)
        if wait is not None and wait.seconds > min(
            TURNED_AWAY_WAIT_SECONDS_MAX, self._budget.left_seconds
        ):
            raise provider_failure.turned_away(
                self._provider, wait.seconds, is_maintenance=wait.is_maintenance
            )
        return wait

    def _pause_before_repeat(
        self, request: _Request, attempt: _Attempt, earlier: int
    ) -> float | None:
        if attempt.meaning is Meaning.UNAUTHENTICATED and attempt.connection == self._refreshed:
            return None
        return pause_before_repeat(
            attempt.meaning,
            earlier=earlier,
            repeatable=request.repeatable,
            wait_seconds=attempt.wait_seconds,
            left_seconds=self._budget.left_seconds,
            dice=random.random(),  # noqa: S311 - it spreads load and keeps no secret
        )

    def _end(self, request: _Request, attempt: _Attempt, *, was_lost: bool) -> Exchange:
        """Put what is known after the last attempt into words for the caller."""
        status = attempt.answer.status if attempt.answer is not None else None
        match attempt.meaning:
            case Meaning.DONE:
                return Exchange(attempt.meaning, status, attempt.body, was_lost=was_lost)
            case Meaning.NOT_SENT | Meaning.LOST:
                self._budget.require(0)
                failure = provider_failure.unavailable(self._provider, attempt.why)
            case Meaning.TURNED_AWAY:
                failure = provider_failure.turned_away(
                    self._provider,
                    attempt.wait_seconds,
                    is_maintenance=status == SERVICE_UNAVAILABLE,
                )
            case Meaning.UNAUTHENTICATED:
                failure = provider_failure.credential_refused(self._provider)
            case Meaning.REFUSED:
                failure = self._refused(request, attempt)
        return Exchange(attempt.meaning, status, failure=failure, was_lost=was_lost)

    def _refused(self, request: _Request, attempt: _Attempt) -> ServiceError:
        assert attempt.answer is not None
        return provider_failure.refused(
            self._provider,
            attempt.answer,
            request.method,
            request.target.partition("?")[0],
            attempt.connection.credential.reveal(),
        )
