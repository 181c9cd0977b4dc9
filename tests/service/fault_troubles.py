"""What can go wrong with one request to a vendor, as faults of the sandbox.

For each trouble it is said what a client can know of the request afterwards, and whether the vendor
has done what it asked for: that, and what the request was for, decides what a caller must be told.
"""

import enum
from dataclasses import dataclass, replace
from typing import Any


class Effect(enum.Enum):
    """What a client can know of a request."""

    WORKS = "answered as usual"
    LOST = "no answer, or one that says nothing: perhaps done"
    UNUSABLE = "answered with 2xx, and nothing in it can be used"
    NO_ID = "answered with 2xx and JSON in which every id is missing"
    AWAY_SHORT = "turned away for a moment, nothing done"
    AWAY_LONG = "turned away for longer than anybody should wait, nothing done"
    MAINTENANCE_LONG = (
        "Outreach's long maintenance, nothing done; elsewhere a 503 that says nothing"
    )
    UNAUTHENTICATED_ONCE = "401 once, nothing done"
    UNAUTHENTICATED = "401 however often, nothing done"
    REFUSED = "3xx or 4xx, nothing done"


class Applied(enum.Enum):
    """Whether the vendor does what the request asks for."""

    AT_ONCE = "before it answers"
    SOON = "after the client has given up, while it still looks"
    LATE = "after the client has stopped looking"
    NEVER = "not at all"


@dataclass(frozen=True)
class Trouble:
    """One fault, switched on for one request, or for all of its kind."""

    name: str
    fault: dict[str, Any]
    effect: Effect
    applied: Applied = Applied.AT_ONCE
    status: int = 0
    """Of a refusal."""

    wait_seconds: float = 0.0
    """What the vendor asks for when it turns a request away."""

    times: int | None = 1

    def ever(self) -> "Trouble":
        """Return the same trouble, however often the request is sent."""
        return replace(self, name=f"{self.name}, ever", times=None)

    def twice(self) -> "Trouble":
        """Return the same trouble for two requests."""
        return replace(self, name=f"{self.name}, twice", times=2)


def _broken(kind: str, when: str) -> dict[str, Any]:
    return {"kind": kind, "when": when}


def _status(status: int, when: str = "before", **more: Any) -> dict[str, Any]:
    return {"kind": "status", "status": status, "when": when, **more}


def _lost(when: str, applied: Applied) -> tuple[Trouble, ...]:
    broken = [_broken(kind, when) for kind in ("close", "reset", "garbage")]
    statuses = [_status(status, when) for status in (408, 500, 502, 503, 504)]
    return tuple(
        Trouble(f"{fault.get('status', fault['kind'])} {when}", fault, Effect.LOST, applied)
        for fault in (*broken, *statuses)
    )


WORKS = (
    Trouble("none", {"kind": "none"}, Effect.WORKS),
    Trouble("slow", {"kind": "none", "before_seconds": 0.5, "after_seconds": 0.5}, Effect.WORKS),
    Trouble("set_cookie", {"kind": "set_cookie"}, Effect.WORKS),
    Trouble("drip", {"kind": "drip", "piece_bytes": 64, "pause_seconds": 0.01}, Effect.WORKS),
)
LOST_NEVER_APPLIED = _lost("before", Applied.NEVER)
LOST_APPLIED = (
    *_lost("after", Applied.AT_ONCE),
    Trouble("huge_header", {"kind": "huge_header"}, Effect.LOST),
)
LOST_APPLIED_SOON = Trouble(
    "late_apply", {"kind": "late_apply", "late_seconds": 2.0}, Effect.LOST, Applied.SOON
)
LOST_APPLIED_LATE = Trouble(
    "late_apply, late", {"kind": "late_apply", "late_seconds": 22.0}, Effect.LOST, Applied.LATE
)
HANGS = Trouble("hangs", {"kind": "none", "before_seconds": 32.0}, Effect.LOST, Applied.SOON)
_UNUSABLE: dict[str, dict[str, Any]] = {
    "reset_mid_body": {"kind": "reset_mid_body"},
    "wrong_content_type": {"kind": "wrong_content_type"},
    "unreadable_json": {"kind": "unreadable_json"},
    "huge_body": {"kind": "huge_body"},
    "gzip bomb": {"kind": "huge_body", "gzip": True, "bytes": 8 * 1024 * 1024},
    "deep_json": {"kind": "deep_json"},
}
UNUSABLE = tuple(Trouble(name, fault, Effect.UNUSABLE) for name, fault in _UNUSABLE.items())
NO_ID = Trouble("no_id", {"kind": "no_id"}, Effect.NO_ID)


def _away(name: str, effect: Effect, wait_seconds: float, **fault: Any) -> Trouble:
    return Trouble(name, fault, effect, Applied.NEVER, wait_seconds=wait_seconds)


RATE_LIMITED_SHORT = _away("429 short", Effect.AWAY_SHORT, 1, kind="rate_limited")
RATE_LIMITED_LONG = _away(
    "429 long", Effect.AWAY_LONG, 40, kind="rate_limited", retry_after_seconds=40
)
RATE_LIMITED_UNSAID = _away(
    "429 without a hint", Effect.AWAY_LONG, 60, kind="rate_limited", retry_after="none"
)
RATE_LIMIT_FORMS = tuple(
    _away(
        f"429 {length} as {form}",
        effect,
        seconds,
        kind="rate_limited",
        retry_after=form,
        retry_after_seconds=seconds,
    )
    for form in ("seconds", "epoch", "http_date", "iso8601")
    for length, effect, seconds in (
        ("short", Effect.AWAY_SHORT, 2),
        ("long", Effect.AWAY_LONG, 20),
    )
)
MAINTENANCE_SHORT = _away("maintenance short", Effect.AWAY_SHORT, 1, kind="maintenance")
MAINTENANCE_LONG = _away(
    "maintenance long", Effect.MAINTENANCE_LONG, 40, kind="maintenance", retry_after_seconds=40
)

UNAUTHENTICATED_ONCE = Trouble(
    "401 once", _status(401), Effect.UNAUTHENTICATED_ONCE, Applied.NEVER, status=401
)
UNAUTHENTICATED = Trouble(
    "401 ever", _status(401), Effect.UNAUTHENTICATED, Applied.NEVER, status=401, times=None
)


def refused(status: int) -> Trouble:
    """Return a refusal with this status, without words."""
    return Trouble(str(status), _status(status), Effect.REFUSED, Applied.NEVER, status=status)


REDIRECT = Trouble(
    "redirect",
    {"kind": "redirect", "location": "/outreach/elsewhere"},
    Effect.REFUSED,
    Applied.NEVER,
    status=302,
)
REFUSED = (*(refused(status) for status in (400, 403, 404, 409, 422)), REDIRECT)

ANSWERED = (
    *WORKS,
    *UNUSABLE,
    NO_ID,
    RATE_LIMITED_SHORT,
    RATE_LIMITED_LONG,
    RATE_LIMITED_UNSAID,
    MAINTENANCE_SHORT,
    MAINTENANCE_LONG,
    UNAUTHENTICATED_ONCE,
    UNAUTHENTICATED,
    *REFUSED,
)
"""Every trouble with an answer that has a status which means something."""

LOST = (*LOST_NEVER_APPLIED, *LOST_APPLIED, LOST_APPLIED_SOON)
"""Every trouble without one."""
