"""What this program is installed as; pyproject.toml gives it name and version."""

from importlib import metadata
from typing import Final

DISTRIBUTION: Final = "sequence-step-service"


def installed_version() -> str:
    """Return the version of the installed package; it is read from disk each time."""
    return metadata.version(DISTRIBUTION)
