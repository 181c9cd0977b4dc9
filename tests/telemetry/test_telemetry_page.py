"""docs/telemetry.md names settings, metrics and files that there are."""

import re

import pytest

from service.settings import settings_table
from tests.service.programs import ROOT
from tests.telemetry.expressions import Exposed

PAGE = (ROOT / "docs" / "telemetry.md").read_text()


def test_its_settings_are_the_service_s() -> None:
    named = set(re.findall(r"ENGAGEMENT_[A-Z_]+", PAGE))
    assert {"ENGAGEMENT_METRICS_LISTEN", "ENGAGEMENT_TRACES"} <= named
    assert {name for name in named if f"`{name}`" not in settings_table()} == set()


async def test_its_metrics_are_exposed(exposed: Exposed) -> None:
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exposed}
    named = set(re.findall(r"`((?:grpc|engagement)_\w+)", PAGE))
    labels = {label for of_metric in exposed.values() for label in of_metric}
    assert named <= families | set(exposed) | labels
    ours = {name for name in exposed if name.startswith(("grpc_", "engagement_"))}
    assert {
        name for name in ours if re.sub(r"_(bucket|sum|count)$", "", name) not in named
    } == set()


@pytest.mark.parametrize("folder", ["deploy/prometheus", "deploy/grafana"])
def test_it_names_each_file_for_operators(folder: str) -> None:
    for path in (ROOT / folder).iterdir():
        assert path.name in PAGE


def test_its_lines_for_promtool_name_files_that_there_are() -> None:
    """Whoever has Prometheus runs them; what they say of the rules is tested beside, without it."""
    lines = re.findall(r"^promtool (\w+ \w+) (\S+)$", PAGE, re.MULTILINE)
    assert [action for action, _ in lines] == ["check rules", "check config", "test rules"]
    assert all((ROOT / "deploy" / "prometheus" / name).is_file() for _, name in lines)
