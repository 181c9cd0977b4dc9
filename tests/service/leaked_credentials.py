"""Credentials that this suite uses, as they would be seen in a log."""

import re
from collections.abc import Mapping

import structlog
from structlog.typing import EventDict

from service.transport.log_setup import UNLISTED, listed_alone

SECRET_SETTINGS = ("KEYS", "CLIENT_SECRET")

_OF_ACCOUNTS = re.compile(r"-(?:access|refresh)-\d|-master\b|-bearer\b|\bak[0-9a-f]{16}")
"""The sandbox's tokens and keys, see its README."""

_PASSWORD_IN_URL = re.compile(r"://[^/@\s]*:[^/@\s]+@")


def leaked(text: str, environment: Mapping[str, str]) -> list[str]:
    """Return the credentials of accounts and of a service's own settings that a text has."""
    own = [
        value.rpartition(":")[2]
        for name, value in environment.items()
        if name.endswith(SECRET_SETTINGS) and value
    ]
    patterns = (_OF_ACCOUNTS, _PASSWORD_IN_URL)
    return [secret for secret in own if secret in text] + [
        text[max(found.start() - 30, 0) : found.end() + 30]
        for pattern in patterns
        for found in pattern.finditer(text)
    ]


class LogWatch:
    """Looks at every line that services in this process log, unless a test captures it."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def start(self) -> None:
        """Look from now on."""
        structlog.configure(processors=[self.look, *structlog.get_config()["processors"]])

    def look(self, _logger: object, method: str, event: EventDict) -> EventDict:
        """Look at a line as the service would write it, and pass it on."""
        line = listed_alone(None, method, dict(event))
        self.found += leaked(str(line), {})
        if UNLISTED in line:
            self.found.append(f"not in the table of events: {line}")
        return event
