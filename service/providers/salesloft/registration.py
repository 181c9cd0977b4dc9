"""Salesloft as it is registered."""

from typing import Final

from service.domain.connection import ConnectionKind
from service.providers.registration import Registration
from service.providers.salesloft import mapping
from service.providers.salesloft.adapter import NAME, Salesloft

SALESLOFT: Final = Registration(
    name=NAME,
    adapter=Salesloft,
    fields=mapping.FIELDS,
    kinds=(ConnectionKind.OAUTH, ConnectionKind.API_KEY, ConnectionKind.BEARER),
    api_url="https://api.salesloft.com/v2",
    token_url="https://accounts.salesloft.com/oauth/token",  # noqa: S106 - an address
)
