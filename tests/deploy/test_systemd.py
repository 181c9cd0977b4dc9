"""deploy/systemd: the unit's settings, and what they have to fit."""

from configparser import ConfigParser
from pathlib import Path

import pytest

from service.__main__ import EXIT_SETTINGS_WRONG
from service.bootstrap import connections_per_host_max
from service.settings import Settings, SqliteFile
from service.stores.key_ring import new_entry
from service.transport.server import CONNECTIONS_MAX
from tests.service.programs import ROOT

UNIT = ROOT / "deploy" / "systemd" / "sequence-step-service.service"


@pytest.fixture(scope="module")
def unit() -> dict[str, list[str]]:
    """The settings of [Service]; one may be there several times."""
    text = UNIT.read_text().partition("[Service]\n")[2].partition("\n[")[0]
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.fixture(scope="module")
def settings(unit: dict[str, list[str]]) -> Settings:
    given = dict(line.split("=", 1) for line in unit["Environment"])
    return Settings.from_environment({"ENGAGEMENT_KEYS": new_entry(), **given})


def test_it_has_the_sections_of_a_unit() -> None:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.read_string(UNIT.read_text())
    assert parser.sections() == ["Unit", "Service", "Install"]


def test_its_file_is_where_it_may_write(unit: dict[str, list[str]], settings: Settings) -> None:
    [state] = unit["StateDirectory"]
    assert isinstance(settings.database, SqliteFile)
    assert settings.database.path.parent == Path("/var/lib", state)
    assert unit["ProtectSystem"] == ["strict"]
    assert "ReadWritePaths" not in unit


def test_it_has_the_time_that_stopping_takes(
    unit: dict[str, list[str]], settings: Settings
) -> None:
    stopping = settings.drain_delay_seconds + settings.grace_seconds + settings.finish_seconds
    [limit] = map(int, unit["TimeoutStopSec"])
    assert stopping < limit


def test_it_may_open_what_its_limits_let_in(unit: dict[str, list[str]], settings: Settings) -> None:
    """A file for each connection of a caller, and for each to a provider."""
    [limit] = map(int, unit["LimitNOFILE"])
    assert CONNECTIONS_MAX + len(settings.providers) * connections_per_host_max(settings) < limit


def test_mistyped_settings_do_not_restart_it_for_ever(unit: dict[str, list[str]]) -> None:
    assert unit["RestartPreventExitStatus"] == [str(EXIT_SETTINGS_WRONG)]


def test_no_secret_is_in_it(unit: dict[str, list[str]]) -> None:
    assert [line.partition("=")[0] for line in unit["Environment"]] == ["ENGAGEMENT_DATABASE"]
    assert unit["EnvironmentFile"] == ["/etc/sequence-step-service/environment"]


def test_it_is_not_root_and_can_become_nobody_else(unit: dict[str, list[str]]) -> None:
    assert unit["User"] == unit["Group"] == ["sequence-step-service"]
    assert unit["CapabilityBoundingSet"] == unit["AmbientCapabilities"] == [""]
    assert unit["NoNewPrivileges"] == unit["RestrictSUIDSGID"] == ["yes"]
