"""`migrate` on the command line, and `serve` on a database that it was not run for."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.__main__ import main
from service.stores.key_ring import new_entry
from tests.service.service_process import run_to_its_end


@pytest.fixture
def environment(empty_postgres_url: str) -> dict[str, str]:
    return {
        "ENGAGEMENT_DATABASE": empty_postgres_url,
        "ENGAGEMENT_KEYS": new_entry(),
        "ENGAGEMENT_LISTEN": "127.0.0.1:0",
    }


@pytest.fixture
def given(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Set the environment, which a test may still change."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.usefixtures("given")
def test_it_says_what_it_applied(capsys: pytest.CaptureFixture[str]) -> None:
    for said in ("the schema is up to date; applied now: 1, 2, 3", "the schema is up to date"):
        assert main(["migrate"]) == 0
        assert capsys.readouterr() == (f"{said}\n", "")


@pytest.mark.usefixtures("given")
def test_commands_want_it_first(capsys: pytest.CaptureFixture[str]) -> None:
    needed = (
        "error: the database's schema has version 0, and this program needs 3: "
        "run `migrate` first\n"
    )
    assert main(["connections", "list"]) == 1
    assert capsys.readouterr() == ("", needed)
    assert main(["migrate"]) == 0
    assert main(["connections", "list"]) == 0


async def test_serving_wants_it_first(environment: dict[str, str], tmp_path: Path) -> None:
    status, said = await run_to_its_end(environment, tmp_path / "log")
    assert status == 1
    assert said == (
        "the database's schema has version 0, and this program needs 3: run `migrate` first\n"
    )


def test_a_database_that_cannot_be_reached_is_one_line_without_the_password(
    given: pytest.MonkeyPatch, empty_postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given.setenv("ENGAGEMENT_DATABASE", empty_postgres_url.replace("/postgres?", "/nowhere?"))
    assert main(["migrate"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: cannot use the PostgreSQL database: ")
    assert 'database "nowhere" does not exist' in err
    assert err.count("\n") == 1
    assert "canary" not in err


def test_a_file_is_brought_up_to_date(
    given: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "engagement.db"
    given.setenv("ENGAGEMENT_DATABASE", str(path))
    assert main(["migrate"]) == 0
    said = f"{path} is up to date, as it is whenever it is opened\n"
    assert capsys.readouterr() == (said, "")
    assert path.exists()


def test_without_the_driver_it_says_what_to_install(
    given: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given.setitem(sys.modules, "psycopg_pool", None)
    assert main(["migrate"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(
        "error: PostgreSQL needs its driver: install sequence-step-service[postgres]"
    )


def test_the_driver_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, service.__main__; print([name for name in sys.modules if 'psyco' in name])"
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"
