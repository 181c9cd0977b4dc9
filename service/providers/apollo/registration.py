"""Apollo as it is registered."""

from typing import Final

from service.domain.capabilities import ConnectionNeed
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
    # A key that is no master key gets 403 [doc, code].
    needs=(
        ConnectionNeed(
            "a master API key, or a partner's access token with the scopes for sequences"
        ),
    ),
    limits=(
        "The endpoint that makes a step is not documented by the vendor.",
        "A new e-mail waits for approval; one client saw that writing its content approves it.",
        "A wait only into a sequence of waits, a date only into one of exact dates.",
    ),
)
