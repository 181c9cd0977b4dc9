"""The alert rules ask for what the service exposes, and lead to what their reader needs."""

import json
import re
from typing import Any

import pytest
import yaml

from service.transport.metrics_server import JOURNAL_SECONDS_MAX
from tests.deploy.manifests import rendered
from tests.service.programs import ROOT
from tests.telemetry.expressions import Exposed, expression

FOLDER = ROOT / "deploy" / "prometheus"
Rule = dict[str, Any]

[GROUP] = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
RULES: list[Rule] = GROUP["rules"]
TESTS = yaml.safe_load((FOLDER / "alerts_test.yaml").read_text())
SCRAPES = {
    name: yaml.safe_load((FOLDER / name).read_text())
    for name in ("one-machine.yaml", "kubernetes.yaml")
}

each_rule = pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
each_scrape = pytest.mark.parametrize("name", SCRAPES)


@each_rule
async def test_a_rule_asks_for_what_is_exposed(rule: Rule, exposed: Exposed) -> None:
    assert expression(rule["expr"]).mistakes(exposed) == []


@pytest.mark.parametrize(
    ("wrong", "mistake"),
    [
        ("engagement_errors", "no metric engagement_errors"),
        ('engagement_errors_total{code="INTERNAL"}', "engagement_errors_total has no label code"),
        (
            'rate(engagement_errors_total{reason=~"INTERNAL|LOST"}[5m])',
            "engagement_errors_total has no reason LOST",
        ),
        ("sum by (customer) (engagement_replays_total)", "no label customer to group by"),
    ],
)
async def test_a_mistake_is_found(wrong: str, mistake: str, exposed: Exposed) -> None:
    assert expression(wrong).mistakes(exposed) == [mistake]


@each_rule
async def test_an_alert_says_what_is_the_matter(rule: Rule, exposed: Exposed) -> None:
    assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    said = rule["annotations"]
    assert said.keys() == {"summary", "description", "runbook"}
    used = set(re.findall(r"\$labels\.(\w+)", "".join(said.values())))
    assert used <= expression(rule["expr"]).result_labels(exposed)
    assert said["description"].endswith(".")
    assert not said["summary"].endswith(".")


def test_every_alert_is_seen_to_fire() -> None:
    """`promtool test rules` runs these worlds; here is seen that none is forgotten."""
    text = json.dumps(TESTS["tests"])
    fired = set(re.findall(r'alertname(?:=\\"|": ")(\w+)', text))
    assert fired == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize("world", TESTS["tests"], ids=lambda world: world["name"])
async def test_a_world_is_made_of_what_is_exposed(world: Rule, exposed: Exposed) -> None:
    for each in world["input_series"]:
        assert expression(each["series"]).mistakes(exposed) == [], each["series"]


@each_scrape
def test_a_scrape_is_the_one_that_the_alerts_know(name: str) -> None:
    assert SCRAPES[name]["rule_files"] == ["alerts.yaml"]
    [scrape] = SCRAPES[name]["scrape_configs"]
    jobs = set(re.findall(r'job="([^"]+)"', "".join(rule["expr"] for rule in RULES)))
    assert jobs == {scrape["job_name"]}
    assert int(scrape["scrape_timeout"].removesuffix("s")) > JOURNAL_SECONDS_MAX


def test_one_machine_s_target_is_the_compose_file_s_port() -> None:
    [scrape] = SCRAPES["one-machine.yaml"]["scrape_configs"]
    [targets] = scrape["static_configs"]
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    [published] = [
        each.rpartition(":")[0]
        for each in compose["services"]["sandbox"]["ports"]
        if each.endswith(
            compose["services"]["service"]["environment"]["ENGAGEMENT_METRICS_LISTEN"].rpartition(
                ":"
            )[2]
        )
    ]
    assert targets["targets"] == [published]


def test_kubernetes_target_is_the_pods_port_of_that_name() -> None:
    [scrape] = SCRAPES["kubernetes.yaml"]["scrape_configs"]
    pod = rendered("base").objects["Deployment", "sequence-step-service"]["spec"]["template"]
    [discovery] = scrape["kubernetes_sd_configs"]
    [selector] = discovery["selectors"]
    label, _, value = selector["label"].partition("=")
    assert pod["metadata"]["labels"][label] == value
    [container] = pod["spec"]["containers"]
    [kept] = [each for each in scrape["relabel_configs"] if each.get("action") == "keep"]
    assert kept["source_labels"] == ["__meta_kubernetes_pod_container_port_name"]
    assert kept["regex"] in {port["name"] for port in container["ports"]}


@each_rule
def test_an_alert_s_runbook_is_a_section_of_its_name(rule: Rule) -> None:
    path, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(), re.MULTILINE)
    assert rule["alert"] in headings
    assert anchor == rule["alert"].lower()
