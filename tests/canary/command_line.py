"""The command line on the service's database: every command, also with what it cannot take."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.canary.marks import Mark, marked
from tests.canary.traffic import Customer

SECRET, CONTENT = marked(Mark.SECRET, "typed"), marked(Mark.CONTENT, "typed")
OAUTH = {"credential": SECRET, "refresh_token": SECRET}
NO_UUID = "0d0f9a3e-27c4-4b8a-9f16-e83b1c6d7042"

PUT = ("connections", "put", "typed", "outreach", "--kind")
PUTS: Sequence[tuple[Sequence[str], object]] = (
    ((*PUT, "oauth"), OAUTH),
    ((*PUT, "oauth"), {**OAUTH, "expires_at": SECRET}),
    ((*PUT, "oauth"), {**OAUTH, SECRET: SECRET}),
    ((*PUT, "bearer"), {"credential": f"{SECRET}\n{SECRET}"}),
    ((*PUT, "oauth"), [SECRET]),
    ((*PUT, "oauth"), SECRET * 10_000),
)


@dataclass(frozen=True)
class Ended:
    """What a command came to."""

    arguments: Sequence[str]
    status: int
    out: bytes
    err: bytes


async def run_all(environment: Mapping[str, str], known: Customer, request_id: str) -> list[Ended]:
    """Run the commands, for a customer whose request is in doubt."""
    whose = (known.id, known.account.vendor)
    reads = (
        ("connections", "list"),
        ("connections", "list", "--json"),
        ("connections", "check", *whose),
        ("connections", "check", "nobody", "apollo"),
        ("connections", "remove", "nobody", "apollo"),
        ("operations", "list", "--all"),
        ("operations", "show", *whose, request_id),
        ("operations", "show", *whose, NO_UUID),
        ("operations", "settle", *whose, request_id, "--nothing", "--reason", CONTENT),
        ("keys", "rotate"),
        ("migrate",),
    )
    broken = {**environment, "ENGAGEMENT_LISTEN": SECRET, "ENGAGEMENT_GRACE_SECONDS": SECRET}
    broken |= {"ENGAGEMENT_KEYS": f"k1:{SECRET}", "ENGAGEMENT_OUTREACH_API_URL": f"http://{SECRET}"}
    return await asyncio.gather(
        *(run(environment, *arguments) for arguments in reads),
        *(run(environment, *arguments, stdin=given) for arguments, given in PUTS),
        run(broken, "connections", "list"),
    )


async def run(environment: Mapping[str, str], *arguments: str, stdin: object = None) -> Ended:
    """Run one command to its end, with standard input as it is written or as JSON."""
    given = stdin if isinstance(stdin, str) else json.dumps(stdin)
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("ENGAGEMENT_")
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", *arguments),
        env={**inherited, **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(given.encode())
    assert process.returncode is not None
    return Ended(arguments, process.returncode, out, err)
