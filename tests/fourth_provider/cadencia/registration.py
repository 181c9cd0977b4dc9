"""Cadencia as it would be registered."""

from typing import Final

from service.domain.connection import ConnectionKind
from service.providers.registration import Registration
from tests.fourth_provider.cadencia import mapping
from tests.fourth_provider.cadencia.adapter import NAME, Cadencia

CADENCIA: Final = Registration(
    name=NAME,
    adapter=Cadencia,
    fields=mapping.FIELDS,
    kinds=(ConnectionKind.OAUTH, ConnectionKind.API_KEY),
    api_url="https://api.cadencia.example/v1",
    token_url="https://api.cadencia.example/token",
    settle_seconds=30,
)
