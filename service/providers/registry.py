"""The providers that there are: one line for each."""

from typing import Final

from service.providers.apollo.registration import APOLLO
from service.providers.outreach.registration import OUTREACH
from service.providers.registration import Registry, registry_of
from service.providers.salesloft.registration import SALESLOFT

PROVIDERS: Final[Registry] = registry_of(
    OUTREACH,
    SALESLOFT,
    APOLLO,
)
