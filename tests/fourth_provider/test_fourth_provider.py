"""A provider that the service does not have: its folder and its registration are all it takes.

What is asked for here goes through every part of the service that treats providers differently. If
one of them came to know providers by name, a request for this one would fail in it.
"""

import json
from typing import Any

import pytest

from engagement.v1 import sequence_step_pb2 as step_pb2
from service.domain.connection import Secret
from service.providers.registry import PROVIDERS
from service.settings import ProviderSettings, Settings, SettingsError
from tests.fourth_provider.cadencia.adapter import NAME
from tests.fourth_provider.cadencia.registration import CADENCIA
from tests.fourth_provider.cadencia_api import API_KEY, FIRST_TOKEN, CadenciaApi
from tests.fourth_provider.conftest import REGISTRY, Caller, CommandLine
from tests.service.conftest import client_of
from tests.service.step_messages import AUTO_EMAIL, CALL, LINKEDIN, TASK, step, warnings_of

REQUEST_ID = "5d0f9a3e-27c4-4b8a-9f16-e83b1c6d7042"
MESSAGE = step_pb2.Template(
    content=step_pb2.TemplateContent(subject="Hello", body_html="<p>Hi</p>")
)
TOUCH, TEXT = "POST /v1/flows/f1/touches", "PUT /v1/touches/t1/text"


async def test_a_step_is_made_with_its_message(caller: Caller, api: CadenciaApi) -> None:
    asked = step(AUTO_EMAIL, name="First", interval_seconds=7200, template=MESSAGE)

    answer = await caller.create(asked)

    touch = {"id": "t1", "kind": "mail", "label": "First", "waitHours": 2, "note": ""}
    assert (answer.id, warnings_of(answer)) == ("t1", [])
    assert api.touches == [touch]
    assert api.texts == {"t1": {"subject": "Hello", "html": "<p>Hi</p>"}}


async def test_a_repeat_gets_the_same_step(caller: Caller, api: CadenciaApi) -> None:
    answers = [await caller.create(step(CALL), request_id=REQUEST_ID) for _ in range(2)]

    assert [answer.id for answer in answers] == ["t1", "t1"]
    assert api.writes == [TOUCH]


async def test_a_step_whose_answer_is_lost_is_found(caller: Caller, api: CadenciaApi) -> None:
    """And its text, whose answer is lost too, is written again."""
    api.touches.append({"id": "t0", "kind": "mail", "label": "", "waitHours": 0, "note": ""})
    api.answers_lost_next = 2

    answer = await caller.create(step(AUTO_EMAIL, template=MESSAGE))

    assert [touch["id"] for touch in api.touches] == ["t0", answer.id]
    text = f"PUT /v1/touches/{answer.id}/text"
    assert api.writes == [TOUCH, text, text]


async def test_what_it_cannot_express_is_told(caller: Caller, api: CadenciaApi) -> None:
    answer = await caller.create(
        step(TASK, interval_seconds=3601, order=3, template=MESSAGE, task_note="Look")
    )

    assert warnings_of(answer) == [
        ("FIELD_NOT_SUPPORTED", "step.order"),
        ("FIELD_NOT_SUPPORTED", "step.template.content"),
        ("INTERVAL_ROUNDED", "step.interval_seconds"),
    ]
    assert [(touch["waitHours"], touch["note"]) for touch in api.touches] == [(2, "Look")]


async def test_a_preview_plans_and_writes_nothing(caller: Caller, api: CadenciaApi) -> None:
    answer = await caller.create(
        step(AUTO_EMAIL, template=MESSAGE, is_reply=True), validate_only=True
    )

    planned = [f"{call.method} {call.path}" for call in answer.planned_calls]
    assert planned == ["POST /flows/f1/touches", "PUT /touches/{step_id}/text"]
    assert warnings_of(answer) == [("FIELD_NOT_SUPPORTED", "step.is_reply")]
    assert api.writes == []


@pytest.mark.parametrize(
    ("asked", "outcome"),
    [
        pytest.param(
            step(CALL, date="2026-11-24"),
            ("FAILED_PRECONDITION", "UNSUPPORTED_BY_PROVIDER", ("step.date",)),
            id="a_field_that_it_does_not_know",
        ),
        pytest.param(
            step(LINKEDIN),
            ("FAILED_PRECONDITION", "UNSUPPORTED_BY_PROVIDER", ("step.type",)),
            id="a_type_that_it_does_not_know",
        ),
        pytest.param(
            step(CALL, custom_fields={"kind": "mail"}),
            ("INVALID_ARGUMENT", "INVALID_FIELD", ("step.custom_fields.kind",)),
            id="a_key_that_the_mapping_writes",
        ),
        pytest.param(
            step(CALL, name="A label beyond twenty characters"),
            ("FAILED_PRECONDITION", "PROVIDER_REJECTED", ()),
            id="what_the_vendor_refuses",
        ),
    ],
)
async def test_what_it_refuses_is_not_written(
    caller: Caller,
    api: CadenciaApi,
    asked: step_pb2.SequenceStep,
    outcome: tuple[str, str, tuple[str, ...]],
) -> None:
    failure = await caller.fail(asked)

    assert failure.outcome == outcome
    assert api.writes == []


async def test_an_unknown_provider_is_told_all_that_are_known(caller: Caller) -> None:
    failure = await caller.fail(step(CALL), provider="hubspot")

    assert (failure.reason, failure.fields) == ("PROVIDER_UNKNOWN", ("metadata.x-provider-name",))
    assert "one of outreach, salesloft, apollo, cadencia, in any case" in failure.message


async def test_its_name_may_be_in_any_case(caller: Caller) -> None:
    assert (await caller.create(step(CALL), provider="CADENCIA")).id == "t1"


async def test_its_tokens_are_refreshed(
    unconnected: Caller, command_line: CommandLine, api: CadenciaApi
) -> None:
    put = ("connections", "put", "acme", "cadencia", "--kind", "oauth")
    ended = {
        "credential": FIRST_TOKEN,
        "refresh_token": "cadencia-refresh-1",
        "expires_at": "2026-01-01T00:00:00Z",
    }
    assert await command_line.run(*put, stdin=ended) == (0, "", "")

    answer = await unconnected.create(step(CALL))

    assert answer.id == "t1"
    assert api.refreshes == [
        {
            "client_id": "cadencia-client",
            "client_secret": "cadencia-secret",
            "grant_type": "refresh_token",
            "refresh_token": "cadencia-refresh-1",
        }
    ]


async def test_without_a_connection_its_name_is_in_the_error(unconnected: Caller) -> None:
    failure = await unconnected.fail(step(CALL))

    assert failure.reason == "CONNECTION_MISSING"
    assert "acme has no connection at Cadencia" in failure.message


async def test_commands_know_its_kinds_of_connection(command_line: CommandLine) -> None:
    put = ("connections", "put", "acme", "cadencia", "--kind", "bearer")

    status, _, told = await command_line.run(*put, stdin={"credential": API_KEY})

    assert status == 2
    assert told == "error: cadencia takes a connection of kind oauth or api_key\n"


async def test_commands_show_its_operations(caller: Caller, command_line: CommandLine) -> None:
    await caller.create(step(CALL), request_id=REQUEST_ID)

    key = ("--customer", "acme", "--provider", "cadencia")
    status, out, _ = await command_line.run("operations", "list", "--all", "--json", *key)

    assert status == 0
    (row,) = json.loads(out)
    assert (row["request_id"], row["provider"], row["step"]) == (REQUEST_ID, "cadencia", "t1")


def test_its_settings_follow_from_its_name(environment: dict[str, str], api: CadenciaApi) -> None:
    settings = Settings.from_environment(environment, REGISTRY)

    assert settings.providers[NAME] == ProviderSettings(
        CADENCIA,
        api_url=f"{api.url}/v1",
        settle_seconds=0.5,
        token_url=f"{api.url}/token",
        client_id="cadencia-client",
        client_secret=Secret("cadencia-secret"),
    )


def test_what_is_not_set_is_as_it_was_registered(environment: dict[str, str]) -> None:
    keys = {"ENGAGEMENT_KEYS": environment["ENGAGEMENT_KEYS"]}

    provider = Settings.from_environment(keys, REGISTRY).providers[NAME]

    assert provider == ProviderSettings(
        CADENCIA,
        api_url="https://api.cadencia.example/v1",
        settle_seconds=30,
        token_url="https://api.cadencia.example/token",
    )


def _problems(environment: dict[str, str], registry: Any) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as failed:
        Settings.from_environment(environment, registry)
    return failed.value.problems


def test_its_settings_are_checked(environment: dict[str, str]) -> None:
    environment["ENGAGEMENT_CADENCIA_API_URL"] = "http://cadencia.example"
    environment["ENGAGEMENT_CADENCIA_SETTLE_SECONDS"] = "soon"
    del environment["ENGAGEMENT_CADENCIA_CLIENT_SECRET"]
    both = "give both ENGAGEMENT_CADENCIA_CLIENT_ID and ENGAGEMENT_CADENCIA_CLIENT_SECRET."

    assert _problems(environment, REGISTRY) == (
        "ENGAGEMENT_CADENCIA_API_URL must begin with https://, since credentials are sent there.",
        "ENGAGEMENT_CADENCIA_SETTLE_SECONDS must be a number of seconds from 0 to 3600.",
        f"ENGAGEMENT_CADENCIA_CLIENT_SECRET is missing; {both}",
    )


async def test_without_its_registration_nothing_knows_it(
    environment: dict[str, str], command_line: CommandLine
) -> None:
    own = {name for name in environment if "CADENCIA" in name}
    told = _problems(environment, PROVIDERS)
    assert {problem.split()[0] for problem in told} == own

    put = ("connections", "put", "acme", "cadencia", "--kind", "api_key")
    status, _, usage = await command_line.run(*put, registry=PROVIDERS)
    assert (status, "invalid choice: 'cadencia'" in usage) == (2, True)

    others = {name: text for name, text in environment.items() if name not in own}
    async with client_of(Settings.from_environment(others)) as client:
        failure = await Caller(client.stub).fail(step(CALL))
    assert failure.reason == "PROVIDER_UNKNOWN"
