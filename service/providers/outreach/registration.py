"""Outreach as it is registered."""

from typing import Final

from service.domain.capabilities import ConnectionNeed
from service.domain.connection import ConnectionKind
from service.domain.field_table import StepField
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
    # `write` gives no `read` [doc]; the scope for deleting a template is [inferred].
    needs=(
        ConnectionNeed("scope sequences.read"),
        ConnectionNeed("scope sequenceSteps.read"),
        ConnectionNeed("scope sequenceSteps.write"),
        ConnectionNeed("scope templates.read", StepField.TEMPLATE_ID),
        ConnectionNeed("scope sequenceTemplates.read", StepField.TEMPLATE_ID),
        ConnectionNeed("scope sequenceTemplates.write", StepField.TEMPLATE_ID),
        ConnectionNeed("scope templates.read", StepField.TEMPLATE_CONTENT),
        ConnectionNeed("scope templates.write", StepField.TEMPLATE_CONTENT),
        ConnectionNeed("scope templates.delete", StepField.TEMPLATE_CONTENT),
        ConnectionNeed("scope sequenceTemplates.read", StepField.TEMPLATE_CONTENT),
        ConnectionNeed("scope sequenceTemplates.write", StepField.TEMPLATE_CONTENT),
    ),
    limits=("A wait only into a sequence of waits, a date only into a sequence of dates.",),
)
