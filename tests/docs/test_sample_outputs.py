"""What pages show of commands' answers is what they answer."""

import re

import pytest

from service.domain.operation import OperationState
from service.settings import Settings
from service.stores.key_ring import new_entry
from tests.commands import conftest as of_commands
from tests.commands.conftest import CommandLine
from tests.docs.pages import BLOCKS, PAGES
from tests.journal.samples import ended, key
from tests.journal.stores import FullJournal

sandbox, database = of_commands.sandbox, of_commands.database
environment, settings = of_commands.environment, of_commands.settings
command_line, journal = of_commands.command_line, of_commands.journal

SHOWN = [block for block in BLOCKS if block.language == "text"]
ROTATED, *UNCHECKED = SHOWN

OPERATIONS = PAGES["docs/operations.md"].text


def test_every_output_that_is_shown_is_checked_here() -> None:
    assert UNCHECKED == []
    assert ROTATED.page == "docs/operations.md"


async def test_keys_rotate_says_what_is_shown(
    command_line: CommandLine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the numbers, and the names of the two keys."""
    old, new = settings.keys[0], new_entry()
    monkeypatch.setenv("ENGAGEMENT_KEYS", f"{new},{old.id}:{old.key.reveal()}")
    status, said, _ = await command_line.run("keys", "rotate")

    assert status == 0
    said = said.replace(new.partition(":")[0], "k2").replace(old.id, "k1")
    assert _without_numbers(said) == _without_numbers(ROTATED.text)


async def test_the_columns_of_the_list_are_described(
    command_line: CommandLine, journal: FullJournal
) -> None:
    await ended(journal, key(), OperationState.IN_DOUBT)
    [row] = await command_line.listed()
    described = _first_cells("| column | says |")
    assert set(row) - set(described) == {"request_id", "customer", "provider", "sequence"}
    assert set(described) <= set(row)


async def test_what_show_tells_is_described(
    command_line: CommandLine, journal: FullJournal
) -> None:
    await ended(journal, key(), OperationState.IN_DOUBT)
    [row] = await command_line.listed()
    [entry] = await command_line.shown("acme", "outreach", "r-1")
    described = set(_first_cells("| field | says |")) - {"unreadable_because"}
    assert described == set(entry) - set(row) - {"caller", "created_at"}


def _first_cells(head: str) -> list[str]:
    """Return the names in the first column of the table with this head."""
    table = OPERATIONS.partition(f"{head}\n")[2].partition("\n\n")[0]
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def _without_numbers(text: str) -> str:
    return re.sub(r"\b\d+\b", "N", text)
