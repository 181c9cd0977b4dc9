"""How each program that a page names is checked: by its own parser, or by a test that runs it.

A program that is in neither table fails the test, so that nobody adds a line which nobody checks.
"""

import argparse
import importlib.util
import re
import runpy
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

from _pytest.config import get_config

from tests.docs.shell import Command
from tests.service.programs import PROGRAMS, ROOT

RUN_BY_TESTS: Mapping[tuple[str, str], str] = {
    ("README.md", "grpcurl"): "tests/service/test_readme.py",
    ("README.md", "buf"): "tests/service/test_readme.py",
    (
        "docs/deployment.md",
        "/opt/sequence-step-service/bin/sequence-step-service",
    ): "tests/deploy/test_page_commands.py",
    ("docs/deployment.md", "cat"): "tests/deploy/test_page_commands.py",
    ("docs/deployment.md", "chmod"): "tests/deploy/test_page_commands.py",
    ("docs/deployment.md", "docker"): "tests/deploy/test_page_commands.py",
    ("docs/deployment.md", "echo"): "tests/deploy/test_page_commands.py",
    ("docs/deployment.md", "git"): "tests/deploy/test_page_commands.py",
    ("docs/deployment.md", "kubectl"): "tests/deploy/test_page_commands.py",
    ("docs/deployment.md", "mkdir"): "tests/deploy/test_page_commands.py",
    ("docs/deployment.md", "openssl"): "tests/deploy/test_page_commands.py",
    ("docs/deployment.md", "printf"): "tests/deploy/test_page_commands.py",
    ("docs/deployment.md", "sed"): "tests/deploy/test_page_commands.py",
    ("docs/deployment.md", "sudo"): "tests/deploy/test_page_commands.py",
    ("docs/deployment.md", "umask"): "tests/deploy/test_page_commands.py",
    ("docs/deployment.md", "uv"): "tests/deploy/test_page_commands.py",
    ("docs/security.md", "grpcurl"): "tests/callers/test_security_page.py",
    ("docs/security.md", "openssl"): "tests/callers/test_security_page.py",
    ("docs/security.md", "printf"): "tests/callers/test_security_page.py",
    ("docs/security.md", "umask"): "tests/callers/test_security_page.py",
    ("sandbox/README.md", "curl"): "tests/docs/test_sandbox_page.py",
    **{("docs/clients.md", name): "tests/clients/test_page.py" for name in ("npm", "node", "buf")},
    **dict.fromkeys(
        (
            ("docs/operations.md", name)
            for name in ("umask", "mkdir", "mv", "cp", "grep", "pg_dump", "pg_restore", "createdb")
        ),
        "tests/operations/page.py",
    ),
    ("docs/telemetry.md", "promtool"): "tests/telemetry/test_telemetry_page.py",
}
"""The test that reads a page and runs this program's lines as they are written there."""

PLACEHOLDERS = {"PROVIDER": "outreach"}
"""What stands for a word in capitals where any word will not do."""


class Refused(Exception):  # noqa: N818 - what happened, as pages say it
    """A page has a command that cannot be so; says why."""


class _Parsed(BaseException):
    """The program has taken its arguments; it goes no further."""


def check(page: str, command: Command) -> None:
    """Find out whether a command that a page shows can be given like this.

    Raises:
        Refused: It cannot, or nobody knows.
    """
    program = command.program.removeprefix(".venv/bin/")
    if (page, program) in RUN_BY_TESTS:
        return
    if program not in CHECKS:
        raise Refused(f"{program}: no test knows how to check it")
    if command.program.startswith(".venv/bin/") and not (PROGRAMS / program).exists():
        raise Refused(f"{command.program}: it is not installed")
    CHECKS[program]([PLACEHOLDERS.get(each, each) for each in command.arguments])


def _own_program(arguments: Sequence[str]) -> None:
    [script] = entry_points(group="console_scripts", name="sequence-step-service")
    _parse(script.load(), "sequence-step-service", arguments)


def _python(arguments: Sequence[str]) -> None:
    match arguments:
        case ["-m", "pytest", *rest]:
            _pytest(rest)
        case ["-c", code, *_]:
            compile(code, "page", "exec")
        case ["-m", module, *rest]:
            if _has_parser(_source_of(module)):
                _parse(lambda: runpy.run_module(module, run_name="__main__"), module, rest)
            elif rest:
                raise Refused(f"python -m {module}: it takes no arguments")
        case [file, *rest] if (ROOT / file).is_file() and _has_parser(ROOT / file):
            _parse(lambda: runpy.run_path(str(ROOT / file), run_name="__main__"), file, rest)
        case _:
            raise Refused(
                f"python {' '.join(arguments)}: neither a module nor a file with a parser"
            )


def _source_of(module: str) -> Path:
    """Return the file that is run as a module."""
    found = importlib.util.find_spec(module)
    if found and found.submodule_search_locations:
        found = importlib.util.find_spec(f"{module}.__main__")
    path = Path((found and found.origin) or "nothing")
    if ROOT not in path.parents or '__name__ == "__main__"' not in path.read_text():
        raise Refused(f"python -m {module}: this repository has no such program")
    return path


def _has_parser(path: Path) -> bool:
    """Say whether running a file begins with its parser: else it would be run for real."""
    return "import argparse" in path.read_text()


def _pytest(arguments: Sequence[str]) -> None:
    try:
        known = get_config()._parser.parse(arguments)
    except Exception as error:
        raise Refused(f"pytest: {error}") from error
    missing = [each for each in known.file_or_dir if not (ROOT / each.partition("::")[0]).exists()]
    if missing:
        raise Refused(f"pytest: there is no {missing}")


def _make(arguments: Sequence[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for word in arguments:
        name, is_variable, _ = word.partition("=")
        if is_variable and f"$({name})" not in makefile and f"$(if $({name})" not in makefile:
            raise Refused(f"make {word}: the Makefile knows no such variable")
        if not is_variable and word not in targets:
            raise Refused(f"make {word}: there is no such target")


def _cd(arguments: Sequence[str]) -> None:
    [folder] = arguments
    if not (ROOT / folder).is_dir():
        raise Refused(f"cd {folder}: there is no such folder")


def _parse(run: Callable[[], Any], program: str, arguments: Sequence[str]) -> None:
    """Start a program, and stop it when its parser has taken the arguments."""
    original = argparse.ArgumentParser.parse_args

    def parse_args(parser: argparse.ArgumentParser, args: Any = None, _: Any = None) -> NoReturn:
        original(parser, args)
        raise _Parsed

    def error(_: argparse.ArgumentParser, message: str) -> NoReturn:
        raise Refused(f"{program} {' '.join(arguments)}: {message}")

    with ExitStack() as stack:
        stack.enter_context(patch.object(sys, "argv", [program, *arguments]))
        stack.enter_context(patch.object(argparse.ArgumentParser, "parse_args", parse_args))
        stack.enter_context(patch.object(argparse.ArgumentParser, "error", error))
        stack.enter_context(warnings.catch_warnings(action="ignore", category=RuntimeWarning))
        try:
            run()
        except _Parsed:
            return
        except SystemExit as ended:  # Of --help and --version.
            if not ended.code:
                return
    raise Refused(f"{program}: its parser was not asked")


CHECKS: Mapping[str, Callable[[Sequence[str]], None]] = {
    "sequence-step-service": _own_program,
    "python": _python,
    "make": _make,
    "cd": _cd,
}
