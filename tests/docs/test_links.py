"""Every link of a page leads somewhere, and every page of the documentation is in its index."""

import posixpath
import re

import pytest

from tests.docs.pages import PAGES
from tests.service.programs import ROOT

LINKS = sorted({(name, link) for name, page in PAGES.items() for link in page.links})
WITHIN = [(name, link) for name, link in LINKS if not re.match(r"[a-z]+:", link)]
ELSEWHERE = [(name, link) for name, link in LINKS if re.match(r"[a-z]+:", link)]

INDEX = "docs/README.md"
MACHINE_PATH = re.compile(r"file://|/home/|/Users/|/root/|\b[A-Z]:\\")


@pytest.mark.parametrize(("name", "link"), WITHIN)
def test_a_link_leads_somewhere(name: str, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name
    assert not target.startswith(("/", "..")), "leads out of the repository"
    assert (ROOT / target).exists()
    if anchor:
        assert anchor in PAGES[target].anchors


def test_links_to_elsewhere_are_encrypted() -> None:
    assert [link for link in ELSEWHERE if not link[1].startswith("https://")] == []


def test_every_page_is_in_the_index() -> None:
    linked = {
        posixpath.normpath(posixpath.join("docs", link.partition("#")[0]))
        for link in PAGES[INDEX].links
    }
    pages = {name for name in PAGES if re.fullmatch(r"[^/]+|docs/[^/]+", name)} - {INDEX}
    assert pages - linked == set()


@pytest.mark.parametrize("name", PAGES)
def test_no_path_of_somebodys_machine_stands_there(name: str) -> None:
    assert MACHINE_PATH.findall(PAGES[name].text) == []
    assert str(ROOT) not in PAGES[name].text
