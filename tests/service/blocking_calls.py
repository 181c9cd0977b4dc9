"""Watches the event loop's thread for calls that make everybody wait.

The interpreter's profiler tells of every call of a function written in C, whoever makes it: there
is no other way to the file system, the network or the clock.
"""

import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

FUNCTIONS = frozenset(
    {
        *("time.sleep", "select.select", "select.poll"),
        *("io.open", "_io.open", "posix.open", "posix.read", "posix.fsync", "posix.fdatasync"),
        *("posix.stat", "posix.lstat", "posix.listdir", "posix.scandir", "posix.system"),
        *("_socket.getaddrinfo", "_socket.gethostbyname", "_socket.getnameinfo"),
        *("_sqlite3.connect", "fcntl.flock", "fcntl.lockf", "_posixsubprocess.fork_exec"),
    }
)
SOCKET_METHODS = frozenset({"connect", "accept", "recv", "recv_into", "send", "sendall", "sendmsg"})
SQLITE_METHODS = frozenset({"commit", "close", "executescript", "backup"})
"""What waits for the disk; a statement within a transaction works in memory."""


@contextmanager
def watched() -> Iterator[list[str]]:
    """Watch this thread; yield the list that each blocking call is put into as it is made."""
    calls: list[str] = []

    def notice(frame: FrameType, event: str, argument: object) -> None:
        if event == "c_call" and (what := _blocking(argument)):
            code = frame.f_code
            calls.append(f"{what} in {code.co_qualname} ({code.co_filename}:{frame.f_lineno})")

    sys.setprofile(notice)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def _blocking(function: object) -> str:
    """Return the name of a call that blocks; empty for any other."""
    owner = getattr(function, "__self__", None)
    name = getattr(function, "__name__", "")
    if isinstance(owner, socket.socket):
        is_waiting = name in SOCKET_METHODS and owner.gettimeout() != 0
        return f"socket.{name}" if is_waiting else ""
    if isinstance(owner, sqlite3.Connection):
        return f"Connection.{name}" if name in SQLITE_METHODS else ""
    full_name = f"{getattr(function, '__module__', '')}.{name}"
    return full_name if full_name in FUNCTIONS else ""
