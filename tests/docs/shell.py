"""Reads shell lines as pages have them: into commands, each a program with its arguments."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

ASSIGNMENT = re.compile(r"\w+=")
INNER = re.compile(r"\$\(([^()]*)\)")
"""A command whose output becomes an argument."""

HERE_DOCUMENT = re.compile(r"<<'(\w+)'")
"""What begins a command's input of several lines, in which nothing is run; the word ends it."""

OPERATORS = ";<>|&"
REDIRECTIONS = ("<", ">", ">>", "<<")


@dataclass(frozen=True)
class Command:
    """One program with its arguments."""

    program: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join((self.program, *self.arguments))


def commands(script: str) -> Iterator[Command]:
    """Yield every command of a script, inner ones first; assignments alone are none."""
    for line in _whole_lines(script):
        for inner in INNER.findall(line):
            yield from commands(inner)
        for words in _split(_words(INNER.sub("inner", line))):
            program, *arguments = words
            yield Command(program, tuple(arguments))


def _whole_lines(script: str) -> Iterator[str]:
    """Yield lines, those together that a backslash or an open quotation mark joins."""
    line = ""
    for part in _without_here_documents(script):
        line = f"{line}\n{part}" if line else part
        if line.endswith("\\"):
            line = line[:-1]
        elif _is_whole(line):
            yield line
            line = ""
    assert not line, f"has no end: {line}"


def _without_here_documents(script: str) -> Iterator[str]:
    end = ""
    for line in script.splitlines():
        if not end:
            yield line
            end = "".join(HERE_DOCUMENT.findall(line))
        elif line == end:
            end = ""
    assert not end, f"has no end: {end}"


def _is_whole(line: str) -> bool:
    try:
        shlex.split(line, comments=True)
    except ValueError:
        return False
    return True


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=OPERATORS)
    lexer.whitespace_split = True
    return list(lexer)


def _split(words: list[str]) -> Iterator[list[str]]:
    """Split at operators; leave out redirections, and assignments before a program."""
    command: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in REDIRECTIONS:
            next(rest)
        elif set(word) <= set(OPERATORS):
            if command:
                yield command
            command = []
        elif command or not (word == "export" or ASSIGNMENT.match(word)):
            command.append(word)
    if command:
        yield command
