"""The command line's `--version`: the number that pyproject.toml gave the installed package."""

import argparse
from typing import Any

from service.commands.output import EXIT_DONE, print_line
from service.domain.distribution import installed_version


class PrintVersion(argparse.Action):
    """Prints the version and ends; it is looked up only when it is asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print it."""
        print_line(installed_version())
        parser.exit(EXIT_DONE)
