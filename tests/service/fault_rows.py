"""The table of faults: each trouble at each request of each flow, and what must follow.

What must follow is taken from docs/errors.md and the contract, by what the request is for.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from typing import Any

from engagement.v1 import sequence_step_pb2 as step_pb2
from tests.service import fault_troubles as troubles
from tests.service.fault_troubles import Applied, Effect, Trouble
from tests.service.vendor_account import TEMPLATES

SUBJECT, BODY = "Hello", "<p>Hi</p>"
"""Of the e-mail in every row, whether it comes from a template or is given inline."""


@dataclass(frozen=True)
class Flow:
    """One call of the service without any fault."""

    vendor: str
    has_inline_content: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def step(self) -> step_pb2.SequenceStep:
        """Return the step that is asked for: an e-mail, a day after the one before."""
        content = step_pb2.TemplateContent(subject=SUBJECT, body_html=BODY, name="Intro")
        template = (
            step_pb2.Template(content=content)
            if self.has_inline_content
            else step_pb2.Template(id=TEMPLATES[self.vendor])
        )
        return step_pb2.SequenceStep(
            type=step_pb2.STEP_TYPE_AUTO_EMAIL, interval_seconds=86_400, template=template
        )


OUTREACH = Flow("outreach")
OUTREACH_INLINE = Flow("outreach", has_inline_content=True)
SALESLOFT = Flow("salesloft")
APOLLO = Flow("apollo")
APOLLO_STEP_ALONE = Flow("apollo", options={"create_answer": "step_only"})
"""Where the answer to a new step leaves out its touch, which is then read."""


@dataclass(frozen=True)
class Expected:
    """What the caller must get, and what must be left at the vendor."""

    reason: str = "OK"
    steps: int | None = None
    """New steps; None for what the reason says by itself."""

    spare_templates: tuple[int, ...] = (0,)
    """How many new templates may be left that no step uses."""

    warnings: frozenset[str] = frozenset()
    """Warnings beyond those of the flow itself."""

    may_be_whole: bool = False
    """Whether a step that is called incomplete may have its message nevertheless."""


@dataclass(frozen=True)
class Row:
    """One fault at one request, and what must follow."""

    flow: Flow
    request: str
    """The request that meets it, for people."""

    trouble: Trouble
    faults: tuple[dict[str, Any], ...]
    expected: Expected

    def __str__(self) -> str:
        kind = " inline" if self.flow.has_inline_content else ""
        return f"{self.flow.vendor}{kind}, {self.request}: {self.trouble.name}"

    @property
    def is_slow(self) -> bool:
        """Whether the service spends most of its time waiting."""
        return self.expected.reason == "OUTCOME_UNKNOWN" or "hangs" in self.trouble.name


@dataclass(frozen=True)
class Site:
    """One request of a flow."""

    flow: Flow
    method: str
    path: str
    """A regular expression, as the sandbox takes it."""

    before: tuple[dict[str, Any], ...] = ()
    """Faults that other requests meet first."""

    name: str = ""

    def row(self, trouble: Trouble, expected: Expected) -> Row:
        """Return the row of this request and a trouble."""
        fault = {
            "method": self.method,
            "path": self.path,
            "times": trouble.times,
            **trouble.fault,
        }
        name = self.name or f"{self.method} {self.path}"
        return Row(self.flow, name, trouble, (*self.before, fault), expected)


Expect = Callable[[Trouble], Expected]


def rows() -> Iterator[Row]:
    """Return the whole table."""
    yield from _survey_rows()
    yield from _step_rows()
    yield from _link_rows()
    yield from _message_rows()
    yield from _template_rows()
    yield from _id_rows()
    yield from _undo_rows()


def _rows_of(site: Site, given: Iterable[Trouble], expect: Expect) -> Iterator[Row]:
    for trouble in given:
        yield site.row(trouble, expect(trouble))


# What a request that is refused, before anything else was written, must end in.


def _refusal(site: Site, trouble: Trouble) -> Expected:
    """Return what a refused call of `site` must end in, when nothing was written before it."""
    match trouble.effect:
        case Effect.AWAY_LONG:
            return Expected("PROVIDER_RATE_LIMITED")
        case Effect.MAINTENANCE_LONG:
            return Expected("PROVIDER_UNAVAILABLE")
        case Effect.UNAUTHENTICATED | Effect.UNAUTHENTICATED_ONCE:
            return Expected("CONNECTION_EXPIRED")
        case _ if trouble.status == 403:
            return Expected("PROVIDER_FORBIDDEN")
        case _ if trouble.status == 404 and site.method == "GET":
            return Expected(MISSING[site.path])
        case _:
            return Expected("PROVIDER_REJECTED")


def _is_refused(flow: Flow, trouble: Trouble) -> bool:
    if trouble.effect is Effect.UNAUTHENTICATED_ONCE:
        return flow.vendor == "apollo"  # A key cannot be refreshed.
    if trouble.effect is Effect.MAINTENANCE_LONG:
        return flow.vendor == "outreach"
    return trouble.effect in {Effect.AWAY_LONG, Effect.UNAUTHENTICATED, Effect.REFUSED}


def _is_lost(flow: Flow, trouble: Trouble) -> bool:
    """Whether the client learns nothing; only Outreach documents what its maintenance means."""
    if flow.vendor != "outreach" and trouble.fault["kind"] == "maintenance":
        return True
    return trouble.effect is Effect.LOST


# The survey: reads, which may be repeated.

OUTREACH_READS = (r"/sequences/4711$", r"/sequenceSteps$", r"/templates/55$")
SALESLOFT_READS = (
    r"/cadences/123$",
    r"/steps$",
    r"/email_templates/5$",
    r"/team_templates/5$",
)
APOLLO_READS = (r"/emailer_campaigns/", r"/emailer_templates/")

MISSING = {
    r"/sequences/4711$": "SEQUENCE_NOT_FOUND",
    r"/sequenceSteps$": "PROVIDER_UNAVAILABLE",  # A list that is not there proves nothing.
    r"/templates/55$": "TEMPLATE_NOT_FOUND",
    r"/cadences/123$": "SEQUENCE_NOT_FOUND",
    r"/steps$": "PROVIDER_UNAVAILABLE",
    r"/email_templates/5$": "TEMPLATE_NOT_FOUND",
    r"/emailer_campaigns/": "SEQUENCE_NOT_FOUND",
    r"/emailer_templates/": "TEMPLATE_NOT_FOUND",
}
"""What a 404 to a read means."""

NEEDS_IDS = {r"/sequenceSteps$", r"/emailer_campaigns/"}
"""Reads of steps that are there: without ids they cannot be told from a new one."""


def _survey_rows() -> Iterator[Row]:
    for flow, paths in (
        (OUTREACH, OUTREACH_READS),
        (SALESLOFT, SALESLOFT_READS),
        (APOLLO, APOLLO_READS),
    ):
        for path in paths:
            site = Site(flow, "GET", path)
            given = (*troubles.ANSWERED, *_unanswered_reads())
            yield from _rows_of(site, given, partial(_survey, site))
        first, last = Site(flow, "GET", paths[0]), Site(flow, "GET", paths[-1])
        for trouble in troubles.RATE_LIMIT_FORMS:
            yield last.row(trouble, _survey(last, trouble))
        yield first.row(troubles.HANGS, Expected())


def _unanswered_reads() -> Iterator[Trouble]:
    """A read changes nothing, so that before and after are the same."""
    yield from troubles.LOST_NEVER_APPLIED
    yield from (trouble for trouble in troubles.LOST_APPLIED if "huge" in trouble.name)
    yield troubles.LOST_APPLIED_SOON
    yield from (
        trouble.ever()
        for trouble in (*troubles.LOST_NEVER_APPLIED, *troubles.UNUSABLE)
        if trouble.name in {"close before", "500 before", "garbage before", "unreadable_json"}
    )


def _survey(site: Site, trouble: Trouble) -> Expected:
    if site.path == r"/team_templates/5$" and (
        trouble.status in {403, 404} or trouble.effect is Effect.UNUSABLE
    ):
        return Expected()  # It is a personal template, so that a 404 with any body is right here.
    if _is_refused(site.flow, trouble):
        return _refusal(site, trouble)
    if trouble.times is None:
        return Expected("PROVIDER_UNAVAILABLE")
    if trouble.effect is Effect.NO_ID and site.path in NEEDS_IDS:
        return Expected("PROVIDER_UNAVAILABLE")
    return Expected()


# The step itself: a write that creates, so that a lost one is looked for and never sent again.

OUTREACH_STEP = Site(OUTREACH, "POST", r"/sequenceSteps$")
OUTREACH_INLINE_STEP = Site(OUTREACH_INLINE, "POST", r"/sequenceSteps$")
SALESLOFT_STEP = Site(SALESLOFT, "POST", r"/cadence_imports$")
APOLLO_STEP = Site(APOLLO, "POST", r"/emailer_steps$")
STEPS = (OUTREACH_STEP, OUTREACH_INLINE_STEP, SALESLOFT_STEP, APOLLO_STEP)


def _step_rows() -> Iterator[Row]:
    for site in STEPS:
        given = (*troubles.ANSWERED, *troubles.LOST, troubles.LOST_APPLIED_LATE)
        yield from _rows_of(site, given, partial(_step, site))
        for hidden in _hidden_for_a_while():
            yield site.row(hidden, Expected())
    for site in (OUTREACH_STEP, SALESLOFT_STEP, APOLLO_STEP):
        yield site.row(troubles.HANGS, Expected())
        for trouble in troubles.RATE_LIMIT_FORMS:
            yield site.row(trouble, _step(site, trouble))
        for hidden in _hidden_for_long(site):
            yield site.row(hidden, Expected("OUTCOME_UNKNOWN", steps=1))


def _step(site: Site, trouble: Trouble) -> Expected:
    is_inline = site.flow.has_inline_content
    if _is_refused(site.flow, trouble):
        is_away = trouble.effect in {Effect.AWAY_LONG, Effect.MAINTENANCE_LONG}
        # While the connection is turned away its own template cannot be removed either.
        spare = (0, 1) if is_inline and is_away else (0,)
        return replace(_refusal(site, trouble), spare_templates=spare)
    if _is_lost(site.flow, trouble):
        if trouble.applied is Applied.NEVER:
            return Expected("OUTCOME_UNKNOWN", steps=0, spare_templates=(int(is_inline),))
        if trouble.applied is Applied.LATE:
            return Expected("OUTCOME_UNKNOWN", steps=1, spare_templates=(int(is_inline),))
    return Expected()


def _hidden_for_a_while() -> Iterator[Trouble]:
    """A list that shows a new step some time after the write: shorter than the looks take."""
    hidden = {"hidden_seconds": 1.0}
    yield Trouble("no_id, hidden", {"kind": "no_id", **hidden}, Effect.NO_ID)
    lost = {"kind": "close", "when": "after"}
    yield Trouble("close after, hidden", {**lost, **hidden}, Effect.LOST)
    yield Trouble("close after, hidden from 2 reads", {**lost, "hidden_reads": 2}, Effect.LOST)


def _hidden_for_long(site: Site) -> Iterator[Trouble]:
    """The same, longer than the looks take."""
    hidden = {"hidden_seconds": 45.0}
    yield Trouble("no_id, hidden long", {"kind": "no_id", **hidden}, Effect.NO_ID)
    lost = {"kind": "close", "when": "after"}
    yield Trouble("close after, hidden long", {**lost, **hidden}, Effect.LOST)
    if site is SALESLOFT_STEP:
        yield Trouble("none, hidden long", {"kind": "none", **hidden}, Effect.WORKS)


# Outreach's link between step and template: it creates, and no step can be removed.


def _link_rows() -> Iterator[Row]:
    site = Site(OUTREACH, "POST", r"/sequenceTemplates$")
    yield from _rows_of(site, (*troubles.ANSWERED, *troubles.LOST), _link)
    yield site.row(troubles.LOST_APPLIED_LATE, Expected("OUTCOME_UNKNOWN", may_be_whole=True))
    inline = replace(site, flow=OUTREACH_INLINE)
    for trouble in (*troubles.UNUSABLE, troubles.NO_ID, *troubles.LOST_APPLIED, *troubles.REFUSED):
        yield inline.row(trouble, replace(_link(trouble), spare_templates=_unlinked(trouble)))


def _link(trouble: Trouble) -> Expected:
    if _is_refused(OUTREACH, trouble):
        return Expected("STEP_INCOMPLETE")
    if trouble.effect is Effect.LOST and trouble.applied is Applied.NEVER:
        return Expected("OUTCOME_UNKNOWN", steps=1)
    return Expected()


def _unlinked(trouble: Trouble) -> tuple[int, ...]:
    """Whoever finishes the step by hand needs its template."""
    return (1,) if trouble.effect is Effect.REFUSED else (0,)


# Apollo's message: a full update, which may be repeated; without it, the step is removed.


def _message_rows() -> Iterator[Row]:
    site = Site(APOLLO, "PUT", r"/emailer_touches/")
    yield from _rows_of(site, (*troubles.ANSWERED, *troubles.LOST), partial(_message, site))
    for trouble in (*troubles.LOST_NEVER_APPLIED, *troubles.LOST_APPLIED):
        is_applied = trouble.applied is not Applied.NEVER
        yield site.row(trouble.ever(), Expected("STEP_INCOMPLETE", may_be_whole=is_applied))


def _message(site: Site, trouble: Trouble) -> Expected:
    return _refusal(site, trouble) if _is_refused(APOLLO, trouble) else Expected()


# Outreach's template of inline content: made once more when the answer is lost.


def _template_rows() -> Iterator[Row]:
    site = Site(OUTREACH_INLINE, "POST", r"/templates$")
    yield from _rows_of(site, (*troubles.ANSWERED, *troubles.LOST), partial(_template, site))
    twice = (
        *troubles.LOST_NEVER_APPLIED,
        *troubles.LOST_APPLIED,
        *troubles.UNUSABLE,
        troubles.NO_ID,
    )
    for trouble in twice:
        spare = 0 if trouble.applied is Applied.NEVER else 2
        expected = Expected("PROVIDER_UNAVAILABLE", spare_templates=(spare,))
        yield site.row(trouble.twice(), expected)


def _template(site: Site, trouble: Trouble) -> Expected:
    if _is_refused(site.flow, trouble):
        return _refusal(site, trouble)
    if trouble.effect in {Effect.LOST, Effect.UNUSABLE, Effect.NO_ID}:
        spare = 0 if trouble.applied is Applied.NEVER else 1
        left_behind = frozenset({"TEMPLATE_LEFT_BEHIND"})
        return Expected(spare_templates=(spare,), warnings=left_behind)
    return Expected()


# Reads that find the new step's ids, after the write.


def _let_pass(method: str, path: str) -> dict[str, Any]:
    return {"kind": "none", "method": method, "path": path}


def _id_rows() -> Iterator[Row]:
    close_step = {"kind": "close", "when": "after", "method": "POST", "path": r"/sequenceSteps$"}
    sites = (
        Site(SALESLOFT, "GET", r"/steps$", (_let_pass("GET", r"/steps$"),), "read of the id"),
        Site(
            OUTREACH,
            "GET",
            r"/sequenceSteps$",
            (_let_pass("GET", r"/sequenceSteps$"), close_step),
            "look for a lost step",
        ),
    )
    for site in sites:
        yield from _rows_of(site, _read_troubles(), partial(_id, site.flow))
    touch = Site(
        APOLLO_STEP_ALONE,
        "GET",
        r"/emailer_campaigns/",
        (_let_pass("GET", r"/emailer_campaigns/"),),
        "read of the touch",
    )
    yield from _rows_of(touch, _read_troubles(), _touch)


def _read_troubles() -> Iterator[Trouble]:
    yield from troubles.ANSWERED
    yield from _unanswered_reads()
    yield troubles.NO_ID.ever()
    yield from (trouble.ever() for trouble in troubles.REFUSED)


def _never_shown(flow: Flow, trouble: Trouble) -> bool:
    """Whether no look of the service can see the new step."""
    if trouble.effect is Effect.MAINTENANCE_LONG:
        return flow.vendor == "outreach"
    return trouble.effect is Effect.AWAY_LONG or trouble.times is None


def _id(flow: Flow, trouble: Trouble) -> Expected:
    return Expected("OUTCOME_UNKNOWN", steps=1) if _never_shown(flow, trouble) else Expected()


def _touch(trouble: Trouble) -> Expected:
    """The step's own id is known, so that it can be removed."""
    if _never_shown(APOLLO, trouble):
        return Expected("PROVIDER_UNAVAILABLE")
    return Expected()


# Undoing what was made before a refusal.


def _undo_rows() -> Iterator[Row]:
    given = (*troubles.ANSWERED, *troubles.LOST)
    refuse_message = {"kind": "status", "status": 422, "method": "PUT", "path": "/emailer_touches/"}
    step = Site(APOLLO, "DELETE", r"/emailer_steps/", (refuse_message,), "undo of the step")
    yield from _rows_of(step, given, _undo_step)
    for trouble in (*troubles.LOST_NEVER_APPLIED, *troubles.LOST_APPLIED):
        # That the step is not shown proves nothing yet.
        steps = int(trouble.applied is Applied.NEVER)
        yield step.row(trouble.ever(), Expected("OUTCOME_UNKNOWN", steps=steps))
    refuse_step = {"kind": "status", "status": 422, "method": "POST", "path": r"/sequenceSteps$"}
    template = Site(
        OUTREACH_INLINE, "DELETE", r"/templates/", (refuse_step,), "undo of the template"
    )
    # A 204 has no body that could break off: the reset would hit whoever has the connection next.
    with_any_body = [trouble for trouble in given if trouble.name != "reset_mid_body"]
    yield from _rows_of(template, with_any_body, _undo_template)


def _undo_step(trouble: Trouble) -> Expected:
    """What is not found may be too new for it, also when the one before was lost and did it."""
    if trouble.status == HTTPStatus.NOT_FOUND:
        return Expected("OUTCOME_UNKNOWN", steps=1)
    if _is_lost(APOLLO, trouble) and trouble.applied is Applied.AT_ONCE:
        return Expected("OUTCOME_UNKNOWN", steps=0)
    return Expected("STEP_INCOMPLETE" if _is_refused(APOLLO, trouble) else "PROVIDER_REJECTED")


def _undo_template(trouble: Trouble) -> Expected:
    spare = int(_is_refused(OUTREACH, trouble))
    return Expected("PROVIDER_REJECTED", spare_templates=(spare,))
