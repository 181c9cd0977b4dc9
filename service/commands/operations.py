"""The command line's `operations`: shows what became of requests, and settles what is in doubt.

It works on the server's own database, also while the server runs. Settling is for what no look at
the provider can decide: a person looks there, and says which step the request made, or that it made
none. The reason given is kept. No command prints what a step says.
"""

import argparse
import asyncio
import json
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from service.application.clock import SystemClock
from service.application.journal_entry import JournalEntry
from service.application.journal_port import Claimed, OperationSummary, OwnershipLost, StepTaken
from service.bootstrap import Stores, opened_stores, settle_seconds
from service.commands.output import (
    EXIT_DONE,
    EXIT_INPUT_INVALID,
    EXIT_NOT_DONE,
    failed,
    print_line,
    print_note,
    print_table,
    time_shown,
    why_failed,
    without_log,
)
from service.domain.errors import ServiceError
from service.domain.operation import Operation, OperationCall, OperationState
from service.domain.plan import path_of
from service.domain.step import ConnectionKey, Ids, ProviderName
from service.settings import Settings
from service.stores.store_failure import DatabaseUnusable

if TYPE_CHECKING:
    from argparse import _SubParsersAction

LISTED_MAX: Final = 1000

STEP_ID_CHARACTERS_MAX: Final = 64

_NOTHING_TO_SETTLE: Final = {
    OperationState.RUNNING: "it runs: wait until it has ended",
    OperationState.SUCCEEDED: "it has SUCCEEDED: there is nothing to settle",
    OperationState.NO_EFFECT: "it had NO_EFFECT: there is nothing to settle",
}


def add_parser(
    subparsers: "_SubParsersAction[argparse.ArgumentParser]", providers: Collection[ProviderName]
) -> None:
    """Add `operations list|show|settle`."""
    operations = subparsers.add_parser(
        "operations", help="show what became of requests, and settle what is in doubt"
    )
    actions = operations.add_subparsers(dest="action", required=True)

    list_ = actions.add_parser(
        "list",
        help="list the operations that are not settled, or all",
        description="List the operations that are RUNNING, INCOMPLETE or IN_DOUBT, the last "
        f"changed first, at most {LISTED_MAX}.",
    )
    list_.add_argument("--all", action="store_true", help="also SUCCEEDED and NO_EFFECT")
    list_.add_argument("--customer", help="only those of this customer; with --provider")
    list_.add_argument("--provider", choices=providers, help="with --customer")
    list_.add_argument("--json", action="store_true", help="as a JSON array")

    show = actions.add_parser(
        "show",
        help="say all that is known of a request",
        description="Say what was sent for a request, what came of it and why it stopped, as a "
        "JSON array with one object per caller that used the id. Contents are left out.",
    )
    _add_key(show, providers)

    settle = actions.add_parser(
        "settle",
        help="say what a request made, when no look at the provider can",
        description="Settle a request that is INCOMPLETE or IN_DOUBT. With --step it is answered "
        "with that step from now on; with --nothing it runs again when it is repeated.",
    )
    _add_key(settle, providers)
    outcome = settle.add_mutually_exclusive_group(required=True)
    outcome.add_argument(
        "--step", type=_step_id, metavar="ID", help="the provider's id of the step that it made"
    )
    outcome.add_argument(
        "--nothing", action="store_true", help="nothing of it is in the sequence (any more)"
    )
    settle.add_argument(
        "--reason", required=True, type=_reason, help="how you know; kept with the operation"
    )
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
        return failed(EXIT_NOT_DONE, why_failed(error))
    except KeyboardInterrupt:
        return failed(EXIT_NOT_DONE, "interrupted")


async def _run(args: argparse.Namespace, settings: Settings) -> int:
    async with opened_stores(settings) as stores:
        match args.action:
            case "list":
                return await _list(args, stores)
            case "show":
                return await _show(args, stores)
            case _:
                return await _settle(args, stores, settings)


async def _list(args: argparse.Namespace, stores: Stores) -> int:
    if bool(args.customer) != bool(args.provider):
        return failed(EXIT_INPUT_INVALID, "give --customer and --provider together")
    found = await stores.journal.summaries(
        connection=_connection(args) if args.customer else None,
        only_unsettled=not args.all,
        limit=LISTED_MAX + 1,
    )
    rows = [_row(summary) for summary in found[:LISTED_MAX]]
    if args.json:
        print_line(json.dumps(rows, indent=2))
    else:
        print_table(rows)
    if len(found) > LISTED_MAX:
        print_note(f"only the last {LISTED_MAX} are listed; --customer and --provider narrow it")
    return EXIT_DONE


async def _show(args: argparse.Namespace, stores: Stores) -> int:
    found = await _found(args, stores)
    if not found:
        return _unknown(args)
    print_line(json.dumps([_details(summary) for summary in found], indent=2))
    return EXIT_DONE


async def _settle(args: argparse.Namespace, stores: Stores, settings: Settings) -> int:
    found = await _found(args, stores)
    callers = [summary.operation.key.caller for summary in found]
    if args.caller is None and len(found) > 1:
        return failed(EXIT_INPUT_INVALID, f"give --caller, one of: {', '.join(sorted(callers))}")
    if not found or args.caller not in {None, *callers}:
        return _unknown(args)
    summary = found[0 if args.caller is None else callers.index(args.caller)]
    operation = summary.operation
    if operation.state in _NOTHING_TO_SETTLE:
        return failed(EXIT_NOT_DONE, _NOTHING_TO_SETTLE[operation.state])
    if args.step in operation.snapshot:
        return failed(EXIT_NOT_DONE, f"step {args.step} is older than the request's own step")
    claimed = await stores.journal.take(operation.key, operation.epoch)
    if claimed is None:
        return failed(
            EXIT_NOT_DONE,
            "it is being worked on, or another request holds its sequence: try again in a moment",
        )
    why_not = await _settle_claimed(args, stores, settings, summary, claimed)
    return failed(EXIT_NOT_DONE, why_not) if why_not else EXIT_DONE


async def _settle_claimed(
    args: argparse.Namespace,
    stores: Stores,
    settings: Settings,
    summary: OperationSummary,
    claimed: Claimed,
) -> str:
    """Settle what is ours for a moment; say why not, if that could not be done."""
    key = claimed.operation.key
    provider_seconds = settle_seconds(settings)[key.connection.provider]
    entry = JournalEntry(stores.journal, claimed, provider_seconds, SystemClock())
    try:
        if claimed.operation.is_open and entry.settles_in_seconds > 0:
            await _give_back(stores, summary, claimed)
            return (
                "the provider may still apply a write of it, and the service looks for that: "
                f"try again in {entry.settles_in_seconds:.0f} seconds, if it is not settled then"
            )
        settled = claimed.operation.settled_by_hand(args.step, args.reason)
        await stores.journal.save(settled.without_contents())
    except StepTaken:
        await _give_back(stores, summary, claimed)
        return f"another request made step {args.step}"
    except OwnershipLost:
        return "somebody else took it over meanwhile: try again"
    return ""


async def _give_back(stores: Stores, summary: OperationSummary, claimed: Claimed) -> None:
    """Leave it as it was found."""
    due_at_epoch_ms = summary.due_at_epoch_ms
    await stores.journal.save(
        claimed.operation.moved(summary.operation.state),
        look_after_seconds=None
        if due_at_epoch_ms is None
        else max(due_at_epoch_ms - claimed.now_epoch_ms, 0) / 1000,
    )


async def _found(args: argparse.Namespace, stores: Stores) -> Sequence[OperationSummary]:
    return await stores.journal.show(_connection(args), args.request_id)


def _unknown(args: argparse.Namespace) -> int:
    return failed(
        EXIT_NOT_DONE,
        f"there is no operation {args.request_id} of {args.customer} at {args.provider}",
    )


def _add_key(parser: argparse.ArgumentParser, providers: Collection[ProviderName]) -> None:
    parser.add_argument("customer", help="the customer's id in your system")
    parser.add_argument("provider", choices=providers, help="where the sequence is")
    parser.add_argument(
        "request_id",
        type=str.lower,  # As the service keeps it.
        help="the request_id, or what the service made and told as engagement-request-id",
    )


def _step_id(text: str) -> str:
    is_id = text.isascii() and text.isalnum() and len(text) <= STEP_ID_CHARACTERS_MAX
    if not is_id:
        raise argparse.ArgumentTypeError("has to be the step's id alone, such as 90210")
    return text


def _reason(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("has to say something")
    return text.strip()


def _connection(args: argparse.Namespace) -> ConnectionKey:
    return ConnectionKey(args.customer, ProviderName(args.provider))


def _row(summary: OperationSummary) -> dict[str, str | None]:
    operation = summary.operation
    return {
        "request_id": operation.key.request_id,
        "customer": operation.key.connection.customer_id,
        "provider": operation.key.connection.provider,
        "sequence": operation.sequence_id,
        "state": operation.state.name,
        "step": operation.step_id,
        "updated_at": _moment(summary.updated_at_epoch_ms),
        "next_look_at": _moment(summary.due_at_epoch_ms),
        "contents": "unreadable" if summary.unreadable else None,
    }


def _details(summary: OperationSummary) -> dict[str, object]:
    operation = summary.operation
    columns = {
        **_row(summary),
        "caller": operation.key.caller,
        "created_at": _moment(summary.created_at_epoch_ms),
    }
    if summary.unreadable:
        return {**columns, "unreadable_because": summary.unreadable}
    return {
        **columns,
        "calls": [_call(call, operation.ids) for call in _calls(operation)],
        "ids": dict(operation.ids),
        "warnings": [warning.problem_type.name for warning in operation.warnings],
        "may_still_appear": operation.is_open,
        "candidate_steps": sorted(operation.candidates or ()),
        "suspected_duplicates": sorted(operation.duplicates),
        "stopped_by": operation.trouble,
        "settled_because": operation.settled_because,
    }


def _calls(operation: Operation) -> tuple[OperationCall, ...]:
    undo = () if operation.undo is None else (operation.undo,)
    return (*operation.calls, *undo)


def _call(call: OperationCall, ids: Ids) -> dict[str, str | None]:
    return {
        "call": f"{call.write.method} {path_of(call.write, ids)}",
        "state": call.state.name,
        "sent_at": _moment(call.sent_at_epoch_ms),
    }


def _moment(epoch_ms: int | None) -> str | None:
    return None if epoch_ms is None else time_shown(epoch_ms / 1000)
