"""Salesloft as it is registered."""

from typing import Final

from service.domain.capabilities import ConnectionNeed
from service.domain.connection import ConnectionKind
from service.domain.field_table import StepField
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
    # The exact names of the scopes for templates are [unknown].
    needs=(
        ConnectionNeed("scope cadences:read"),
        ConnectionNeed("scope cadences:write"),
        ConnectionNeed("a scope such as email_templates:read", StepField.TEMPLATE_ID),
        ConnectionNeed("a scope such as team_templates:read", StepField.TEMPLATE_ID),
    ),
    limits=(
        "One step, and only into a cadence without steps.",
        "Not into a cadence that is archived, expired or deleted.",
        "An e-mail needs a template or content.",
    ),
)
