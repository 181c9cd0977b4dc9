"""The wheel: all that it needs is in it, nothing else is, and it serves without the checkout."""

import email
import tomllib
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.packaging.conftest import Installed
from tests.service.programs import ROOT, run

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = {"service": "service", "sandbox": "sandbox", "engagement": "generated/engagement"}
ABOUT = f"sequence_step_service-{PROJECT['version']}.dist-info"
TYPED = ("service", "sandbox", "engagement/v1")

RUN_AGAINST_IT = (
    "tests/mapping",
    "tests/postgres/test_journal_statements.py",
    "tests/journal/test_key_rotation.py",
    "tests/service/test_readme.py -k as_it_is_written",
    "tests/connections/test_command_line.py",
)
"""Tests that between them read every kind of file: code, SQL of both databases, the contract."""


def test_the_packages_are_whole_and_nothing_is_beside_them(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    about = {name for name in names if name.startswith(f"{ABOUT}/")}
    files = {
        f"{package}/{path.relative_to(ROOT / folder).as_posix()}"
        for package, folder in PACKAGES.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names - about == files
    assert about == {
        f"{ABOUT}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")
    }


@pytest.mark.parametrize("package", TYPED)
def test_it_says_that_it_has_types(package: str, wheel: Path) -> None:
    assert f"{package}/py.typed" in ZipFile(wheel).namelist()


def test_its_metadata_is_the_projects(wheel: Path) -> None:
    metadata = _metadata(wheel)
    assert metadata["Name"] == PROJECT["name"]
    assert metadata["Version"] == PROJECT["version"]
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert set(metadata.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    needed = [each for each in metadata.get_all("Requires-Dist", []) if "extra ==" not in each]
    assert len(needed) == len(PROJECT["dependencies"])
    assert str(metadata.get_payload()) == (ROOT / "README.md").read_text()


async def test_the_version_is_printed(installed: Installed, tmp_path: Path) -> None:
    program = installed.folder / ".venv/bin/sequence-step-service"
    finished = await run(program, "--version", home=tmp_path)
    assert (finished.status, finished.output) == (0, f"{PROJECT['version']}\n")


async def test_the_types_are_found(installed: Installed, tmp_path: Path) -> None:
    """By a type checker that sees only what is installed."""
    program = tmp_path / "program.py"
    program.write_text(
        "from engagement.v1.sequence_step_pb2 import SequenceStep\n"
        "from service.settings import Settings\n"
        "from sandbox.server import serve\n"
        "reveal_type(SequenceStep().name)\n"
    )
    check = ("-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", program)
    finished = await run(installed.python, *check, home=tmp_path)
    assert 'Revealed type is "str"' in finished.output.replace("builtins.", "")
    assert finished.status == 0, finished.output


async def test_nothing_is_imported_from_the_checkout(installed: Installed, tmp_path: Path) -> None:
    code = (
        "import service, sandbox, engagement.v1.sequence_step_pb2 as contract;"
        "print(*(module.__file__ for module in (service, sandbox, contract)))"
    )
    found = await run(
        "sh", "-c", 'cd "$0" && "$1" -c "$2"', *_places(installed), code, home=tmp_path
    )
    folders = [installed.folder in Path(file).parents for file in found.output.split()]
    assert folders == [True, True, True], found


@pytest.mark.parametrize("tests", RUN_AGAINST_IT)
async def test_it_works_without_the_checkout(
    tests: str, installed: Installed, tmp_path: Path
) -> None:
    line = f'cd "$0" && exec "$1" -m pytest -q -p no:cacheprovider {tests}'
    finished = await run("sh", "-c", line, *_places(installed), home=tmp_path)
    assert finished.status == 0, finished.output


def _places(installed: Installed) -> tuple[Path, Path]:
    return installed.folder, installed.python


def _metadata(wheel: Path) -> Message:
    return email.message_from_string(ZipFile(wheel).read(f"{ABOUT}/METADATA").decode())
