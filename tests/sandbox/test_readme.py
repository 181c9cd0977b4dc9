"""The page that callers code against names everything that can be set."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import sandbox
from sandbox.apollo import account as apollo
from sandbox.effects import KINDS
from sandbox.outreach import account as outreach
from sandbox.salesloft import account as salesloft

README = (Path(sandbox.__file__).parent / "README.md").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_is_described(kind: str) -> None:
    (row,) = [line for line in README.splitlines() if line.startswith(f"| `{kind}` ")]
    described = f"{row} before_seconds after_seconds hidden_seconds hidden_reads when"
    assert [item.name for item in fields(KINDS[kind]) if item.name not in described] == []


@pytest.mark.parametrize("options", [outreach.Options, salesloft.Options, apollo.Options])
def test_every_option_is_described(options: Any) -> None:
    missing = [item.name for item in fields(options) if f"| `{item.name}` |" not in README]
    assert missing == []
