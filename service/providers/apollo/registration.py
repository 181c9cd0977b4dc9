"""Apollo as it is registered."""

from typing import Final

from service.domain.connection import ConnectionKind
from service.providers.apollo import mapping
from service.providers.apollo.adapter import NAME, Apollo
from service.providers.registration import Registration

APOLLO: Final = Registration(
    name=NAME,
    adapter=Apollo,
    fields=mapping.FIELDS,
    # Its OAuth is for its partners [doc], without a refresh that is known.
    kinds=(ConnectionKind.API_KEY, ConnectionKind.BEARER),
    api_url="https://api.apollo.io/api/v1",
)
