"""What both callers read of the real service's answers."""

from pathlib import Path

from tests.clients.caller import Caller, request
from tests.service.conftest import Client, NewAccount


async def test_warnings_and_wrong_fields(
    caller: Caller, client: Client, new_account: NewAccount, tmp_path: Path
) -> None:
    account = await new_account("outreach")
    named, wrong = request(account.sequence_id), request("abc")
    named["step"]["name"] = "Intro"
    done = await caller.run(client.port, [named, wrong], customer=account.name, home=tmp_path)
    assert done.status == 1
    answer = done.by_request_id()[named["request_id"]]["answer"]
    assert [answer["id"]] == await account.step_ids()
    (warning,) = answer["warnings"]
    assert (warning["problem_type"], warning["field"]) == ("FIELD_NOT_SUPPORTED", "step.name")
    error = done.by_request_id()[wrong["request_id"]]["error"]
    assert (error["reason"], list(error["fields"])) == ("INVALID_FIELD", ["sequence_id"])


async def test_a_later_run_with_the_same_id_gets_the_same_step(
    callers: list[Caller], client: Client, new_account: NewAccount, tmp_path: Path
) -> None:
    """Also when it is written in another language."""
    account = await new_account("outreach")
    asked = request(account.sequence_id)
    answers = [
        await caller.run(client.port, [asked], customer=account.name, home=tmp_path)
        for caller in (*callers, *callers)
    ]
    (step_id,) = await account.step_ids()
    assert [each.step_ids() for each in answers] == [{asked["request_id"]: step_id}] * 4
