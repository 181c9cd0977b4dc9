"""The dashboard asks for what the service exposes, all of it, and can be read at night."""

import json
import re
from itertools import combinations
from typing import Any

import pytest

from service.telemetry.metrics import REGISTRY
from tests.service.programs import ROOT
from tests.telemetry.expressions import Exposed, expression

Panel = dict[str, Any]

DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text())
VARIABLES: dict[str, Panel] = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
ROWS: list[Panel] = [each for each in DASHBOARD["panels"] if each["type"] == "row"]
PANELS: list[Panel] = [each for each in DASHBOARD["panels"] if each["type"] != "row"]
TARGETS: list[Panel] = [target for panel in PANELS for target in panel["targets"]]

each_panel = pytest.mark.parametrize("panel", PANELS, ids=[each["title"] for each in PANELS])


def filled_in(text: str) -> str:
    """Return an expression as Grafana sends it, with everything chosen."""
    assert set(re.findall(r"\$(?!__)(\w+)", text)) <= VARIABLES.keys()
    chosen = re.sub(r"\$(?!__)\w+", ".*", text)
    return chosen.replace("$__rate_interval", "5m")


@each_panel
async def test_a_panel_asks_for_what_is_exposed(panel: Panel, exposed: Exposed) -> None:
    for target in panel["targets"]:
        asked = expression(filled_in(target["expr"]))
        assert asked.mistakes(exposed) == []
        in_legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert in_legend <= asked.result_labels(exposed)


@each_panel
def test_a_panel_says_what_it_shows_and_in_which_unit(panel: Panel) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@each_panel
def test_a_panel_shows_the_chosen_processes(panel: Panel) -> None:
    for target in panel["targets"]:
        for selector in expression(target["expr"].replace("$__rate_interval", "5m")).selectors:
            matchers = {each.name: each.value for each in selector.matchers.matchers}
            assert matchers["job"] == "$job"
            assert selector.name == "ALERTS" or matchers["instance"] == "$instance"
            assert matchers.get("provider", "$provider") == "$provider"


def test_nothing_that_the_service_counts_is_forgotten() -> None:
    ours = {
        metric.name
        for metric in REGISTRY.collect()
        if metric.name.startswith(("engagement_", "grpc_"))
    }
    shown = " ".join(target["expr"] for target in TARGETS)
    assert {name for name in ours if name not in shown} == set()
    assert "engagement_unsettled_operations" in shown
    assert "engagement_oldest_unsettled_operation_timestamp_seconds" in shown


async def test_what_can_be_chosen_is_exposed(exposed: Exposed) -> None:
    assert [*VARIABLES] == ["datasource", "job", "instance", "provider"]
    assert VARIABLES["datasource"]["query"] == "prometheus"
    for name in ("job", "instance", "provider"):
        asked = re.fullmatch(r"label_values\((.+), (\w+)\)", VARIABLES[name]["query"]["query"])
        assert asked is not None
        assert asked[2] == name
        selected = expression(filled_in(asked[1]))
        assert selected.mistakes(exposed) == []
        assert name in selected.result_labels(exposed)
        # What is of no provider has an empty label, and belongs to all.
        assert VARIABLES[name]["allValue"] == ".*"


def test_rows_begin_the_page_and_no_panel_covers_another() -> None:
    assert DASHBOARD["panels"][0] in ROWS
    assert all(row["title"] for row in ROWS)
    ids = [each["id"] for each in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    for one, other in combinations((each["gridPos"] for each in DASHBOARD["panels"]), 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        is_above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert is_beside or is_above, (one, other)
    assert all(each["gridPos"]["x"] + each["gridPos"]["w"] <= 24 for each in PANELS)
