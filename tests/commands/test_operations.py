"""`operations`, as a person uses it: what is listed, shown and hidden, and what can be settled."""

import datetime as dt
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.bootstrap import opened_stores
from service.commands import operations
from service.domain.operation import CallState, OperationState
from service.settings import Settings
from tests.commands.conftest import CommandLine
from tests.journal.samples import ACME, ACME_AT_APOLLO, GLOBEX, claimed, ended, key, noted, sending
from tests.journal.stores import FullJournal
from tests.service import programs

SUCCEEDED, NO_EFFECT = OperationState.SUCCEEDED, OperationState.NO_EFFECT
INCOMPLETE, IN_DOUBT = OperationState.INCOMPLETE, OperationState.IN_DOUBT

R_1 = ("acme", "outreach", "r-1")
SETTLE = ("operations", "settle", *R_1)
BY_HAND = ("--reason", "Seen in the app")


def not_done(why: str) -> tuple[int, str, str]:
    return 1, "", f"error: {why}\n"


async def in_doubt(
    journal: FullJournal, request_id: str = "r-1", caller: str = "crm", sequence_id: str = "s-1"
) -> None:
    """Leave a request that no look can decide."""
    await ended(journal, key(request_id, caller=caller), IN_DOUBT, sequence_id=sequence_id)


async def test_what_is_not_settled_is_listed(
    command_line: CommandLine, journal: FullJournal
) -> None:
    """The last changed first; with --all what is settled too."""
    await claimed(journal, key("running"), "s-1")
    for number, state in enumerate((SUCCEEDED, NO_EFFECT, INCOMPLETE, IN_DOUBT)):
        await ended(journal, key(state.value), state, sequence_id=f"s-{number + 2}")

    unsettled, every = await command_line.listed(), await command_line.listed("--all")

    names = ["IN_DOUBT", "INCOMPLETE", "NO_EFFECT", "SUCCEEDED", "RUNNING"]
    assert [row["state"] for row in every] == names
    assert [row["state"] for row in unsettled] == ["IN_DOUBT", "INCOMPLETE", "RUNNING"]


async def test_a_row_says_which_request_it_is_and_how_it_stands(
    command_line: CommandLine, journal: FullJournal
) -> None:
    await ended(journal, key(), INCOMPLETE, step_id=42, look_after_seconds=3600)
    (row,) = await command_line.listed()

    for name in ("updated_at", "next_look_at"):
        assert row.pop(name).endswith("Z")
    assert row == {
        "request_id": "r-1",
        "customer": "acme",
        "provider": "outreach",
        "sequence": "s-1",
        "state": "INCOMPLETE",
        "step": "42",
        "contents": None,
    }


async def test_the_list_is_a_table_for_people(
    command_line: CommandLine, journal: FullJournal
) -> None:
    await in_doubt(journal)
    await ended(journal, key("r-2", GLOBEX), INCOMPLETE, step_id=42)

    status, out, err = await command_line.run("operations", "list")

    assert (status, err) == (0, "")
    head, *rows = [line.split() for line in out.splitlines()]
    assert head[:6] == ["request_id", "customer", "provider", "sequence", "state", "step"]
    assert head[6:] == ["updated_at", "next_look_at", "contents"]
    assert [row[:6] for row in rows] == [
        ["r-2", "globex", "outreach", "s-1", "INCOMPLETE", "42"],
        ["r-1", "acme", "outreach", "s-1", "IN_DOUBT", "-"],
    ]
    assert {(row[7], row[8]) for row in rows} == {("-", "-")}


async def test_where_nothing_is_there_is_nothing_to_list(command_line: CommandLine) -> None:
    assert await command_line.run("operations", "list") == (0, "", "")
    assert await command_line.listed() == []


async def test_the_list_of_one_customer_at_one_provider(
    command_line: CommandLine, journal: FullJournal
) -> None:
    for number, connection in enumerate((ACME, ACME_AT_APOLLO, GLOBEX)):
        await ended(journal, key(f"r-{number}", connection), IN_DOUBT)

    rows = await command_line.listed("--customer", "acme", "--provider", "apollo")

    assert [row["request_id"] for row in rows] == ["r-1"]


async def test_a_list_that_is_cut_says_so(
    command_line: CommandLine, journal: FullJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "LISTED_MAX", 2)
    for number in range(3):
        await in_doubt(journal, f"r-{number}", sequence_id=f"s-{number}")

    status, out, err = await command_line.run("operations", "list", "--json")

    assert status == 0
    assert [row["request_id"] for row in json.loads(out)] == ["r-2", "r-1"]
    assert err == "note: only the last 2 are listed; --customer and --provider narrow it\n"


async def test_a_request_is_shown_for_each_caller(
    command_line: CommandLine, journal: FullJournal
) -> None:
    """In whatever case its id is written."""
    await in_doubt(journal, caller="crm")
    await in_doubt(journal, caller="erp", sequence_id="s-2")

    entries = await command_line.shown("acme", "outreach", "R-1")

    assert sorted(entry["caller"] for entry in entries) == ["crm", "erp"]


async def test_show_says_what_was_sent_and_what_came_of_it(
    command_line: CommandLine, journal: FullJournal
) -> None:
    operation = noted(await sending(journal, await claimed(journal, key())), CallState.DONE)
    operation = replace(operation, ids={"step_id": 42}, trouble="PROVIDER_REJECTED: No.")
    operation = operation.with_call(1, operation.calls[1].moved(CallState.SENT))
    await journal.save(operation, is_sending=True)
    (entry,) = await command_line.shown(*R_1)

    step, link = entry["calls"]
    assert step.pop("sent_at").endswith("Z")
    assert link.pop("sent_at").endswith("Z")
    assert step == {"call": "POST /steps", "state": "DONE"}
    assert link == {"call": "POST /links", "state": "SENT"}
    assert entry["ids"] == {"step_id": 42}
    assert (entry["state"], entry["step"]) == ("RUNNING", "42")
    assert entry["stopped_by"] == "PROVIDER_REJECTED: No."
    assert entry["created_at"].endswith("Z")
    assert "Ring twice" not in json.dumps(entry), "it is what the step says"


async def test_show_names_the_steps_of_which_one_may_be_it(
    command_line: CommandLine, journal: FullJournal
) -> None:
    operation = noted(await sending(journal, await claimed(journal, key())), CallState.LOST)
    operation = replace(operation, candidates=frozenset({"12", "11"}))
    await journal.save(operation.moved(IN_DOUBT))
    (entry,) = await command_line.shown(*R_1)

    assert entry["candidate_steps"] == ["11", "12"]
    assert entry["may_still_appear"] is False


@pytest.mark.parametrize("action", ["show", "settle"])
async def test_a_request_that_nobody_knows(command_line: CommandLine, action: str) -> None:
    more = ("--nothing", *BY_HAND) if action == "settle" else ()
    assert await command_line.run("operations", action, *R_1, *more) == not_done(
        "there is no operation r-1 of acme at outreach"
    )


async def test_settling_with_a_step(command_line: CommandLine, journal: FullJournal) -> None:
    await in_doubt(journal)

    assert await command_line.run(*SETTLE, "--step", "42", *BY_HAND) == (0, "", "")

    (entry,) = await command_line.shown(*R_1)
    assert (entry["state"], entry["step"]) == ("SUCCEEDED", "42")
    assert entry["settled_because"] == "Seen in the app"
    assert entry["next_look_at"] is None
    assert await command_line.listed() == []


@pytest.mark.parametrize("outcome", [("--step", "42"), ("--nothing",)])
async def test_contents_are_not_kept_when_it_is_settled(
    command_line: CommandLine, journal: FullJournal, outcome: tuple[str, ...]
) -> None:
    await in_doubt(journal)

    assert (await command_line.run(*SETTLE, *outcome, *BY_HAND))[0] == 0

    settled = await journal.find(key(caller="crm"))
    assert settled is not None
    assert [call.write.body for call in settled.calls] == [None, None]


async def test_settling_with_nothing(command_line: CommandLine, journal: FullJournal) -> None:
    await ended(journal, key(), INCOMPLETE, step_id=42)

    assert await command_line.run(*SETTLE, "--nothing", *BY_HAND) == (0, "", "")

    (entry,) = await command_line.shown(*R_1)
    assert (entry["state"], entry["step"]) == ("NO_EFFECT", None)
    assert entry["settled_because"] == "Seen in the app"


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (SUCCEEDED, "it has SUCCEEDED: there is nothing to settle"),
        (NO_EFFECT, "it had NO_EFFECT: there is nothing to settle"),
    ],
)
async def test_what_is_settled_is_not_settled_again(
    command_line: CommandLine, journal: FullJournal, state: OperationState, why: str
) -> None:
    await ended(journal, key(), state)

    assert await command_line.run(*SETTLE, "--nothing", *BY_HAND) == not_done(why)


async def test_what_runs_is_not_settled(command_line: CommandLine, journal: FullJournal) -> None:
    await claimed(journal, key())

    assert await command_line.run(*SETTLE, "--nothing", *BY_HAND) == not_done(
        "it runs: wait until it has ended"
    )


async def test_what_others_hold_is_not_settled(
    command_line: CommandLine, journal: FullJournal
) -> None:
    await in_doubt(journal)
    await claimed(journal, key("r-2"))

    assert await command_line.run(*SETTLE, "--nothing", *BY_HAND) == not_done(
        "it is being worked on, or another request holds its sequence: try again in a moment"
    )


async def test_with_several_callers_one_has_to_be_named(
    command_line: CommandLine, journal: FullJournal
) -> None:
    await in_doubt(journal, caller="crm")
    await in_doubt(journal, caller="erp", sequence_id="s-2")

    assert await command_line.run(*SETTLE, "--nothing", *BY_HAND) == (
        *(2, ""),
        "error: give --caller, one of: crm, erp\n",
    )
    other = await command_line.run(*SETTLE, "--nothing", *BY_HAND, "--caller", "shop")
    assert other == not_done("there is no operation r-1 of acme at outreach")
    assert (await command_line.run(*SETTLE, "--nothing", *BY_HAND, "--caller", "erp"))[0] == 0
    states = {entry["caller"]: entry["state"] for entry in await command_line.shown(*R_1)}
    assert states == {"crm": "IN_DOUBT", "erp": "NO_EFFECT"}


@pytest.mark.parametrize("outcome", [("--step", "42"), ("--nothing",)])
async def test_what_may_still_be_applied_is_left_to_time(
    command_line: CommandLine,
    journal: FullJournal,
    monkeypatch: pytest.MonkeyPatch,
    outcome: tuple[str, ...],
) -> None:
    """Settled now, it would let others write beside a step that may still come."""
    monkeypatch.setenv("ENGAGEMENT_OUTREACH_SETTLE_SECONDS", "120")
    await ended(journal, key(), IN_DOUBT, is_open=True, look_after_seconds=120)
    before = await command_line.shown(*R_1)

    status, out, err = await command_line.run(*SETTLE, *outcome, *BY_HAND)

    assert (status, out) == (1, "")
    assert err.startswith(
        "error: the provider may still apply a write of it, and the service looks for that: "
    )
    _check_same(await command_line.shown(*R_1), before)


def _check_same(after: list[dict[str, Any]], before: list[dict[str, Any]]) -> None:
    """Check that entries are as they were, due at the same time; the command took some of it."""
    for entry, was in zip(after, before, strict=True):
        entry.pop("updated_at")
        was.pop("updated_at")
        due, was_due = entry.pop("next_look_at"), was.pop("next_look_at")
        assert (due is None) == (was_due is None)
        if due is not None:
            late = dt.datetime.fromisoformat(due) - dt.datetime.fromisoformat(was_due)
            assert dt.timedelta(seconds=-1) <= late <= dt.timedelta(seconds=10)
    assert after == before


async def test_what_can_be_applied_no_more_is_settled_though_nobody_looked(
    command_line: CommandLine, journal: FullJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the customer's connection is gone."""
    monkeypatch.setenv("ENGAGEMENT_OUTREACH_SETTLE_SECONDS", "0")
    await ended(journal, key(), IN_DOUBT, is_open=True)

    assert await command_line.run(*SETTLE, "--nothing", *BY_HAND) == (0, "", "")
    await claimed(journal, key("r-2"))


async def test_a_step_of_another_request_is_refused(
    command_line: CommandLine, journal: FullJournal
) -> None:
    await ended(journal, key("r-2"), SUCCEEDED, step_id=42)
    await in_doubt(journal)
    before = await command_line.shown(*R_1)

    assert await command_line.run(*SETTLE, "--step", "42", *BY_HAND) == not_done(
        "another request made step 42"
    )
    _check_same(await command_line.shown(*R_1), before)
    assert (await command_line.run(*SETTLE, "--step", "43", *BY_HAND))[0] == 0


async def test_a_step_that_was_there_before_is_refused(
    command_line: CommandLine, journal: FullJournal
) -> None:
    await in_doubt(journal)

    assert await command_line.run(*SETTLE, "--step", "9", *BY_HAND) == not_done(
        "step 9 is older than the request's own step"
    )


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("list", "--customer", "acme"), "give --customer and --provider together"),
        (("list", "--provider", "apollo"), "give --customer and --provider together"),
        (("list", "--provider", "hubspot"), "invalid choice: 'hubspot'"),
        (("show", "acme", "outreach"), "the following arguments are required: request_id"),
        (("settle", *R_1, "--nothing"), "the following arguments are required: --reason"),
        (("settle", *R_1, *BY_HAND), "one of the arguments --step --nothing is required"),
        (("settle", *R_1, *BY_HAND, "--step", "1", "--nothing"), "not allowed with argument"),
        (("settle", *R_1, "--nothing", "--reason", " "), "has to say something"),
        (("settle", *R_1, *BY_HAND, "--step", ""), "has to be the step's id alone, such as 90210"),
        (
            ("settle", *R_1, *BY_HAND, "--step", "https://web.outreach.io/steps/1"),
            "has to be the step's id alone, such as 90210",
        ),
    ],
)
async def test_arguments_that_cannot_be_taken(
    command_line: CommandLine, arguments: tuple[str, ...], why: str
) -> None:
    status, out, err = await command_line.run("operations", *arguments)

    assert (status, out) == (2, "")
    assert why in err


@pytest.fixture
def letter(database: str) -> str:
    """A file where the database should be."""
    Path(database).write_text("This is a letter, not a database. " * 100)
    return database


@pytest.mark.parametrize("command", [("list",), ("show", *R_1), SETTLE[1:]])
async def test_a_database_that_cannot_be_opened_is_one_line(
    command_line: CommandLine, letter: str, command: tuple[str, ...]
) -> None:
    more = ("--nothing", *BY_HAND) if command[0] == "settle" else ()

    status, out, err = await command_line.run("operations", *command, *more)

    assert (status, out) == (1, "")
    assert err.startswith(f"error: cannot use {letter}: ")
    assert err.count("\n") == 1


async def test_a_key_that_is_gone_is_named(
    command_line: CommandLine, journal: FullJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    await in_doubt(journal)
    monkeypatch.setenv("ENGAGEMENT_KEYS", "other:" + "A" * 43 + "=")

    status, out, err = await command_line.run(*SETTLE, "--nothing", *BY_HAND)
    assert (status, out) == (1, "")
    assert "which is not among the given keys" in err
    assert err.count("\n") == 1


async def test_a_row_that_cannot_be_read_is_listed_and_shown(
    command_line: CommandLine, journal: FullJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as its columns go, beside one that can be."""
    await ended(journal, key(), INCOMPLETE, step_id=42)
    entry = command_line.environment["ENGAGEMENT_KEYS"]
    monkeypatch.setenv("ENGAGEMENT_KEYS", "other:" + "A" * 43 + "=")
    async with opened_stores(Settings.from_environment(os.environ)) as stores:
        await in_doubt(stores.journal, "r-2", sequence_id="s-2")

    readable, unreadable = await command_line.listed()
    (shown,) = await command_line.shown(*R_1)

    assert (readable["request_id"], readable["contents"]) == ("r-2", None)
    assert (unreadable["request_id"], unreadable["contents"]) == ("r-1", "unreadable")
    assert (unreadable["state"], unreadable["step"]) == ("INCOMPLETE", "42")
    assert shown.pop("created_at").endswith("Z")
    assert shown == {
        **unreadable,
        "caller": "crm",
        "unreadable_because": "the operation 'r-1' of caller 'crm' of customer acme at outreach is "
        f"encrypted with key '{entry.partition(':')[0]}', which is not among the given keys",
    }


async def test_the_program_as_it_is_installed(
    journal: FullJournal, environment: dict[str, str], tmp_path: Path
) -> None:
    """What the rest of this file calls in its own process."""
    await in_doubt(journal)
    program = Path(sys.executable).with_name("sequence-step-service")

    listed = await programs.run(
        *(program, "operations", "list", "--json"), home=tmp_path, environment=environment
    )

    assert (listed.status, listed.errors) == (0, "")
    assert [row["request_id"] for row in json.loads(listed.output)] == ["r-1"]
