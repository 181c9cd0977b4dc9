"""The version stands in pyproject.toml alone; the program and the changelog agree with it."""

import re
import tomllib
from pathlib import Path

from tests.docs.pages import PAGES, kept_files
from tests.service.programs import PROGRAMS, ROOT, run

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
MAY_NAME_IT = {"pyproject.toml", "CHANGELOG.md"}
IMAGE = re.compile(
    r"(?:sequence-step-(?:service|sandbox):|image\.version=\"|newTag: |^version=)(\d[\w.-]*)",
    re.MULTILINE,
)
"""The tag of an image, its label, or the folder that an installation is in."""

LOCKS = {"requirements.lock", "package-lock.json", "go.sum"}
"""They hold versions of other packages, which may be the same number."""


async def test_the_program_tells_it(tmp_path: Path) -> None:
    finished = await run(PROGRAMS / "sequence-step-service", "--version", home=tmp_path)
    assert (finished.status, finished.output) == (0, f"{VERSION}\n")


def test_nothing_else_holds_it() -> None:
    number = re.compile(rf"(?<![\d.]){re.escape(VERSION)}(?!\.?\d)")
    files = (path for path in kept_files() if path.name not in {*MAY_NAME_IT, *LOCKS})
    texts = {path: IMAGE.sub("", path.read_text(errors="replace")) for path in files}
    assert [path for path, text in texts.items() if number.search(text)] == []


def test_images_have_it() -> None:
    """An image is called by its version, so that a tag always means the same."""
    paths = [*(ROOT / "deploy").rglob("*"), *(ROOT / "docs").glob("*.md")]
    found = {
        (path.relative_to(ROOT), named[1])
        for path in paths
        if path.is_file()
        for named in IMAGE.finditer(path.read_text())
    }
    assert {version for _, version in found} == {VERSION}, sorted(found)


def test_the_changelog_has_it() -> None:
    versions = re.findall(r"^## \[(.+?)\]", PAGES["CHANGELOG.md"].text, re.MULTILINE)
    assert versions[:2] == ["Unreleased", VERSION]
    dates = re.findall(r"^## \[\d.*\] - (.*)$", PAGES["CHANGELOG.md"].text, re.MULTILINE)
    assert len(dates) == len(versions) - 1
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for date in dates)
