"""The wheel, built once, and a folder where it is installed and the checkout is not."""

import shutil
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.service.programs import PROGRAMS, ROOT, run

NEEDED_BY_TESTS = ("tests", "pyproject.toml", "README.md", "Makefile", "protos")
FOREIGN_PROGRAMS = ("grpcurl", "buf")


@dataclass(frozen=True)
class Installed:
    """Where only the wheel is installed; dependencies are those of the running environment."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / ".venv/bin/python"


@pytest.fixture(scope="session")
async def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ("-m", "hatchling", "build", "--target", "wheel", "--directory", folder)
    finished = await run(sys.executable, *build, home=folder)
    assert finished.status == 0, finished.errors
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
async def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """A copy of the tests with the wheel beside them.

    The folder of the running environment is one more place to import from; the files in it that
    point to the checkout are read only where an environment starts, so not here.
    """
    place = Installed(tmp_path_factory.mktemp("installed"))
    environment = place.folder / ".venv"
    venv.create(environment, symlinks=True)
    [packages] = environment.glob("lib/*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    for program in FOREIGN_PROGRAMS:
        (environment / "bin" / program).symlink_to(PROGRAMS / program)
    install = ("pip", "install", "--offline", "--no-deps", "--python", place.python, wheel)
    finished = await run(PROGRAMS / "uv", *install, home=place.folder)
    assert finished.status == 0, finished.errors
    for name in NEEDED_BY_TESTS:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, place.folder / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, place.folder / name)
    return place
