"""A process that serves until it is told to stop, and says on standard output how it goes.

Its arguments are the seconds of the drain delay, of the grace, and of finishing. Each call takes
as long as the process lives, unless the grace ends it.
"""

import asyncio
import sys

from service.application.arrival import Arrival
from service.domain.outcome import StepAnswer
from service.transport.caller_identity import local_caller
from service.transport.log_setup import configure_logging
from service.transport.server import GrpcServer, StopTimes, serve_until_stopped, stop_signals
from tests.transport.stand_in import StandIn, servicer_for


def say(word: str) -> None:
    print(word, flush=True)  # noqa: T201 - this is how the test follows


async def never_answer(call: Arrival) -> StepAnswer:
    del call
    say("called")
    try:
        await asyncio.sleep(3600)
    finally:
        say("cut")
    raise AssertionError


async def finish(seconds: float) -> None:
    say(f"finish {seconds:g}")


async def main(*seconds: float) -> None:
    configure_logging("error")
    application = StandIn()
    application.behaviour = never_answer
    server = GrpcServer(
        servicer_for(application), local_caller, requests_in_flight_max=10, reflects=False
    )
    with stop_signals() as signals:
        port = await server.start("127.0.0.1:0")
        say(f"port {port}")
        await serve_until_stopped(server, signals, StopTimes(*seconds), finish)
    say("stopped")


if __name__ == "__main__":
    asyncio.run(main(*(float(text) for text in sys.argv[1:])))
