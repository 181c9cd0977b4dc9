"""sandbox/README.md: its calls of the control interface are made as they are written."""

import httpx

from sandbox.server import serve
from tests.docs.pages import PAGES
from tests.docs.shell import commands

PAGE = PAGES["sandbox/README.md"]
CALLS = [
    command.arguments
    for block in PAGE.blocks
    for command in commands(block.text)
    if command.program == "curl"
]


async def test_its_calls_are_taken_in_their_order() -> None:
    assert len(CALLS) == 3
    async with serve() as sandbox, httpx.AsyncClient(trust_env=False) as client:
        for url, flag, data in CALLS:
            assert flag == "-d"
            answer = await client.post(url.replace("$S", sandbox.base_url), content=data)
            assert answer.is_success, answer.text
        account = await client.get(f"{sandbox.base_url}/_sandbox/accounts/mine")
        faults = await client.get(f"{sandbox.base_url}/_sandbox/accounts/mine/faults")

    assert len(account.json()["state"]["sequences"]) == 1001
    assert [fault["kind"] for fault in faults.json()["faults"]] == [
        "close",
        "rate_limited",
        "status",
    ]
