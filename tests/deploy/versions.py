"""The version that is deployed."""

import tomllib

from tests.service.programs import ROOT

PROJECT_VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
