"""Marks in what must not get out, and the search for them in whatever form they are in.

A mark stands in a text twice, so that half of the text is found too. Three kinds are told apart,
since not everything has to be kept from everybody: see `test_canary.py`.
"""

import base64
import enum
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import quote

CONTEXT_BYTES: Final = 60


class Mark(enum.StrEnum):
    """What a marked text is; a value is what it holds."""

    SECRET = "s7q4canary2x"
    """A credential of any kind: nobody but its own provider gets it."""

    CONTENT = "c8w3canary5t"
    """What a caller writes: for the provider, and in answers to this caller."""

    VENDOR = "v6k9canary3p"
    """What a vendor says: a sentence of it may be in answers, and in `operations show`."""


def marked(mark: Mark, label: str = "") -> str:
    """Return a text that is found by either half of it; lower-case letters, digits, hyphens."""
    return f"{mark}-{label}-{mark}"


class Finder:
    """Looks for marks, and for secrets that no mark can be put into."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        """Take further secrets by a name for people."""
        texts = {mark.name: mark.value for mark in Mark} | dict(secrets)
        self._forms = {name: tuple(dict.fromkeys(_forms(text))) for name, text in texts.items()}

    def found(self, data: bytes, *allowed: Mark) -> list[str]:
        """Return what is found, and where; nothing for the marks that are allowed."""
        names = self._forms.keys() - {mark.name for mark in allowed}
        in_lower_case = data.lower()
        return [
            f"{name}: {_around(searched, form)!r}"
            for name in sorted(names)
            for form, ignores_case in self._forms[name]
            for searched in [in_lower_case if ignores_case else data]
            if form in searched
        ]


def _around(data: bytes, form: bytes) -> bytes:
    at = data.index(form)
    return data[max(at - CONTEXT_BYTES, 0) : at + len(form) + CONTEXT_BYTES]


def _forms(text: str) -> Iterator[tuple[bytes, bool]]:
    """Yield the forms in which a text can be read without a key, and whether case is ignored."""
    plain = text.encode()
    escaped = "".join(f"%{byte:02x}" for byte in plain)
    in_json = "".join(f"\\u{ord(character):04x}" for character in text)
    for form in (
        *(plain, plain[::-1], plain.hex().encode(), text.encode("utf-16-le")),
        *(escaped.encode(), quote(text, safe="").encode(), in_json.encode()),
    ):
        yield form.lower(), True
    for start in range(3):  # Base64 depends on what stands before.
        whole = plain[start : start + (len(plain) - start) // 3 * 3]
        yield base64.b64encode(whole), False
        yield base64.urlsafe_b64encode(whole), False
