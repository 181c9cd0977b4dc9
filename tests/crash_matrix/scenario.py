"""The table of crashes: which write, where its process dies, what the vendor does, who acts next.

A process may also be frozen where it could have died: it wakes when somebody else has taken over.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from service.application.journal_port import LEASE_SECONDS
from tests.application import plans
from tests.application.plans import PlanKind
from tests.application.scripted_http import answer
from tests.simulation.fate import Exchange

LATE_SECONDS = 100.0
"""Within the time in which a provider applies a write and shows it."""

SOON_SECONDS = LEASE_SECONDS + 10
"""When another request, which had to wait for the lease, looks for what it lost itself."""

FROZEN_SECONDS = LEASE_SECONDS + 2
"""Long enough that somebody else owns what the process was at."""

SLOW_SECONDS = 2.5
"""What each request takes then, so that the process wakes while the other one is at it."""


class CrashPoint(enum.Enum):
    """Where the process dies."""

    BEFORE_SENT = "as it asks the journal to commit that the write is sent"
    AFTER_SENT = "after that commit, before the first byte"
    AT_VENDOR = "after the vendor has the request, before there is an answer"
    AFTER_ANSWER = "as it asks for the next commit after the answer"
    AFTER_COMMIT = "after the first commit that follows the answer"
    AFTER_END = "after the end is committed, before the caller hears of it"


class VendorDoes(enum.Enum):
    """What the vendor makes of the write."""

    NOTHING = "nothing"
    APPLIES = "applies it at once"
    APPLIES_LATE = "applies it late"
    SHOWS_LATE = "applies it, and its lists show that late"


class Answer(enum.Enum):
    """What the process gets to hear."""

    OWN = "the vendor's own"
    WITHOUT_ID = "a yes without an id"
    LOST = "none"


class Next(enum.Enum):
    """Who acts after the crash."""

    SAME_AT_ONCE = "the process starts again, and its caller repeats the request at once"
    SAME_AFTER_SETTLE = "both come back when everything has had time to show"
    RECOVERY = "the process starts again, and its caller does not come back"
    SAME_ELSEWHERE = "the caller repeats the request at another replica at once"
    EQUAL_AT_ONCE = "another request wants an equal step, at another replica at once"
    EQUAL_AT_ONCE_AND_LOST = "as EQUAL_AT_ONCE, and its own write is lost and not applied"
    EQUAL_AFTER_SETTLE = "as EQUAL_AT_ONCE, but when everything has had time to show"
    SAME_ELSEWHERE_AND_IT_WAKES = "as SAME_ELSEWHERE, but the process was only frozen"
    EQUAL_AT_ONCE_AND_IT_WAKES = "as EQUAL_AT_ONCE, but the process was only frozen"

    @property
    def is_elsewhere(self) -> bool:
        """Whether another replica is up when the process dies or freezes."""
        return self not in {
            Next.SAME_AT_ONCE,
            Next.SAME_AFTER_SETTLE,
            Next.RECOVERY,
            Next.EQUAL_AFTER_SETTLE,
        }

    @property
    def is_only_frozen(self) -> bool:
        """Whether the process comes back as it was."""
        return self in {Next.SAME_ELSEWHERE_AND_IT_WAKES, Next.EQUAL_AT_ONCE_AND_IT_WAKES}


@dataclass(frozen=True, slots=True)
class Target:
    """A write of a plan, and how it comes about."""

    plan: PlanKind
    kind: str
    """As in `PlanKind.writes`, or `undo`."""

    resource: str
    refused: str = ""
    """The write that is refused at first, so that what was made before is undone."""

    def __str__(self) -> str:
        return f"{self.plan.name}, {self.kind}"


TARGETS = (
    *(Target(plan, kind, resource) for plan in plans.ALL for kind, resource in plan.writes.items()),
    Target(plans.OUTREACH_CONTENT, "undo", "DELETE /templates", "POST /sequenceSteps"),
    Target(plans.APOLLO_MESSAGE, "undo", "DELETE /emailer_steps", "PUT /emailer_touches"),
)

_HEARD = {
    Answer.OWN: None,
    Answer.WITHOUT_ID: answer(200, {"data": {"id": None}}),
    Answer.LOST: plans.LOST,
}


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table."""

    target: Target
    point: CrashPoint
    vendor: VendorDoes
    answer: Answer
    next: Next

    def __str__(self) -> str:
        columns = (self.point, self.vendor, self.answer, self.next)
        return f"{self.target} / " + " / ".join(column.name for column in columns)

    @property
    def exchange(self) -> Exchange:
        """What comes of the write's first attempt."""
        is_sooner = self.next is Next.EQUAL_AT_ONCE_AND_LOST
        late_seconds = SOON_SECONDS if is_sooner else LATE_SECONDS
        applied_after_seconds = {
            VendorDoes.NOTHING: None,
            VendorDoes.APPLIES: 0.0,
            VendorDoes.APPLIES_LATE: late_seconds,
            VendorDoes.SHOWS_LATE: 0.0,
        }
        return Exchange(
            applied_after_seconds=applied_after_seconds[self.vendor],
            shown_after_seconds=late_seconds if self.vendor is VendorDoes.SHOWS_LATE else 0.0,
            answer=_HEARD[self.answer],
        )


def scenarios(target: Target) -> Iterator[Scenario]:
    """Return every combination that there can be for one write."""
    for point in CrashPoint:
        for vendor in VendorDoes:
            for given in Answer:
                if _can_be(target, point, vendor, given):
                    for next_ in Next:
                        yield Scenario(target, point, vendor, given, next_)


def _can_be(target: Target, point: CrashPoint, vendor: VendorDoes, given: Answer) -> bool:
    if point in {CrashPoint.BEFORE_SENT, CrashPoint.AFTER_SENT}:
        # Nothing has come to the vendor, and nothing is heard of it.
        return (vendor, given) == (VendorDoes.NOTHING, Answer.LOST)
    if point is CrashPoint.AT_VENDOR:
        return given is Answer.LOST
    if vendor is VendorDoes.NOTHING:
        # A vendor that says yes does it.
        return given is Answer.LOST
    if given is Answer.WITHOUT_ID:
        # Only what makes something in the sequence needs an id.
        return target.kind in {"step", "link"}
    # Its own answer is made of what it has done.
    return given is not Answer.OWN or vendor is not VendorDoes.APPLIES_LATE
