"""What deploy/Dockerfile makes, in a folder and without an engine: its steps, by hand and offline.

The build stage's tools and indexes are left out: packages come from the environment of the tests,
those alone that the step asks for, and what they need. The interpreter is copied, as the base image
has one of its own. In the end nobody may write there, and whoever runs it is not who made it.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import IO, Any

from packaging.requirements import Requirement

from tests.service.programs import PROGRAMS, ROOT

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
PROJECT = "sequence-step-service"

Step = tuple[str, str]
"""An instruction, and what stands behind it."""

_NOT_OF_USE = shutil.ignore_patterns("test", "site-packages", "config-*", "idlelib")


def stages() -> dict[str, list[Step]]:
    """Return the steps of each stage, by its name; the first one is FROM."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    found: dict[str, list[Step]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        instruction, _, rest = line.strip().partition(" ")
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            steps = found.setdefault(name, [])
            rest = base
        if instruction:
            steps.append((instruction, " ".join(rest.split())))
    return found


def chain(name: str) -> list[Step]:
    """Return the steps that end in a stage, those of the stages that it is made from included."""
    every = stages()
    steps = every[name]
    return [*(chain(steps[0][1]) if steps[0][1] in every else steps[:1]), *steps[1:]]


def values(steps: Sequence[Step], instruction: str) -> list[str]:
    """Return what stands behind an instruction, each time that it is there."""
    return [rest for word, rest in steps if word == instruction]


def copied() -> list[str]:
    """Return what the build takes from the checkout."""
    return [copy.split()[0] for copy in values(stages()["build"], "COPY")]


@dataclass(frozen=True)
class Image:
    """The file system of a stage, with what is said there of how to run it."""

    folder: Path
    steps: Sequence[Step]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the stage sets, and what a copied interpreter needs to be found."""
        variables = {"LD_LIBRARY_PATH": str(self.folder / "python" / sys.platlibdir)}
        for rest in values(self.steps, "ENV"):
            variables |= dict(re.findall(r"(\w+)=(\S+)", rest))
        return variables | {"PATH": variables["PATH"].replace("/opt", f"{self.folder}/opt")}

    def paths(self) -> set[Path]:
        """Return everything that is there."""
        return {*self.folder.rglob("*")}

    async def start(
        self, *command: str, environment: Mapping[str, str], output: IO[bytes] | int
    ) -> asyncio.subprocess.Process:
        """Start a command as the image's user, with these variables and those of the image."""
        return await asyncio.create_subprocess_exec(
            *("/usr/bin/env", *command),  # It looks for the program in the image's PATH.
            cwd="/",
            env={**self.environment, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            **self._user(),
        )

    @property
    def user(self) -> tuple[int, int]:
        """The numbers of the user and its group."""
        [user] = values(self.steps, "USER")
        number, _, group = user.partition(":")
        return int(number), int(group)

    def _user(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}  # Nobody else can be had.
        number, group = self.user
        return {"user": number, "group": group, "extra_groups": []}


@contextmanager
def made_image(name: str) -> Iterator[Image]:
    """Make a stage's file system."""
    folder = Path(tempfile.mkdtemp(prefix="image-"))
    try:
        folder.chmod(0o755)
        _copy_interpreter(folder / "python")
        image = Image(folder, chain(name))
        _install(image, folder / "opt" / name)
        _forbid_writing(folder, forbid=True)
        yield image
    finally:
        _forbid_writing(folder, forbid=False)
        shutil.rmtree(folder)


def extras(name: str) -> set[str]:
    """Return the extras of the project that are installed for a stage."""
    runs = [rest for steps in stages().values() for rest in values(steps, "RUN")]
    [build] = [rest for rest in runs if f"--python /opt/{name} --require-hashes" in rest]
    return set(re.findall(r"--extra (\w+)", build))


def _copy_interpreter(folder: Path) -> None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    libraries = folder / sys.platlibdir
    (folder / "bin").mkdir(parents=True)
    _place(Path(sys.base_exec_prefix) / "bin" / version, folder / "bin" / version)
    shutil.copytree(
        sysconfig.get_path("stdlib"), libraries / version, ignore=_NOT_OF_USE, copy_function=_place
    )
    shared = Path(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME"))
    if shared.exists():
        _place(shared, libraries / shared.name)


def _install(image: Image, target: Path) -> None:
    [interpreter] = (image.folder / "python" / "bin").iterdir()
    _run(image, interpreter, "-m", "venv", "--without-pip", target)
    for found in _needed(Requirement(f"{PROJECT}[{','.join(extras(target.name))}]"), {}):
        _copy_package(found, next((target / "lib").glob("python*")) / "site-packages")
    source = image.folder / "build"
    for name in copied():
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        source.mkdir(exist_ok=True)
        copy(ROOT / name, source / name)
    uv = (PROGRAMS / "uv", "--offline", "--quiet")
    wheel = ("--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", "dist")
    _run(image, *uv, "build", *wheel, ".", folder=source)
    [built] = (source / "dist").glob("*.whl")
    _run(image, *uv, "pip", "install", "--python", target, "--no-deps", built)
    shutil.rmtree(source)


def _run(image: Image, *command: str | Path, folder: Path | None = None) -> None:
    environment = {**os.environ, "LD_LIBRARY_PATH": image.environment["LD_LIBRARY_PATH"]}
    subprocess.run(command, check=True, cwd=folder, env=environment)  # noqa: S603 - our own command


def _needed(asked: Requirement, seen: dict[str, set[str]]) -> Iterator[Distribution]:
    """Yield the packages that a requirement needs, without the project."""
    found = distribution(asked.name)
    if found.name not in seen and found.name != PROJECT:
        yield found
    new = {"", *asked.extras} - seen.setdefault(found.name, set())
    seen[found.name] |= new
    for requirement in map(Requirement, found.requires or ()):
        marker = requirement.marker
        if any(marker is None or marker.evaluate({"extra": extra}) for extra in new):
            yield from _needed(requirement, seen)


def _copy_package(package: Distribution, site_packages: Path) -> None:
    for file in package.files or ():
        if ".." in file.parts:
            continue  # Its programs, which are of no use.
        target = site_packages / file
        target.parent.mkdir(parents=True, exist_ok=True)
        _place(str(package.locate_file(file)), target)


def _place(source: str | Path, target: str | Path) -> None:
    """Link a file that nobody will write, or copy it with its time, so that compiled files fit."""
    try:
        os.link(source, target)
    except OSError:  # It is on another disk, or is not ours.
        shutil.copy2(source, target)


def _forbid_writing(folder: Path, *, forbid: bool) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o555 if forbid else 0o755)
