"""Connections and keys that the tests of this folder share."""

import base64

from service.domain.connection import Connection, ConnectionKind, Secret
from service.domain.step import ConnectionKey, ProviderName
from service.providers.oauth import OAuthApplication
from service.stores.key_ring import KeyRing
from tests.connections.manual_clock import EPOCH_SECONDS

KEY_1 = Secret(base64.b64encode(bytes(range(32))).decode())
KEY_2 = Secret(base64.b64encode(bytes(range(32, 64))).decode())
RING = KeyRing({"k1": KEY_1})

ACME_OUTREACH = ConnectionKey("acme", ProviderName("outreach"))
ACME_SALESLOFT = ConnectionKey("acme", ProviderName("salesloft"))
GLOBEX_OUTREACH = ConnectionKey("globex", ProviderName("outreach"))


def oauth(
    key: ConnectionKey = ACME_OUTREACH,
    credential: str = "access-1",
    refresh_token: str = "refresh-1",
    left_seconds: float | None = 7200.0,
) -> Connection:
    return Connection(
        key,
        ConnectionKind.OAUTH,
        Secret(credential),
        Secret(refresh_token),
        None if left_seconds is None else EPOCH_SECONDS + left_seconds,
    )


def api_key(key: ConnectionKey = ACME_SALESLOFT, credential: str = "ak-1") -> Connection:
    return Connection(key, ConnectionKind.API_KEY, Secret(credential))


APPLICATIONS = {
    provider: OAuthApplication(
        f"https://{provider}.test/oauth/token",
        f"{provider}-client",
        Secret(f"{provider}-client-secret"),
    )
    for provider in (ProviderName("outreach"), ProviderName("salesloft"))
}
