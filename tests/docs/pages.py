"""The pages of the documentation, as a reader of Markdown sees them."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.service.programs import ROOT

NOT_OURS = {"node_modules", "var", "dist", "build", "__pycache__"}
"""Folders that hold what was made or fetched; so do those that begin with a dot."""

_markdown = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, empty where none is given, and what is in it."""

    page: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text.strip().partition(chr(10))[0]}"


@dataclass(frozen=True)
class Page:
    """One file of Markdown; its name is its path in the repository."""

    name: str

    @property
    def path(self) -> Path:
        return ROOT / self.name

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @property
    def blocks(self) -> list[Block]:
        return [
            Block(self.name, token.info.strip(), token.content)
            for token in self._tokens
            if token.type == "fence"
        ]

    @property
    def inline_code(self) -> list[str]:
        return [token.content for token in self._inline if token.type == "code_inline"]

    @property
    def links(self) -> list[str]:
        return [str(token.attrs["href"]) for token in self._inline if token.type == "link_open"]

    @property
    def anchors(self) -> set[str]:
        """The headings' anchors, as GitHub makes them; a second one of a name has a number."""
        times: Counter[str] = Counter()
        anchors = set()
        for heading, inline in zip(self._tokens, self._tokens[1:], strict=False):
            if heading.type == "heading_open":
                shown = "".join(token.content for token in inline.children or ())
                slug = re.sub(r"[^\w -]", "", shown.strip().lower()).replace(" ", "-")
                anchors.add(f"{slug}-{times[slug]}" if times[slug] else slug)
                times[slug] += 1
        return anchors

    @cached_property
    def _tokens(self) -> list[Token]:
        return _markdown.parse(self.text)

    @property
    def _inline(self) -> Iterator[Token]:
        for token in self._tokens:
            yield from token.children or ()


def kept_files() -> Iterator[Path]:
    """Yield every file of the checkout that somebody wrote."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(each for each in folders if not _is_made(each))
        yield from (Path(folder, name) for name in sorted(names))


def _is_made(folder: str) -> bool:
    return folder in NOT_OURS or folder.startswith(".") or folder.endswith(".egg-info")


_NAMES = (path.relative_to(ROOT).as_posix() for path in kept_files() if path.suffix == ".md")
PAGES = {name: Page(name) for name in _NAMES}
BLOCKS = [block for page in PAGES.values() for block in page.blocks]
