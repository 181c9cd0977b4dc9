"""A stand-in of Outreach that costs little: it knows nothing and says yes at once.

`python -m bench.vendor` prints the port that it listens at, and ends with its standard input.
"""

import asyncio
import itertools
import sys

from aiohttp import web

_MEDIA_TYPE = "application/vnd.api+json"
_step_ids = itertools.count(1)


async def _sequence(request: web.Request) -> web.Response:
    sequence_id = int(request.match_info["sequence_id"])
    return _answer(
        200,
        {
            "type": "sequence",
            "id": sequence_id,
            "attributes": {"sequenceType": "interval"},
        },
    )


async def _steps(_: web.Request) -> web.Response:
    return _answer(200, [])


async def _new_step(request: web.Request) -> web.Response:
    body = await request.json()
    return _answer(201, {**body["data"], "id": next(_step_ids)})


def _answer(status: int, data: object) -> web.Response:
    return web.json_response({"data": data}, status=status, content_type=_MEDIA_TYPE)


async def _serve() -> None:
    application = web.Application()
    application.add_routes(
        [
            web.get("/sequences/{sequence_id}", _sequence),
            web.get("/sequenceSteps", _steps),
            web.post("/sequenceSteps", _new_step),
        ]
    )
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
