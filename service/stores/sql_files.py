"""Reads the SQL that lies beside this file: numbered migrations and named queries.

A file of queries gives each a line `-- name: what_it_is`, sentences on what it does, and the
statement. A migration is named `NNNN_what.sql`, and is never changed once it has been released.
"""

import re
import sqlite3
from collections.abc import Iterator, Mapping
from importlib.resources import files

from service.domain.value_class import value_class

_SQL = files("service.stores") / "sql"
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{4})_\w+\.sql")
_NO_TRANSACTION = "-- no transaction\n"


@value_class
class Migration:
    """One step of the schema."""

    number: int
    statements: tuple[str, ...]
    in_transaction: bool = True
    """Else each statement is a transaction of its own."""


def named_queries(dialect: str, file_name: str) -> Mapping[str, str]:
    """Return the statements of one file by their names."""
    text = (_SQL / dialect / file_name).read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def migrations(dialect: str) -> tuple[Migration, ...]:
    """Return all migrations, in the order in which they are applied."""
    found = []
    for file in (_SQL / dialect).iterdir():
        if matched := _MIGRATION.fullmatch(file.name):
            text = file.read_text(encoding="utf-8")
            in_transaction = not text.startswith(_NO_TRANSACTION)
            found.append(Migration(int(matched[1]), tuple(_statements(text)), in_transaction))
    return tuple(sorted(found, key=lambda migration: migration.number))


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    assert not statement.strip(), "the last statement has no semicolon"
