"""The search itself: it finds a mark in every form, and halves of a marked text."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from urllib.parse import quote_plus

import pytest

from tests.canary.marks import Finder, Mark, marked

KEY = base64.b64encode(bytes(range(32))).decode()
FINDER = Finder({"ring key": KEY})
AROUND = "a caller's ü text, {} and more of it"

FORMS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "in capitals": lambda text: text.upper().encode(),
    "reversed": lambda text: text[::-1].encode(),
    "hex": lambda text: text.encode().hex().encode(),
    "hex in capitals": lambda text: text.encode().hex().upper().encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64, one byte later": lambda text: base64.b64encode(b"x" + text.encode()),
    "base64, two bytes later": lambda text: base64.b64encode(b"xx" + text.encode()),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()),
    "in a URL": lambda text: quote_plus(text).encode(),
    "in a URL, in full": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()).encode(),
    "JSON": lambda text: json.dumps(text).encode(),
    "JSON, in full": lambda text: "".join(f"\\u{ord(each):04x}" for each in text).encode(),
    "repr": lambda text: repr(text).encode(),
    "repr of bytes": lambda text: repr(text.encode()).encode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mark", Mark)
def test_a_mark_is_found_in_every_form(mark: Mark, form: str) -> None:
    text = FORMS[form](AROUND.format(marked(mark, "subject")))

    (kind,) = {each.partition(":")[0] for each in FINDER.found(text)}
    assert kind == mark.name
    assert FINDER.found(text, mark) == []


@pytest.mark.parametrize("form", FORMS)
def test_either_half_is_found(form: str) -> None:
    text = marked(Mark.SECRET, "access-1")
    middle = len(text) // 2

    for half in (text[:middle], text[middle:]):
        assert FINDER.found(FORMS[form](half)) != []


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_without_a_mark_is_found(form: str) -> None:
    assert FINDER.found(FORMS[form](AROUND.format(KEY))) != []


def test_random_bytes_have_no_mark() -> None:
    assert FINDER.found(os.urandom(1024 * 1024)) == []


def test_a_mark_in_a_log_line_is_found() -> None:
    """So that a clean log says something: planted in the one field that a library's name fills."""
    program = f"""
import logging
from service.transport.log_setup import configure_logging
configure_logging("debug")
logging.getLogger("{marked(Mark.SECRET)}").warning("Hello")
"""
    ended = subprocess.run(  # noqa: S603 - the program is ours
        [sys.executable, "-c", program], check=True, capture_output=True
    )

    assert len(FINDER.found(ended.stderr)) == 1
