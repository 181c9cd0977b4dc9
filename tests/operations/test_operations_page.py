"""docs/operations.md: its times are true, its first commands run."""

import re
from dataclasses import replace
from pathlib import Path

from service.application.journal_port import LEASE_SECONDS
from service.application.recovery import (
    DAY_SECONDS,
    FINISHED_KEPT_SECONDS,
    SWEEP_SECONDS,
    UNSETTLED_KEPT_SECONDS,
)
from service.settings import Settings
from tests.operations.page import BLOCKS, PAGE, block, run_block, section
from tests.replicas.stage import Stage, connect
from tests.service.conftest import environment_for
from tests.service.step_messages import CALL, step
from tests.service.vendor_hold import STEP_WRITES

REQUEST_ID = "5d0f9a3e-27c4-4b8a-9f16-e83b1c6d7042"


async def test_a_request_in_doubt_is_found_and_settled_as_it_is_written(
    stage: Stage, tmp_path: Path
) -> None:
    environment = stage.environment(
        str(tmp_path / "engagement.db"), ENGAGEMENT_OUTREACH_SETTLE_SECONDS="0.3"
    )
    account = await stage.account("outreach", 1)
    acme = replace(account, name="acme")
    await connect(environment, [acme])
    method, path = STEP_WRITES["outreach"]
    await account.fault(kind="no_id", hidden_seconds=3600, method=method, path=path)
    async with stage.replica(environment) as replica:
        failure = await replica.client.fail(acme, step(CALL), request_id=REQUEST_ID)
        assert (failure.reason, failure.retry_seconds) == ("OUTCOME_UNKNOWN", None)

        said = await run_block("operations settle", tmp_path, environment)

        repeated = await replica.client.create(acme, step(CALL), request_id=REQUEST_ID)
    assert "IN_DOUBT" in said
    assert [repeated.id] == await account.step_ids()


def test_every_block_of_commands_is_run() -> None:
    """By this test or by one beside it."""
    sources = [path.read_text() for path in Path(__file__).parent.glob("*.py")]
    run = {words for text in sources for words in re.findall(r'run_block\("([^"]+)"', text)}
    assert {block(words) for words in run} == {*BLOCKS}


def test_the_times_of_stopping_are_those_of_the_settings() -> None:
    settings = Settings.from_environment(environment_for("http://127.0.0.1:1", Path("db")))
    rows = re.findall(r"(\d+) s(?: later)? \|.*\| `(\w+)` \|$", PAGE, re.MULTILINE)
    said = {name: float(seconds) for seconds, name in rows}
    assert said == {
        "ENGAGEMENT_DRAIN_DELAY_SECONDS": settings.drain_delay_seconds,
        "ENGAGEMENT_GRACE_SECONDS": settings.grace_seconds,
        "ENGAGEMENT_FINISH_SECONDS": settings.finish_seconds,
    }
    [wait_seconds] = re.findall(r"wait at least (\d+) seconds before you kill it", PAGE)
    assert sum(said.values()) < float(wait_seconds)


def test_the_times_of_recovery_and_keeping_are_the_services() -> None:
    in_all = f"{LEASE_SECONDS + SWEEP_SECONDS:.0f} seconds"
    for heading in ("Stopping and restarting", "Disk full"):
        assert in_all in section(heading)
    lost = section("Database lost")
    assert f"{LEASE_SECONDS:.0f} seconds" in lost
    assert f"{SWEEP_SECONDS:.0f} more" in lost
    days = re.findall(r"(\d+) days", section("How long it is kept"))
    assert [float(each) * DAY_SECONDS for each in days] == [
        FINISHED_KEPT_SECONDS,
        UNSETTLED_KEPT_SECONDS,
    ]


def test_every_part_is_named_at_the_top() -> None:
    """Whoever is on call finds it by what happens."""
    parts = set(re.findall(r"^## (.*)$", PAGE, re.MULTILINE)) - {"By situation"}
    named = set(re.findall(r"\[([^\]]+)\]\(#", section("By situation")))
    assert parts - named == {"How long it is kept"}
