"""A service of its own with metrics, the vendors, and a scrape as Prometheus makes it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from sandbox.server import serve_in_thread
from service.bootstrap import opened_stores
from tests.service.conftest import Client, client_at, environment_for
from tests.service.service_process import ServiceProcess, service_process
from tests.service.vendor_account import VendorAccount

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def sample(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """Return how a sample is called in a scrape."""
    return name, frozenset(labels.items())


@dataclass(frozen=True)
class Vendors:
    """The vendors, where a test has them for itself."""

    url: str
    control: httpx.AsyncClient

    async def account(self, client: Client, vendor: str, **setup: object) -> VendorAccount:
        """Make an account at a vendor, and the service's connection to it."""
        name = f"{vendor}-watched"
        answer = await self.control.post(
            "/accounts", json={"vendor": vendor, "name": name, **setup}
        )
        answer.raise_for_status()
        account = VendorAccount(vendor, name, answer.json()["credentials"], self.control)
        async with opened_stores(client.settings) as stores:
            await stores.connections.put(account.connection())
        return account


@asynccontextmanager
async def vendors() -> AsyncIterator[Vendors]:
    """Start the vendors."""
    with serve_in_thread() as sandbox:
        url = f"{sandbox.base_url}/_sandbox"
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as control:
            yield Vendors(sandbox.base_url, control)


@dataclass(frozen=True)
class Stage:
    """A running service, and what to reach it with."""

    service: ServiceProcess
    client: Client
    vendors: Vendors
    metrics_url: str

    async def scrape(self) -> Samples:
        """Read all metrics of the service."""
        return await scrape(self.metrics_url)


async def scrape(url: str) -> Samples:
    """Read all metrics at a URL."""
    async with httpx.AsyncClient(trust_env=False) as prometheus:
        answer = await prometheus.get(url)
    answer.raise_for_status()
    return {
        (each.name, frozenset(each.labels.items())): each.value
        for family in text_string_to_metric_families(answer.text)
        for each in family.samples
    }


@asynccontextmanager
async def stage(folder: Path, **settings: str) -> AsyncIterator[Stage]:
    """Start vendors and a service, with metrics, in a process of its own."""
    async with vendors() as there:
        environment = environment_for(
            there.url,
            folder / "engagement.db",
            ENGAGEMENT_METRICS_LISTEN="127.0.0.1:0",
            ENGAGEMENT_DRAIN_DELAY_SECONDS="0",
            **settings,
        )
        async with (
            service_process(environment, folder / "log") as service,
            client_at(await service.port(), service.settings) as client,
        ):
            port = (await service.line("metrics_served"))["port"]
            yield Stage(service, client, there, f"http://127.0.0.1:{port}/metrics")
