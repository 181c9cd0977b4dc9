"""The command line: `python -m sandbox` serves the stand-ins until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from sandbox.server import serve

EXAMPLES = """\
paths:
  /outreach/api/v2/...   /outreach/oauth/token
  /salesloft/v2/...      /salesloft/oauth/token
  /apollo/api/v1/...     /apollo/v1/...
  /_sandbox/...          the control interface, JSON

with S=http://127.0.0.1:8080
  what there is           curl $S/_sandbox/accounts
  credentials and state   curl $S/_sandbox/accounts/outreach-demo
  an account of your own  curl -d '{"vendor":"outreach","name":"mine"}' $S/_sandbox/accounts
  lose the next answer    curl -d '{"kind":"close","when":"after","method":"POST"}' \\
                            $S/_sandbox/accounts/mine/faults
  what was asked          curl $S/_sandbox/accounts/mine/requests
  from the start          curl -X POST $S/_sandbox/accounts/mine/reset

All options, seeds and faults are in sandbox/README.md.
"""


async def _run(host: str, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    async with serve(host, port) as sandbox:
        print(f"sandbox listening on {sandbox.base_url}", flush=True)  # noqa: T201
        await stop.wait()


def main() -> int:
    """Serves until told to stop; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="Stand-ins of Outreach, Salesloft and Apollo over HTTP, with faults.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="0 picks a free one (default 8080)")
    arguments = parser.parse_args()
    try:
        asyncio.run(_run(arguments.host, arguments.port))
    except OSError as problem:
        print(f"sandbox: {problem}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
