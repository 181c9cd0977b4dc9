"""J1: every attempt of a write is committed before its first byte, and nothing without that."""

import pytest

from tests.application import plans
from tests.application.plans import PlanKind
from tests.application.scripted_http import answer
from tests.application.virtual_time import on_virtual_time
from tests.crash_matrix.crash import resources_sent
from tests.rules.stage import Stage
from tests.simulation.fate import Exchange, StoreHappening

STORE_FAILS = StoreHappening(is_done=False, fails=True)
UNAUTHENTICATED = Exchange(applied_after_seconds=None, answer=answer(401))
TURNED_AWAY = Exchange(applied_after_seconds=None, answer=answer(429, headers={"retry-after": "1"}))


@pytest.mark.parametrize("plan", plans.ALL, ids=lambda plan: plan.name)
@on_virtual_time
async def test_j1_sent_is_committed_when_the_first_byte_arrives(plan: PlanKind) -> None:
    async with Stage(plan) as stage:
        assert (await stage.ask()).says == "OK"
        assert list(plan.writes.values()) == stage.writes
        for arrived in stage.vendor_side.arrived:
            assert {arrived.resource} == resources_sent(arrived.row)


@pytest.mark.parametrize(
    "first",
    [Exchange(is_refused=True), UNAUTHENTICATED, TURNED_AWAY, Exchange(answer=plans.LOST)],
    ids=["not sent", "401", "429", "lost"],
)
@on_virtual_time
async def test_j1_every_attempt_is_committed(first: Exchange) -> None:
    message = "PUT /emailer_touches"
    async with Stage(plans.APOLLO_MESSAGE) as stage:
        stage.script.exchanges[message] = [first]
        assert (await stage.ask()).says == "OK"
        assert [f"commit {message}", f"send {message}"] * 2 == stage.script.log[2:-1]


@on_virtual_time
async def test_j1_an_outcome_is_committed_with_the_next_write() -> None:
    """One commit a write and one for the end: none is spent on an outcome alone."""
    async with Stage(plans.OUTREACH_CONTENT) as stage:
        assert (await stage.ask()).says == "OK"
        writes = [
            f"{step} {resource}"
            for resource in plans.OUTREACH_CONTENT.writes.values()
            for step in ("commit", "send")
        ]
        assert [*writes, "SUCCEEDED"] == stage.script.log


@pytest.mark.parametrize(
    ("plan", "kind"),
    [(plan, kind) for plan in plans.ALL for kind in plan.writes],
    ids=lambda value: value.name if isinstance(value, PlanKind) else value,
)
@on_virtual_time
async def test_j1_nothing_is_sent_without_the_journal(plan: PlanKind, kind: str) -> None:
    earlier = list(plan.writes)[: list(plan.writes).index(kind)]
    async with Stage(plan) as stage:
        stage.script.sent_commits = [StoreHappening()] * len(earlier) + [STORE_FAILS]
        assert (await stage.ask()).says == "OUTCOME_UNKNOWN"
        assert [plan.writes[each] for each in earlier] == stage.writes
