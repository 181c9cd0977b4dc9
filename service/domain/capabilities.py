"""What a provider can do, as it is told to callers: its field table, what it needs, its limits."""

from service.domain.connection import ConnectionKind
from service.domain.field_table import FieldTable
from service.domain.step import ProviderName
from service.domain.value_class import value_class


@value_class
class ConnectionNeed:
    """What the provider has to allow a connection to do."""

    need: str
    """A scope or a kind of key, as the provider calls it."""

    field: str = ""
    """The path of the request field that needs it; empty: every step does."""


@value_class
class ProviderCapabilities:
    """One provider."""

    name: ProviderName
    kinds: tuple[ConnectionKind, ...]
    needs: tuple[ConnectionNeed, ...]
    limits: tuple[str, ...]
    """What it cannot do whatever the step, in sentences for a person."""

    fields: FieldTable
