"""What the rest of the service knows of a provider: everything else stays in its own folder."""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from service.application.ports import Provider
from service.domain.capabilities import ConnectionNeed, ProviderCapabilities
from service.domain.connection import ConnectionKind
from service.domain.field_table import FieldTable
from service.domain.step import ProviderName
from service.domain.value_class import value_class

SETTLE_SECONDS: Final = 120.0
"""Where nothing better is known of a provider."""


@value_class
class Registration:
    """One provider; settings, metadata, commands and tables follow from it."""

    name: ProviderName
    """As in `x-provider-name`; in capitals it begins the names of its settings."""

    adapter: Callable[[str], Provider]
    """Makes its adapter for a base URL."""

    fields: FieldTable
    """What becomes of each field there."""

    kinds: tuple[ConnectionKind, ...]
    """How it lets a program in."""

    api_url: str
    """Base URL of its API, unless settings say otherwise."""

    token_url: str | None = None
    """Where its tokens are refreshed, likewise; for the kind `oauth` alone."""

    settle_seconds: float = SETTLE_SECONDS
    """Within this it applies or drops a write, and shows it; likewise."""

    needs: tuple[ConnectionNeed, ...] = ()
    """What it has to allow a connection to do."""

    limits: tuple[str, ...] = ()
    """What it cannot do whatever the step, in sentences for a person."""

    def __post_init__(self) -> None:
        assert self.name.isalnum(), "a name is letters and digits: settings are named after it"
        assert self.name == self.name.lower(), "a name is in lower case: callers may write any"
        assert (ConnectionKind.OAUTH in self.kinds) == (self.token_url is not None)

    @property
    def capabilities(self) -> ProviderCapabilities:
        """What callers are told of it."""
        return ProviderCapabilities(self.name, self.kinds, self.needs, self.limits, self.fields)


Registry: TypeAlias = Mapping[ProviderName, Registration]


def registry_of(*registrations: Registration) -> Registry:
    """Return the registry of these providers, in this order."""
    return {registration.name: registration for registration in registrations}


def capabilities_of(registry: Registry) -> tuple[ProviderCapabilities, ...]:
    """Return what callers are told of these providers."""
    return tuple(registration.capabilities for registration in registry.values())
