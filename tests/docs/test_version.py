"""The version stands in pyproject.toml alone; the program and the changelog agree with it."""

import re
import tomllib
from pathlib import Path

from tests.docs.pages import PAGES, kept_files
from tests.service.programs import PROGRAMS, ROOT, run

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
MAY_NAME_IT = {"pyproject.toml", "CHANGELOG.md"}
LOCKS = {"requirements.lock", "package-lock.json", "go.sum"}
"""They hold versions of other packages, which may be the same number."""


async def test_the_program_tells_it(tmp_path: Path) -> None:
    finished = await run(PROGRAMS / "sequence-step-service", "--version", home=tmp_path)
    assert (finished.status, finished.output) == (0, f"{VERSION}\n")


def test_nothing_else_holds_it() -> None:
    number = re.compile(rf"(?<![\d.]){re.escape(VERSION)}(?!\.?\d)")
    files = (path for path in kept_files() if path.name not in {*MAY_NAME_IT, *LOCKS})
    assert [path for path in files if number.search(path.read_text(errors="replace"))] == []


def test_the_changelog_has_it() -> None:
    versions = re.findall(r"^## \[(.+?)\]", PAGES["CHANGELOG.md"].text, re.MULTILINE)
    assert versions[:2] == ["Unreleased", VERSION]
    dates = re.findall(r"^## \[\d.*\] - (.*)$", PAGES["CHANGELOG.md"].text, re.MULTILINE)
    assert len(dates) == len(versions) - 1
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for date in dates)
