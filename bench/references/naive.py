"""What a quick service in Python looks like: gRPC, httpx and SQLite, as one finds them.

It makes the same HTTP calls as the service, through one client of httpx with its default settings,
and as many commits, each statement one of its own, by aiosqlite. Nothing is checked, encrypted,
limited, logged or repeated.

`python -m bench.references.naive DATABASE VENDOR_URL`, where the database is a file.
"""

import asyncio
import json
import sys
import uuid
from typing import Any

import aiosqlite
import grpc
import httpx

from bench.references import calls
from engagement.v1 import sequence_step_service_pb2 as service_pb2
from engagement.v1.sequence_step_service_pb2_grpc import (
    SequenceStepServiceServicer,
    add_SequenceStepServiceServicer_to_server,
)


class Naive(SequenceStepServiceServicer):
    """Makes steps."""

    def __init__(
        self, database: aiosqlite.Connection, client: httpx.AsyncClient, vendor_url: str
    ) -> None:
        self._database = database
        self._client = client
        self._vendor_url = vendor_url

    async def CreateSequenceStep(  # noqa: N802 - the contract's name
        self,
        request: service_pb2.CreateSequenceStepRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> service_pb2.CreateSequenceStepResponse:
        """Commit, make the provider's calls with a commit before each write, and commit."""
        provider = str(dict(context.invocation_metadata() or ())["x-provider-name"])
        base_url, headers = f"{self._vendor_url}/{provider}", calls.HEADERS[provider]

        async def call(method: str, path: str, body: object = None) -> Any:
            answer = await self._client.request(method, base_url + path, json=body, headers=headers)
            return answer.json()

        async def commit() -> None:
            update = "UPDATE naive_rows SET commits = commits + 1 WHERE request_id = ?"
            await self._database.execute(update, (request_id,))

        request_id = request.request_id or str(uuid.uuid4())
        await self._database.execute("INSERT INTO naive_rows VALUES (?, 1)", (request_id,))
        step_id = await calls.MAKE[provider](request, call, commit)
        await commit()
        return service_pb2.CreateSequenceStepResponse(id=step_id)


async def _serve(path: str, vendor_url: str) -> None:
    async with (
        aiosqlite.connect(path, isolation_level=None) as database,  # Each statement is committed.
        httpx.AsyncClient() as client,
    ):
        await database.execute("PRAGMA journal_mode = WAL")
        await database.execute("PRAGMA synchronous = FULL")
        await database.execute(
            "CREATE TABLE naive_rows (request_id TEXT PRIMARY KEY, commits INTEGER NOT NULL)"
        )
        server = grpc.aio.server()
        # The function that protoc makes has no types.
        add_SequenceStepServiceServicer_to_server(  # type: ignore[no-untyped-call]
            Naive(database, client, vendor_url), server
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        sys.stdout.write(f"{json.dumps({'port': port})}\n")
        sys.stdout.flush()
        await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
