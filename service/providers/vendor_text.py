"""Text that comes from a vendor: cleaned before people see it, and compared with tolerance."""

import html
import re

SENTENCE_CHARACTERS_MAX = 300

_TAG = re.compile(r"<[^<>]*>")
_LONG_NUMBER = re.compile(r"&#[0-9]{8,};?")
"""A reference to a character by a number beyond all characters, which Python may not even read."""

_BROKEN_WORD = re.compile(r"[!-~]+\Z")


def sentence(raw: str) -> str:
    """Return `raw` for an error message: one line, without markup, at most 300 characters.

    It is never cut within a word of ASCII: the word could be a credential that the vendor repeats,
    and who takes that out looks for the whole.
    """
    line = plain(_cut(raw, 10 * SENTENCE_CHARACTERS_MAX))
    without_markup = " ".join(_TAG.sub(" ", line).split())  # Once more: it may have been escaped.
    return _cut(without_markup, SENTENCE_CHARACTERS_MAX)


def _cut(text: str, characters_max: int) -> str:
    if len(text) <= characters_max:
        return text
    return _BROKEN_WORD.sub("", text[: characters_max - 1]) + "…"


def plain(raw: str) -> str:
    """Return `raw` without tags, entities and runs of white space.

    A vendor may clean a note or a message that it stores, so texts are compared in this form.
    """
    text = html.unescape(_LONG_NUMBER.sub("\N{REPLACEMENT CHARACTER}", _TAG.sub(" ", raw)))
    if not text.isprintable():
        # Control characters, and what is there without being seen, such as marks of direction.
        text = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(text.split())
