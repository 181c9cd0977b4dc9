"""Text that came from outside, made fit to be shown: well-formed, on one line, and short."""

import re

EXCERPT_CHARACTERS_MAX = 40

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, line breaks of any kind, and halves of a surrogate pair."""


def excerpt(text: str) -> str:
    """Return the beginning of a caller's text, for a sentence about it."""
    shown = text[:EXCERPT_CHARACTERS_MAX]
    cleaned = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in shown)
    return cleaned if len(text) <= EXCERPT_CHARACTERS_MAX else f"{cleaned}…"


def well_formed(text: str) -> str:
    """Replace halves of surrogate pairs, which JSON can bring and UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def cut(text: str, bytes_max: int) -> str:
    """Return as much of a text as fits into so many bytes of UTF-8, with an ellipsis if cut."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= bytes_max:
        return encoded.decode("utf-8")
    ellipsis = "…"
    kept = encoded[: bytes_max - len(ellipsis.encode())]
    return kept.decode("utf-8", "ignore") + ellipsis
