"""Every setting that is named exists, and every one that exists is in the table."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.providers.registration import registry_of
from service.providers.registry import PROVIDERS
from service.settings import PREFIX, setting_names
from tests.docs.pages import PAGES
from tests.fourth_provider.cadencia.registration import CADENCIA
from tests.service.programs import ROOT

SETTINGS = set(setting_names(PROVIDERS))
OF_ANOTHER_PROVIDER = set(setting_names(registry_of(CADENCIA))) - SETTINGS
"""Those that one more registration makes; the page about it has an example."""

NAME = re.compile(rf"{PREFIX}[A-Z_]*[A-Z](?![A-Z_])|{PREFIX}[A-Z_]*_(?=\*)")
"""A whole name, or the beginning of several before an asterisk."""


def _files() -> Iterator[Path]:
    yield from (page.path for page in PAGES.values())
    yield from (path for path in sorted((ROOT / "deploy").rglob("*")) if path.is_file())


FILES = [path for path in _files() if PREFIX in path.read_text()]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_named_exists(path: Path) -> None:
    beginnings = {name for name in NAME.findall(path.read_text()) if name.endswith("_")}
    names = set(NAME.findall(path.read_text())) - beginnings
    is_example = path.name == "adding-a-provider.md"
    assert names - SETTINGS - (OF_ANOTHER_PROVIDER if is_example else set()) == set()
    unknown = {each for each in beginnings if not any(name.startswith(each) for name in SETTINGS)}
    assert unknown == set()


def test_all_are_in_the_table() -> None:
    rows = re.findall(rf"^\| `({PREFIX}\w+)` \|", PAGES["docs/settings.md"].text, re.MULTILINE)
    assert sorted(rows) == sorted(SETTINGS)
