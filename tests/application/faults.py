"""Everything that can come of one write: what happens, and what that means."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from service.domain.provider_call import AnswerLost, NotSent, ProviderAnswer
from tests.application import plans
from tests.application.scripted_http import Happening, answer


class Effect(enum.Enum):
    """What a caller can know after the last attempt of a write."""

    DONE = "the answer says so"
    REFUSED = "nothing was done, and the write is given up"
    ACCEPTED = "answered with 2xx, but not with an id"
    LOST = "perhaps done"


class When(enum.Enum):
    """When the vendor does what an unclear write asks for, in seconds."""

    AT_ONCE = 0.0
    SOON = 3.0
    LATE = 60.0
    NEVER = None


@dataclass(frozen=True, slots=True)
class Fault:
    """What comes of one write, attempt by attempt; every later attempt works."""

    name: str
    script: tuple[Happening, ...]
    effect: Effect
    reason: str = ""
    """The reason of a write that is given up."""

    when: When = When.AT_ONCE
    outreach_only: bool = False
    """Whether only Outreach documents what the answer means."""


MAINTENANCE = {"errors": [{"id": "scheduledServerMaintenance", "title": "Maintenance"}]}
VALIDATION = {"errors": [{"detail": "no", "source": {"pointer": "/data/attributes/order"}}]}

LOST_OUTCOMES: dict[str, ProviderAnswer | AnswerLost] = {
    **{str(status): answer(status) for status in (408, 500, 502, 503, 504, 599)},
    "answer lost": AnswerLost("the connection broke"),
    "unreadable 500": answer(500, flaw="broke off"),
}
ACCEPTED_OUTCOMES = {
    "2xx without an id": answer(200, {"data": {"id": None}}),
    "2xx with a boolean for an id": answer(201, {"data": {"id": True}}),
    "2xx with a text for an id": answer(200, {"data": {"id": "x"}, "emailer_step": {"id": "x"}}),
    "2xx with an endless id": answer(201, {"data": {"id": "9" * 5_000}}),
    "2xx with a flaw": answer(201, flaw="larger than 1 MiB"),
    "2xx without JSON": ProviderAnswer(200, {"content-type": "text/html"}, b"<html>"),
    "204": answer(204),
}


def all_faults() -> Iterator[Fault]:
    """Return every fault of a write."""
    yield Fault("works", (), Effect.DONE)
    yield from _refusals()
    yield from _turned_away()
    yield from _not_sent()
    for when in When:
        for name, outcome in ACCEPTED_OUTCOMES.items():
            happening = Happening(outcome, when.value)
            yield Fault(f"{name}, {when.name}", (happening,), Effect.ACCEPTED, when=when)
        for name, lost in LOST_OUTCOMES.items():
            happening = Happening(lost, when.value)
            yield Fault(f"{name}, {when.name}", (happening,), Effect.LOST, when=when)
        if when is not When.SOON:  # It would be there before the hang is over.
            hang = Happening(plans.LOST, when.value, takes_seconds=None)
            yield Fault(f"hang, {when.name}", (hang,), Effect.LOST, when=when)
        not_sent_then_lost = (Happening(plans.NOT_SENT), Happening(plans.LOST, when.value))
        yield Fault(f"not sent, lost, {when.name}", not_sent_then_lost, Effect.LOST, when=when)


def _refusals() -> Iterator[Fault]:
    for status in (301, 302, 400, 404, 405, 409, 410, 413, 415, 422):
        yield _refused(str(status), answer(status))
    yield _refused("422 with pointer", answer(422, VALIDATION))
    yield _refused("422 with a surrogate", ProviderAnswer(422, {}, rb'{"error":"a\ud800b"}'))
    yield _refused("403", answer(403, {"error": "no"}), reason="PROVIDER_FORBIDDEN")
    unauthenticated = Happening(answer(401))
    yield Fault("401 once", (unauthenticated,), Effect.DONE)
    yield Fault("401 twice", (unauthenticated,) * 2, Effect.REFUSED, "CONNECTION_EXPIRED")


def _refused(name: str, given: ProviderAnswer, reason: str = "PROVIDER_REJECTED") -> Fault:
    return Fault(name, (Happening(given),), Effect.REFUSED, reason)


def _turned_away() -> Iterator[Fault]:
    limited = "PROVIDER_RATE_LIMITED"
    short = Happening(answer(429, headers={"retry-after": "2"}))
    yield Fault("429 short", (short,), Effect.DONE)
    yield Fault("429 short twice", (short,) * 2, Effect.REFUSED, limited)
    for name, headers in (("long", {"retry-after": "600"}), ("without a hint", {})):
        away = Happening(answer(429, headers=headers))
        yield Fault(f"429 {name}", (away,), Effect.REFUSED, limited)
    away = Happening(answer(503, MAINTENANCE, {"retry-after": "4"}))
    yield Fault("short maintenance", (away,), Effect.DONE, outreach_only=True)
    away = Happening(answer(503, MAINTENANCE, {"retry-after": "2030-01-01T00:00:00Z"}))
    yield Fault(
        "long maintenance",
        (away,),
        Effect.REFUSED,
        "PROVIDER_UNAVAILABLE",
        outreach_only=True,
    )


def _not_sent() -> Iterator[Fault]:
    not_sent = Happening(NotSent("connection refused"))
    yield Fault("not sent once", (not_sent,), Effect.DONE)
    yield Fault("not sent twice", (not_sent,) * 2, Effect.DONE)
    yield Fault("never sent", (not_sent,) * 3, Effect.REFUSED, "PROVIDER_UNAVAILABLE")
    mixed = (not_sent, Happening(answer(401)), Happening(answer(429, headers={"retry-after": "1"})))
    yield Fault("not sent, 401, 429", mixed, Effect.DONE)
