"""The command line: `serve`, `migrate`, `connections`, `operations` and `keys`."""

import argparse
import asyncio
import os
import sys

import structlog

from service.bootstrap import running_service
from service.commands import connections, keys, migrate, operations
from service.settings import Settings, SettingsError
from service.stores.store_failure import DatabaseUnusable
from service.transport.log_setup import configure_logging
from service.transport.server import ListenError, StopTimes, serve_until_stopped, stop_signals

EXIT_FAILED = 1
EXIT_SETTINGS_WRONG = 2

_log = structlog.get_logger()


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status; errors are lines on standard error."""
    args = _parser().parse_args(arguments)
    if args.command == "keys":
        return keys.run()
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the command line's answer
        return EXIT_SETTINGS_WRONG
    return _run(args, settings)


def _run(args: argparse.Namespace, settings: Settings) -> int:
    match args.command:
        case "migrate":
            return migrate.run(settings)
        case "connections":
            return connections.run(args, settings)
        case "operations":
            return operations.run(args, settings)
    configure_logging(settings.log_level)
    try:
        asyncio.run(_serve(settings))
    except (DatabaseUnusable, ListenError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - likewise
        return EXIT_FAILED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sequence-step-service",
        description="One gRPC call that adds a step to a customer's sequence, at any provider. "
        "Settings come from the environment: docs/settings.md.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve until SIGTERM or Ctrl-C")
    migrate.add_parser(commands)
    connections.add_parser(commands)
    operations.add_parser(commands)
    keys.add_parser(commands)
    return parser


async def _serve(settings: Settings) -> None:
    times = StopTimes(settings.drain_delay_seconds, settings.grace_seconds, settings.finish_seconds)
    with stop_signals() as signals:
        async with running_service(settings) as service:
            _log.info("serving", address=settings.listen, port=service.port)
            await serve_until_stopped(service.server, signals, times, service.tasks.drain)


if __name__ == "__main__":
    sys.exit(main())
