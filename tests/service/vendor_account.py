"""An account of the sandbox, as a test sees it: its credentials, its state, its faults, its log."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from service.domain.connection import Connection, ConnectionKind, Secret
from service.domain.step import ConnectionKey, ProviderName

SEQUENCES = {"outreach": "4711", "salesloft": "123", "apollo": "65334c9c2722cd008bde87c3"}
TEMPLATES = {"outreach": "55", "salesloft": "5", "apollo": "65340d43bd9e6900a3054740"}


@dataclass
class VendorAccount:
    """One customer's tenant at one vendor; its name is the customer's id too."""

    vendor: str
    name: str
    credentials: dict[str, Any]
    control: httpx.AsyncClient = field(repr=False)

    @property
    def key(self) -> ConnectionKey:
        return ConnectionKey(self.name, ProviderName(self.vendor))

    @property
    def sequence_id(self) -> str:
        """The first sequence of the seed: waiting times; at Salesloft empty."""
        return SEQUENCES[self.vendor]

    @property
    def template_id(self) -> str:
        return TEMPLATES[self.vendor]

    def connection(self) -> Connection:
        """OAuth where the vendor refreshes tokens, else its key."""
        if "refresh_token" not in self.credentials:
            return Connection(self.key, ConnectionKind.API_KEY, Secret(self.credentials["api_key"]))
        return Connection(
            self.key,
            ConnectionKind.OAUTH,
            Secret(self.credentials["access_token"]),
            Secret(self.credentials["refresh_token"]),
        )

    async def state(self) -> dict[str, Any]:
        """Everything in the account, nothing hidden."""
        state: dict[str, Any] = (await self._ask("GET", ""))["state"]
        return state

    async def credentials_now(self) -> dict[str, Any]:
        """The credentials as they are at the vendor, after refreshes."""
        credentials: dict[str, Any] = (await self._ask("GET", ""))["credentials"]
        return credentials

    async def steps(self) -> list[dict[str, Any]]:
        steps: list[dict[str, Any]] = (await self.state())["steps"]
        return steps

    async def step_ids(self) -> list[str]:
        return [str(step["id"]) for step in await self.steps()]

    async def remove_step(self, step_id: str) -> None:
        """Remove a step, as a person does in the vendor's app."""
        await self._ask("DELETE", f"/steps/{step_id}")

    async def requests(self, *methods: str) -> list[dict[str, Any]]:
        """The log of requests, token refreshes included; of these methods only, if any."""
        log: list[dict[str, Any]] = (await self._ask("GET", "/requests"))["requests"]
        return [request for request in log if not methods or request["method"] in methods]

    async def writes(self) -> list[dict[str, Any]]:
        """The log of writes, without token refreshes."""
        return [
            request
            for request in await self.requests("POST", "PUT", "PATCH", "DELETE")
            if "oauth" not in request["path"]
        ]

    async def fault(self, **fault: Any) -> None:
        """Switch a fault on, see the sandbox's README."""
        await self.faults([fault])

    async def faults(self, faults: Sequence[dict[str, Any]]) -> None:
        """Switch several on: a request meets the first that fits, and only that one."""
        await self._ask("POST", "/faults", list(faults))

    async def expire_access_tokens(self) -> None:
        await self._ask("POST", "/expire-access-tokens")

    async def revoke_refresh_token(self) -> None:
        await self._ask("POST", "/revoke-refresh-token")

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.control.request(method, f"/accounts/{self.name}{path}", json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None
