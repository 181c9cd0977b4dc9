"""Seeded worlds with marked texts: none is in what is logged, told or stored.

Here every crash, freeze, lost answer and outage of the store meets every other. The contents are
in the journal's rows, encrypted; the tokens in no place at all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

import pytest

from service.domain.step import SequenceStep, TemplateContent
from service.transport.log_setup import UNLISTED, listed_alone
from tests.application import plans
from tests.application.plans import PlanKind
from tests.canary.marks import Finder, Mark, marked
from tests.simulation import seeded_world, tokens
from tests.simulation.seeded_world import SeededWorld, run_seed

SEEDS: Final = range(1000, 1060)

FINDER: Final = Finder({"token": tokens.CANARY})


class MarkedWorld(SeededWorld):
    """Looks for the marks where a world without them looks for tokens alone."""

    rows_with_contents = 0

    def _look_for_secrets(self, *texts: object) -> None:
        logs, rows, events = texts
        assert isinstance(logs, Iterable)
        for log in logs:
            self._look(str(log))
            self._check_listed(log)
        self._look("\n".join(self.notes.events))
        MarkedWorld.rows_with_contents += Mark.CONTENT in str(rows)
        database = self._cluster.database
        self._look(database.serialize())
        super()._look_for_secrets(logs, rows, events)

    def _look(self, searched: str | bytes) -> None:
        data = searched if isinstance(searched, bytes) else searched.encode()
        for found in FINDER.found(data):
            self.notes.broke(found)

    def _check_listed(self, log: Mapping[str, object]) -> None:
        event = {name: value for name, value in log.items() if name != "log_level"}
        if UNLISTED in listed_alone(None, "info", event):
            self.notes.broke(f"not in the table of events: {log}")


def _marked_plan(plan: PlanKind) -> PlanKind:
    content = plan.step.template_content
    return replace(plan, step=_marked_step(plan.step, content))


def _marked_step(step: SequenceStep, content: TemplateContent | None) -> SequenceStep:
    text = marked(Mark.CONTENT)
    return replace(
        step,
        task_note=f"note {text}",
        template_content=content
        and replace(content, subject=f"subject {text}", body_html=f"<p>{text}</p>", name=text),
    )


def test_no_mark_is_in_any_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "ALL", tuple(_marked_plan(plan) for plan in plans.ALL))
    monkeypatch.setattr(seeded_world, "SeededWorld", MarkedWorld)
    monkeypatch.setattr(MarkedWorld, "rows_with_contents", 0)

    broken = [(seed, run_seed(seed).broken) for seed in SEEDS]

    assert [each for each in broken if each[1]] == []
    assert MarkedWorld.rows_with_contents > 0


class LeakingWorld(MarkedWorld):
    """Notes what a client writes, as if it had been told."""

    async def run(self) -> None:
        self.notes.event(marked(Mark.CONTENT))
        await super().run()


def test_a_mark_in_a_world_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeded_world, "SeededWorld", LeakingWorld)

    (found,) = run_seed(SEEDS[0]).broken

    assert found.startswith("CONTENT: ")
