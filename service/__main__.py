"""The command line: `serve`, `health`, `migrate`, `connections`, `operations`, `keys`, `tokens`."""

import argparse
import asyncio
import gc
import os
import sys

import structlog

from service.bootstrap import running_service
from service.commands import connections, health, keys, migrate, operations, tokens
from service.commands.output import bug_told, failed
from service.commands.version import PrintVersion
from service.providers.registration import Registry
from service.providers.registry import PROVIDERS
from service.settings import Settings, SettingsError
from service.stores.store_failure import DatabaseUnusable
from service.telemetry.trace_export import TracesUnusable
from service.transport.log_setup import configure_logging
from service.transport.policy_file import PolicyUnusable
from service.transport.server import ListenError, StopTimes, serve_until_stopped, stop_signals
from service.transport.tls_files import TlsFilesUnusable

EXIT_FAILED = 1
EXIT_SETTINGS_WRONG = 2

GARBAGE_OBJECTS_MIN = 100_000
"""So many more objects must be alive before cyclic garbage is looked for: some tens of MB."""

_log = structlog.get_logger()


def main(arguments: list[str] | None = None, registry: Registry = PROVIDERS) -> int:
    """Run one command and return the exit status; errors are lines on standard error."""
    args = command_parser(registry).parse_args(arguments)
    try:
        return _command(args, registry)
    except Exception as error:  # noqa: BLE001 - whatever it is, no traceback and no foreign words
        return failed(EXIT_FAILED, bug_told(error))


def _command(args: argparse.Namespace, registry: Registry) -> int:
    if args.command == "keys" and args.action == "new":
        return keys.print_new()
    if args.command == "tokens":
        return tokens.run()
    if args.command == "health":
        return health.run(args)
    try:
        settings = Settings.from_environment(os.environ, registry)
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
        case "keys":
            return keys.rotate(settings)
    return _served(settings)


def _served(settings: Settings) -> int:
    configure_logging(settings.log_level)
    try:
        asyncio.run(_serve(settings))
    except (PolicyUnusable, TlsFilesUnusable, TracesUnusable) as error:
        print(error, file=sys.stderr)  # noqa: T201 - likewise
        return EXIT_SETTINGS_WRONG
    except (DatabaseUnusable, ListenError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - likewise
        return EXIT_FAILED
    except Exception as error:  # noqa: BLE001 - told to whoever reads the log
        _log.critical("uncaught", origin="serve", exc_info=error)
        return EXIT_FAILED
    return 0


def command_parser(registry: Registry = PROVIDERS) -> argparse.ArgumentParser:
    """Return what reads the command line; docs/command-line.md is made of it."""
    parser = argparse.ArgumentParser(
        prog="sequence-step-service",
        description="One gRPC call that adds a step to a customer's sequence, at any provider. "
        "Settings come from the environment: docs/settings.md.",
        epilog="Exit status: 0 done; 1 not done; 2 what was given cannot be taken (arguments, "
        "settings, files that they name, standard input). What went wrong is on standard error.",
    )
    parser.add_argument("--version", action=PrintVersion, help="print the version and end")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "serve",
        help="serve until SIGTERM or Ctrl-C",
        description="Serve until SIGTERM or Ctrl-C; then drain, and end with status 0. Status 1: "
        "the database or the address cannot be used. Status 2: the settings, the policy or the "
        "certificates cannot.",
    )
    health.add_parser(commands)
    migrate.add_parser(commands)
    connections.add_parser(commands, registry)
    operations.add_parser(commands, registry)
    keys.add_parser(commands)
    tokens.add_parser(commands)
    return parser


def _look_for_garbage_seldom() -> None:
    """Spare requests the search for cyclic garbage, of which they leave next to none.

    With thousands in flight it took a quarter of the processor's time by Python's defaults: it
    looks at everything that is alive, again and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS_MIN)


async def _serve(settings: Settings) -> None:
    times = StopTimes(settings.drain_delay_seconds, settings.grace_seconds, settings.finish_seconds)
    with stop_signals() as signals:
        async with running_service(settings) as service:
            _look_for_garbage_seldom()
            if service.metrics_port is not None:
                _log.info(
                    "metrics_served", address=settings.metrics_listen, port=service.metrics_port
                )
            _log.info("serving", address=settings.listen, port=service.port)
            if settings.policy is None:
                _log.warning("callers_not_identified")
            await serve_until_stopped(service.server, signals, times, service.tasks.drain)


if __name__ == "__main__":
    sys.exit(main())
