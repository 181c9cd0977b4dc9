"""Text that comes from a vendor: cleaned before people see it, and compared with tolerance."""

import html
import re

SENTENCE_CHARACTERS_MAX = 300

_TAG = re.compile(r"<[^<>]*>")
_CONTROL_OR_SPACE = re.compile(
    r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+"
)


def sentence(raw: str) -> str:
    """Return `raw` for an error message: one line, without markup, at most 300 characters."""
    line = plain(raw[: 10 * SENTENCE_CHARACTERS_MAX])
    if len(line) <= SENTENCE_CHARACTERS_MAX:
        return line
    return line[: SENTENCE_CHARACTERS_MAX - 1] + "…"


def plain(raw: str) -> str:
    """Return `raw` without tags, entities and runs of white space.

    A vendor may clean a note or a message that it stores, so texts are compared in this form.
    """
    return _CONTROL_OR_SPACE.sub(" ", html.unescape(_TAG.sub(" ", raw))).strip()
