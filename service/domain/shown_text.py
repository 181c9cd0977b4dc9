"""Text for people, at a terminal or in a log: on one line, short, and nothing in it that acts."""

from typing import Final

CHARACTERS_MAX: Final = 400


def one_line(text: str) -> str:
    """Return a text without control characters, escape sequences and line ends, cut if long.

    What stays are the characters that print: a text can neither begin a line of its own nor move a
    terminal's cursor, nor turn its direction of writing.
    """
    if len(text) <= CHARACTERS_MAX and text.isprintable():
        return text
    kept = text if len(text) <= CHARACTERS_MAX else f"{text[: CHARACTERS_MAX - 1]}…"
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in kept
    )
