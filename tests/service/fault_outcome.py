"""Runs one row of the fault table, and says what the vendor has of it afterwards."""

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import httpx

from service.bootstrap import Stores
from tests.service.conftest import Client
from tests.service.fault_rows import BODY, SUBJECT, Row
from tests.service.fault_troubles import Applied
from tests.service.grpc_failure import Failure, failure_of
from tests.service.step_messages import warnings_of
from tests.service.vendor_account import SEQUENCES, TEMPLATES, VendorAccount
from tests.service.vendor_hold import eventually

CALL_SECONDS_MAX = 60.0

_SEEDS: Mapping[str, dict[str, Any]] = {
    vendor: {
        # Salesloft takes a step only into an empty cadence.
        "sequences": [{"id": sequence_id, "steps": 0 if vendor == "salesloft" else 1}],
        "templates": [{"id": template_id, "subject": SUBJECT, "body": BODY}],
    }
    for vendor, sequence_id, template_id in (
        ("outreach", int(SEQUENCES["outreach"]), int(TEMPLATES["outreach"])),
        ("salesloft", int(SEQUENCES["salesloft"]), int(TEMPLATES["salesloft"])),
        ("apollo", SEQUENCES["apollo"], TEMPLATES["apollo"]),
    )
}

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Outcome:
    """What came of a call: the caller's side and the vendor's."""

    step_id: str
    warnings: frozenset[str]
    failure: Failure | None
    requests: list[dict[str, Any]]
    before: dict[str, Any]
    after: dict[str, Any]

    @property
    def reason(self) -> str:
        return self.failure.reason if self.failure else "OK"

    @property
    def new_step_ids(self) -> set[str]:
        return _ids(self.after, "steps") - _ids(self.before, "steps")

    @property
    def new_template_ids(self) -> set[str]:
        return _ids(self.after, "templates") - _ids(self.before, "templates")


def _ids(state: dict[str, Any], collection: str) -> set[str]:
    return {str(record["id"]) for record in state[collection]}


async def outcome_of(
    row: Row, client: Client, control: httpx.AsyncClient, stores: Stores
) -> Outcome:
    """Make an account, switch the row's faults on, call the service once, and look."""
    vendor = row.flow.vendor
    name = f"{vendor}-fault-{next(_numbers)}"
    setup = {
        "vendor": vendor,
        "name": name,
        "options": row.flow.options,
        "seed": _SEEDS[vendor],
    }
    made = await control.post("/accounts", json=setup)
    made.raise_for_status()
    account = VendorAccount(vendor, name, made.json()["credentials"], control)
    try:
        await stores.connections.put(account.connection())
        await account.faults(row.faults)
        return await _called(row, client, account, made.json()["state"])
    finally:
        await control.delete(f"/accounts/{account.name}")


async def _called(
    row: Row, client: Client, account: VendorAccount, before: dict[str, Any]
) -> Outcome:
    step_id, warnings, failure = "", frozenset[str](), None
    try:
        answer = await client.create(account, row.flow.step(), timeout=CALL_SECONDS_MAX)
    except grpc.aio.AioRpcError as error:
        failure = failure_of(error)
    else:
        step_id = answer.id
        warnings = frozenset(problem_type for problem_type, _ in warnings_of(answer))
    if row.trouble.applied in {Applied.SOON, Applied.LATE}:
        await _everything_applied(account)
    requests, after = await asyncio.gather(account.requests(), account.state())
    return Outcome(step_id, warnings, failure, requests, before, after)


async def _everything_applied(account: VendorAccount) -> None:
    """Wait until the vendor has done what a write asked for that it was late with."""

    async def is_applied() -> bool:
        return not any(_is_awaited(request) for request in await account.writes())

    await eventually(is_applied)


def _is_awaited(write: dict[str, Any]) -> bool:
    """An undo is not: by then the service has made it once more, and there is nothing left."""
    is_unanswered = write["fault"] is not None and write["status"] is None
    return is_unanswered and not write["applied"] and write["method"] != "DELETE"


def messages_of(vendor: str, state: dict[str, Any], step_id: str) -> list[tuple[str, str]]:
    """Return subject and body of each message that a step has."""
    templates = {str(template["id"]): template for template in state["templates"]}
    match vendor:
        case "outreach":
            return [
                _outreach_message(templates, link)
                for link in state["links"]
                if _outreach_related(link, "sequenceStep") == step_id
            ]
        case "apollo":
            return [
                (template["subject"], template["body_html"])
                for touch in state["touches"]
                if touch["emailer_step_id"] == step_id
                and (template := templates[touch["emailer_template_id"]])["body_html"]
            ]
        case _:
            cadence_ids = {
                step["cadence"]["id"] for step in state["steps"] if str(step["id"]) == step_id
            }
            return [
                (content["subject"], content["body"])
                for cadence in state["sequences"]
                if cadence["id"] in cadence_ids
                for group in cadence["step_groups"]
                for step in group["steps"]
                if (content := step["type_settings"].get("email_template"))
            ]


def unused_templates(vendor: str, outcome: Outcome) -> set[str]:
    """Return the new templates that no step has; Salesloft keeps a step's own as one too."""
    if vendor == "salesloft":
        return set()
    used = (
        {touch["emailer_template_id"] for touch in outcome.after["touches"]}
        if vendor == "apollo"
        else {_outreach_related(link, "template") for link in outcome.after["links"]}
    )
    return outcome.new_template_ids - used


def _outreach_related(link: dict[str, Any], name: str) -> str:
    return str(link["relationships"][name]["data"]["id"])


def _outreach_message(
    templates: Mapping[str, dict[str, Any]], link: dict[str, Any]
) -> tuple[str, str]:
    content = templates[_outreach_related(link, "template")]["attributes"]
    return content["subject"], content["bodyHtml"]
