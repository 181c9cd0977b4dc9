"""The command line's `operations`: shows what became of requests, and settles what is in doubt.

It works on the server's own database, also while the server runs. Settling is for what no look at
the provider can decide: a person looks there, and says which step the request made, or that it made
none. The reason given is kept.
"""

import argparse
import asyncio
import json
from typing import TYPE_CHECKING, Final

from service.application.journal_port import OperationSummary, OwnershipLost
from service.bootstrap import opened_stores
from service.commands.output import (
    EXIT_DONE,
    EXIT_INPUT_INVALID,
    EXIT_NOT_DONE,
    failed,
    print_line,
    print_table,
    time_shown,
    without_log,
)
from service.domain.errors import ServiceError
from service.domain.operation import OperationCall, OperationState
from service.domain.plan import path_of
from service.domain.step import ConnectionKey, Ids, ProviderName
from service.settings import Settings
from service.stores.sqlite_database import DatabaseUnusable

if TYPE_CHECKING:
    from argparse import _SubParsersAction

LISTED_MAX: Final = 1000

_SETTLED_BY_HAND: Final = frozenset({OperationState.INCOMPLETE, OperationState.IN_DOUBT})


def add_parser(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `operations list|show|settle`."""
    operations = subparsers.add_parser(
        "operations", help="show what became of requests, and settle what is in doubt"
    )
    actions = operations.add_subparsers(dest="action", required=True)

    list_ = actions.add_parser("list", help="list operations, the last changed first")
    list_.add_argument(
        "--all", action="store_true", help="also those that are settled, not only the others"
    )
    list_.add_argument("--customer", help="only those of this customer; with --provider")
    list_.add_argument("--provider", choices=[name.value for name in ProviderName])
    list_.add_argument("--json", action="store_true", help="as a JSON array")

    show = actions.add_parser(
        "show", help="say all that is known of a request: what was sent, and what came of it"
    )
    _add_key(show)

    settle = actions.add_parser(
        "settle",
        help="say what a request made, when no look at the provider can",
        description="Settle a request that is INCOMPLETE or IN_DOUBT. With --step it is answered "
        "with that step from now on; with --nothing it runs again when it is repeated.",
    )
    _add_key(settle)
    outcome = settle.add_mutually_exclusive_group(required=True)
    outcome.add_argument("--step", metavar="ID", help="the id of the step that it made")
    outcome.add_argument("--nothing", action="store_true", help="it made no step")
    settle.add_argument("--reason", required=True, help="how you know; kept with the operation")
    settle.add_argument("--caller", help="whose request, when several callers used the id")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do what the arguments say; return the exit status.

    0: done. 1: not done, since it is not there, is not in doubt, or something failed. 2: what was
    given cannot be taken. Errors are one line on standard error.
    """
    try:
        with without_log():
            return asyncio.run(_run(args, settings))
    except DatabaseUnusable as error:
        return failed(EXIT_NOT_DONE, error)
    except ServiceError as error:
        return failed(EXIT_NOT_DONE, error.__cause__ or error.message)
    except KeyboardInterrupt:
        return failed(EXIT_NOT_DONE, "interrupted")


async def _run(args: argparse.Namespace, settings: Settings) -> int:
    match args.action:
        case "list":
            return await _list(args, settings)
        case "show":
            return await _show(args, settings)
        case _:
            return await _settle(args, settings)


async def _list(args: argparse.Namespace, settings: Settings) -> int:
    if bool(args.customer) != bool(args.provider):
        return failed(EXIT_INPUT_INVALID, "give --customer and --provider together")
    connection = _connection(args) if args.customer else None
    async with opened_stores(settings) as stores:
        summaries = await stores.journal.summaries(
            connection=connection, only_unsettled=not args.all, limit=LISTED_MAX
        )
    rows = [_row(summary) for summary in summaries]
    if args.json:
        print_line(json.dumps(rows, indent=2))
    else:
        print_table(rows)
    return EXIT_DONE


async def _show(args: argparse.Namespace, settings: Settings) -> int:
    async with opened_stores(settings) as stores:
        summaries = await stores.journal.show(_connection(args), args.request_id)
    if not summaries:
        return _unknown(args)
    print_line(json.dumps([_details(summary) for summary in summaries], indent=2))
    return EXIT_DONE


async def _settle(args: argparse.Namespace, settings: Settings) -> int:
    async with opened_stores(settings) as stores:
        found = [
            summary.operation
            for summary in await stores.journal.show(_connection(args), args.request_id)
            if args.caller in {None, summary.operation.key.caller}
        ]
        if not found:
            return _unknown(args)
        if len(found) > 1:
            return failed(EXIT_INPUT_INVALID, "several callers used this id: give --caller")
        (operation,) = found
        if operation.state not in _SETTLED_BY_HAND:
            return failed(EXIT_NOT_DONE, f"it is {operation.state}: there is nothing to settle")
        claimed = await stores.journal.take(operation.key, operation.epoch)
        if claimed is None:
            return failed(EXIT_NOT_DONE, "it, or its sequence, is being worked on: try again")
        settled = claimed.operation.settled_by_hand(args.step, args.reason)
        try:
            await stores.journal.save(settled)
        except OwnershipLost:
            return failed(EXIT_NOT_DONE, "it is being worked on: try again")
    return EXIT_DONE


def _unknown(args: argparse.Namespace) -> int:
    return failed(
        EXIT_NOT_DONE,
        f"there is no operation {args.request_id} of {args.customer} at {args.provider}",
    )


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("customer", help="the customer's id in your system")
    parser.add_argument("provider", choices=[name.value for name in ProviderName])
    parser.add_argument("request_id", help="the request_id, or `engagement-request-id`")


def _connection(args: argparse.Namespace) -> ConnectionKey:
    return ConnectionKey(args.customer, ProviderName(args.provider))


def _row(summary: OperationSummary) -> dict[str, str | None]:
    operation = summary.operation
    return {
        "request_id": operation.key.request_id,
        "customer": operation.key.connection.customer_id,
        "provider": operation.key.connection.provider.value,
        "sequence": operation.sequence_id,
        "state": operation.state.value,
        "step": operation.step_id,
        "updated_at": time_shown(summary.updated_at_epoch_ms / 1000),
        "next_look_at": _moment(summary.due_at_epoch_ms),
    }


def _details(summary: OperationSummary) -> dict[str, object]:
    operation = summary.operation
    calls = [*operation.calls, *([] if operation.undo is None else [operation.undo])]
    return {
        **_row(summary),
        "caller": operation.key.caller,
        "created_at": time_shown(summary.created_at_epoch_ms / 1000),
        "last_sent_at": _moment(operation.sent_at_epoch_ms),
        "calls": [_call(call, operation.ids) for call in calls],
        "ids": dict(operation.ids),
        "warnings": [warning.problem_type.name for warning in operation.warnings],
        "may_still_appear": operation.is_open,
        "candidate_steps": sorted(operation.candidates or ()),
        "suspected_duplicates": sorted(operation.duplicates),
        "stopped_by": operation.trouble,
        "settled_because": operation.settled_because,
    }


def _call(call: OperationCall, ids: Ids) -> dict[str, str | None]:
    return {
        "call": f"{call.write.method} {path_of(call.write, ids)}",
        "state": call.state.value,
        "sent_at": _moment(call.sent_at_epoch_ms),
    }


def _moment(epoch_ms: int | None) -> str | None:
    return None if epoch_ms is None else time_shown(epoch_ms / 1000)
