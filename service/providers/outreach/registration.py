"""Outreach as it is registered."""

from typing import Final

from service.domain.connection import ConnectionKind
from service.providers.outreach import mapping
from service.providers.outreach.adapter import NAME, Outreach
from service.providers.registration import Registration

OUTREACH: Final = Registration(
    name=NAME,
    adapter=Outreach,
    fields=mapping.FIELDS,
    kinds=(ConnectionKind.OAUTH, ConnectionKind.BEARER),  # There are no API keys [doc].
    api_url="https://api.outreach.io/api/v2",
    token_url="https://api.outreach.io/oauth/token",  # noqa: S106 - an address
)
