"""While requests are served, nothing on the event loop's thread waits for a disk or a network."""

import asyncio
import os
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.service.blocking_calls import watched
from tests.service.conftest import Client, NewAccount
from tests.service.step_messages import AUTO_EMAIL, step
from tests.service.test_concurrency import seed, sequence_ids
from tests.service.vendor_account import VendorAccount

VENDORS = ("outreach", "salesloft", "apollo")
COUNT = 17


def _open(path: Path) -> None:
    path.write_text("")


def _open_directly(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR))


def _ask_a_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE steps (id INTEGER)")
    connection.commit()
    connection.close()


def _connect(_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())


def _sleep(_path: Path) -> None:
    time.sleep(0)


@pytest.mark.parametrize(
    ("block", "what"),
    [
        (_open, "io.open"),
        (_open_directly, "posix.open"),
        (_ask_a_database, "Connection.commit"),
        (_connect, "socket.connect"),
        (_sleep, "time.sleep"),
    ],
)
def test_the_watch_sees_what_blocks(
    tmp_path: Path, block: Callable[[Path], None], what: str
) -> None:
    with watched() as calls:
        block(tmp_path / "file")

    assert any(what in call for call in calls), calls


async def test_no_request_blocks_the_others(client: Client, new_account: NewAccount) -> None:
    """Connections that are read for the first time, and tokens that are refreshed and stored."""
    accounts = [await new_account(vendor, seed=seed(vendor, COUNT)) for vendor in VENDORS]
    for account in accounts:
        if account.vendor != "apollo":
            await account.expire_access_tokens()

    async def create(account: VendorAccount, sequence_id: str) -> str:
        asked = step(AUTO_EMAIL, template_id=account.template_id)
        answer = await client.create(account, asked, sequence_id=sequence_id, timeout=60)
        return answer.id

    with watched() as calls:
        ids = await asyncio.gather(
            *(
                create(account, sequence_id)
                for account in accounts
                for sequence_id in sequence_ids(account.vendor, COUNT)
            )
        )

    assert calls == []
    made = [step_id for account in accounts for step_id in await account.step_ids()]
    assert sorted(ids) == sorted(made)


@pytest.mark.parametrize("vendor", VENDORS)
async def test_no_failure_blocks_the_others(
    client: Client, new_account: NewAccount, vendor: str
) -> None:
    account = await new_account(vendor)
    await account.fault(kind="close", method="GET", times=None)

    with watched() as calls:
        failure = await client.fail(account, step(AUTO_EMAIL, template_id=account.template_id))

    assert failure.reason == "PROVIDER_UNAVAILABLE"
    assert calls == []
