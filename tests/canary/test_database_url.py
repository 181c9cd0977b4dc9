"""A database URL whose password was not written as a URL wants it: no half of it gets anywhere."""

import pytest

from service.__main__ import main
from service.stores.key_ring import new_entry
from service.stores.postgres_database import PostgresDatabase
from service.stores.store_failure import DatabaseUnusable

URLS = (
    "postgresql://engagement:first@canary@127.0.0.1:1/db",
    "postgresql://engagement:5432/canary@127.0.0.1:1/db",
    "postgresql://engagement:canary/second@127.0.0.1:1/db",
    "postgresql://engagement:first@canary,@127.0.0.1:1/db",
    "postgresql://engagement:canary%zz@127.0.0.1:1/db",
)


@pytest.mark.parametrize("url", URLS)
async def test_it_is_refused_before_any_host_is_asked_for(url: str) -> None:
    """The part after an `@` would be looked up as a host's name, and named in the error."""
    with pytest.raises(DatabaseUnusable, match="cannot be read") as caught:
        await PostgresDatabase.open(url)

    assert "canary" not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize("command", [["migrate"], ["connections", "list"], ["operations", "list"]])
def test_a_command_says_so_in_one_line(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENGAGEMENT_DATABASE", URLS[0])
    monkeypatch.setenv("ENGAGEMENT_KEYS", new_entry())

    assert main(command) == 1

    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: the URL of the PostgreSQL database cannot be read")
    assert "canary" not in err
