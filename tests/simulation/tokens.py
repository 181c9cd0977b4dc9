"""The access tokens of the simulated customers: stored for all replicas, and known to the vendor.

Every token holds `CANARY`, so that one which gets where it should not is found.
"""

import asyncio
from collections import Counter

from service.domain.connection import Connection, ConnectionKind, Secret
from service.domain.provider_call import ProviderRequest
from service.domain.step import ConnectionKey

CANARY = "canary-of-a-secret"
FIND_SECONDS = 0.001
REFRESH_SECONDS = 0.3


class Tokens:
    """Finds and refreshes connections for all replicas, one refresh at a time."""

    def __init__(self) -> None:
        self._stored: Counter[ConnectionKey] = Counter()
        """How often each customer's token was refreshed."""

        self._refused: set[str] = set()
        self._turn = asyncio.Lock()

    @property
    def refreshes(self) -> int:
        """How often a token was renewed."""
        return self._stored.total()

    def expire(self, key: ConnectionKey) -> None:
        """Let the vendor refuse the customer's token from now on."""
        self._refused.add(self._token(key))

    def accepts(self, request: ProviderRequest) -> bool:
        """Whether the vendor takes the token of a request."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        return token not in self._refused

    async def find(self, key: ConnectionKey) -> Connection:
        await asyncio.sleep(FIND_SECONDS)
        return self._connection(key)

    async def refresh(self, connection: Connection) -> Connection:
        async with self._turn:
            if self._connection(connection.key) == connection:
                await asyncio.sleep(REFRESH_SECONDS)
                self._stored[connection.key] += 1
            return self._connection(connection.key)

    def _connection(self, key: ConnectionKey) -> Connection:
        return Connection(key, ConnectionKind.OAUTH, Secret(self._token(key)))

    def _token(self, key: ConnectionKey) -> str:
        return f"{CANARY}-{key.customer_id}-{self._stored[key]}"
