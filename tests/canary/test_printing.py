"""A secret does not print in any form, and a command that meets a bug says so in one line."""

import copy
import json
import pickle
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pprint import pformat
from typing import NoReturn

import pytest

from service.__main__ import main
from service.commands import connections, operations
from service.domain.connection import Connection, ConnectionKind, Secret
from service.domain.errors import Reason, ServiceError
from service.domain.step import ConnectionKey, ProviderName
from service.stores.key_ring import SecretUnreadable, new_entry

SECRET = Secret("hush-secret")


@dataclass(frozen=True)
class Holder:
    secret: Secret


CONNECTION = Connection(
    ConnectionKey("acme", ProviderName("outreach")), ConnectionKind.OAUTH, SECRET, SECRET
)
FORMS: dict[str, Callable[[object], str]] = {
    "repr": repr,
    "str": str,
    "f-string": lambda secret: f"{secret} {secret!r} {secret!s} {secret!a}",
    "%": lambda secret: "%s %r %a" % (secret, secret, secret),  # noqa: UP031 - one of the forms
    "format": "{0} {0!r}".format,
    "JSON": lambda secret: json.dumps([secret], default=str),
    "pprint": lambda secret: pformat({"secret": [secret]}),
    "dataclass": lambda secret: repr([Holder(secret), CONNECTION]),  # type: ignore[arg-type]
    "exception": lambda secret: f"{ValueError(secret)} {ValueError(secret)!r}",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_prints_as_stars(form: str) -> None:
    text = FORMS[form](SECRET)

    assert "***" in text
    assert "hush" not in text


def test_a_secret_prints_as_stars_at_any_width() -> None:
    assert f"{SECRET:>40}" == "***"


@pytest.mark.parametrize("holder", [SECRET, [SECRET], CONNECTION])
@pytest.mark.parametrize("copied", [pickle.dumps, copy.deepcopy])
def test_a_secret_is_not_written_out(copied: Callable[[object], object], holder: object) -> None:
    with pytest.raises(TypeError, match="neither pickled nor copied"):
        copied(holder)


def test_a_secret_gives_its_text_to_who_asks_and_compares() -> None:
    assert SECRET.reveal() == "hush-secret"
    assert Secret("hush-secret") == SECRET
    assert Secret("another") != SECRET
    assert len({SECRET, Secret("hush-secret")}) == 1


BUGS: dict[str, tuple[BaseException, str]] = {
    "a bug": (
        ValueError("postgresql://me:hush@db"),
        "a bug: ValueError at ",
    ),
    "the store": (
        ServiceError(Reason.STORE_UNAVAILABLE, "The service cannot reach its store."),
        "The service cannot reach its store.",
    ),
    "words of a vendor": (
        ServiceError(Reason.PROVIDER_REJECTED, "No.\x1b[2J\nerror: forged"),
        "No.\ufffd[2J\ufffderror: forged",
    ),
}
CAUSES: dict[str, tuple[Exception, str]] = {
    "SQLite": (sqlite3.OperationalError("database is locked\nrow: hush"), "database is locked"),
    "a key": (SecretUnreadable("the row does not decrypt"), "the row does not decrypt"),
    "anything": (ValueError("hush"), "Sorry. The cause: ValueError"),
}


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Let every command fail with an exception."""
    monkeypatch.setenv("ENGAGEMENT_KEYS", new_entry())

    def break_with(error: BaseException) -> None:
        def fail(_settings: object) -> NoReturn:
            raise error

        for command in (connections, operations):
            monkeypatch.setattr(command, "opened_stores", fail)

    return break_with


@pytest.mark.parametrize("command", ["connections", "operations"])
@pytest.mark.parametrize("kind", BUGS)
def test_a_command_fails_in_one_line(
    kind: str,
    command: str,
    broken: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    error, said = BUGS[kind]
    broken(error)

    assert main([command, "list"]) == 1

    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"error: {said}")
    assert "hush" not in err


@pytest.mark.parametrize("kind", CAUSES)
def test_a_command_tells_of_a_cause_what_is_ours_or_the_databases(
    kind: str, broken: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    cause, said = CAUSES[kind]
    error = ServiceError(Reason.STORE_UNAVAILABLE, "Sorry.")
    error.__cause__ = cause
    broken(error)

    assert main(["operations", "list"]) == 1
    assert capsys.readouterr() == ("", f"error: {said}\n")
