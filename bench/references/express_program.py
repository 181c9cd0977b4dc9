"""Builds the Express reference in `var/`, as its lock file says, where Node is on the machine."""

import filecmp
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("express")
TARGET = Path(__file__).parents[2] / "var" / "express"

INSTALL = ("ci", "--no-audit", "--no-fund", "--loglevel", "error")


class ExpressMissing(Exception):  # noqa: N818 - a fact about the machine, not a fault
    """It can be neither built nor run here; the text is for a person."""


def command(vendor_url: str) -> tuple[str, ...]:
    """Build it, unless that was done, and return the command that runs it.

    Raises:
        ExpressMissing: there is no Node, or what it needs could not be installed.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise ExpressMissing("node or npm is not on this machine: Express is left out")
    names = [path.name for path in SOURCE.iterdir() if path.is_file()]
    program = TARGET / "server.js"
    _, changed, missing = filecmp.cmpfiles(SOURCE, TARGET, names, shallow=False)
    if changed or missing or not program.exists():
        try:
            _build(npm, names)
        except subprocess.CalledProcessError as error:
            raise ExpressMissing(f"{error}: Express is left out") from error
    return (node, str(program), vendor_url)


def _build(npm: str, names: list[str]) -> None:
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    for name in names:
        shutil.copy(SOURCE / name, TARGET)
    for build in ((npm, *INSTALL), ("node_modules/.bin/tsc", "--outDir", ".")):
        subprocess.run(build, cwd=TARGET, check=True)  # noqa: S603 - our own commands
