"""A customer's connection: the credentials that let the service act at one provider."""

import enum
from typing import NoReturn, SupportsIndex

from service.domain.step import ConnectionKey
from service.domain.value_class import value_class


class Secret:
    """A credential that does not print, in whatever form: only `reveal` gives its text.

    It is not pickled or copied either, since that writes the text out.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text, for the one header or form field that it belongs in."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __format__(self, form: str) -> str:
        return "***"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a secret is neither pickled nor copied")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


class ConnectionKind(enum.StrEnum):
    """How a connection authenticates."""

    OAUTH = "oauth"
    """An access token that this service refreshes."""

    API_KEY = "api_key"
    """A key of the provider's own."""

    BEARER = "bearer"
    """An access token that somebody else refreshes."""


@value_class
class Connection:
    """One customer's credentials at one provider."""

    key: ConnectionKey
    kind: ConnectionKind
    credential: Secret
    """The access token or the key."""

    refresh_token: Secret | None = None
    """OAuth only."""

    expires_at_epoch_seconds: float | None = None
    """When the access token ends, where the provider said so."""
