"""docs/operations.md: its parts, and its commands as a person on call runs them."""

import re
from collections.abc import Mapping
from pathlib import Path

from tests.postgres_server import installed_programs
from tests.service.programs import PROGRAMS, ROOT, Finished, run

PAGE = (ROOT / "docs/operations.md").read_text()
BLOCKS = re.findall(r"^```\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def block(words: str) -> str:
    """Return the only block of commands that has these words."""
    [found] = [text for text in BLOCKS if words in text]
    return str(found)


def section(heading: str) -> str:
    """Return the text under a heading, up to the next one of its level."""
    _, _, rest = PAGE.partition(f"\n## {heading}\n")
    assert rest, heading
    return rest.partition("\n## ")[0]


def line(words: str) -> str:
    """Return the only command within a sentence that begins with these words."""
    [found] = [text for text in re.findall(r"(?<!`)`([^`\n]+)`", PAGE) if text.startswith(words)]
    return str(found)


async def run_block(words: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Run a block of commands in a folder as it is written; return what it wrote."""
    return await run_as_written(block(words), folder, environment)


async def run_as_written(lines: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Run commands in a folder; return what they wrote.

    The programs of the checkout and of PostgreSQL are on the path.
    """
    path = f"{PROGRAMS}:{installed_programs()}:/usr/bin:/bin"
    finished: Finished = await run(
        *("bash", "-e", "-c", f"cd {folder}\n{lines}"),
        home=folder,
        environment={**environment, "PATH": path},
    )
    assert (finished.status, finished.errors) == (0, ""), finished
    return finished.output
