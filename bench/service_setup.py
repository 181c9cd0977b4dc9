"""The service as the benchmarks run it: its settings, and the connections it knows."""

import asyncio
from collections.abc import Iterable, Mapping

from service.bootstrap import opened_stores
from service.domain.connection import Connection, ConnectionKind, Secret
from service.domain.step import ConnectionKey, ProviderName
from service.providers.registry import PROVIDERS
from service.settings import Settings
from service.stores.key_ring import new_entry


def environment_of(database: str, vendor_url: str = "", **more: str) -> dict[str, str]:
    """Return the settings of a service on a free port, with fresh keys unless others are given.

    Its providers are at `vendor_url`, each under its name; without that, where they really are.
    """
    providers = {
        f"ENGAGEMENT_{provider.upper()}_API_URL": f"{vendor_url}/{provider}"
        for provider in PROVIDERS
        if vendor_url
    }
    return {
        "ENGAGEMENT_LISTEN": "127.0.0.1:0",
        "ENGAGEMENT_DATABASE": database,
        "ENGAGEMENT_KEYS": new_entry(),
        "ENGAGEMENT_DRAIN_DELAY_SECONDS": "0",
        **providers,
        **more,
    }


def connection(customer: str, provider: ProviderName, token: str = "token") -> Connection:  # noqa: S107 - the stand-in takes any
    """Return a customer's connection."""
    return Connection(ConnectionKey(customer, provider), ConnectionKind.BEARER, Secret(token))


async def connect(environment: Mapping[str, str], connections: Iterable[Connection]) -> None:
    """Store connections before a service is started."""
    async with opened_stores(Settings.from_environment(environment)) as stores:
        await asyncio.gather(*(stores.connections.put(each) for each in connections))
