"""Every command line of a page is one that its program takes, or one that a test runs."""

import re

import pytest

from tests.docs.known_programs import CHECKS, RUN_BY_TESTS, Refused, check
from tests.docs.pages import BLOCKS, PAGES
from tests.docs.shell import Command, commands
from tests.service.programs import PROGRAMS, ROOT

SHELL = {"", "sh", "bash"}
"""The languages of blocks that a person types; a block without a language is one."""

NAMED = re.findall(r"^## (.*)$", PAGES["docs/command-line.md"].text, re.MULTILINE)
OWN_COMMANDS = {*NAMED, *(name.partition(" ")[0] for name in NAMED)}
"""Commands of the program, as sentences name them: `operations list`, `operations`."""


def _in_blocks() -> list[tuple[str, Command]]:
    return [
        (block.page, command)
        for block in BLOCKS
        if block.language in SHELL
        for command in commands(block.text)
    ]


def _in_sentences() -> list[tuple[str, Command]]:
    """Return what stands within sentences and begins like a command line."""
    found = set()
    for name, page in PAGES.items():
        for code in page.inline_code:
            words = code.removeprefix("sequence-step-service ")
            program, _, rest = code.partition(" ")
            if words in OWN_COMMANDS:
                continue
            if words.partition(" ")[0] in OWN_COMMANDS:
                found.add((name, f"sequence-step-service {words}"))
            elif rest and (program in CHECKS or program.startswith(".venv/bin/")):
                found.add((name, code))
    return [(name, command) for name, code in sorted(found) for command in commands(code)]


@pytest.mark.parametrize(("page", "command"), [*_in_blocks(), *_in_sentences()], ids=str)
def test_it_can_be_given_as_it_is_written(page: str, command: Command) -> None:
    check(page, command)


def test_programs_of_the_environment_are_there() -> None:
    named = {
        code.partition(" ")[0].removeprefix(".venv/bin/")
        for page in PAGES.values()
        for code in page.inline_code
        if code.startswith(".venv/bin/")
    }
    assert [name for name in named if name and not (PROGRAMS / name).exists()] == []


@pytest.mark.parametrize(("page", "program"), RUN_BY_TESTS, ids=str)
def test_what_is_said_to_be_run_is_named_by_its_test(page: str, program: str) -> None:
    source = (ROOT / RUN_BY_TESTS[page, program]).read_text()
    assert page.removeprefix("docs/") in source
    assert any(command.program.endswith(program) for name, command in _in_blocks() if name == page)


@pytest.mark.parametrize(
    "line",
    [
        "frobnicate --all",
        "make coffee",
        "make fuzz INPUT=5",
        "sequence-step-service operations lst",
        "sequence-step-service operations settle acme outreach r-1 --step 4",
        "sequence-step-service connections put acme hubspot --kind oauth",
        ".venv/bin/sequence-step-servce serve",
        "export KEYS=$(sequence-step-service keys newer)",
        "sequence-step-service serve && python -m sandbox --prot 0",
        "python -m tests.fuzz --seeds 5",
        "python -m antigravity",
        "python docs/generator.py --check",
        ".venv/bin/python docs/generate.py --chek",
        "python -m pytest -q tests/nowhere",
        "python -m pytest --quit",
    ],
)
def test_what_cannot_be_given_is_found(line: str) -> None:
    *_, last = commands(line)
    with pytest.raises(Refused):
        check("docs/any.md", last)


def test_lines_that_belong_together_are_read_together() -> None:
    script = "A=1 one 'two\nthree' \\\n  four < file  # why\n# nothing\nfive | six; export B=2\n"
    script += "seven > file <<'END'\neight 'nine\nEND\nten\n"
    assert [*commands(script)] == [
        Command("one", ("two\nthree", "four")),
        Command("five", ()),
        Command("six", ()),
        Command("seven", ()),
        Command("ten", ()),
    ]
