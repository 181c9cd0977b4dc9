"""One account of the sandbox, as a client with its credentials sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

CONTENT_TYPES = {"outreach": "application/vnd.api+json"}


class Tenant:
    """An isolated account at one vendor, and both doors to it: the vendor's and the control's."""

    def __init__(self, http: httpx.AsyncClient, described: dict[str, Any]) -> None:
        self.http = http
        self.name: str = described["name"]
        self.vendor: str = described["vendor"]
        self.base_url: str = described["base_url"]
        self.credentials: dict[str, Any] = described["credentials"]
        self.headers = {"content-type": CONTENT_TYPES.get(self.vendor, "application/json")}
        if self.vendor == "apollo":
            self.headers["x-api-key"] = self.credentials["api_key"]
        else:
            self.headers["authorization"] = f"Bearer {self.credentials['access_token']}"

    async def send(
        self,
        method: str,
        path: str,
        json: Any = None,
        headers: dict[str, str | None] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """Ask the vendor; a header given as None is left out."""
        merged = {**self.headers, **(headers or {})}
        return await self.http.request(
            method,
            f"/{self.vendor}{path}",
            json=json,
            headers={name: value for name, value in merged.items() if value is not None},
            **more,
        )

    async def refresh(self, **changes: str) -> httpx.Response:
        """Ask the token endpoint, with the right fields but for the changes."""
        fields = {
            "client_id": self.credentials["client_id"],
            "client_secret": self.credentials["client_secret"],
            "grant_type": "refresh_token",
            "refresh_token": self.credentials["refresh_token"],
        }
        return await self.http.post(f"/{self.vendor}/oauth/token", json=fields | changes)

    async def control(self, method: str, path: str = "", json: Any = None) -> Any:
        """Ask the control interface about this account."""
        response = await self.http.request(
            method, f"/_sandbox/accounts/{self.name}{path}", json=json
        )
        assert response.status_code in (200, 201, 204), response.text
        return response.json() if response.content else None

    async def fault(self, **fault: Any) -> None:
        """Switch a fault on."""
        await self.control("POST", "/faults", fault)

    async def state(self, collection: str) -> list[dict[str, Any]]:
        """All records of one kind, whatever reads show."""
        records: list[dict[str, Any]] = (await self.control("GET"))["state"][collection]
        return records

    async def log(self) -> list[dict[str, Any]]:
        """The requests seen."""
        requests: list[dict[str, Any]] = (await self.control("GET", "/requests"))["requests"]
        return requests
