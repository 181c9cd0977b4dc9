"""The command line, as `__main__` calls it: its answers, its errors, and what it never prints."""

import argparse
import asyncio
import base64
import getpass
import io
import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.__main__ import main
from service.application.customer_connections import CustomerConnections
from service.commands import connections
from service.domain.connection import ConnectionKind, Secret
from service.providers.oauth import OAuthTokenEndpoint
from service.providers.registry import PROVIDERS
from service.settings import Settings
from service.stores import sqlite_database
from service.stores.connections_sqlite import SqliteConnections
from service.stores.sqlite_database import ServingLock
from tests.connections.manual_clock import ManualClock
from tests.connections.samples import (
    ACME_OUTREACH,
    APPLICATIONS,
    KEY_1,
    KEY_2,
    oauth,
)
from tests.connections.scripted_http import ScriptedHttp
from tests.provider_http.scripted_server import Peer, ScriptedServer, answer

ACCESS, REFRESH = "canary-access-token", "canary-refresh-token"
GIVEN = {
    "credential": ACCESS,
    "refresh_token": REFRESH,
    "expires_at": "2026-11-24T12:00:00+02:00",
}
PUT = ["put", "acme", "outreach", "--kind", "oauth"]


class Terminal(io.StringIO):
    """Standard input as a person has it."""

    def isatty(self) -> bool:
        return True


Run = Callable[..., tuple[int, str, str]]


def _failed(why: str) -> tuple[int, str, str]:
    return 1, "", f"error: {why}\n"


@pytest.fixture
def environment(path: Path) -> dict[str, str]:
    return {"ENGAGEMENT_DATABASE": str(path), "ENGAGEMENT_KEYS": f"k1:{KEY_1.reveal()}"}


@pytest.fixture
def run(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run one command; return its exit status and what it wrote. No secret may be in that."""

    def run(*arguments: str, stdin: object = b"") -> tuple[int, str, str]:
        if not isinstance(stdin, io.TextIOBase):
            given = stdin if isinstance(stdin, bytes) else json.dumps(stdin).encode()
            stdin = io.TextIOWrapper(io.BytesIO(given))
        monkeypatch.setattr(sys, "stdin", stdin)
        parser = argparse.ArgumentParser("service")
        connections.add_parser(parser.add_subparsers(dest="command", required=True), PROVIDERS)
        try:
            args = parser.parse_args(["connections", *arguments])
            status = connections.run(args, Settings.from_environment(environment))
        except SystemExit as exited:
            status = int(exited.code or 0)
        written = capsys.readouterr()
        assert "canary" not in written.out + written.err
        assert "Traceback" not in written.err
        return status, written.out, written.err

    return run


def test_keys_new_prints_an_entry_that_the_settings_take(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["keys", "new"]) == 0
    entry = capsys.readouterr().out.removesuffix("\n")
    (key,) = Settings.from_environment({"ENGAGEMENT_KEYS": entry}).keys
    assert len(base64.b64decode(key.key.reveal())) == 32


def test_a_connection_is_put_listed_checked_and_removed(run: Run) -> None:
    assert run(*PUT, stdin=GIVEN) == (0, "", "")
    assert run("put", "globex", "apollo", "--kind", "api_key", stdin={"credential": "key"})[0] == 0

    status, listed, _ = run("list")
    assert status == 0
    assert [line.split()[:6] for line in listed.splitlines()] == [
        ["customer", "provider", "kind", "state", "key_id", "expires_at"],
        ["acme", "outreach", "oauth", "usable", "k1", "2026-11-24T10:00:00Z"],
        ["globex", "apollo", "api_key", "usable", "k1", "-"],
    ]
    assert run("check", "acme", "outreach") == (
        0,
        "oauth: it decrypts; the provider was not asked; the token ends 2026-11-24T10:00:00Z\n",
        "",
    )
    assert run("check", "globex", "apollo") == (
        0,
        "api_key: it decrypts; the provider was not asked; no known end\n",
        "",
    )
    assert run("remove", "acme", "outreach") == (0, "", "")
    assert run("remove", "acme", "outreach") == _failed(
        "there is no connection of acme at outreach"
    )
    assert run("check", "acme", "outreach") == _failed(
        "Customer acme has no connection at Outreach; an operator stores one with "
        "`connections put`."
    )


def test_the_list_as_json_is_for_programs(run: Run) -> None:
    assert run("list", "--json") == (0, "[]\n", "")
    assert run("list") == (0, "", "")
    run(*PUT, stdin=GIVEN)
    (row,) = json.loads(run("list", "--json")[1])
    assert row.pop("updated_at").endswith("Z")
    assert row == {
        "customer": "acme",
        "provider": "outreach",
        "kind": "oauth",
        "state": "usable",
        "key_id": "k1",
        "expires_at": "2026-11-24T10:00:00Z",
    }


async def test_what_was_put_is_what_the_server_reads(
    run: Run, store: SqliteConnections, clock: ManualClock
) -> None:
    """While it serves: nothing has to be stopped, and it sees the change within seconds."""
    await store.put(oauth())
    server = CustomerConnections(
        store, OAuthTokenEndpoint(ScriptedHttp(), APPLICATIONS, clock), clock
    )
    assert await server.find(ACME_OUTREACH) == oauth()
    given = {**GIVEN, "expires_at": "2030-01-01T00:00:00Z"}
    assert (await asyncio.to_thread(run, *PUT, stdin=given))[0] == 0
    clock.passed_seconds += 5.1
    found = await server.find(ACME_OUTREACH)
    assert (found.kind, found.credential, found.refresh_token) == (
        ConnectionKind.OAUTH,
        Secret(ACCESS),
        Secret(REFRESH),
    )
    assert found.expires_at_epoch_seconds == 1_893_456_000


@pytest.mark.parametrize(
    ("kind", "fields", "asked"),
    [
        ("oauth", GIVEN, ["credential: ", "refresh_token: ", "expires_at: "]),
        ("oauth", {**GIVEN, "expires_at": ""}, ["credential: ", "refresh_token: ", "expires_at: "]),
        ("bearer", GIVEN, ["credential: ", "expires_at: "]),
    ],
)
def test_at_a_terminal_questions_are_asked_without_an_echo(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    fields: dict[str, str],
    asked: list[str],
) -> None:
    prompts: list[str] = []

    def answered(prompt: str) -> str:
        prompts.append(prompt)
        return fields[prompt.removesuffix(": ")] + " "

    monkeypatch.setattr(getpass, "getpass", answered)
    assert run("put", "acme", "outreach", "--kind", kind, stdin=Terminal()) == (0, "", "")
    assert prompts == asked


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, EOFError])
def test_leaving_a_question_ends_quietly(
    run: Run, monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException]
) -> None:
    def left(_: str) -> str:
        raise interruption

    monkeypatch.setattr(getpass, "getpass", left)
    assert run(*PUT, stdin=Terminal()) == _failed("interrupted")


@pytest.mark.parametrize(
    ("provider", "kind", "takes"),
    [
        ("outreach", "api_key", "oauth or bearer"),
        ("apollo", "oauth", "api_key or bearer"),
    ],
)
def test_a_kind_that_the_provider_does_not_take(
    run: Run, provider: str, kind: str, takes: str
) -> None:
    assert run("put", "acme", provider, "--kind", kind, stdin=GIVEN) == (
        2,
        "",
        f"error: {provider} takes a connection of kind {takes}\n",
    )


@pytest.mark.parametrize(
    ("provider", "kind"),
    [
        ("outreach", "oauth"),
        ("outreach", "bearer"),
        ("salesloft", "oauth"),
        ("salesloft", "api_key"),
        ("salesloft", "bearer"),
        ("apollo", "api_key"),
        ("apollo", "bearer"),
    ],
)
def test_each_kind_that_a_provider_takes(run: Run, provider: str, kind: str) -> None:
    given = {"credential": ACCESS} | ({"refresh_token": REFRESH} if kind == "oauth" else {})
    assert run("put", "acme", provider, "--kind", kind, stdin=given) == (0, "", "")
    assert run("check", "acme", provider)[0] == 0


@pytest.mark.parametrize(
    "stdin",
    [
        b"",
        b"canary",
        b'{"credential": "canary"',
        b'["canary"]',
        b'"canary"',
        b"\xff canary",
        b'{"credential": "' + b"canary" * 11_000 + b'"}',
        b"[" * 60_000,
    ],
)
def test_what_is_no_json_object_is_not_repeated(run: Run, stdin: bytes) -> None:
    assert run(*PUT, stdin=stdin) == (
        2,
        "",
        "error: standard input is not a JSON object of at most 65536 bytes\n",
    )


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"credential": None}, "credential has to be a text of 1 to 8192 printable ASCII"),
        ({"credential": ""}, "credential has to be"),
        ({"credential": "canary token"}, "credential has to be"),
        ({"credential": "canary\n"}, "credential has to be"),
        ({"credential": "canary-käse"}, "credential has to be"),
        ({"credential": "canary" * 2000}, "credential has to be"),
        ({"credential": ["canary"]}, "credential has to be"),
        ({"refresh_token": None}, "refresh_token has to be"),
        ({"refresh_token": "canary token"}, "refresh_token has to be"),
        ({"expires_at": "canary"}, "expires_at has to be a time such as 2026-11-24T12:00:00Z"),
        ({"expires_at": "2026-11-24T12:00:00"}, "expires_at has to be a time"),
        ({"expires_at": 1_800_000_000}, "expires_at has to be a time"),
        ({"expires_at": "9999-12-31T23:59:59-12:00"}, "expires_at has to be a time"),
        ({"expires_at": "0001-01-01T00:00:00+12:00"}, "expires_at has to be a time"),
        ({"expires_at": ""}, "expires_at has to be a time"),
        ({"canary": "x"}, "has credential and refresh_token and expires_at, nothing else"),
    ],
)
def test_a_field_that_cannot_be_taken_is_named_and_not_repeated(
    run: Run, changed: dict[str, object], why: str
) -> None:
    status, out, err = run(*PUT, stdin={**GIVEN, **changed})
    assert (status, out) == (2, "")
    assert why in err
    assert err.count("\n") == 1
    assert run("list", "--json")[1] == "[]\n"


@pytest.mark.parametrize("kind", ["api_key", "bearer"])
def test_what_belongs_to_another_kind_is_not_dropped_silently(run: Run, kind: str) -> None:
    status, _, err = run("put", "acme", "salesloft", "--kind", kind, stdin=GIVEN)
    assert status == 2
    assert f"a connection of kind {kind} has credential" in err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("put", "acme", "outreach"),
        ("put", "acme", "hubspot", "--kind", "oauth"),
        ("put", "acme", "outreach", "--kind", "password"),
        ("check", "a customer", "outreach"),
        ("check", "käse", "outreach"),
        ("check", "", "outreach"),
        ("check", "x" * 257, "outreach"),
        ("remove", "acme"),
    ],
)
def test_arguments_that_cannot_be_taken(run: Run, arguments: tuple[str, ...]) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert "error: " in err


def test_the_help_says_what_put_reads(run: Run) -> None:
    status, out, _ = run("put", "--help")
    assert status == 0
    assert '{"credential": "…", "refresh_token": "…", "expires_at": "2026-11-24T12:00:00Z"}' in out


def test_a_key_that_is_gone_is_named(run: Run, environment: dict[str, str]) -> None:
    run(*PUT, stdin=GIVEN)
    environment["ENGAGEMENT_KEYS"] = f"k2:{KEY_2.reveal()}"
    assert run("check", "acme", "outreach") == _failed(
        "the credential of customer acme at outreach is encrypted with key 'k1', "
        "which is not among the given keys"
    )
    environment["ENGAGEMENT_KEYS"] = f"k1:{KEY_2.reveal()}"
    status, _, err = run("check", "acme", "outreach")
    assert status == 1
    assert "does not decrypt with key 'k1'" in err
    assert run("list")[0] == 0
    assert run("remove", "acme", "outreach") == (0, "", "")


async def test_what_the_provider_ended_is_said(run: Run, store: SqliteConnections) -> None:
    await store.put(oauth())
    await store.mark_expired(oauth())
    assert await asyncio.to_thread(run, "check", "acme", "outreach") == _failed(
        "Outreach refuses the oauth connection of customer acme; an operator stores a new "
        "one with `connections put`."
    )
    assert "expired" in (await asyncio.to_thread(run, "list"))[1]


@pytest.mark.parametrize("command", [("list",), ("check", "acme", "outreach"), tuple(PUT)])
def test_a_database_that_cannot_be_opened_is_one_line(
    run: Run, path: Path, command: tuple[str, ...]
) -> None:
    path.parent.write_bytes(b"a file where the folder should be")
    status, out, err = run(*command, stdin=GIVEN)
    assert (status, out) == (1, "")
    assert err.startswith(f"error: cannot open {path}: ")
    assert err.count("\n") == 1


def test_a_database_that_is_busy_is_one_line(
    run: Run, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("list")
    monkeypatch.setattr(sqlite_database, "BUSY_SECONDS_MAX", 0.01)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert run(*PUT, stdin=GIVEN) == _failed(f"cannot use {path}: database is locked")
    other.close()


@pytest.fixture
def token_settings(environment: dict[str, str]) -> dict[str, str]:
    environment["ENGAGEMENT_OUTREACH_CLIENT_ID"] = "client"
    environment["ENGAGEMENT_OUTREACH_CLIENT_SECRET"] = "canary-client-secret"
    return environment


@pytest.mark.parametrize(
    ("answered", "written", "state"),
    [
        (
            answer(200, b'{"access_token": "canary-2", "refresh_token": "canary-3"}'),
            (0, "oauth: its token was refreshed; no known end\n", ""),
            "usable",
        ),
        (
            answer(400, b'{"error": "invalid_grant", "error_description": "canary"}'),
            _failed(
                "Outreach refuses the oauth connection of customer acme; an operator "
                "stores a new one with `connections put`."
            ),
            "expired",
        ),
        (
            answer(401, b'{"error": "invalid_client"}'),
            _failed(
                "The access token cannot be refreshed at Outreach, its token endpoint "
                "answers 401 invalid_client; an operator checks ENGAGEMENT_OUTREACH_TOKEN_URL, "
                "ENGAGEMENT_OUTREACH_CLIENT_ID and ENGAGEMENT_OUTREACH_CLIENT_SECRET."
            ),
            "usable",
        ),
        (
            answer(500, b'{"error": "canary"}'),
            _failed("The access token could not be refreshed at Outreach: status 500."),
            "usable",
        ),
    ],
)
async def test_checking_with_a_refresh_asks_the_token_endpoint(
    run: Run,
    token_settings: dict[str, str],
    answered: bytes,
    written: tuple[int, str, str],
    state: str,
) -> None:
    """Over real HTTP."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(answered)
        peer.close()

    async with ScriptedServer(script) as server:
        token_settings["ENGAGEMENT_OUTREACH_TOKEN_URL"] = server.url("/oauth/token")
        await asyncio.to_thread(run, *PUT, stdin=GIVEN)
        assert await asyncio.to_thread(run, "check", "acme", "outreach", "--refresh") == written
        (request,) = server.requests
    assert request.startswith(b"POST /oauth/token HTTP/1.1\r\n")
    assert json.loads(request.partition(b"\r\n\r\n")[2]) == {
        "client_id": "client",
        "client_secret": "canary-client-secret",
        "grant_type": "refresh_token",
        "refresh_token": REFRESH,
    }
    (row,) = json.loads((await asyncio.to_thread(run, "list", "--json"))[1])
    assert row["state"] == state


def test_no_second_process_refreshes_beside_a_server(
    run: Run, token_settings: dict[str, str]
) -> None:
    path = token_settings["ENGAGEMENT_DATABASE"]
    run(*PUT, stdin=GIVEN)
    serving = ServingLock(Path(path))
    assert run("check", "acme", "outreach", "--refresh") == _failed(
        f"another process serves from {path}"
    )
    assert run("check", "acme", "outreach")[0] == 0
    serving.close()


def test_only_oauth_has_something_to_refresh(run: Run) -> None:
    run("put", "acme", "apollo", "--kind", "bearer", stdin={"credential": ACCESS})
    assert run("check", "acme", "apollo", "--refresh") == (
        2,
        "",
        "error: a connection of kind bearer has no token to refresh\n",
    )
