"""deploy/compose.yaml: its schema, and what has to fit between its containers."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.commands.health import ADDRESS
from service.stores.key_ring import new_entry
from tests.deploy.image import stages
from tests.deploy.manifests import settings_of
from tests.deploy.versions import PROJECT_VERSION
from tests.service.conftest import environment_for
from tests.service.programs import PROGRAMS, ROOT, run

FILE = ROOT / "deploy" / "compose.yaml"
GIVEN = {"POSTGRES_PASSWORD": "made-up", "ENGAGEMENT_KEYS": new_entry()}
"""What deploy/.env has to say."""

OF_A_TEST = {"ENGAGEMENT_LISTEN", "ENGAGEMENT_DATABASE", "ENGAGEMENT_KEYS"}


@pytest.fixture(scope="module")
def containers() -> dict[str, Any]:
    asked = re.compile(r"\$\{(\w+)(?::\?[^}]*)?\}")
    text = asked.sub(lambda each: GIVEN[each[1]], FILE.read_text())
    found: dict[str, Any] = yaml.safe_load(text)["services"]
    return found


async def test_the_schema_takes_it(tmp_path: Path) -> None:
    check = (PROGRAMS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec")
    found = await run(*check, FILE, home=tmp_path)
    assert found.status == 0, found.output


def test_each_secret_is_asked_for_once_with_a_word_of_where_to_set_it() -> None:
    asked = re.findall(r"\$\{(\w+):\?set it in deploy/\.env\}", FILE.read_text())
    assert sorted(asked) == sorted(GIVEN)
    assert ".env" in (FILE.parent / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("name", ["migrate", "service"])
def test_the_settings_make_sense(containers: dict[str, Any], name: str) -> None:
    settings_of(containers[name]["environment"])


def test_the_service_calls_the_sandbox_beside_it(containers: dict[str, Any]) -> None:
    service = containers["service"]
    assert service["network_mode"] == "service:sandbox"
    at_the_sandbox = environment_for("http://127.0.0.1:8080", Path())
    told = service["environment"]
    assert {name: told[name] for name in at_the_sandbox.keys() - OF_A_TEST} == {
        name: text for name, text in at_the_sandbox.items() if name not in OF_A_TEST
    }


def test_its_ports_are_for_this_machine_alone(containers: dict[str, Any]) -> None:
    """For so it says of itself, by ENGAGEMENT_TLS_ENDED_IN_FRONT."""
    environment = containers["service"]["environment"]
    listens = [environment[f"ENGAGEMENT_{name}LISTEN"] for name in ("", "METRICS_")]
    ports = [text.rpartition(":")[2] for text in listens]
    assert containers["sandbox"]["ports"] == [f"127.0.0.1:{port}:{port}" for port in ports]
    assert not any("ports" in each for name, each in containers.items() if name != "sandbox")


def test_it_is_asked_for_its_health_where_it_serves(containers: dict[str, Any]) -> None:
    service = containers["service"]
    assert service["healthcheck"]["test"] == ["CMD", "sequence-step-service", "health"]
    assert service["environment"]["ENGAGEMENT_LISTEN"].rpartition(":")[2] == ADDRESS[-5:]


def test_it_has_the_time_that_stopping_takes(containers: dict[str, Any]) -> None:
    service = containers["service"]
    settings = settings_of(service["environment"])
    stopping = settings.drain_delay_seconds + settings.grace_seconds + settings.finish_seconds
    assert stopping < int(service["stop_grace_period"].removesuffix("s"))


def test_the_policy_is_in_the_mounted_folder(containers: dict[str, Any]) -> None:
    service = containers["service"]
    [mount] = service["volumes"]
    assert Path(service["environment"]["ENGAGEMENT_POLICY"]).parent == Path(mount["target"])


def test_it_serves_once_the_database_is_up_to_date(containers: dict[str, Any]) -> None:
    assert containers["service"]["depends_on"]["migrate"] == {
        "condition": "service_completed_successfully"
    }
    assert containers["migrate"]["command"] == ["migrate"]
    assert containers["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    database = {each["environment"].get("ENGAGEMENT_DATABASE") for each in _ours(containers)}
    assert database == {"postgresql://engagement:made-up@postgres:5432/engagement"}


def _ours(containers: dict[str, Any]) -> list[dict[str, Any]]:
    return [containers[name] for name in ("migrate", "service")]


def test_images_are_this_versions_and_their_targets_are_there(containers: dict[str, Any]) -> None:
    built = [each for each in containers.values() if "build" in each]
    assert len(built) == 3
    for each in built:
        assert each["image"].endswith(f":{PROJECT_VERSION}")
        assert (FILE.parent / each["build"]["context"] / each["build"]["dockerfile"]).exists()
        assert each["build"].get("target", "service") in stages()
        assert each["read_only"]
        assert each["cap_drop"] == ["ALL"]
