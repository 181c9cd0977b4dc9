"""Two replicas of the service on one database, with one vendor."""

import asyncio
from collections.abc import Mapping

from service.application.ports import Provider
from service.domain.operation import Operation, OperationKey
from service.domain.step import ConnectionKey, ProviderName
from service.providers.apollo.adapter import Apollo
from service.providers.outreach.adapter import Outreach
from service.providers.salesloft.adapter import Salesloft
from service.stores.journal_rows import OperationRow, where
from service.stores.sql_files import named_queries
from tests.application.apollo_model import ApolloModel
from tests.application.memory_journal import KEY_RING, journal_in, memory_connection
from tests.application.outreach_model import OutreachModel
from tests.application.salesloft_model import SalesloftModel
from tests.application.scripted_http import Vendor
from tests.application.virtual_time import VirtualClock
from tests.simulation.fate import Fate
from tests.simulation.replica import Outside, Replica
from tests.simulation.tokens import Tokens
from tests.simulation.vendor_side import VendorSide

CUSTOMER = "acme"
REPLICAS = ("one", "two")
SETTLE_SECONDS = 120.0

PROVIDERS: Mapping[ProviderName, Provider] = {
    ProviderName("outreach"): Outreach(OutreachModel.base_url),
    ProviderName("salesloft"): Salesloft(SalesloftModel.base_url),
    ProviderName("apollo"): Apollo(ApolloModel.base_url),
}
MODELS: Mapping[ProviderName, type[Vendor]] = {
    ProviderName("outreach"): OutreachModel,
    ProviderName("salesloft"): SalesloftModel,
    ProviderName("apollo"): ApolloModel,
}

_READ = named_queries("sqlite", "journal.sql")["read"]


class Cluster:
    """The service and its surroundings; make it inside the running loop."""

    def __init__(
        self, provider: ProviderName, fate: Fate, requests_in_flight_max: int = 100
    ) -> None:
        self.provider = provider
        self.vendor = MODELS[provider]()
        self.clock = VirtualClock()
        self.database = memory_connection()
        self.journal = journal_in(self.database, self.clock)
        self.tokens = Tokens()
        self.vendor_side = VendorSide(self.vendor, self.tokens, self.committed, self.clock)
        outside = Outside(
            PROVIDERS,
            self.journal,
            self.vendor_side,
            self.tokens,
            fate,
            SETTLE_SECONDS,
            requests_in_flight_max,
        )
        self.replicas = [Replica(name, outside) for name in REPLICAS]

    @property
    def connection_key(self) -> ConnectionKey:
        return ConnectionKey(CUSTOMER, self.provider)

    def committed(self, key: OperationKey) -> Operation | None:
        """Return an operation as it is in the database at this instant."""
        row = self.database.execute(_READ, where(key)).fetchone()
        return None if row is None else OperationRow(*row).operation(KEY_RING)

    async def stop(self) -> None:
        """End what still runs, in good order."""
        await asyncio.gather(*(replica.stop() for replica in self.replicas))
        await asyncio.sleep(1)  # The database has nobody left to answer then.
