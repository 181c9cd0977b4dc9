"""The command line's `health`: asks a server how it is, for probes that run a command.

It reads no settings: a probe has a certificate of its own, and asks at an address of its own.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from service.commands.output import (
    EXIT_DONE,
    EXIT_INPUT_INVALID,
    EXIT_NOT_DONE,
    failed,
    print_line,
)
from service.settings import PORT_MAX
from service.transport.health_check import HealthUnknown, TlsClient, health_of

if TYPE_CHECKING:
    from argparse import _SubParsersAction

ADDRESS = "127.0.0.1:50051"
SERVING = "SERVING"


def add_parser(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `health`."""
    health = subparsers.add_parser(
        "health",
        help="ask a server how it is; exit status 0 when it serves",
        description="Ask a server how it is (grpc.health.v1), and print its answer. Exit status "
        "0: SERVING. 1: another answer, or none. 2: the options cannot be taken. With --ca it "
        "asks over TLS; a server that identifies its callers by certificates needs --certificate "
        "and --key too, of any client that its authority signed.",
    )
    health.add_argument(
        "--address",
        type=_address,
        default=ADDRESS,
        help="host:port of the server (default %(default)s)",
    )
    health.add_argument("--ca", type=Path, help="who may have signed the server's certificate, PEM")
    health.add_argument(
        "--server-name", help="the name in the server's certificate, where the address is not in it"
    )
    health.add_argument("--certificate", type=Path, help="the client's own certificate, PEM")
    health.add_argument("--key", type=Path, help="its key, PEM")


def run(args: argparse.Namespace) -> int:
    """Ask; print the answer, or an error in one line; return the exit status."""
    if (args.certificate is None) != (args.key is None):
        return failed(EXIT_INPUT_INVALID, "give both --certificate and --key, or neither")
    if args.ca is None and (args.certificate or args.server_name):
        return failed(EXIT_INPUT_INVALID, "--ca is missing: without it there is no TLS")
    tls = args.ca and TlsClient(args.ca, args.server_name, args.certificate, args.key)
    try:
        answer = health_of(args.address, tls)
    except OSError as error:
        return failed(EXIT_INPUT_INVALID, f"cannot read {error.filename}: {error.strerror}")
    except HealthUnknown as error:
        return failed(EXIT_NOT_DONE, error)
    print_line(answer)
    return EXIT_DONE if answer == SERVING else EXIT_NOT_DONE


def _address(text: str) -> str:
    """Return an address; gRPC would take a port beyond the last one for another."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > PORT_MAX:
        raise argparse.ArgumentTypeError("must be host:port, such as 127.0.0.1:50051")
    return text
