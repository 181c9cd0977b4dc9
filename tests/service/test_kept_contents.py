"""What callers write lies encrypted in the journal, whatever became of their requests."""

import asyncio
import base64
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import psycopg

from sandbox.server import RunningSandbox
from service.bootstrap import opened_stores
from service.domain.operation import OperationState
from service.settings import Settings
from tests.service.conftest import Client, NewAccount, client_of, settings_for
from tests.service.test_secrets import CLIENT_SECRETS, MARK, marked_step, pieces
from tests.service.vendor_account import VendorAccount
from tests.service.vendor_hold import STEP_WRITES, held, hold

VENDORS = ("outreach", "salesloft", "apollo")
TABLES = ("operations", "connections")
HOLD_SECONDS = 1.5
REFUSED = {"kind": "status", "status": 422, "body": {}}
UNFINISHED: dict[str, tuple[dict[str, Any], ...]] = {
    "outreach": ({"method": "POST", "path": "/sequenceTemplates$", **REFUSED},),
    "salesloft": ({"method": "POST", "kind": "no_id", "hidden_seconds": 3600},),
    "apollo": ({"method": "PUT", **REFUSED}, {"method": "DELETE", **REFUSED}),
}
"""What leaves a request INCOMPLETE, and at Salesloft IN_DOUBT."""


def service_settings(sandbox: RunningSandbox, folder: Path, **more: str) -> Settings:
    """Return settings with which nothing is looked for for long."""
    settle = {f"ENGAGEMENT_{vendor.upper()}_SETTLE_SECONDS": "0.2" for vendor in VENDORS}
    return settings_for(sandbox.base_url, folder / "engagement.db", **settle, **more)


async def test_in_the_files_of_sqlite(
    sandbox: RunningSandbox, new_account: NewAccount, tmp_path: Path
) -> None:
    """Those beside it too: what was written last is only there."""
    folder = tmp_path / "data"
    settings = service_settings(sandbox, folder)
    async with client_of(settings) as client:
        accounts = await leave_every_state(client, new_account)
        copies = _files(folder)
    copies += _files(folder)

    _check_unreadable(copies, settings, accounts)


async def test_in_the_tables_of_postgresql(
    sandbox: RunningSandbox, new_account: NewAccount, tmp_path: Path, postgres_url: str
) -> None:
    settings = service_settings(sandbox, tmp_path, ENGAGEMENT_DATABASE=postgres_url)
    async with client_of(settings) as client:
        accounts = await leave_every_state(client, new_account)
        copies = [await _table(postgres_url, table) for table in TABLES]

    _check_unreadable(copies, settings, accounts)


async def leave_every_state(client: Client, new_account: NewAccount) -> list[VendorAccount]:
    """Ask for steps whose requests end in every way, and one that is still being written."""

    async def account(vendor: str, faults: Sequence[dict[str, Any]] = ()) -> VendorAccount:
        made = await new_account(vendor, connected=False)
        await made.faults(faults)
        async with opened_stores(client.settings) as stores:
            await stores.connections.put(made.connection())
        return made

    ended = [
        await account(vendor, faults)
        for vendor in VENDORS
        for faults in ((), (_refused_step(vendor),), UNFINISHED[vendor])
    ]
    await asyncio.gather(*(_ask(client, each) for each in ended))
    running = await account("outreach")
    await hold(running, *STEP_WRITES["outreach"], seconds=HOLD_SECONDS)
    asking = asyncio.create_task(_ask(client, running))
    await held(running)
    await _check_kept(client)
    asking.cancel()
    return [*ended, running]


def _refused_step(vendor: str) -> dict[str, Any]:
    method, path = STEP_WRITES[vendor]
    return {"method": method, "path": path, **REFUSED}


async def _ask(client: Client, account: VendorAccount) -> None:
    with suppress(grpc.aio.AioRpcError):
        await client.create(account, marked_step(account.vendor))


async def _check_kept(client: Client) -> None:
    """Check that every state is there, and that with the key the contents can be read.

    They are kept only while they may be needed.
    """
    async with opened_stores(client.settings) as stores:
        summaries = await stores.journal.summaries(connection=None, only_unsettled=False, limit=100)
    assert {summary.operation.state for summary in summaries} == set(OperationState)
    for summary in summaries:
        bodies = str([call.write.body for call in summary.operation.calls])
        is_over = summary.operation.state in {OperationState.SUCCEEDED, OperationState.NO_EFFECT}
        assert (f"{MARK} subject" in bodies, f"{MARK} body" in bodies) == (not is_over, not is_over)


def _files(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.iterdir()]


async def _table(url: str, table: str) -> bytes:
    """Return a table as the server has it: bytes as they are, not in digits."""
    async with (
        await psycopg.AsyncConnection.connect(url) as connection,
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table} TO STDOUT (FORMAT binary)".encode()) as copy,
    ):
        return b"".join([bytes(block) async for block in copy])


def _check_unreadable(
    copies: list[bytes], settings: Settings, accounts: list[VendorAccount]
) -> None:
    found = b"".join(copies)
    for account in accounts:
        assert account.name.encode() in found, "nothing of it was copied"
    credentials = {piece for account in accounts for piece in pieces(account)}
    keys = [key.key.reveal() for key in settings.keys]
    for secret in (MARK, *CLIENT_SECRETS, *credentials, *keys):
        for form in _forms(secret):
            assert form not in found, f"{secret} as {form!r}"


def _forms(text: str) -> list[bytes]:
    """Return the forms in which a text could be read without a key."""
    plain = text.encode()
    # Base64 depends on what stands before: all three alignments, without their ragged ends.
    in_base64 = [base64.b64encode(plain[start:]).rstrip(b"=")[:-1] for start in range(3)]
    return [plain, plain.hex().encode(), text.encode("utf-16-le"), *in_base64]
