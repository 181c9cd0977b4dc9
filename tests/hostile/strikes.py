"""What a hostile vendor does in the place of an answer."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from tests.hostile.hostile_vendor import Exchange, Strike, as_bytes, json_of

FLOOD_BYTES = 8 * 1024 * 1024
"""What a flood sends in all, where nobody closes the connection before."""

DRIP_SECONDS = 0.05


def sends(data: bytes, *, then_closes: bool = False) -> Strike:
    """Send these bytes, and do nothing of what was asked for."""

    async def strike(exchange: Exchange) -> None:
        exchange.send(data)
        if then_closes:
            exchange.close()

    return strike


def says(
    status: int = 200, body: bytes = b"{}", content_type: str = "application/json", **headers: str
) -> Strike:
    """Answer so, and do nothing of what was asked for."""
    return sends(as_bytes(status, body, content_type, **headers))


def says_json(status: int, body: object, **headers: str) -> Strike:
    """Answer so with JSON."""
    return says(status, json.dumps(body).encode(), **headers)


def does_and_sends(wire: Callable[[bytes], bytes]) -> Strike:
    """Do what was asked for, and send what `wire` makes of the good answer's body."""

    async def strike(exchange: Exchange) -> None:
        exchange.send(wire(exchange.applied().body))

    return strike


def does_and_says(body: bytes, status: int = 201, **headers: str) -> Strike:
    """Do what was asked for, and answer with another body."""
    return does_and_sends(lambda _: as_bytes(status, body, **headers))


def does_and_changes(change: Callable[[Any], object], status: int = 200) -> Strike:
    """Do what was asked for, and answer with what `change` makes of the good JSON."""

    async def strike(exchange: Exchange) -> None:
        changed = change(json_of(exchange.applied()))
        exchange.send(as_bytes(status, json.dumps(changed).encode()))

    return strike


def redirects(status: int, path: str = "/stolen") -> Strike:
    """Point at another host."""

    async def strike(exchange: Exchange) -> None:
        exchange.send(as_bytes(status, Location=f"{exchange.elsewhere}{path}"))

    return strike


def repeats_the_credential(wire: Callable[[str], bytes]) -> Strike:
    """Answer with what `wire` makes of the credential that came."""

    async def strike(exchange: Exchange) -> None:
        headers = exchange.request.headers
        secret = headers.get("authorization", "").removeprefix("Bearer ")
        exchange.send(wire(secret or headers.get("x-api-key", "")))

    return strike


def repeats_the_body(status: int) -> Strike:
    """Answer with the body that came: at a token endpoint every secret there is."""

    async def strike(exchange: Exchange) -> None:
        came = exchange.request.body.decode()
        body = {"error": came, "error_description": came, "access_token": f"{came}\n"}
        exchange.send(as_bytes(status, json.dumps(body).encode(), X_Echo=came))

    return strike


def floods(start: bytes, piece: bytes) -> Strike:
    """Send pieces as fast as the client takes them."""

    async def strike(exchange: Exchange) -> None:
        exchange.send(start)
        for _ in range(FLOOD_BYTES // len(piece)):
            exchange.send(piece)
            await exchange.sent()
        exchange.close()

    return strike


def drips(start: bytes, piece: bytes) -> Strike:
    """Send a piece now and then, without end."""

    async def strike(exchange: Exchange) -> None:
        exchange.send(start)
        while True:
            await asyncio.sleep(DRIP_SECONDS)
            exchange.send(piece)
            await exchange.sent()

    return strike


async def hangs(exchange: Exchange) -> None:
    """Keep the connection and say nothing."""
    del exchange
    await asyncio.sleep(3600)


async def hangs_up(exchange: Exchange) -> None:
    """End the connection without a byte."""
    exchange.close()
